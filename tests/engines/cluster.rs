//! What the engine must survive on a cluster: failovers, dead and frozen servers, slots that move.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use authsession::engine::{Collection, Commit, Engine, Verdict, redis::Redis};

use crate::{
    fixture::{settings, shard, until},
    harness::{RedisCluster, RedisServer, wait_until},
    load::{Load, Report},
};

/// The operation timeout, and what a busy machine may add.
const DEADLINE: Duration = Duration::from_millis(900);

fn engine(cluster: &RedisCluster, more: &[(&str, &str)]) -> Arc<Redis> {
    let more = [&[("MODE", "cluster")], more].concat();
    Redis::new(&settings(&cluster.addr(), &more))
}

fn is_master(server: &RedisServer) -> bool {
    server.try_run::<String>(&["INFO", "replication"]).is_ok_and(|info| info.contains("role:master"))
}

fn put(index: u16, name: &str) -> Commit {
    let collection = Collection::new(shard(index), "a:x");
    let mut commit = Commit::on(collection.shard);
    commit.put(collection.item(name), b"1".into());
    commit
}

fn check(what: &str, report: &Report) {
    eprintln!("{what}: {report}");
    assert_eq!(report.lost, 0, "{report}");
    assert!(report.slowest < DEADLINE, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failovers_on_demand_lose_nothing() {
    let cluster = tokio::task::block_in_place(|| RedisCluster::start(3, 3));
    let load = Load::start(&engine(&cluster, &[]));
    for master in 0..3 {
        load.goes_on(200).await;
        tokio::task::block_in_place(|| {
            let replica = cluster.replica_of(master);
            let () = replica.run(&["CLUSTER", "FAILOVER"]);
            wait_until("the replica is the master", || is_master(replica));
        });
        load.goes_on(200).await;
    }
    let report = load.end().await;
    check("three failovers on demand", &report);
    assert!(report.away < Duration::from_secs(3), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_master_loses_nothing_acknowledged() {
    let cluster = tokio::task::block_in_place(|| RedisCluster::start(3, 3));
    let engine = engine(&cluster, &[]);
    let load = Load::start(&engine);
    load.goes_on(300).await;
    cluster.masters()[0].kill();
    let killed = Instant::now();
    tokio::task::block_in_place(|| wait_until("a new master", || is_master(cluster.replica_of(0))));
    eprintln!("the cluster has a new master after {:?}", killed.elapsed());
    // The new master has no replica before the old one is back, so nothing there can be acknowledged.
    tokio::task::block_in_place(|| cluster.masters()[0].restart());
    until("every shard takes commits", async || {
        engine.commit(put(0, "x")).await.is_ok() && engine.commit(put(1000, "x")).await.is_ok()
    })
    .await;
    load.goes_on(300).await;
    check("a killed master", &load.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_master_loses_nothing_acknowledged() {
    let cluster = tokio::task::block_in_place(|| RedisCluster::start(3, 3));
    let engine = engine(&cluster, &[]);
    let load = Load::start(&engine);
    load.goes_on(300).await;
    cluster.masters()[1].pause();
    tokio::task::block_in_place(|| wait_until("a new master", || is_master(cluster.replica_of(1))));
    let elected = Instant::now();
    let item = Collection::new(shard(500), "a:x").item("x");
    until("reads are served by the new master", async || {
        engine.get(std::slice::from_ref(&item)).await.is_ok()
    })
    .await;
    eprintln!("reads are served {:?} after the election", elected.elapsed());
    cluster.masters()[1].resume();
    until("every shard takes commits", async || engine.commit(put(500, "x")).await.is_ok()).await;
    load.goes_on(300).await;
    check("a frozen master", &load.end().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_replica_stops_its_own_master_only() {
    let cluster = tokio::task::block_in_place(|| RedisCluster::start(3, 3));
    let (strict, lax) = (engine(&cluster, &[]), engine(&cluster, &[("MIN_REPLICAS", "0")]));
    for index in [0, 500, 1000] {
        assert_eq!(strict.commit(put(index, "x")).await.unwrap(), Verdict::Done);
        assert_eq!(lax.commit(put(index, "x")).await.unwrap(), Verdict::Done);
    }
    cluster.replica_of(0).pause();
    for server in cluster.masters() {
        let () = server.run(&["SCRIPT", "FLUSH"]);
    }
    let begun = Instant::now();
    assert!(strict.commit(put(0, "y")).await.is_err(), "no replica has it");
    eprintln!("a frozen replica: a commit that waits for it fails after {:?}", begun.elapsed());
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    for index in [0, 500, 1000] {
        let begun = Instant::now();
        lax.commit(put(index, "z")).await.unwrap();
        strict.get(&[Collection::new(shard(index), "a:x").item("y")]).await.unwrap();
        if index != 0 {
            strict.commit(put(index, "y")).await.unwrap();
        }
        assert!(begun.elapsed() < Duration::from_millis(250), "{:?}", begun.elapsed());
    }
    cluster.replica_of(0).resume();
    let resumed = Instant::now();
    until("its master commits again", async || strict.commit(put(0, "y")).await.is_ok()).await;
    eprintln!("a frozen replica: its master commits {:?} after it is back", resumed.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_moves_under_load_and_nobody_notices() {
    let cluster = tokio::task::block_in_place(|| RedisCluster::start(3, 3));
    let engine = engine(&cluster, &[]);
    let load = Load::start(&engine);
    load.goes_on(300).await;
    let (from, to) = (&cluster.masters()[0], &cluster.masters()[2]);
    // Shards 0, 1, 2 lie near slots 0, 16, 32.
    for index in 0..3 {
        let slot: u16 = from.run(&["CLUSTER", "KEYSLOT", &format!("{{{}}}", shard(index).tag())]);
        tokio::task::block_in_place(|| move_keys(from, to, &slot.to_string())());
        assert_eq!(engine.commit(put(index, "moved")).await.unwrap(), Verdict::Done);
    }
    load.goes_on(300).await;
    let report = load.end().await;
    check("three slots moved", &report);
    assert_eq!(report.failed, 0, "{report}");
}

/// Begins to move a slot as `redis-cli --cluster reshard` does; what it returns ends it.
fn move_keys<'a>(from: &'a RedisServer, to: &'a RedisServer, slot: &str) -> impl FnOnce() + use<'a> {
    let slot = slot.to_owned();
    let (source, target): (String, String) = (from.run(&["CLUSTER", "MYID"]), to.run(&["CLUSTER", "MYID"]));
    let () = to.run(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &source]);
    let () = from.run(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &target]);
    let port = to.port().to_string();
    loop {
        let keys: Vec<String> = from.run(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
        if keys.is_empty() {
            break;
        }
        let all = ["MIGRATE", "127.0.0.1", &port, "", "0", "2000", "KEYS"].into_iter();
        let () = from.run(&all.chain(keys.iter().map(String::as_str)).collect::<Vec<_>>());
    }
    move || {
        for server in [to, from] {
            let () = server.run(&["CLUSTER", "SETSLOT", &slot, "NODE", &target]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_for_a_slot_that_is_on_its_way_are_answered() {
    let cluster = tokio::task::block_in_place(|| RedisCluster::start(3, 3));
    let engine = engine(&cluster, &[]);
    let announce = |name: &str| {
        let mut commit = put(0, name);
        commit.announce(name.into());
        commit
    };
    assert_eq!(engine.commit(announce("one")).await.unwrap(), Verdict::Done);
    let (from, to) = (&cluster.masters()[0], &cluster.masters()[2]);
    let slot: String =
        from.run::<u16>(&["CLUSTER", "KEYSLOT", &format!("{{{}}}", shard(0).tag())]).to_string();
    let move_on = move_keys(from, to, &slot);
    // The keys are at the new server, which does not have the slot yet.
    let collection = Collection::new(shard(0), "a:x");
    let outbox = engine.outbox_of(shard(0));
    assert_eq!(engine.commit(announce("two")).await.unwrap(), Verdict::Done);
    assert_eq!(engine.get(&[collection.item("two")]).await.unwrap(), [Some(b"1".to_vec())]);
    assert_eq!(engine.count(&collection).await.unwrap(), 2);
    assert_eq!(engine.populated("a:x").await.unwrap(), [shard(0)]);
    assert_eq!(engine.backlog().await.unwrap(), [outbox]);
    let entries = engine.pending(outbox, 10).await.unwrap();
    assert_eq!(entries.len(), 2);
    engine.trim(outbox, entries[1].position).await.unwrap();
    // Redis serves no call with several keys while one of them may still be on its way.
    let mut fresh = Commit::on(shard(0));
    fresh.put(Collection::new(shard(0), "a:y").item("x"), b"1".into());
    let begun = Instant::now();
    assert!(engine.commit(fresh.clone()).await.is_err());
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    move_on();
    assert_eq!(engine.commit(fresh).await.unwrap(), Verdict::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_starts_while_the_cluster_is_away_and_with_one_seed_only() {
    let cluster = tokio::task::block_in_place(|| RedisCluster::start(3, 3));
    let seed = cluster.masters()[1].addr();
    cluster.servers().iter().for_each(RedisServer::kill);
    let engine = Redis::new(&settings(&seed, &[("MODE", "cluster")]));
    let begun = Instant::now();
    for _ in 0..20 {
        assert!(engine.ready().await.is_err());
        assert!(engine.populated("j").await.is_err());
    }
    assert!(begun.elapsed() < DEADLINE, "{:?}", begun.elapsed());
    tokio::task::block_in_place(|| cluster.servers().iter().for_each(RedisServer::restart));
    until("the engine finds it", async || {
        engine.commit(put(0, "x")).await.is_ok() && engine.commit(put(1000, "x")).await.is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_walk_misses_nothing_while_slots_move_to_where_it_has_been() {
    let cluster = tokio::task::block_in_place(|| RedisCluster::start(3, 0));
    let engine = engine(&cluster, &[("MIN_REPLICAS", "0")]);
    for index in (0..1024).step_by(4) {
        assert_eq!(engine.commit(put(index, "x")).await.unwrap(), Verdict::Done);
    }
    let (first, last) = (&cluster.masters()[0], &cluster.masters()[2]);
    let move_shard = |index: u16| {
        let slot: u16 = first.run(&["CLUSTER", "KEYSLOT", &format!("{{{}}}", shard(index).tag())]);
        move_keys(last, first, &slot.to_string())
    };
    let (mut found, mut from, mut half_way) = (Vec::new(), None, None);
    let (mut was_told, told) = (false, Instant::now());
    loop {
        match engine.collections("a:", from.as_ref(), 10).await {
            Ok(page) => {
                found.extend(page.found);
                from = page.next;
            }
            Err(error) if half_way.is_some() => {
                assert!(error.source.to_string().contains("is being moved"), "{error:?}");
                was_told = true;
                tokio::task::block_in_place(half_way.take().unwrap());
            }
            // The engine may believe for two seconds yet that the slot is where it was.
            Err(_) if was_told && told.elapsed() < Duration::from_secs(10) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
        if !was_told && half_way.is_none() && found.iter().any(|one: &Collection| one.shard > shard(400)) {
            tokio::task::block_in_place(move_shard(1000));
            half_way = Some(move_shard(960));
        }
        if from.is_none() {
            break;
        }
    }
    assert!(was_told, "what is on two servers is walked by nobody");
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 256);
}

/// Without a mode of cluster, too: where all slots are one server's, it serves all but commands with keys of several.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_that_keeps_keys_apart_names_its_shards() {
    let server = RedisServer::with(&["--cluster-enabled", "yes"]);
    server.run::<()>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    wait_until("it serves", || server.try_run::<()>(&["SET", "it", "serves"]).is_ok());
    let engine = Redis::new(&settings(&server.addr(), &[]));
    assert_eq!(engine.populated("a:x").await.unwrap(), []);
    engine.commit(put(700, "one")).await.unwrap();
    assert_eq!(engine.populated("a:x").await.unwrap(), [shard(700)]);
}
