//! What the engine must survive behind sentinels.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use authsession::engine::{Commit, Engine, redis::Redis};

use crate::{
    fixture::{collection, settings},
    harness::{RedisSentinels, RedisServer, Sentinel, wait_until},
    load::{Load, Report},
};

fn engine(watched: &RedisSentinels) -> Arc<Redis> {
    Redis::new(&settings(&watched.addr(), &[("MODE", "sentinel")]))
}

fn check(what: &str, report: &Report) {
    eprintln!("{what}: {report}");
    assert_eq!(report.lost, 0, "{report}");
    // The operation timeout, and what a busy machine may add.
    assert!(report.slowest < Duration::from_millis(900), "{report}");
}

/// Waits until another server than the one on `port` is the master.
fn elected(watched: &RedisSentinels, port: u16) {
    let begun = Instant::now();
    wait_until("there is another master", || watched.master().port() != port);
    eprintln!("the sentinels name another master after {:?}", begun.elapsed());
}

/// Sentinels do not stop the old master first: for a second or two it goes on with the replicas that it still has. So
/// nothing is lost only where a commit waits for all replicas; here there is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_on_demand_loses_nothing() {
    let watched = tokio::task::block_in_place(|| RedisSentinels::start(1));
    let load = Load::start(&engine(&watched));
    load.goes_on(300).await;
    tokio::task::block_in_place(|| watched.fail_over());
    load.goes_on(300).await;
    check("a failover on demand", &load.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_loses_nothing_acknowledged() {
    let watched = tokio::task::block_in_place(|| RedisSentinels::start(2));
    let load = Load::start(&engine(&watched));
    load.goes_on(300).await;
    let master = watched.master();
    master.kill();
    tokio::task::block_in_place(|| elected(&watched, master.port()));
    load.goes_on(300).await;
    check("a killed master", &load.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_master_and_a_frozen_sentinel_lose_nothing_acknowledged() {
    let watched = tokio::task::block_in_place(|| RedisSentinels::start(2));
    // The first of the list, which is the one that is asked.
    watched.pause_a_sentinel();
    let load = Load::start(&engine(&watched));
    load.goes_on(300).await;
    let master = watched.master();
    master.pause();
    tokio::task::block_in_place(|| elected(&watched, master.port()));
    load.goes_on(300).await;
    master.resume();
    load.goes_on(300).await;
    check("a frozen master, and a frozen sentinel", &load.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_that_know_no_such_master_are_an_error() {
    let watched = tokio::task::block_in_place(|| RedisSentinels::start(1));
    let strange = settings(&watched.addr(), &[("MODE", "sentinel"), ("SENTINEL_MASTER", "nobody")]);
    let error = Redis::new(&strange).get(&[collection("a:x").item("x")]).await.unwrap_err();
    assert!(error.source.to_string().contains("no sentinel names the master"), "{:?}", error.source);
}

/// After a failover the sentinels hear of it one after the other. The old master may live on, and would answer with what
/// was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sentinel_with_the_newest_word_is_believed() {
    let (old, new) = tokio::task::block_in_place(|| (RedisServer::start(), RedisServer::start()));
    let late = tokio::task::block_in_place(|| Sentinel::watching(old.port(), 3));
    let informed = tokio::task::block_in_place(|| Sentinel::watching(new.port(), 4));
    let keys = |server: &RedisServer| server.run::<usize>(&["DBSIZE"]);
    // Whoever starts hears the one or the other first.
    for start in 0..20 {
        let mut addrs = [late.addr(), informed.addr()];
        addrs.rotate_left(start % 2);
        let engine = Redis::new(&settings(&addrs.join(","), &[("MODE", "sentinel"), ("MIN_REPLICAS", "0")]));
        for _ in 0..30 {
            let mut commit = Commit::on(collection("a:x").shard);
            commit.put(collection("a:x").item("x"), b"1".into());
            engine.commit(commit).await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!((keys(&old), keys(&new)), (0, start + 1));
    }
}
