//! The embedded store's outbox as a log for readers.

use std::{sync::Arc, time::Duration};

use authsession::{
    base::World,
    engine::{Commit, Engine, EventLog, History, Position, embedded::Embedded},
};

use crate::fixture::shard;

struct Log {
    store: Arc<Embedded>,
    _dir: tempfile::TempDir,
}

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { store: Embedded::open(dir.path(), World::system()).unwrap(), _dir: dir }
    }

    async fn announce(&self, numbers: std::ops::Range<u8>) {
        for number in numbers {
            let mut commit = Commit::on(shard(u16::from(number)));
            commit.announce(vec![number]);
            self.store.commit(commit).await.unwrap();
        }
    }

    /// What came after `position`; nothing where that is expired.
    async fn after(&self, position: Position, limit: usize) -> Option<Vec<(Position, u8)>> {
        match self.store.history(position, limit).await.unwrap() {
            History::Entries(entries) => {
                Some(entries.into_iter().map(|entry| (entry.position, entry.announcement[0])).collect())
            }
            History::Expired => None,
        }
    }
}

fn numbers(history: Option<Vec<(Position, u8)>>) -> Vec<u8> {
    history.unwrap().into_iter().map(|(_, number)| number).collect()
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was() {
    let log = Log::new();
    assert_eq!(log.store.end().await.unwrap(), Position::START);
    assert_eq!(log.after(Position::START, 10).await, Some(vec![]));
    log.announce(0..5).await;
    let all = log.after(Position::START, 10).await.unwrap();
    assert_eq!(numbers(Some(all.clone())), [0, 1, 2, 3, 4]);
    assert_eq!(numbers(log.after(all[1].0, 2).await), [2, 3]);
    assert_eq!(log.after(all[4].0, 10).await, Some(vec![]));
    assert_eq!(log.store.end().await.unwrap(), all[4].0);
}

#[tokio::test]
async fn a_position_that_was_forgotten_or_never_given_out_is_expired() {
    let log = Log::new();
    log.announce(0..10).await;
    let all = log.after(Position::START, 10).await.unwrap();
    log.store.retain(4).await.unwrap();
    // After the last forgotten entry nothing is missing.
    assert_eq!(numbers(log.after(all[5].0, 10).await), [6, 7, 8, 9]);
    assert_eq!(log.after(all[4].0, 10).await, None);
    assert_eq!(numbers(log.after(Position::START, 10).await), [6, 7, 8, 9]);
    let Position { ms, sequence } = all[9].0;
    assert_eq!(log.after(Position { ms, sequence: sequence + 1 }, 10).await, None);
    log.store.retain(0).await.unwrap();
    assert_eq!(log.after(Position::START, 10).await, Some(vec![]));
    assert_eq!(log.after(all[8].0, 10).await, None);
    assert_eq!(log.after(all[9].0, 10).await, Some(vec![]));
}

#[tokio::test]
async fn followers_wake_when_the_log_has_grown() {
    let log = Log::new();
    log.announce(0..1).await;
    let end = log.store.end().await.unwrap();
    log.store.grown(Position::START).await;
    let sleeping = tokio::time::timeout(Duration::from_millis(50), log.store.grown(end)).await;
    assert!(sleeping.is_err(), "the log has not grown");
    let followers: Vec<_> = (0..3)
        .map(|_| {
            let store = Arc::clone(&log.store);
            tokio::spawn(async move { store.grown(end).await })
        })
        .collect();
    log.announce(1..2).await;
    for follower in followers {
        follower.await.unwrap();
    }
    assert_eq!(numbers(log.after(end, 10).await), [1]);
}
