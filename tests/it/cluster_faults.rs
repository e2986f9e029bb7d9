//! The whole service, two instances of it, on a cluster whose masters die and change places under its hands.

use std::sync::Arc;

use crate::harness::{Operator, Setup, Store, eventually, redis::RedisCluster};

/// Revokes each of `sessions`, on one instance or the other, again and again until it is acknowledged.
async fn revoke_all_of(operators: &[Operator<'_>; 2], sessions: &[String]) {
    for (at, session) in sessions.iter().enumerate() {
        eventually("the revoke is acknowledged", async || {
            let answer = operators[at % 2].revoke(session).await;
            assert!(matches!(answer.status, 200 | 503), "{}", answer.text);
            (answer.status == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_and_the_gateway_knows_though_masters_fail() {
    let cluster = Arc::new(tokio::task::block_in_place(|| RedisCluster::start(3, 3)));
    let app = Setup::on(Store::Cluster).cluster(&cluster).start().await;
    let other = app.replica().await;
    let operators = [app.operator(), Operator::new(&other.wire)];
    let mut sessions = Vec::new();
    for at in 0..45 {
        sessions.push(app.visitor(&format!("pilot{at}@example.com")).log_in().await);
    }
    let master = &cluster.masters()[0];
    let new = cluster.replica_of(0);
    let parts: Vec<&[String]> = sessions.chunks(15).collect();

    revoke_all_of(&operators, parts[0]).await;
    let () = new.run(&["CLUSTER", "FAILOVER"]);
    revoke_all_of(&operators, parts[1]).await;
    // The old master is the new one's replica by now, and takes its place when it dies.
    tokio::task::block_in_place(|| cluster.wait_until_whole());
    new.kill();
    eventually("the old master is master again", async || {
        master.info("replication").contains("role:master").then_some(())
    })
    .await;
    tokio::task::block_in_place(|| new.restart());
    revoke_all_of(&operators, parts[2]).await;

    for session in &sessions {
        assert_eq!(operators[1].status_of(session).await, "revoked");
        app.gateway().was_told(session, "revoked").await;
    }
    let stream = app.gateway().stream();
    for session in &sessions {
        let of_it = stream.iter().filter(|(_, event)| event["device_session_id"] == session.as_str());
        let said: Vec<&str> = of_it.filter_map(|(_, event)| event["status"].as_str()).collect();
        assert!(said.is_sorted(), "active after revoked: {said:?}");
    }
}
