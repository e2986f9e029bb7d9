//! What a history plays on: a store, the gateway's Redis, a mail service, and the service's processes.

use std::{
    sync::{Mutex, RwLock},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    harness::{
        Wire,
        process::Service,
        redis::{RedisCluster, RedisSentinels, RedisServer, wait_until},
        upstreams::MailService,
    },
    history::Moment,
    meddler::{Meddler, Rewrite, faithful},
};

/// On what the service keeps its records, and where the gateway's are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topology {
    /// One process on its own file; the feed is all that a gateway has.
    Embedded,
    /// The same with a gateway's Redis, reached over a wire that can fail.
    EmbeddedAndGateway,
    /// Two processes on one Redis, which is the gateway's too; the second reaches it over wires that can fail.
    Standalone,
    /// Two processes on a master with two replicas.
    Sentinel,
    /// Two processes on three masters with a replica each.
    Cluster,
    /// One process that reaches a master with a replica over a wire that can lead to that one, which has one too.
    Chain,
}

/// Where records lie.
pub enum Store {
    Embedded,
    One(RedisServer),
    Sentinels(RedisSentinels),
    Cluster(RedisCluster),
    /// A master, its replica, and a replica of that one.
    Chain([RedisServer; 3]),
}

/// What is in play.
pub struct Stage {
    pub store: Store,
    /// The gateway's own Redis, where it has one.
    pub gateway: Option<RedisServer>,
    pub mail: MailService,
    pub processes: Vec<Process>,
    /// The last process's way to the store.
    pub store_wire: Option<Meddler>,
    /// The last process's way to the gateway's Redis.
    pub gateway_wire: Option<Meddler>,
    began: Instant,
    _dir: TempDir,
}

/// A service process, or the gap between two.
pub struct Process {
    settings: Vec<(String, String)>,
    service: Mutex<Option<Service>>,
    wire: RwLock<Wire>,
}

/// What is wrong with the wires of the last process.
#[derive(Clone, Copy)]
pub struct Meddling {
    pub store: Rewrite,
    pub gateway: Rewrite,
}

impl Meddling {
    pub const NONE: Self = Self { store: faithful, gateway: faithful };
}

impl Stage {
    /// Sets everything up and starts the processes.
    pub async fn start(topology: Topology, meddling: Meddling) -> Self {
        let mail = MailService::start().await;
        let dir = TempDir::new().unwrap();
        let store = tokio::task::block_in_place(|| match topology {
            Topology::Embedded | Topology::EmbeddedAndGateway => Store::Embedded,
            Topology::Standalone => Store::One(RedisServer::durable()),
            Topology::Sentinel => Store::Sentinels(RedisSentinels::start(2)),
            Topology::Cluster => Store::Cluster(RedisCluster::start(3, 3)),
            Topology::Chain => {
                let master = RedisServer::start();
                let replica = RedisServer::replica_of(&master);
                let port = replica.port().to_string();
                let last = RedisServer::with(&["--replicaof", "127.0.0.1", &port]);
                wait_until("the last one follows", || replica.info("replication").contains("state=online"));
                Store::Chain([master, replica, last])
            }
        });
        let gateway = (topology == Topology::EmbeddedAndGateway).then(RedisServer::durable);
        let store_wire = match &store {
            Store::One(server) | Store::Chain([server, ..]) => {
                Some(Meddler::to(server.addr(), meddling.store))
            }
            Store::Embedded | Store::Sentinels(_) | Store::Cluster(_) => None,
        };
        let gateway_wire = match (&store, &gateway) {
            (Store::One(server), _) | (_, Some(server)) => Some(Meddler::to(server.addr(), meddling.gateway)),
            _ => None,
        };
        let direct = settings(&mail, &dir, &store);
        // The last word on a setting counts.
        let mut wired = direct.clone();
        let to = |name, wire: &Option<Meddler>| wire.as_ref().map(|wire| (name, wire.addr()));
        wired.extend(to("REDIS_ADDR", &store_wire));
        wired.extend(to("GATEWAY_REDIS_ADDR", &gateway_wire));
        let all = match store {
            Store::Embedded | Store::Chain(_) => vec![wired],
            Store::One(_) | Store::Sentinels(_) | Store::Cluster(_) => vec![direct, wired],
        };
        let mut processes = Vec::new();
        for settings in all {
            processes.push(Process::start(settings).await);
        }
        let began = Instant::now();
        Self { store, gateway, mail, processes, store_wire, gateway_wire, began, _dir: dir }
    }

    /// The time on the history's clock.
    pub fn now(&self) -> Moment {
        u64::try_from(self.began.elapsed().as_micros()).unwrap()
    }

    /// One of the processes; any number names one.
    pub fn process(&self, number: usize) -> &Process {
        &self.processes[number % self.processes.len()]
    }

    /// Waits until every process says that it is ready.
    pub async fn wait_until_ready(&self) {
        for process in &self.processes {
            crate::harness::eventually("the process is ready", async || {
                let ready =
                    process.wire(|wire| wire.request(crate::harness::Listener::Internal, "GET", "/readyz"));
                let answer = ready.timeout(Duration::from_secs(1)).send().await.ok()?;
                (answer.status() == 200).then_some(())
            })
            .await;
        }
    }
}

impl Process {
    /// Starts it with these settings.
    pub async fn start(settings: Vec<(&str, String)>) -> Self {
        let settings: Vec<(String, String)> =
            settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let service = start(&settings).await;
        let wire = RwLock::new(copy(&service.wire));
        Self { settings, service: Mutex::new(Some(service)), wire }
    }

    /// Does something with the way to it.
    pub fn wire<T>(&self, with: impl FnOnce(&Wire) -> T) -> T {
        with(&self.wire.read().unwrap())
    }

    /// Any signal, by name.
    pub fn signal(&self, name: &str) {
        self.service.lock().unwrap().as_ref().expect("a running process").signal(name);
    }

    /// kill -9, and a new one in its place.
    pub async fn replace(&self) {
        let old = self.service.lock().unwrap().take();
        // Dropping waits until it is gone.
        drop(old);
        let service = start(&self.settings).await;
        *self.wire.write().unwrap() = copy(&service.wire);
        *self.service.lock().unwrap() = Some(service);
    }
}

async fn start(settings: &[(String, String)]) -> Service {
    let settings: Vec<(&str, &str)> =
        settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Service::start(&settings).await
}

fn copy(wire: &Wire) -> Wire {
    Wire { client: wire.client.clone(), public: wire.public.clone(), internal: wire.internal.clone() }
}

/// What all processes are given.
pub fn settings(mail: &MailService, dir: &TempDir, store: &Store) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("RUST_LOG", "warn,authsession::serve=info".to_owned()),
        ("DATA_DIR", dir.path().join("data").display().to_string()),
        ("MAIL_SERVICE_MODE", "rest".to_owned()),
        ("MAIL_SERVICE_BASE_URL", mail.url()),
        ("RATE_LIMIT_SEND_PER_MINUTE", "0".to_owned()),
        ("RATE_LIMIT_CONFIRM_PER_MINUTE", "0".to_owned()),
        // Two mails never have the same code by chance: it tells them apart.
        ("CODE_LENGTH", "10".to_owned()),
        ("CODE_RESEND_COOLDOWN", "300ms".to_owned()),
    ];
    let (mode, addr) = match store {
        Store::Embedded => return settings,
        Store::One(server) => ("standalone", server.addr()),
        Store::Sentinels(sentinels) => ("sentinel", sentinels.addr()),
        Store::Cluster(cluster) => ("cluster", cluster.addr()),
        Store::Chain([master, ..]) => {
            settings.push(("REDIS_MIN_REPLICAS", "1".to_owned()));
            ("standalone", master.addr())
        }
    };
    settings.extend([("REDIS_MODE", mode.to_owned()), ("REDIS_ADDR", addr)]);
    settings
}
