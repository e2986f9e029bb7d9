//! Opens sessions by the hundred thousand, through the service's own library: the very records that logins leave, without
//! the logins.

use std::{path::Path, sync::Arc, time::Duration};

use async_trait::async_trait;
use authsession::{
    base::{DeviceKey, Unavailable, World},
    config::Config,
    engine::{Engine, EventLog, Keys, Shard, Untold, embedded::Embedded, redis::Redis, redis::Servers},
    gateway::{RedisGateway, Relay, Words},
    session::{Dependencies, OpenRequest, Opening, Publisher, Sessions},
    users::stub::Directory,
};
use futures_util::{StreamExt, stream};
use uuid::Uuid;

use crate::{people::fresh, store::Store};

/// How many are opened before the gateway is told.
const CHUNK: usize = 100_000;
const AT_ONCE: usize = 1024;
/// As the service keeps by default.
const EVENTS: u64 = 100_000;

/// A way to open many sessions.
pub(crate) struct Filler {
    sessions: Arc<Sessions>,
    world: World,
    told: Told,
}

/// How gateways learn of what was opened.
enum Told {
    Relay(Arc<Relay>),
    Log(Arc<Embedded>),
}

/// Nobody is told at once: the relay does it for a whole chunk.
struct Later;

#[async_trait]
impl Publisher for Later {
    async fn publish(&self, _: Shard, _: Untold) -> Result<(), Unavailable> {
        Ok(())
    }
}

impl Filler {
    /// Sessions in `store`, their gateway's records in `gateway`.
    pub(crate) fn on_redis(store: &Store, gateway: &Store) -> Self {
        let config = config(&[
            ("AUTHSESSION_REDIS_ADDR", &store.server().addr()),
            ("AUTHSESSION_GATEWAY_REDIS_ADDR", &gateway.server().addr()),
            ("AUTHSESSION_REDIS_OPERATION_TIMEOUT", "10s"),
        ]);
        let world = World::system();
        let engine = Redis::new(config.redis.as_ref().expect("a Redis"));
        let keys = Arc::new(Keys::new(engine.clone(), world.clone()));
        let redis = config.gateway_redis.as_ref().expect("a Redis");
        let servers = Arc::new(Servers::open(redis, "gateway"));
        let words = Words::new(config.gateway.clone(), config.session.revoked_retention);
        let records = RedisGateway::new(servers, Arc::new(words), redis.key_prefix(), keys.clone());
        let told = Told::Relay(Relay::new(engine.clone(), records, Duration::from_mins(1)));
        Self::over(&config, engine, keys, (world, told))
    }

    /// Sessions in a file in `dir`, which nobody else may have open meanwhile.
    pub(crate) fn embedded(dir: &Path) -> Self {
        let world = World::system();
        let engine = Embedded::open(dir, world.clone()).expect("a store");
        let keys = Arc::new(Keys::new(engine.clone(), world.clone()));
        let told = Told::Log(engine.clone());
        Self::over(&config(&[]), engine, keys, (world, told))
    }

    fn over(config: &Config, engine: Arc<dyn Engine>, keys: Arc<Keys>, (world, told): (World, Told)) -> Self {
        let users = Arc::new(Directory::new(engine.clone(), keys.clone()));
        let publisher = Arc::new(Later);
        let dependencies = Dependencies { engine, keys, users, publisher, world: world.clone() };
        Self { sessions: Sessions::new(dependencies, config.session.clone()), world, told }
    }

    /// About `count` sessions, each three of one user; their ids.
    pub(crate) async fn open(&self, count: usize) -> Vec<String> {
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            let users = (count - ids.len()).min(CHUNK).div_ceil(3);
            let owners = (0..users).flat_map(|_| std::iter::repeat_n(self.user(), 3));
            ids.extend(self.open_for(owners).await);
            self.tell().await;
        }
        ids
    }

    /// `count` sessions of one user; him, and their ids. The gateway is yet to be told.
    pub(crate) async fn open_for_one(&self, count: usize) -> (String, Vec<String>) {
        let user = self.user();
        let ids = self.open_for(std::iter::repeat_n(user.clone(), count)).await;
        (user, ids)
    }

    async fn open_for(&self, owners: impl Iterator<Item = String>) -> Vec<String> {
        let opened = stream::iter(owners).map(|user| self.open_one(user)).buffer_unordered(AT_ONCE);
        opened.collect().await
    }

    async fn open_one(&self, user_id: String) -> String {
        let (key, origin) = (DeviceKey::from_stored(self.world.random()), fresh().to_string());
        let request = OpenRequest { user_id: &user_id, key, origin: &origin };
        match self.sessions.open(&request).await.expect("a store that answers") {
            Opening::Open(id) => id.to_string(),
            Opening::Ended | Opening::Blocked(_) | Opening::LimitReached => panic!("a session is not opened"),
        }
    }

    /// As user services name their users.
    fn user(&self) -> String {
        Uuid::from_bytes(self.world.random()).to_string()
    }

    /// Tells the gateway.
    pub(crate) async fn tell(&self) {
        match &self.told {
            Told::Relay(relay) => {
                let publish = |shard| async move {
                    relay.publish(shard, Untold::Unknown).await.expect("a gateway's Redis");
                };
                stream::iter(Shard::all()).map(publish).buffer_unordered(32).collect::<()>().await;
            }
            Told::Log(log) => log.retain(EVENTS).await.expect("a store that answers"),
        }
    }
}

fn config(variables: &[(&str, &str)]) -> Config {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Config::read(variables.iter().map(own)).unwrap_or_else(|faults| panic!("{faults}"))
}
