//! What the Redis engine must survive: a server that is killed, frozen, silent, away, read-only, or forgets scripts.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use authsession::{
    base::Unavailable,
    engine::{Commit, Engine, Verdict, redis::Redis},
};

use crate::{
    fixture::{collection, settings, until},
    harness::{RedisServer, free_port, wait_until},
    proxy::Proxy,
};

const DEADLINE: Duration = Duration::from_millis(500);
/// What a busy machine may add.
const SLACK: Duration = Duration::from_millis(400);

async fn put(engine: &dyn Engine, name: &str) -> Result<Verdict, Unavailable> {
    let a = collection("a:x");
    let mut commit = Commit::on(a.shard);
    commit.put(a.item(name), b"1".into());
    engine.commit(commit).await
}

async fn get(engine: &dyn Engine, name: &str) -> Result<bool, Unavailable> {
    Ok(engine.get(&[collection("a:x").item(name)]).await?[0].is_some())
}

/// Every kind of call once, all at the same time; how each ended and how long it took.
async fn every_call(engine: &Arc<Redis>) -> Vec<(&'static str, bool, Duration)> {
    let a = collection("a:x");
    let begun = Instant::now();
    let timed = |what, ok| (what, ok, begun.elapsed());
    let outbox = engine.outbox_of(a.shard);
    let calls = tokio::join!(
        async { timed("collections", engine.collections("a:", None, 10).await.is_ok()) },
        async { timed("get", get(&**engine, "one").await.is_ok()) },
        async { timed("commit", put(&**engine, "one").await.is_ok()) },
        async { timed("list", engine.list(&a, None, 10).await.is_ok()) },
        async { timed("count", engine.count(&a).await.is_ok()) },
        async { timed("populated", engine.populated("a:x").await.is_ok()) },
        async { timed("pending", engine.pending(outbox, 10).await.is_ok()) },
        async { timed("backlog", engine.backlog().await.is_ok()) },
        async { timed("ready", engine.ready().await.is_ok()) },
    );
    <[_; 9]>::from(calls).into()
}

fn assert_all(calls: &[(&str, bool, Duration)], ok: bool) {
    for (what, was_ok, took) in calls {
        assert_eq!(*was_ok, ok, "{what}");
        assert!(*took < DEADLINE + SLACK, "{what} took {took:?}");
    }
}

/// How many connections of engines the server has.
fn clients(server: &RedisServer) -> usize {
    // One of them is the one that asks.
    server.run::<String>(&["CLIENT", "LIST", "TYPE", "normal"]).lines().count() - 1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_acknowledged_and_the_engine_recovers() {
    let server = RedisServer::durable();
    let engine = Redis::new(&settings(&server.addr(), &[]));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (engine, acknowledged, stop) =
                (Arc::clone(&engine), Arc::clone(&acknowledged), Arc::clone(&stop));
            tokio::spawn(async move {
                for number in 0.. {
                    if stop.load(SeqCst) {
                        break;
                    }
                    let name = format!("{task}-{number}");
                    if put(&*engine, &name).await.is_ok() {
                        acknowledged.lock().unwrap().push(name);
                    }
                }
            })
        })
        .collect();
    let acked = || acknowledged.lock().unwrap().len();
    for _ in 0..3 {
        let before = acked();
        until("commits", async || acked() > before + 100).await;
        tokio::task::block_in_place(|| server.restart());
    }
    let before = acked();
    until("commits after the last restart", async || acked() > before + 100).await;
    stop.store(true, SeqCst);
    for task in tasks {
        task.await.unwrap();
    }
    let names = acknowledged.lock().unwrap().clone();
    eprintln!("a killed server: three times, {} acknowledged, 0 lost", names.len());
    for name in names {
        assert!(get(&*engine, &name).await.unwrap(), "{name} was acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_holds_no_call_past_its_deadline() {
    let server = RedisServer::start();
    let engine = Redis::new(&settings(&server.addr(), &[]));
    assert_all(&every_call(&engine).await, true);
    server.pause();
    // The old connections, then the attempts at new ones.
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let calls = every_call(&engine).await;
        assert_all(&calls, false);
        slowest = calls.iter().map(|call| call.2).fold(slowest, Duration::max);
    }
    server.resume();
    let resumed = Instant::now();
    until("every call is answered", async || every_call(&engine).await.iter().all(|call| call.1)).await;
    eprintln!("a frozen server: slowest answer {slowest:?}, all is well {:?} after it", resumed.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_in_use_is_replaced_within_a_deadline() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    let engine = Redis::new(&settings(&proxy.addr(), &[]));
    assert_all(&every_call(&engine).await, true);
    proxy.silence();
    let silent = Instant::now();
    assert!(put(&*engine, "lost").await.is_err(), "a commit is not sent twice");
    until("commits go through", async || put(&*engine, "x").await.is_ok()).await;
    eprintln!("a silent connection: commits go through after {:?}", silent.elapsed());
    assert!(silent.elapsed() < DEADLINE + SLACK, "{:?}", silent.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_connection_out_of_use_is_replaced_before_anybody_needs_it() {
    let server = RedisServer::start();
    let proxy = Proxy::start(server.port());
    let engine = Redis::new(&settings(&proxy.addr(), &[]));
    assert_all(&every_call(&engine).await, true);
    let before = proxy.accepted();
    proxy.silence();
    let silent = Instant::now();
    until("both lanes have new connections", async || proxy.accepted() == before + 2).await;
    assert!(silent.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", silent.elapsed());
    assert_all(&every_call(&engine).await, true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_of_an_idle_server_the_next_request_does_not_fail() {
    let server = RedisServer::start();
    let engine = Redis::new(&settings(&server.addr(), &[]));
    assert_all(&every_call(&engine).await, true);
    for _ in 0..3 {
        server.restart();
        wait_until("the engine is back", || clients(&server) == 2);
        assert_all(&every_call(&engine).await, true);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_survives_a_connection_that_breaks_under_it() {
    let server = RedisServer::start();
    let engine = Redis::new(&settings(&server.addr(), &[]));
    put(&*engine, "one").await.unwrap();
    for _ in 0..50 {
        let kill = tokio::task::spawn_blocking({
            let mut connection = server.connect();
            move || {
                let mut kill = redis::cmd("CLIENT");
                kill.arg("KILL").arg("TYPE").arg("normal").exec(&mut connection).unwrap();
            }
        });
        assert!(get(&*engine, "one").await.unwrap());
        kill.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_starts_while_redis_is_away_and_finds_it_later() {
    let port = free_port();
    let engine = Redis::new(&settings(&format!("127.0.0.1:{port}"), &[]));
    let begun = Instant::now();
    for _ in 0..20 {
        assert!(put(&*engine, "one").await.is_err());
    }
    assert!(begun.elapsed() < DEADLINE, "a refused connection is known at once: {:?}", begun.elapsed());
    let server = RedisServer::with_port(port, &[]);
    until("the engine finds it", async || put(&*engine, "one").await.is_ok()).await;
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let server = RedisServer::start();
    for replicas in ["0", "1"] {
        let engine = Redis::new(&settings(&server.addr(), &[("MIN_REPLICAS", replicas)]));
        let replica = (replicas == "1").then(|| RedisServer::replica_of(&server));
        for _ in 0..3 {
            let _: () = server.run(&["SCRIPT", "FLUSH"]);
            let commits = (0..20).map(|number| {
                let engine = Arc::clone(&engine);
                tokio::spawn(async move { put(&*engine, &number.to_string()).await.unwrap() })
            });
            for commit in commits.collect::<Vec<_>>() {
                assert_eq!(commit.await.unwrap(), Verdict::Done);
            }
        }
        drop(replica);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_is_an_error_until_it_does() {
    let server = RedisServer::start();
    let engine = Redis::new(&settings(&server.addr(), &[]));
    put(&*engine, "one").await.unwrap();
    let nobody = free_port().to_string();
    let _: () = server.run(&["REPLICAOF", "127.0.0.1", &nobody]);
    assert!(put(&*engine, "two").await.is_err());
    let _: () = server.run(&["REPLICAOF", "NO", "ONE"]);
    until("commits go through", async || put(&*engine, "three").await.is_ok()).await;
    assert!(!get(&*engine, "two").await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_databases_and_unix_sockets_work() {
    let server = RedisServer::start();
    let _: () = server.run(&["CONFIG", "SET", "requirepass", "open:sesame"]);
    let urls = [
        server.addr(),
        format!("redis://{}/3", server.addr()),
        format!("unix://{}?db=3", server.socket().display()),
    ];
    let options = [("PASSWORD", "open:sesame"), ("KEY_PREFIX", "p:")];
    for (url, expected) in urls.iter().zip([false, false, true]) {
        let engine = Redis::new(&settings(url, &options));
        assert_eq!(get(&*engine, "one").await.unwrap(), expected, "{url}");
        put(&*engine, "one").await.unwrap();
    }
    let engine = Redis::new(&settings(&server.addr(), &[("PASSWORD", "wrong")]));
    let error = put(&*engine, "one").await.unwrap_err();
    assert!(!format!("{error:?}").contains("wrong\""), "{error:?}");
}

/// A cursor of `SCAN` means nothing to another process: carried over, it would leave collections out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_that_meets_a_restarted_server_begins_again_and_misses_nothing() {
    let server = RedisServer::durable();
    // 500 synced commits: a busy disk may stall for longer than the default timeout.
    let engine = Redis::new(&settings(&server.addr(), &[("OPERATION_TIMEOUT", "5s")]));
    for number in 0..500 {
        let x = collection(&format!("a:{number}"));
        let mut commit = Commit::on(x.shard);
        commit.put(x.item("one"), b"1".into());
        engine.commit(commit).await.unwrap();
    }
    let mut from = None;
    for _ in 0..20 {
        from = engine.collections("a:", from.as_ref(), 10).await.unwrap().next;
    }
    assert!(from.is_some(), "half-way");
    server.restart();
    until("it serves again", async || engine.ready().await.is_ok()).await;
    until("lists too", async || engine.count(&collection("a:0")).await.is_ok()).await;
    until("walks too", async || engine.collections("a:", None, 1).await.is_ok()).await;
    let mut names = std::collections::BTreeSet::new();
    while from.is_some() {
        let page = engine.collections("a:", from.as_ref(), 10).await.unwrap();
        names.extend(page.found.into_iter().map(|found| found.name));
        from = page.next;
    }
    assert_eq!(names.len(), 500);
}
