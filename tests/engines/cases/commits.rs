//! Checks, writes and refusals.

use authsession::engine::{Commit, Refusal, Verdict};

use crate::fixture::{Fixture, collection, shard};

pub(crate) async fn a_commit_applies_all_of_its_writes(fixture: &Fixture) {
    let (a, b) = (collection("a:x"), collection("b:x"));
    fixture.put(&a, "old", "1").await;
    let mut commit = Commit::on(a.shard);
    commit.absent(b.item("new"));
    commit.put(b.item("new"), b"2".into());
    commit.put(a.item("more"), b"3".into());
    commit.delete(a.item("old"));
    fixture.done(commit).await;
    assert_eq!(fixture.value(&a, "old").await, None);
    assert_eq!(fixture.value(&a, "more").await.as_deref(), Some("3"));
    assert_eq!(fixture.value(&b, "new").await.as_deref(), Some("2"));
}

pub(crate) async fn a_refused_commit_changes_nothing(fixture: &Fixture) {
    let a = collection("a:x");
    fixture.put(&a, "one", "1").await;
    let mut commit = Commit::on(a.shard);
    commit.absent(a.item("two"));
    let check = commit.absent(a.item("one"));
    commit.put(a.item("two"), b"2".into());
    commit.delete(a.item("one"));
    let verdict = fixture.engine.commit(commit).await.unwrap();
    assert_eq!(verdict, Verdict::Refused(Refusal { check, found: Some(b"1".into()) }));
    assert_eq!(fixture.items(&a, 10).await, [(b"one".to_vec(), b"1".to_vec())]);
}

pub(crate) async fn the_first_check_that_does_not_hold_is_named(fixture: &Fixture) {
    let a = collection("a:x");
    fixture.put(&a, "one", "1").await;
    let mut commit = Commit::on(a.shard);
    commit.unchanged(a.item("one"), Some(b"1"));
    commit.count_below(a.clone(), 2);
    let third = commit.unchanged(a.item("one"), Some(b"9"));
    commit.count_below(a.clone(), 1);
    let verdict = fixture.engine.commit(commit).await.unwrap();
    assert_eq!(verdict, Verdict::Refused(Refusal { check: third, found: Some(b"1".into()) }));
}

pub(crate) async fn an_absence_check_shows_what_is_there(fixture: &Fixture) {
    let a = collection("a:x");
    fixture.put(&a, "empty", "").await;
    let mut commit = Commit::on(a.shard);
    let check = commit.unchanged(a.item("empty"), None);
    let verdict = fixture.engine.commit(commit).await.unwrap();
    assert_eq!(verdict, Verdict::Refused(Refusal { check, found: Some(Vec::new()) }));
}

pub(crate) async fn an_equality_check_shows_what_is_there_instead(fixture: &Fixture) {
    let a = collection("a:x");
    fixture.put(&a, "one", "now").await;
    for (name, found) in [("one", Some(b"now".to_vec())), ("two", None)] {
        let mut commit = Commit::on(a.shard);
        let check = commit.unchanged(a.item(name), Some(b"before"));
        commit.put(a.item(name), b"after".into());
        let verdict = fixture.engine.commit(commit).await.unwrap();
        assert_eq!(verdict, Verdict::Refused(Refusal { check, found }));
    }
    let mut commit = Commit::on(a.shard);
    commit.unchanged(a.item("one"), Some(b"now"));
    commit.put(a.item("one"), b"after".into());
    fixture.done(commit).await;
    assert_eq!(fixture.value(&a, "one").await.as_deref(), Some("after"));
}

pub(crate) async fn a_count_check_counts_one_collection(fixture: &Fixture) {
    let (a, b) = (collection("a:x"), collection("a:y"));
    for name in ["one", "two", "three"] {
        fixture.put(&a, name, "").await;
        fixture.put(&b, name, "").await;
    }
    for (bound, holds) in [(0, false), (3, false), (4, true), (u64::MAX, true)] {
        let mut commit = Commit::on(a.shard);
        let check = commit.count_below(a.clone(), bound);
        let verdict = fixture.engine.commit(commit).await.unwrap();
        let refused = Verdict::Refused(Refusal { check, found: None });
        assert_eq!(verdict, if holds { Verdict::Done } else { refused }, "{bound}");
    }
}

pub(crate) async fn names_and_values_may_be_any_bytes(fixture: &Fixture) {
    let a = collection("a:x");
    let every_byte: Vec<u8> = (0..=255).collect();
    let strange = [every_byte, b"\r\n$-1\r\n".into(), vec![0], vec![0, 0], vec![255; 3], "ä\u{1F511}".into()];
    let mut commit = Commit::on(a.shard);
    for name in &strange {
        commit.absent(a.item(name.clone()));
    }
    for (name, value) in strange.iter().zip(strange.iter().rev()) {
        commit.put(a.item(name.clone()), value.clone());
    }
    for name in &strange {
        commit.announce(name.clone());
    }
    fixture.done(commit).await;
    let items: Vec<_> = strange.iter().map(|name| a.item(name.clone())).collect();
    let values: Vec<_> = strange.iter().rev().cloned().map(Some).collect();
    assert_eq!(fixture.engine.get(&items).await.unwrap(), values);
    let mut listed: Vec<_> = strange.iter().cloned().zip(strange.iter().rev().cloned()).collect();
    listed.sort();
    assert_eq!(fixture.items(&a, 2).await, listed);
    let pending = fixture.engine.pending(fixture.engine.outbox_of(a.shard), 100).await.unwrap();
    assert_eq!(pending.into_iter().map(|entry| entry.announcement).collect::<Vec<_>>(), strange);
    let mut commit = Commit::on(a.shard);
    commit.unchanged(items[0].clone(), values[0].as_deref());
    fixture.done(commit).await;
}

pub(crate) async fn running_a_commit_again_meets_its_own_result(fixture: &Fixture) {
    let a = collection("a:x");
    let mut commit = Commit::on(a.shard);
    let check = commit.absent(a.item("session"));
    commit.put(a.item("session"), b"mine".into());
    commit.announce(b"opened".into());
    fixture.done(commit.clone()).await;
    for _ in 0..2 {
        let again = fixture.engine.commit(commit.clone()).await.unwrap();
        assert_eq!(again, Verdict::Refused(Refusal { check, found: Some(b"mine".into()) }));
    }
    let pending = fixture.engine.pending(fixture.engine.outbox_of(a.shard), 10).await.unwrap();
    assert_eq!(pending.len(), 1);
}

pub(crate) async fn writes_are_applied_in_order(fixture: &Fixture) {
    let a = collection("a:x");
    let mut commit = Commit::on(a.shard);
    commit.put(a.item("twice"), b"1".into());
    commit.put(a.item("twice"), b"2".into());
    commit.put(a.item("gone"), b"1".into());
    commit.delete(a.item("gone"));
    commit.delete(a.item("back"));
    commit.put(a.item("back"), b"3".into());
    fixture.done(commit).await;
    let expected = [(b"back".to_vec(), b"3".to_vec()), (b"twice".to_vec(), b"2".to_vec())];
    assert_eq!(fixture.items(&a, 10).await, expected);
}

pub(crate) async fn a_commit_of_nothing_is_done(fixture: &Fixture) {
    fixture.done(Commit::on(shard(1023))).await;
    fixture.engine.ready().await.unwrap();
}

pub(crate) async fn many_collections_fit_in_one_commit(fixture: &Fixture) {
    let mut commit = Commit::on(shard(7));
    for number in 0..300 {
        commit.absent(collection(&format!("c:{number}")).item("x"));
        commit.put(collection(&format!("c:{number}")).item("x"), vec![7; 2000]);
    }
    fixture.done(commit).await;
    assert_eq!(fixture.count(&collection("c:299")).await, 1);
}
