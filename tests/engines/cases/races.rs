//! Many callers at once.

use std::sync::Arc;

use authsession::engine::{Commit, Engine, Verdict};

use crate::fixture::{Fixture, collection};

/// Runs `caller` for every number below `count`, all at once.
async fn parallel<F>(
    fixture: &Fixture,
    count: usize,
    caller: impl Fn(Arc<dyn Engine>, usize) -> F,
) -> Vec<F::Output>
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    let callers: Vec<_> =
        (0..count).map(|number| tokio::spawn(caller(Arc::clone(&fixture.engine), number))).collect();
    let mut outcomes = Vec::new();
    for caller in callers {
        outcomes.push(caller.await.unwrap());
    }
    outcomes
}

pub(crate) async fn one_of_64_parallel_commits_wins(fixture: &Fixture) {
    let a = collection("a:x");
    let verdicts = parallel(fixture, 64, |engine, number| async move {
        let a = collection("a:x");
        let mut commit = Commit::on(a.shard);
        commit.absent(a.item("winner"));
        commit.put(a.item("winner"), number.to_string().into_bytes());
        engine.commit(commit).await.unwrap()
    })
    .await;
    let winner = verdicts.iter().position(|verdict| *verdict == Verdict::Done).unwrap().to_string();
    assert_eq!(fixture.value(&a, "winner").await.as_ref(), Some(&winner));
    for verdict in verdicts.iter().filter(|verdict| **verdict != Verdict::Done) {
        let Verdict::Refused(refusal) = verdict else { panic!("two winners") };
        assert_eq!(refusal.found.as_deref(), Some(winner.as_bytes()));
    }
}

pub(crate) async fn parallel_increments_are_all_counted(fixture: &Fixture) {
    parallel(fixture, 16, |engine, _| async move {
        let counter = collection("a:x").item("counter");
        for _ in 0..10 {
            loop {
                let read = engine.get(std::slice::from_ref(&counter)).await.unwrap().remove(0);
                let count: u64 =
                    read.as_ref().map_or(0, |text| std::str::from_utf8(text).unwrap().parse().unwrap());
                let mut commit = Commit::on(counter.collection.shard);
                commit.unchanged(counter.clone(), read.as_deref());
                commit.put(counter.clone(), (count + 1).to_string().into_bytes());
                if engine.commit(commit).await.unwrap() == Verdict::Done {
                    break;
                }
            }
        }
    })
    .await;
    assert_eq!(fixture.value(&collection("a:x"), "counter").await.as_deref(), Some("160"));
}

pub(crate) async fn a_bound_on_the_count_holds_under_races(fixture: &Fixture) {
    let verdicts = parallel(fixture, 64, |engine, number| async move {
        let a = collection("a:x");
        let mut commit = Commit::on(a.shard);
        commit.absent(a.item(number.to_string()));
        commit.count_below(a.clone(), 20);
        commit.put(a.item(number.to_string()), b"1".into());
        engine.commit(commit).await.unwrap()
    })
    .await;
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == Verdict::Done).count(), 20);
    assert_eq!(fixture.count(&collection("a:x")).await, 20);
}

pub(crate) async fn every_parallel_announcement_is_kept(fixture: &Fixture) {
    let shard = collection("a:x").shard;
    parallel(fixture, 64, move |engine, number| async move {
        let mut commit = Commit::on(shard);
        commit.announce(number.to_string().into_bytes());
        engine.commit(commit).await.unwrap()
    })
    .await;
    let pending = fixture.engine.pending(fixture.engine.outbox_of(shard), 100).await.unwrap();
    assert!(pending.is_sorted_by(|a, b| a.position < b.position));
    let mut announced: Vec<u64> = pending
        .iter()
        .map(|entry| std::str::from_utf8(&entry.announcement).unwrap().parse().unwrap())
        .collect();
    announced.sort_unstable();
    assert_eq!(announced, (0..64).collect::<Vec<_>>());
}
