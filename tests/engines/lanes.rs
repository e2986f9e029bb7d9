//! The lane kit by itself.

use std::time::{Duration, Instant};

use authsession::engine::redis::{Lane, Script};

use crate::{fixture::settings, harness::RedisServer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blocking_read_waits_longer_than_the_deadline_and_holds_nobody_up() {
    let server = RedisServer::start();
    let settings = settings(&server.addr(), &[("OPERATION_TIMEOUT", "200ms")]);
    let (reader, others) = (Lane::open(&settings, "gateway"), Lane::open(&settings, "gateway"));
    let mut read = redis::cmd("XREAD");
    read.arg("BLOCK").arg(1500).arg("STREAMS").arg("events").arg("$");
    let waiting = tokio::spawn(async move {
        let begun = Instant::now();
        let nothing: Option<redis::Value> = reader.block(&read, Duration::from_millis(1500)).await.unwrap();
        let empty_for = begun.elapsed();
        // It was not taken for silent: the same connection goes on.
        let id: u64 = reader.run(redis::cmd("CLIENT").arg("ID")).await.unwrap();
        (nothing, empty_for, id)
    });
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    while begun.elapsed() < Duration::from_millis(1200) {
        let asked = Instant::now();
        let _: () = others.run(&redis::cmd("PING")).await.unwrap();
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(slowest < Duration::from_millis(150), "{slowest:?}");
    let (nothing, empty_for, id) = waiting.await.unwrap();
    assert_eq!(nothing, None);
    assert!(empty_for >= Duration::from_millis(1400), "{empty_for:?}");
    assert!(id > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_and_pipelines_answer() {
    let server = RedisServer::start();
    let lane = Lane::open(&settings(&server.addr(), &[]), "gateway");
    let script = Script::new("return { KEYS[1], ARGV[1], ARGV[2] }");
    for _ in 0..2 {
        let answer: Vec<String> = lane.script(&script, &["k"], &["1", "2"]).await.unwrap();
        assert_eq!(answer, ["k", "1", "2"]);
    }
    let mut pipeline = redis::pipe();
    pipeline.cmd("SET").arg("k").arg("v").ignore().cmd("GET").arg("k");
    let (value,): (String,) = lane.pipe(&pipeline).await.unwrap();
    assert_eq!(value, "v");
    let error = lane.run::<()>(redis::cmd("HGET").arg("k").arg("f")).await.unwrap_err();
    assert_eq!(error.dependency, "gateway");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_lane_closes_its_connection() {
    let server = RedisServer::start();
    let lane = Lane::open(&settings(&server.addr(), &[]), "gateway");
    let id: u64 = lane.clone().run(redis::cmd("CLIENT").arg("ID")).await.unwrap();
    drop(lane);
    crate::fixture::until("the connection is closed", async || {
        !server.run::<String>(&["CLIENT", "LIST"]).contains(&format!("id={id} "))
    })
    .await;
}
