//! Gets, listings, counts.

use authsession::engine::{Collection, Commit, Page};

use crate::fixture::{Fixture, collection, shard};

pub(crate) async fn values_come_in_the_order_asked_for(fixture: &Fixture) {
    let (a, b) = (collection("a:x"), collection("b:x"));
    fixture.put(&a, "one", "1").await;
    fixture.put(&a, "two", "2").await;
    fixture.put(&b, "three", "3").await;
    let asked = [
        (a.item("two"), Some("2")),
        (b.item("three"), Some("3")),
        (a.item("none"), None),
        (a.item("one"), Some("1")),
        (collection("c:x").item("one"), None),
        (b.item("three"), Some("3")),
        (b.item("none"), None),
    ];
    let items: Vec<_> = asked.iter().map(|(item, _)| item.clone()).collect();
    let values: Vec<_> = asked.iter().map(|(_, value)| value.map(|text| text.as_bytes().to_vec())).collect();
    assert_eq!(fixture.engine.get(&items).await.unwrap(), values);
    assert_eq!(fixture.engine.get(&items[..1]).await.unwrap(), values[..1]);
    assert_eq!(fixture.engine.get(&[a.item("one"), a.item("two")]).await.unwrap()[1], Some(b"2".into()));
    assert_eq!(fixture.engine.get(&[]).await.unwrap(), Vec::<Option<Vec<u8>>>::new());
    for (item, value) in items.iter().zip(values) {
        assert_eq!(fixture.engine.get_one(item).await.unwrap(), value);
    }
}

pub(crate) async fn an_emptied_collection_is_gone(fixture: &Fixture) {
    let a = collection("a:x");
    assert_eq!(fixture.engine.list(&a, None, 10).await.unwrap(), Page::default());
    fixture.put(&a, "one", "1").await;
    assert_eq!(fixture.count(&a).await, 1);
    let mut commit = Commit::on(a.shard);
    commit.delete(a.item("one"));
    commit.delete(a.item("never there"));
    fixture.done(commit).await;
    assert_eq!(fixture.count(&a).await, 0);
    assert_eq!(fixture.engine.list(&a, None, 10).await.unwrap(), Page::default());
    assert_eq!(fixture.engine.populated("a:x").await.unwrap(), []);
}

pub(crate) async fn a_listing_shows_five_thousand_items_page_by_page(fixture: &Fixture) {
    let a = collection("a:x");
    fill(fixture, &a, 5000).await;
    assert_eq!(fixture.count(&a).await, 5000);
    let mut pages = 0;
    let mut next = None;
    loop {
        let page = fixture.engine.list(&a, next.as_ref(), 100).await.unwrap();
        assert!(page.items.len() < 200, "about as many as asked for: {}", page.items.len());
        pages += 1;
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    assert!(pages > 20);
    let items = fixture.items(&a, 100).await;
    assert_eq!(items.len(), 5000);
    assert_eq!(items[4999], (b"item-4999".to_vec(), b"value-4999".to_vec()));
    assert_eq!(fixture.items(&a, 10_000).await.len(), 5000);
}

pub(crate) async fn an_item_that_stays_is_seen_though_others_go(fixture: &Fixture) {
    let a = collection("a:x");
    fill(fixture, &a, 2000).await;
    let mut seen = Vec::new();
    let mut next = None;
    loop {
        let page = fixture.engine.list(&a, next.as_ref(), 50).await.unwrap();
        let mut commit = Commit::on(a.shard);
        // Every item goes when it has been seen, as in a revoke-all; the even ones stay.
        for (name, _) in page.items.iter().filter(|(name, _)| name.last().unwrap() % 2 == 1) {
            commit.delete(a.item(name.clone()));
        }
        fixture.done(commit).await;
        seen.extend(page.items);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 2000);
    assert_eq!(fixture.count(&a).await, 1000);
}

pub(crate) async fn the_shards_that_have_a_collection_are_named(fixture: &Fixture) {
    for index in [1023, 0, 512] {
        fixture.put(&Collection::new(shard(index), "jobs"), "one", "1").await;
    }
    fixture.put(&Collection::new(shard(3), "jobs2"), "one", "1").await;
    assert_eq!(fixture.engine.populated("jobs").await.unwrap(), [shard(0), shard(512), shard(1023)]);
    assert_eq!(fixture.engine.populated("job").await.unwrap(), []);
}

pub(crate) async fn collections_with_similar_names_are_apart(fixture: &Fixture) {
    let similar = ["a", "a:", "a:x", "a:xx", "a:y", "b", "\u{10FFFF}"].map(collection);
    for collection in &similar {
        fixture.put(collection, "name", &collection.name).await;
        fixture.put(collection, "\u{1}", "").await;
    }
    let elsewhere = Collection::new(shard(8), "a:x");
    fixture.put(&elsewhere, "name", "elsewhere").await;
    for collection in &similar {
        assert_eq!(fixture.value(collection, "name").await.as_ref(), Some(&collection.name));
        assert_eq!(fixture.count(collection).await, 2, "{}", collection.name);
        assert_eq!(fixture.items(collection, 1).await.len(), 2, "{}", collection.name);
    }
    assert_eq!(fixture.count(&elsewhere).await, 1);
}

async fn fill(fixture: &Fixture, collection: &Collection, count: usize) {
    for start in (0..count).step_by(500) {
        let mut commit = Commit::on(collection.shard);
        for number in start..start + 500 {
            let value = format!("value-{number:04}").into_bytes();
            commit.put(collection.item(format!("item-{number:04}")), value);
        }
        fixture.done(commit).await;
    }
}
