//! The whole service in this process: built as production builds it, but with a clock that the test sets, on free
//! ports, with a store and upstreams of its own.

use std::{collections::BTreeMap, ops::Deref, sync::Arc};

use authsession::{
    app,
    base::{SystemRandomness, World},
    config::Config,
    http::{Route, Stop},
    serve::Server,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{
    Gateway, Operator, Visitor, Wire,
    clock::FakeClock,
    redis::{RedisCluster, RedisServer, fresh_prefix},
    upstreams::{MailService, UserService},
};

/// What the service keeps its records in. A store that comes to be served later is one more word here and one more
/// module in `on_every_store!`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Store {
    Embedded,
    Redis,
    /// Three masters with a replica each.
    Cluster,
}

/// A service that is about to start.
pub struct Setup {
    store: Store,
    server: Option<Arc<RedisServer>>,
    cluster: Option<Arc<RedisCluster>>,
    gateway: Option<Arc<RedisServer>>,
    rest_users: bool,
    changes: Vec<(String, Option<String>)>,
}

impl Setup {
    /// On a store of this kind, with users in it, and codes mailed over REST. Rate limits by client are off, since
    /// all tests come from one address.
    pub fn on(store: Store) -> Self {
        Self { store, server: None, cluster: None, gateway: None, rest_users: false, changes: Vec::new() }
    }

    /// With this setting.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.changes.push((format!("AUTHSESSION_{name}"), Some(value.to_owned())));
        self
    }

    /// Without a setting that tests have by default.
    pub fn unset(mut self, name: &str) -> Self {
        self.changes.push((format!("AUTHSESSION_{name}"), None));
        self
    }

    /// With a user service that is asked over REST.
    pub fn rest_users(mut self) -> Self {
        self.rest_users = true;
        self
    }

    /// On this Redis instead of the one that all tests share.
    pub fn server(mut self, server: &Arc<RedisServer>) -> Self {
        self.server = Some(Arc::clone(server));
        self
    }

    /// On this cluster instead of the one that all tests share.
    pub fn cluster(mut self, cluster: &Arc<RedisCluster>) -> Self {
        self.cluster = Some(Arc::clone(cluster));
        self
    }

    /// With a Redis of the gateway's own.
    pub fn gateway(mut self, server: &Arc<RedisServer>) -> Self {
        self.gateway = Some(Arc::clone(server));
        self
    }

    /// Believing `X-Forwarded-For`, so that a test can come from anywhere.
    pub fn behind_a_proxy(self) -> Self {
        self.set("TRUSTED_PROXIES", "127.0.0.0/8")
    }

    /// Starts it.
    pub async fn start(self) -> App {
        let mail = MailService::start().await;
        let users = UserService::start().await;
        let dir = TempDir::new().expect("a temporary directory");
        let prefix = fresh_prefix();
        let cluster =
            (self.store == Store::Cluster).then(|| self.cluster.clone().unwrap_or_else(RedisCluster::shared));
        let redis = match self.store {
            Store::Embedded | Store::Cluster => None,
            Store::Redis => Some(self.server.clone().unwrap_or_else(RedisServer::shared)),
        };
        let mut settings = defaults(&mail, &dir, &prefix);
        if let Some(redis) = &redis {
            settings.insert("AUTHSESSION_REDIS_ADDR".into(), redis.addr());
        }
        if let Some(cluster) = &cluster {
            settings.insert("AUTHSESSION_REDIS_MODE".into(), "cluster".into());
            settings.insert("AUTHSESSION_REDIS_ADDR".into(), cluster.addr());
        }
        if let Some(gateway) = &self.gateway {
            settings.insert("AUTHSESSION_GATEWAY_REDIS_MODE".into(), "standalone".into());
            settings.insert("AUTHSESSION_GATEWAY_REDIS_ADDR".into(), gateway.addr());
        }
        if self.rest_users {
            settings.insert("AUTHSESSION_USER_SERVICE_MODE".into(), "rest".into());
            settings.insert("AUTHSESSION_USER_SERVICE_BASE_URL".into(), users.url());
        }
        for (name, value) in self.changes {
            match value {
                Some(value) => settings.insert(name, value),
                None => settings.remove(&name),
            };
        }
        let clock = FakeClock::new();
        let running = Running::start(&settings, &clock).await;
        let gateway_redis = self.gateway.or_else(|| redis.clone());
        App { running, clock, mail, users, redis, cluster, gateway_redis, settings, _dir: dir }
    }
}

/// The service, running.
pub struct App {
    running: Running,
    /// What the service takes for the time.
    pub clock: FakeClock,
    /// Takes the codes.
    pub mail: MailService,
    /// Knows the users, where the test asked for [`Setup::rest_users`].
    pub users: UserService,
    redis: Option<Arc<RedisServer>>,
    cluster: Option<Arc<RedisCluster>>,
    gateway_redis: Option<Arc<RedisServer>>,
    settings: BTreeMap<String, String>,
    _dir: TempDir,
}

impl App {
    /// With the settings of [`Setup::on`].
    pub async fn start(store: Store) -> Self {
        Setup::on(store).start().await
    }

    /// Somebody with this address.
    pub fn visitor(&self, email: &str) -> Visitor<'_> {
        Visitor::new(&self.running.wire, &self.mail, email)
    }

    /// An admin.
    pub fn operator(&self) -> Operator<'_> {
        Operator::new(&self.running.wire)
    }

    /// The gateway's view.
    pub fn gateway(&self) -> Gateway<'_> {
        Gateway::new(self)
    }

    /// The Redis under the store, where there is one.
    pub fn redis(&self) -> Option<&Arc<RedisServer>> {
        self.redis.as_ref()
    }

    /// The cluster under the store, where there is one.
    pub fn cluster(&self) -> Option<&Arc<RedisCluster>> {
        self.cluster.as_ref()
    }

    /// The Redis server that the gateway reads, where there is one.
    pub fn gateway_redis(&self) -> Option<&Arc<RedisServer>> {
        self.gateway_redis.as_ref()
    }

    /// What a setting was set to; empty where it was not.
    pub fn setting(&self, name: &str) -> String {
        self.settings.get(&format!("AUTHSESSION_{name}")).cloned().unwrap_or_default()
    }

    /// Every operation of the public and of the internal listener.
    pub fn routes(&self) -> (&[Route], &[Route]) {
        (&self.running.public_routes, &self.running.internal_routes)
    }

    /// A second instance of the service on the same store, clock and upstreams.
    pub async fn replica(&self) -> Running {
        self.replica_with(&[]).await
    }

    /// A second instance with other settings.
    pub async fn replica_with(&self, changes: &[(&str, &str)]) -> Running {
        let mut settings = self.settings.clone();
        for (name, value) in changes {
            settings.insert(format!("AUTHSESSION_{name}"), (*value).to_owned());
        }
        Running::start(&settings, &self.clock).await
    }

    /// Ends the service and starts it again on the same store.
    pub async fn restart(&mut self) {
        self.running.end().await;
        self.running = Running::start(&self.settings, &self.clock).await;
    }

    /// Asks the service to drain, and does not wait.
    pub fn drain(&self) {
        self.running.stop.cancel();
    }
}

impl Deref for App {
    type Target = Wire;

    fn deref(&self) -> &Wire {
        &self.running.wire
    }
}

/// One instance of the service. Ends when dropped.
pub struct Running {
    /// The way to it.
    pub wire: Wire,
    public_routes: Vec<Route>,
    internal_routes: Vec<Route>,
    stop: Stop,
    server: Option<JoinHandle<()>>,
}

impl Running {
    async fn start(settings: &BTreeMap<String, String>, clock: &FakeClock) -> Self {
        let config = Config::read(settings.clone()).unwrap_or_else(|faults| panic!("{faults}"));
        let world = World::new(clock.clone(), SystemRandomness);
        let app = app::build(&config, &world).expect("a service");
        let (public_routes, internal_routes) = (app.public.routes().to_vec(), app.internal.routes().to_vec());
        let server = Server::bind(app, &config).await.expect("two free ports");
        let wire = Wire::to(&server.public_addr().to_string(), &server.internal_addr().to_string());
        let stop = Stop::new();
        let told = stop.clone();
        let server = tokio::spawn(async move {
            let _ = server.run(told).await;
        });
        Self { wire, public_routes, internal_routes, stop, server: Some(server) }
    }

    /// Drains and ends it.
    pub async fn end(&mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            server.await.expect("an orderly end");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }
}

fn defaults(mail: &MailService, dir: &TempDir, prefix: &str) -> BTreeMap<String, String> {
    let pairs = [
        ("PUBLIC_HTTP_ADDR", "127.0.0.1:0".to_owned()),
        ("INTERNAL_HTTP_ADDR", "127.0.0.1:0".to_owned()),
        ("DATA_DIR", dir.path().join("data").display().to_string()),
        ("REDIS_KEY_PREFIX", prefix.to_owned()),
        ("GATEWAY_SESSION_KEY_PREFIX", format!("{prefix}gateway:session:")),
        ("GATEWAY_SESSION_EVENTS_STREAM", format!("{prefix}gateway:session_events")),
        ("MAIL_SERVICE_MODE", "rest".to_owned()),
        ("MAIL_SERVICE_BASE_URL", mail.url()),
        ("RATE_LIMIT_SEND_PER_MINUTE", "0".to_owned()),
        ("RATE_LIMIT_CONFIRM_PER_MINUTE", "0".to_owned()),
    ];
    pairs.into_iter().map(|(name, value)| (format!("AUTHSESSION_{name}"), value)).collect()
}
