//! Walks through the names of collections.

use authsession::engine::{Collection, Commit};

use crate::fixture::{Fixture, shard};

/// Every collection that a walk names, sorted, without repetitions.
async fn walk(fixture: &Fixture, prefix: &str, limit: usize) -> Vec<Collection> {
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let page = fixture.engine.collections(prefix, from.as_ref(), limit).await.unwrap();
        found.extend(page.found);
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    found.sort();
    found.dedup();
    found
}

/// 300 collections in 100 shards, sorted.
async fn fill(fixture: &Fixture) -> Vec<Collection> {
    let mut all: Vec<Collection> = (0..300_u16)
        .map(|number| Collection::new(shard(number % 100 * 10 + 33), format!("a:{number}")))
        .collect();
    for collection in &all {
        fixture.put(collection, "one", "1").await;
        fixture.put(collection, "two", "2").await;
    }
    all.sort();
    all
}

pub(crate) async fn the_collections_of_a_kind_are_named_in_every_shard(fixture: &Fixture) {
    let ours = [(0, "a:x"), (0, "a:y"), (7, "a:"), (7, "a:x"), (1023, "a:x")];
    let ours = ours.map(|(index, name)| Collection::new(shard(index), name));
    for collection in &ours {
        fixture.put(collection, "one", "1").await;
        fixture.put(collection, "two", "2").await;
    }
    for (index, name) in [(0, "a"), (0, "b:x"), (7, "A:x"), (7, "aa:x"), (8, "r:a:x"), (1023, "\u{1}")] {
        fixture.put(&Collection::new(shard(index), name), "one", "1").await;
    }
    // What is announced is no collection.
    let mut commit = Commit::on(shard(7));
    commit.announce(b"a:".to_vec());
    fixture.done(commit).await;
    assert_eq!(walk(fixture, "a:", 100).await, ours);
    assert_eq!(walk(fixture, "a:y", 100).await, ours[1..2]);
    assert_eq!(walk(fixture, "*", 100).await, []);
}

pub(crate) async fn a_walk_goes_on_after_each_page(fixture: &Fixture) {
    let all = fill(fixture).await;
    for limit in [1, 7, 100, 1000] {
        assert_eq!(walk(fixture, "a:", limit).await, all, "{limit}");
    }
}

pub(crate) async fn a_collection_that_stays_is_named_though_others_go(fixture: &Fixture) {
    let all = fill(fixture).await;
    let (stay, go): (Vec<_>, Vec<_>) = all.into_iter().enumerate().partition(|(at, _)| at % 2 == 0);
    let (mut found, mut from, mut go) = (Vec::new(), None, go.into_iter());
    loop {
        let page = fixture.engine.collections("a:", from.as_ref(), 10).await.unwrap();
        found.extend(page.found);
        for (at, collection) in go.by_ref().take(10) {
            let mut commit = Commit::on(collection.shard);
            commit.delete(collection.item("one"));
            commit.delete(collection.item("two"));
            fixture.done(commit).await;
            fixture.put(&Collection::new(collection.shard, format!("a:new-{at}")), "one", "1").await;
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    let missed: Vec<_> = stay.iter().filter(|(_, collection)| !found.contains(collection)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

pub(crate) async fn a_walk_through_nothing_ends(fixture: &Fixture) {
    assert_eq!(walk(fixture, "a:", 100).await, []);
}
