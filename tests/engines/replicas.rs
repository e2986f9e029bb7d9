//! Commits that count only once replicas have them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use authsession::engine::{Commit, Engine, Verdict, redis::Redis};

use crate::{
    fixture::{collection, settings, until},
    harness::RedisServer,
};

fn session(name: &str) -> Commit {
    let a = collection("a:x");
    let mut commit = Commit::on(a.shard);
    commit.absent(a.item(name));
    commit.put(a.item(name), b"1".into());
    commit
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_counts_once_a_replica_has_it() {
    let master = RedisServer::start();
    let replica = RedisServer::replica_of(&master);
    let settings = settings(&master.addr(), &[("MIN_REPLICAS", "1")]);
    let engine = Redis::new(&settings);
    let key = format!("{}{{{}}}:a:x", settings.key_prefix(), collection("a:x").shard.tag());
    let commits: Vec<_> = (0..200)
        .map(|number| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { engine.commit(session(&number.to_string())).await.unwrap() })
        })
        .collect();
    for (number, commit) in commits.into_iter().enumerate() {
        assert_eq!(commit.await.unwrap(), Verdict::Done);
        assert_eq!(replica.run::<u64>(&["HEXISTS", &key, &number.to_string()]), 1, "{number}");
    }

    replica.pause();
    let begun = Instant::now();
    assert!(engine.commit(session("late")).await.is_err(), "no replica has it");
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
    // It is on the master all the same. That it is there must not count either: no replica has it yet.
    assert!(
        engine.commit(session("late")).await.is_err(),
        "the refusal rests on a write that no replica has"
    );
    let read = engine.get(&[collection("a:x").item("late")]).await.unwrap();
    assert_eq!(read, [Some(b"1".to_vec())]);
    // A count may be of it; one that lasts may not.
    assert_eq!(engine.count(&collection("a:x")).await.unwrap(), 201);
    assert!(engine.count_lasting(&collection("a:x")).await.is_err(), "it is on the master only");
    assert!(engine.get_lasting(&collection("a:x").item("late")).await.is_err(), "so is this");
    // Nor for another process, whose connection never wrote.
    let other = Redis::new(&settings);
    assert!(other.commit(session("late")).await.is_err());

    replica.resume();
    until("commits count again", async || engine.commit(session("later")).await.is_ok()).await;
    assert!(matches!(engine.commit(session("late")).await.unwrap(), Verdict::Refused(_)));
    assert_eq!(engine.count_lasting(&collection("a:x")).await.unwrap(), 202);
    assert_eq!(engine.get_lasting(&collection("a:x").item("late")).await.unwrap(), Some(b"1".to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_replicas_holds_up_no_reads() {
    let master = RedisServer::start();
    let engine = Redis::new(&settings(&master.addr(), &[("MIN_REPLICAS", "1")]));
    engine.ready().await.unwrap();
    let commits: Vec<_> = (0..10)
        .map(|number| {
            let engine = Arc::clone(&engine);
            tokio::spawn(async move { engine.commit(session(&number.to_string())).await })
        })
        .collect();
    for _ in 0..50 {
        let begun = Instant::now();
        engine.get(&[collection("a:x").item("one")]).await.unwrap();
        assert!(begun.elapsed() < Duration::from_millis(150), "{:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for commit in commits {
        assert!(commit.await.unwrap().is_err(), "there is no replica");
    }
}

/// What a failover may yet undo is told to nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announcement_is_read_once_a_replica_has_it() {
    let master = RedisServer::start();
    let replica = RedisServer::replica_of(&master);
    let engine = Redis::new(&settings(&master.addr(), &[("MIN_REPLICAS", "1")]));
    let outbox = engine.outbox_of(collection("a:x").shard);
    let mut commit = session("one");
    commit.announce(b"one".into());
    engine.commit(commit).await.unwrap();
    assert_eq!(engine.pending(outbox, 10).await.unwrap().len(), 1);
    replica.pause();
    let mut commit = session("two");
    commit.announce(b"two".into());
    assert!(engine.commit(commit).await.is_err());
    assert!(engine.pending(outbox, 10).await.is_err(), "the second is on the master only");
    replica.resume();
    until("both are told", async || engine.pending(outbox, 10).await.is_ok_and(|entries| entries.len() == 2))
        .await;
}
