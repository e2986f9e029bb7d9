//! Where replicas must have a change, nothing is acknowledged, and nothing told, that only the master has: also when the
//! call is repeated and finds what it did itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::harness::{
    Answer, App, Device, Operator, Setup, Store, Visitor,
    actors::session_of,
    eventually,
    redis::{RedisCluster, RedisServer},
};

/// Asks until the answer is no longer a 503.
async fn until_available(mut ask: impl AsyncFnMut() -> Answer) -> Answer {
    eventually("it is answered", async || {
        let answer = ask().await;
        if answer.status == 503 {
            answer.unavailable();
            return None;
        }
        Some(answer)
    })
    .await
}

/// A service on a master with one replica, without which no change counts; the gateway has a Redis of its own.
async fn with_replica() -> (App, RedisServer) {
    let master = Arc::new(RedisServer::start());
    let replica = tokio::task::block_in_place(|| RedisServer::replica_of(&master));
    let gateway = Arc::new(RedisServer::start());
    let setup = Setup::on(Store::Redis).server(&master).gateway(&gateway);
    (setup.set("REDIS_MIN_REPLICAS", "1").start().await, replica)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_is_neither_acknowledged_nor_told_before_a_replica_has_it() {
    let (app, replica) = with_replica().await;
    let other = app.replica().await;
    let session = app.visitor("pilot@example.com").log_in().await;
    app.gateway().was_told(&session, "active").await;
    replica.kill();
    // The master has it from the first call on. So do the repeats find, on either instance; and the sweepers run meanwhile.
    let mut slowest = Duration::ZERO;
    for operator in [app.operator(), Operator::new(&other.wire)].iter().cycle().take(6) {
        let begun = Instant::now();
        operator.revoke(&session).await.unavailable();
        slowest = slowest.max(begun.elapsed());
        assert_eq!(operator.status_of(&session).await, "revoked");
        app.gateway().was_told(&session, "active").await;
    }
    tokio::task::block_in_place(|| replica.restart());
    let back = Instant::now();
    let answer = until_available(async || app.operator().revoke(&session).await).await;
    eprintln!("no replica: slowest answer {slowest:?}, 200 {:?} after it is back", back.elapsed());
    assert_eq!(answer.ok()["outcome"], "already_revoked");
    app.gateway().was_told(&session, "revoked").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_all_and_block_are_not_acknowledged_before_a_replica_has_them() {
    let (app, replica) = with_replica().await;
    let session = app.visitor("pilot@example.com").log_in().await;
    let user = app.operator().user_of(&session).await;
    replica.kill();
    for _ in 0..3 {
        app.operator().revoke_all(&user).await.unavailable();
        app.operator().block_email("other@example.com").await.unavailable();
    }
    app.gateway().was_told(&session, "active").await;
    tokio::task::block_in_place(|| replica.restart());
    until_available(async || app.operator().revoke_all(&user).await).await.ok();
    app.gateway().was_told(&session, "revoked").await;
    let block = until_available(async || app.operator().block_email("other@example.com").await).await;
    assert_eq!(block.ok()["outcome"], "already_blocked");
}

/// A master that has lost its replicas may have been replaced by one of them, which knows more than it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn that_something_is_unknown_is_not_the_word_of_a_master_alone() {
    let (app, replica) = with_replica().await;
    let pilot = app.visitor("pilot@example.com");
    let ((challenge, code), device) = (pilot.code().await, Device::new());
    let operator = app.operator();
    let session = session_of(&pilot.confirm(&challenge, &code, &device).await);
    let user = operator.user_of(&session).await;
    // Of the same shape and in the same shard; nobody was given them.
    let changed = |id: &str| {
        let letter = if &id[8..9] == "0" { "1" } else { "0" };
        format!("{}{letter}{}", &id[..8], &id[9..])
    };
    let [nowhere, nobody, nothing] = [&session, &user, &challenge].map(|id| changed(id));
    let ask_all = async || {
        [
            operator.get(&nowhere).await,
            operator.revoke(&nowhere).await,
            operator.revoke_all(&nobody).await,
            operator.block_user(&nobody).await,
            pilot.confirm(&nothing, &code, &device).await,
        ]
    };
    replica.pause();
    for answer in ask_all().await {
        answer.unavailable();
    }
    assert_eq!(operator.status_of(&session).await, "active", "what is known is answered all the same");
    replica.resume();
    until_available(async || operator.revoke(&nowhere).await).await;
    for answer in ask_all().await {
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
}

/// Logs in with new addresses until the address and the user's sessions lie on different masters: the address, and
/// which master has it.
async fn split<'a>(app: &'a App, cluster: &RedisCluster) -> (Visitor<'a>, usize) {
    for number in 0.. {
        let pilot = app.visitor(&format!("pilot{number}@example.com"));
        let (challenge, code) = pilot.code().await;
        let session = session_of(&pilot.confirm(&challenge, &code, &Device::new()).await);
        let master = |id: &str| {
            let server = cluster.server_of(&format!("{{{}}}", &id[..3])).port();
            cluster.masters().iter().position(|master| master.port() == server).expect("a master")
        };
        if master(&challenge) != master(&session) {
            return (pilot, master(&challenge));
        }
    }
    unreachable!("there are addresses enough")
}

/// In a cluster a login is kept on two masters. The one that keeps the session answers; the other must have lasted, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_a_repeat_finds_nothing_that_a_failover_may_undo() {
    let cluster = Arc::new(tokio::task::block_in_place(|| RedisCluster::start(3, 3)));
    let app = Setup::on(Store::Cluster).cluster(&cluster).start().await;
    let (pilot, master) = split(&app, &cluster).await;
    let (challenge, code) = pilot.code().await;
    let replica = cluster.replica_of(master);
    let device = Device::new();
    replica.pause();
    for _ in 0..3 {
        // The code's use is noted with its address, which has no replica now; the session would have one.
        pilot.confirm(&challenge, &code, &device).await.unavailable();
        // So it is with a block: the address's, not the sessions'.
        app.operator().block_email(pilot.email()).await.unavailable();
    }
    replica.resume();
    let block = until_available(async || app.operator().block_email(pilot.email()).await).await;
    assert_eq!(block.ok()["outcome"], "already_blocked");
}
