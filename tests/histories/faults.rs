//! Breaks things, mends them, and says when the store was itself again.

use std::{thread, time::Duration};

use crate::{
    harness::redis::{RedisCluster, RedisSentinels, RedisServer},
    meddler::Command,
    plan::Fault,
    stage::{Stage, Store},
};

/// Longer than any election may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Lets `fault` happen, and returns when what failed is back: the process started, Redis answers and has loaded its
/// data, a master is elected and has a replica.
pub async fn happen(stage: &Stage, fault: Fault) {
    match fault {
        Fault::KillProcess(which) => stage.process(which).replace().await,
        Fault::PauseProcess(which, ms) => {
            stage.process(which).signal("STOP");
            tokio::time::sleep(Duration::from_millis(ms)).await;
            stage.process(which).signal("CONT");
        }
        Fault::CutStore => stage.store_wire.as_ref().expect("a wire").cut(),
        Fault::DelayGateway(ms) => {
            let wire = stage.gateway_wire.as_ref().expect("a wire");
            wire.hold(is_gateway_write);
            tokio::time::sleep(Duration::from_millis(ms)).await;
            wire.release();
        }
        Fault::KillGateway(ms) => {
            let gateway = stage.gateway.as_ref().expect("a Redis of the gateway's own");
            gateway.kill();
            tokio::time::sleep(Duration::from_millis(ms)).await;
            tokio::task::block_in_place(|| gateway.restart());
        }
        Fault::PauseGateway(ms) => pause(stage.gateway.as_ref().expect("a Redis of the gateway's own"), ms),
        Fault::KillStore(which) => tokio::task::block_in_place(|| kill_store(stage, which)),
        Fault::PauseStore(which, ms) => tokio::task::block_in_place(|| pause_store(stage, which, ms)),
        Fault::FailOver(which) => tokio::task::block_in_place(|| fail_over(stage, which)),
    }
}

/// What makes a change visible to the gateway: a record, or the script that writes events.
pub fn is_gateway_write(command: &Command) -> bool {
    matches!(command[0].as_slice(), b"SET" | b"EVALSHA" | b"EVAL")
}

fn pause(server: &RedisServer, ms: u64) {
    server.pause();
    thread::sleep(Duration::from_millis(ms));
    server.resume();
}

fn kill_store(stage: &Stage, which: usize) {
    match &stage.store {
        Store::Embedded | Store::Chain(_) => {}
        Store::One(server) => server.restart(),
        Store::Sentinels(sentinels) => {
            let master = sentinels.master();
            master.kill();
            until_elected(sentinels, master);
            master.restart();
        }
        Store::Cluster(cluster) => {
            let (master, key) = a_master(cluster, which);
            master.kill();
            // Restarted before the others have elected another master, it would come back empty and be master still.
            until("another server has its slots", || {
                cluster.servers().iter().any(|server| has(server, &key))
            });
            master.restart();
            cluster.wait_until_whole();
        }
    }
}

fn pause_store(stage: &Stage, which: usize, ms: u64) {
    match &stage.store {
        Store::Embedded | Store::Chain(_) => {}
        Store::One(server) => pause(server, ms),
        Store::Sentinels(sentinels) => {
            let master = sentinels.master();
            master.pause();
            until_elected(sentinels, master);
            // It comes back as a master that nobody has told yet.
            thread::sleep(Duration::from_millis(ms / 4));
            master.resume();
        }
        Store::Cluster(cluster) => {
            pause(a_master(cluster, which).0, ms);
            cluster.wait_until_whole();
        }
    }
}

fn fail_over(stage: &Stage, which: usize) {
    let Store::Cluster(cluster) = &stage.store else { return };
    let (master, key) = a_master(cluster, which);
    let port = format!(" 127.0.0.1:{}@", master.port());
    let nodes: String = master.run(&["CLUSTER", "NODES"]);
    let id = nodes.lines().find(|line| line.contains(&port)).and_then(|line| line.split(' ').next()).unwrap();
    let replica = nodes.lines().find(|line| line.contains(&format!("slave {id} ")));
    let address = replica.and_then(|line| line.split(' ').nth(1)).expect("a replica");
    let replica = cluster.servers().iter().find(|server| address.starts_with(&format!("{}@", server.addr())));
    let replica = replica.expect("one of ours");
    let () = replica.run(&["CLUSTER", "FAILOVER"]);
    until("the replica is master", || has(replica, &key));
    cluster.wait_until_whole();
}

/// One of the masters of now, and a key that it has.
fn a_master(cluster: &RedisCluster, which: usize) -> (&RedisServer, String) {
    // One in each third of the slots.
    let key = ["a", "b", "c"][which % 3].to_owned();
    (cluster.server_of(&key), key)
}

fn has(server: &RedisServer, key: &str) -> bool {
    server.try_run::<u64>(&["EXISTS", key]).is_ok()
}

/// Waits until the sentinels have another master than `before`, and it has a replica.
fn until_elected(sentinels: &RedisSentinels, before: &RedisServer) {
    until("another server is master and has a replica", || {
        let master = sentinels.master();
        master.port() != before.port()
            && master
                .try_run::<String>(&["INFO", "replication"])
                .is_ok_and(|info| info.contains("state=online"))
    });
}

/// Waits until every replica follows the master, as the next failover needs.
pub fn until_whole(stage: &Stage) {
    if let Store::Sentinels(sentinels) = &stage.store {
        until("both replicas follow the master", || {
            let info = sentinels.master().try_run::<String>(&["INFO", "replication"]).unwrap_or_default();
            info.matches("state=online").count() == 2
        });
    }
}

fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !happened() {
        assert!(start.elapsed() < PATIENCE, "waited too long until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}
