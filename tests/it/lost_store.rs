//! A Redis that came back empty: what is done from then on must be found by every replica.

use std::{sync::Arc, time::Instant};

use crate::harness::{App, Setup, Store, Visitor, actors::Operator, eventually, redis::RedisServer};

async fn kept_secrets_are_back(app: &App, server: &RedisServer) {
    let key = format!("{}{{1bz}}:keys", app.setting("REDIS_KEY_PREFIX"));
    eventually("the kept secrets are back", async || (server.run::<u64>(&["HLEN", &key]) == 2).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_came_back_empty_gets_its_secrets_again() {
    let server = Arc::new(RedisServer::start());
    let app = Setup::on(Store::Redis).server(&server).unset("CODE_SECRET").start().await;
    app.visitor("before@example.com").log_in().await;
    server.run::<String>(&["FLUSHALL"]);
    let emptied = Instant::now();
    kept_secrets_are_back(&app, &server).await;
    eprintln!("an emptied store: it has its secrets again after {:?}", emptied.elapsed());
    let session = app.visitor("pilot@example.com").log_in().await;

    let replica = app.replica().await;
    let there = Operator::new(&replica.wire);
    let blocked = there.block_email("pilot@example.com").await;
    assert_eq!(blocked.ok()["affected_session_count"], 1, "the replica finds what the first one opened");
    assert_eq!(app.operator().status_of(&session).await, "revoked");
    Visitor::new(&replica.wire, &app.mail, "other@example.com").log_in().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_whose_secrets_are_not_the_stores_serves_nothing() {
    let server = Arc::new(RedisServer::start());
    let app = Setup::on(Store::Redis).server(&server).start().await;
    app.visitor("pilot@example.com").log_in().await;
    let key = format!("{}{{1bz}}:keys", app.setting("REDIS_KEY_PREFIX"));
    let other = [&[1][..], &[7; 32]].concat();
    let mut connection = server.connect();
    redis::cmd("HSET").arg(&key).arg("names").arg(&other).query::<u64>(&mut connection).unwrap();
    eventually("it is no longer ready", async || {
        (app.operator().list("anybody").await.status == 503).then_some(())
    })
    .await;
    app.visitor("pilot@example.com").send().await.unavailable();
}
