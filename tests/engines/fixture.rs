//! An engine of its own for each test, and short words for what tests say often.

use std::{
    any::Any,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use authsession::{
    base::{Clock, SystemRandomness, Timestamp, World, settings::Reader},
    engine::{
        Collection, Commit, Engine, Shard, Verdict,
        embedded::Embedded,
        redis::{Redis, Settings},
    },
};

use crate::harness::{RedisCluster, RedisSentinels, RedisServer, fresh_prefix};

/// An engine, and the clock of its world.
pub(crate) struct Fixture {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: SetClock,
    /// What must outlive the engine.
    _ground: Box<dyn Any + Send + Sync>,
}

impl Fixture {
    pub(crate) fn embedded() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = SetClock::new();
        let engine = Embedded::open(dir.path(), clock.world()).unwrap();
        Self { engine, clock, _ground: Box::new(dir) }
    }

    pub(crate) fn redis() -> Self {
        let server = RedisServer::shared();
        let engine = Redis::new(&settings(&server.addr(), &[]));
        Self { engine, clock: SetClock::new(), _ground: Box::new(server) }
    }

    pub(crate) fn cluster() -> Self {
        let cluster = tokio::task::block_in_place(RedisCluster::shared);
        let engine = Redis::new(&settings(&cluster.addr(), &[("MODE", "cluster")]));
        Self { engine, clock: SetClock::new(), _ground: Box::new(cluster) }
    }

    pub(crate) fn sentinel() -> Self {
        let watched = tokio::task::block_in_place(RedisSentinels::shared);
        let engine = Redis::new(&settings(&watched.addr(), &[("MODE", "sentinel")]));
        Self { engine, clock: SetClock::new(), _ground: Box::new(watched) }
    }

    pub(crate) async fn done(&self, commit: Commit) {
        assert_eq!(self.engine.commit(commit).await.unwrap(), Verdict::Done);
    }

    pub(crate) async fn put(&self, collection: &Collection, name: &str, value: &str) {
        let mut commit = Commit::on(collection.shard);
        commit.put(collection.item(name), value.into());
        self.done(commit).await;
    }

    pub(crate) async fn value(&self, collection: &Collection, name: &str) -> Option<String> {
        let values = self.engine.get(&[collection.item(name)]).await.unwrap();
        values[0].clone().map(|value| String::from_utf8(value).unwrap())
    }

    pub(crate) async fn count(&self, collection: &Collection) -> u64 {
        self.engine.count(collection).await.unwrap()
    }

    /// All items, page by page, sorted, without repetitions.
    pub(crate) async fn items(&self, collection: &Collection, limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut items = Vec::new();
        let mut next = None;
        loop {
            let page = self.engine.list(collection, next.as_ref(), limit).await.unwrap();
            items.extend(page.items);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        items.sort();
        items.dedup();
        items
    }
}

/// A clock that goes only when it is told to.
#[derive(Clone)]
pub(crate) struct SetClock(Arc<AtomicU64>);

impl SetClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_775_390_400_000)))
    }

    pub(crate) fn world(&self) -> World {
        World::new(self.clone(), SystemRandomness)
    }

    pub(crate) fn forward(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn back(&self, time: Duration) {
        self.0.fetch_sub(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.0.load(Ordering::SeqCst))
    }
}

/// Settings for a Redis at `addr`, with a key prefix of their own.
pub(crate) fn settings(addr: &str, more: &[(&str, &str)]) -> Settings {
    let prefix = fresh_prefix();
    let variables = [("ADDR", addr), ("KEY_PREFIX", prefix.as_str())].into_iter().chain(more.iter().copied());
    let mut reader =
        Reader::new(variables.map(|(name, value)| (format!("AUTHSESSION_REDIS_{name}"), value.to_owned())));
    let settings = Settings::read(&mut reader).unwrap();
    reader.finish().unwrap();
    settings
}

pub(crate) fn shard(index: u16) -> Shard {
    Shard::from_index(index).unwrap()
}

/// The collection `name` of the test's usual shard.
pub(crate) fn collection(name: &str) -> Collection {
    Collection::new(shard(7), name)
}

/// Polls until `happened`, for at most as long as a very busy machine may take.
pub(crate) async fn until(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let polled = async {
        while !happened().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), polled)
        .await
        .unwrap_or_else(|_| panic!("not in 30 s: {what}"));
}
