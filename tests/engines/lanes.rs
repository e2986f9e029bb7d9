//! The kit by itself.

use std::{
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use authsession::engine::redis::{Call, Script, Servers, Way};

use crate::{fixture::settings, harness::RedisServer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_read_waits_longer_than_the_deadline_and_holds_nobody_up() {
    let server = RedisServer::start();
    let settings = settings(&server.addr(), &[("OPERATION_TIMEOUT", "200ms")]);
    let servers = Arc::new(Servers::open(&settings, "gateway"));
    let reader = Arc::clone(&servers);
    let mut read = redis::cmd("XREAD");
    read.arg("BLOCK").arg(1500).arg("STREAMS").arg("events").arg("$");
    let waiting = tokio::spawn(async move {
        let begun = Instant::now();
        let call = Call::command("events", read);
        let nothing: Option<redis::Value> = reader.block(call, Duration::from_millis(1500)).await.unwrap();
        let empty_for = begun.elapsed();
        // It was not taken for silent: the same connection goes on.
        let id: u64 = reader.read(Way::Blocking, client_id()).await.unwrap();
        (nothing, empty_for, id)
    });
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    while begun.elapsed() < Duration::from_millis(1200) {
        let asked = Instant::now();
        servers.ready().await.unwrap();
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(slowest < Duration::from_millis(150), "{slowest:?}");
    let (nothing, empty_for, id) = waiting.await.unwrap();
    assert_eq!(nothing, None);
    assert!(empty_for >= Duration::from_millis(1400), "{empty_for:?}");
    assert!(id > 0);
}

fn client_id() -> Call {
    let mut command = redis::cmd("CLIENT");
    command.arg("ID");
    Call::command("", command)
}

fn command(words: &[&str]) -> Call {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    Call::command("k", command)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_and_batches_answer() {
    static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
        Script::new("redis.call('SET', KEYS[1], ARGV[1]) return { KEYS[1], ARGV[1], ARGV[2] }")
    });
    let server = RedisServer::start();
    let servers = Servers::open(&settings(&server.addr(), &[]), "gateway");
    let script = || Call::script(&SCRIPT, ["k"].into_iter().collect(), ["1", "2"].into_iter().collect());
    for _ in 0..2 {
        let answer: Vec<String> = servers.write(script()).await.unwrap();
        assert_eq!(answer, ["k", "1", "2"]);
    }
    // In order, the script too, also when the server has forgotten it.
    let _: () = server.run(&["SCRIPT", "FLUSH"]);
    servers.write_in_order(vec![command(&["SET", "k", "v"])], script()).await.unwrap();
    let read = vec![command(&["GET", "k"]), command(&["EXISTS", "k"])];
    let values: Vec<String> = servers.read_all(Way::Fast, read).await.unwrap();
    assert_eq!(values, ["1", "1"]);
    let error = servers.write::<()>(command(&["HGET", "k", "f"])).await.unwrap_err();
    assert_eq!(error.dependency, "gateway");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_servers_close_their_connections() {
    let server = RedisServer::start();
    let servers = Servers::open(&settings(&server.addr(), &[]), "gateway");
    let id: u64 = servers.read(Way::Slow, client_id()).await.unwrap();
    drop(servers);
    crate::fixture::until("the connection is closed", async || {
        !server.run::<String>(&["CLIENT", "LIST"]).contains(&format!("id={id} "))
    })
    .await;
}
