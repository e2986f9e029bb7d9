//! The one list of parts, and the one place that names concrete engines and clients. Production and tests share
//! [`build`].

use std::{sync::Arc, time::Duration};

use tracing::info;

use crate::{
    base::{Unavailable, World},
    challenge::{self, Challenges},
    config::Config,
    engine::{
        Engine, Keys,
        embedded::{self, Embedded},
        redis::{self, Direct, EvictionWatch, Redis, Servers},
    },
    gateway::{self, LogGateway, RedisGateway, Relay, Reprojection, Words},
    http::{Edge, Part, Probe, Surface, Task},
    mail::{self, Mail},
    session::{self, Census, Publisher, Sessions},
    users::{self, Users},
};

/// How soon a store that came back empty gets its secrets again.
const KEYS_LOOK: Duration = Duration::from_millis(300);

/// The service, built but not yet listening.
pub struct App {
    /// What client apps see.
    pub public: Surface,
    /// What gateways and admin services see.
    pub internal: Surface,
    /// Work that goes on in the background.
    pub tasks: Vec<Task>,
    /// What both surfaces share.
    pub edge: Arc<Edge>,
}

impl App {
    /// Lets `GET /metrics` answer what `render` gives.
    pub fn serve_metrics(&self, render: impl Fn() -> String + Send + Sync + 'static) {
        self.edge.serve_metrics(render);
    }
}

/// The service could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The embedded store cannot be used.
    #[error("the store in AUTHSESSION_DATA_DIR cannot be opened")]
    Embedded(#[from] embedded::OpenError),
    /// A client for the user or mail service cannot be made.
    #[error("a client cannot be made")]
    Client(#[from] Unavailable),
}

/// The store, and the way from it to the gateways.
struct Stores {
    engine: Arc<dyn Engine>,
    keys: Arc<Keys>,
    publisher: Arc<dyn Publisher>,
    gateway: Part,
    evictions: Vec<Arc<EvictionWatch>>,
}

/// Builds the service. Telemetry has started by now, or there will be no metrics. Inside a tokio runtime, since
/// connections are made in the background.
pub fn build(config: &Config, world: &World) -> Result<App, BuildError> {
    let Stores { engine, keys, publisher, gateway, evictions } = stores(config, world)?;
    let users = users(config, &engine, &keys)?;
    let dependencies = session::Dependencies {
        engine: engine.clone(),
        keys: keys.clone(),
        users: users.clone(),
        publisher,
        world: world.clone(),
    };
    let sessions = Sessions::new(dependencies, config.session.clone());
    let (mail, mail_timeout) = mail(config)?;
    let dependencies = challenge::Dependencies {
        engine: engine.clone(),
        keys: keys.clone(),
        users,
        mail,
        mail_timeout,
        sessions: sessions.clone(),
        world: world.clone(),
    };
    let challenges = Challenges::new(dependencies, config.challenge.clone());
    let watches = Part { tasks: evictions.iter().map(eviction_task).collect(), ..Part::default() };
    let parts = vec![challenges.part(), sessions.part(), gateway, keys_part(keys.clone()), watches];
    Ok(assemble(config, world, parts, &probe(engine, keys, evictions)))
}

/// The store answers, with the secrets that this process knows; and what the operators of Redis should know.
fn probe(engine: Arc<dyn Engine>, keys: Arc<Keys>, evictions: Vec<Arc<EvictionWatch>>) -> Probe {
    Arc::new(move || {
        let evictions: Vec<String> = evictions.iter().filter_map(|watch| watch.warning()).collect();
        let (engine, keys) = (engine.clone(), keys.clone());
        Box::pin(async move {
            keys.check()?;
            Ok(engine.ready().await?.into_iter().chain(evictions).collect())
        })
    })
}

fn eviction_task(watch: &Arc<EvictionWatch>) -> Task {
    let watch = watch.clone();
    Task::new("redis.eviction", |stop| async move { watch.watch_until(stop).await })
}

/// The task that keeps the store and this process of one mind about the secrets that the store keeps.
fn keys_part(keys: Arc<Keys>) -> Part {
    let task = Task::new("engine.keys", |stop| async move {
        while stop.run_until_cancelled(tokio::time::sleep(KEYS_LOOK)).await.is_some() {
            // A store that does not answer is everybody's finding; the next look will do.
            let _ = keys.guard().await;
        }
    });
    Part { tasks: vec![task], ..Part::default() }
}

/// Redis where one is configured, else the embedded store; its own stream as the feed where no gateway Redis is.
fn stores(config: &Config, world: &World) -> Result<Stores, BuildError> {
    if let Some(settings) = &config.redis {
        // Where the gateway's keys lie in the same Redis, it is told in the commit.
        let direct = config.gateway_redis.is_none().then(|| words(config) as Arc<dyn Direct>);
        let engine = Redis::telling(settings, direct);
        info!(addr = %settings, "sessions are kept in Redis");
        let evictions = Some(engine.eviction());
        let store = (engine.clone() as Arc<dyn Engine>, Arc::new(Keys::new(engine, world.clone())));
        return Ok(relayed(config, store, config.gateway_redis.as_ref().unwrap_or(settings), evictions));
    }
    let engine = Embedded::open(&config.data_dir, world.clone())?;
    info!(dir = %config.data_dir.display(), "sessions are kept in the embedded store");
    let keys = Arc::new(Keys::new(engine.clone(), world.clone()));
    if let Some(settings) = &config.gateway_redis {
        return Ok(relayed(config, (engine, keys), settings, None));
    }
    let log = LogGateway::new(engine.clone(), config.gateway.session_events_max_len);
    let gateway = gateway::part(log.clone(), vec![log.trimmer()]);
    Ok(Stores { engine, keys, publisher: log, gateway, evictions: Vec::new() })
}

/// `engine`'s changes relayed to the gateway's Redis.
fn relayed(
    config: &Config,
    (engine, keys): (Arc<dyn Engine>, Arc<Keys>),
    redis: &redis::Settings,
    store_eviction: Option<EvictionWatch>,
) -> Stores {
    let servers = Arc::new(Servers::open(redis, "gateway"));
    // Asked once where it is the store's own.
    let own = config.gateway_redis.as_ref().map(|_| EvictionWatch::new(servers.clone(), "gateway"));
    let projection = projection(config, redis, servers, keys.clone());
    let feed = projection.feed();
    info!(addr = %redis, "the gateway's records are written to Redis");
    // A drain takes a few calls, each of which has the operation timeout for itself.
    let relay = Relay::new(engine.clone(), projection, redis.operation_timeout().saturating_mul(2));
    let gateway = gateway::part(feed.clone(), vec![relay.sweeper(), feed.watcher()]);
    let evictions = store_eviction.into_iter().chain(own).map(Arc::new).collect();
    Stores { engine, keys, publisher: relay, gateway, evictions }
}

/// The gateway's records and stream in `redis`, which is on `servers`, for the store that has `keys`.
fn projection(
    config: &Config,
    redis: &redis::Settings,
    servers: Arc<Servers>,
    keys: Arc<Keys>,
) -> RedisGateway {
    RedisGateway::new(servers, words(config), redis.key_prefix(), keys)
}

fn words(config: &Config) -> Arc<Words> {
    Arc::new(Words::new(config.gateway.clone(), config.session.revoked_retention))
}

/// What writes every record of the gateway's Redis anew, at most `per_second` a second; nothing where there is no such
/// Redis. Inside a tokio runtime, since connections are made in the background.
pub fn reprojection(
    config: &Config,
    world: World,
    per_second: u32,
) -> Result<Option<Reprojection>, BuildError> {
    let Some(redis) = config.gateway_redis.as_ref().or(config.redis.as_ref()) else { return Ok(None) };
    let engine: Arc<dyn Engine> = match &config.redis {
        Some(settings) => Redis::new(settings),
        None => Embedded::open(&config.data_dir, world.clone())?,
    };
    let keys = Arc::new(Keys::new(engine.clone(), world));
    let gateway = projection(config, redis, Arc::new(Servers::open(redis, "gateway")), keys);
    Ok(Some(Reprojection::new(Census::new(engine), gateway, per_second)))
}

fn users(config: &Config, engine: &Arc<dyn Engine>, keys: &Arc<Keys>) -> Result<Arc<dyn Users>, BuildError> {
    Ok(match &config.users {
        users::Settings::Stub => Arc::new(users::stub::Directory::new(engine.clone(), keys.clone())),
        users::Settings::Rest(endpoint) => Arc::new(users::rest::Client::new(endpoint)?),
    })
}

/// The mail client, and how long it may take.
fn mail(config: &Config) -> Result<(Arc<dyn Mail>, Duration), BuildError> {
    Ok(match &config.mail {
        mail::Settings::Stub => (Arc::new(mail::stub::Log), Duration::ZERO),
        mail::Settings::Rest(endpoint) => {
            (Arc::new(mail::rest::Client::new(endpoint)?), endpoint.request_timeout)
        }
    })
}

pub(crate) fn assemble(config: &Config, world: &World, parts: Vec<Part>, probe: &Probe) -> App {
    let edge = Arc::new(Edge::new(&config.http, world));
    let all = parts.into_iter().fold(Part::default(), |all, part| Part {
        public: all.public.merge(part.public),
        internal: all.internal.merge(part.internal),
        tasks: all.tasks.into_iter().chain(part.tasks).collect(),
    });
    App {
        public: edge.public(all.public, probe.clone()),
        internal: edge.internal(all.internal, probe.clone()),
        tasks: all.tasks,
        edge,
    }
}
