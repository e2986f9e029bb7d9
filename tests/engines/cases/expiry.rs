//! Collections that may be thrown away. Redis goes by its own clock, the embedded store by the world's: the tests
//! give short times and set the clock forward.

use std::time::Duration;

use authsession::engine::Commit;

use crate::fixture::{Fixture, collection, until};

const SOON: Duration = Duration::from_millis(1);
const LATER: Duration = Duration::from_hours(1);

pub(crate) async fn an_expired_collection_goes_away(fixture: &Fixture) {
    let (a, b) = (collection("a:x"), collection("a:y"));
    let mut commit = Commit::on(a.shard);
    // More than housekeeping takes away in one go.
    for number in 0..1500 {
        commit.put(a.item(number.to_string()), Vec::new());
    }
    commit.expire(a.clone(), SOON);
    fixture.done(commit).await;
    fixture.put(&b, "stays", "1").await;
    fixture.clock.forward(SOON * 2);
    until("the collection is gone", async || fixture.count(&a).await == 0).await;
    assert_eq!(fixture.count(&b).await, 1);
}

pub(crate) async fn only_the_last_word_on_expiry_counts(fixture: &Fixture) {
    let (a, b, c) = (collection("a:x"), collection("a:y"), collection("a:z"));
    let mut commit = Commit::on(a.shard);
    // Also where it was said before there was an item.
    commit.expire(a.clone(), SOON);
    commit.expire(a.clone(), LATER);
    commit.expire(b.clone(), LATER);
    commit.expire(b.clone(), SOON);
    commit.expire(c.clone(), LATER);
    for collection in [&a, &b, &c] {
        commit.put(collection.item("one"), b"1".into());
    }
    fixture.done(commit).await;
    let mut commit = Commit::on(c.shard);
    commit.expire(c.clone(), SOON);
    fixture.done(commit).await;
    fixture.clock.forward(SOON * 2);
    until("the short-lived are gone", async || fixture.count(&b).await + fixture.count(&c).await == 0).await;
    assert_eq!(fixture.count(&a).await, 1);
}

pub(crate) async fn a_collection_that_was_emptied_forgets_its_expiry(fixture: &Fixture) {
    let (a, b) = (collection("a:x"), collection("a:y"));
    let mut commit = Commit::on(a.shard);
    commit.put(a.item("old"), b"1".into());
    commit.expire(a.clone(), Duration::from_millis(500));
    fixture.done(commit).await;
    let mut commit = Commit::on(a.shard);
    commit.delete(a.item("old"));
    commit.put(b.item("short-lived"), b"1".into());
    commit.expire(b.clone(), Duration::from_millis(600));
    fixture.done(commit).await;
    fixture.put(&a, "new", "2").await;
    fixture.clock.forward(LATER);
    until("the other collection is gone", async || fixture.count(&b).await == 0).await;
    assert_eq!(fixture.count(&a).await, 1);
}
