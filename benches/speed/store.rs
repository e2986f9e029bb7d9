//! What a party keeps its records in: Redis servers or a directory of our own, gone with the row that uses them.

use std::rc::Rc;

use redis::{ConnectionLike, Pipeline};
use tempfile::TempDir;

use crate::harness::redis::{RedisCluster, RedisServer};

/// One thread for Redis, nothing on disk: how fast the service is, not the disk.
const PLAIN: [&str; 2] = ["--io-threads", "1"];

#[derive(Clone)]
pub(crate) enum Store {
    Embedded(Rc<TempDir>),
    Redis(Rc<RedisServer>),
    /// A master and the one replica that follows it.
    Replicated(Rc<(RedisServer, RedisServer)>),
    /// Three masters without replicas.
    Cluster(Rc<RedisCluster>),
}

impl Store {
    pub(crate) fn embedded() -> Self {
        Self::Embedded(Rc::new(TempDir::new().expect("a temporary directory")))
    }

    pub(crate) fn redis() -> Self {
        Self::Redis(Rc::new(RedisServer::with(&PLAIN)))
    }

    /// Whole answers are longer than records: in short hashes they are to be as cheap to read.
    pub(crate) fn reference() -> Self {
        let more = ["--hash-max-listpack-value", "512"];
        Self::Redis(Rc::new(RedisServer::with(&[&PLAIN[..], &more].concat())))
    }

    /// Syncs every write before it answers, as the embedded store does.
    pub(crate) fn redis_always() -> Self {
        Self::Redis(Rc::new(RedisServer::durable()))
    }

    pub(crate) fn replicated() -> Self {
        let master = RedisServer::with(&PLAIN);
        let replica = RedisServer::replica_of(&master);
        Self::Replicated(Rc::new((master, replica)))
    }

    pub(crate) fn cluster() -> Self {
        Self::Cluster(Rc::new(RedisCluster::start(3, 0)))
    }

    pub(crate) fn servers(&self) -> Vec<&RedisServer> {
        match self {
            Self::Embedded(_) => Vec::new(),
            Self::Redis(server) => vec![server],
            Self::Replicated(pair) => vec![&pair.0, &pair.1],
            Self::Cluster(cluster) => cluster.servers().iter().collect(),
        }
    }

    /// The processes of it.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let number = |server: &RedisServer| number(&server.info("server"), "process_id:");
        self.servers().into_iter().map(|server| number(server) as u32).collect()
    }

    /// Bytes in and out of the servers so far.
    pub(crate) fn traffic(&self) -> u64 {
        let of = |server: &RedisServer| {
            let info = server.info("stats");
            number(&info, "total_net_input_bytes:") + number(&info, "total_net_output_bytes:")
        };
        self.servers().into_iter().map(of).sum()
    }

    /// What Redis holds, in bytes.
    pub(crate) fn used_memory(&self) -> u64 {
        self.servers().into_iter().map(|server| number(&server.info("memory"), "used_memory:")).sum()
    }

    /// The settings of a service that is to use it.
    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let one = |name: &str, value: String| (name.to_owned(), value);
        match self {
            Self::Embedded(dir) => vec![one("DATA_DIR", dir.path().join("data").display().to_string())],
            Self::Redis(server) => vec![one("REDIS_ADDR", server.addr())],
            Self::Replicated(pair) => vec![one("REDIS_ADDR", pair.0.addr())],
            Self::Cluster(cluster) => vec![
                one("REDIS_MODE", "cluster".to_owned()),
                one("REDIS_ADDR", cluster.addr()),
                one("REDIS_MIN_REPLICAS", "0".to_owned()),
            ],
        }
    }

    /// The one server of it.
    pub(crate) fn server(&self) -> &RedisServer {
        self.servers().first().expect("a Redis")
    }

    /// What the gateway knows of `session`; nothing where no Redis has it.
    pub(crate) fn gateway_record(&self, session: &str) -> Option<String> {
        let command = ["GET", &format!("gateway:session:{session}")];
        match self {
            Self::Embedded(_) => None,
            Self::Cluster(cluster) => cluster.run(&command),
            Self::Redis(_) | Self::Replicated(_) => self.server().run(&command),
        }
    }

    /// Writes what a reference is to find.
    pub(crate) fn seed(&self, pipeline: &Pipeline) {
        let mut connection = self.server().connect();
        let () = pipeline.query(&mut connection).expect("a Redis that answers");
        assert!(connection.is_open());
    }
}

/// The number behind `name` in what `INFO` says.
fn number(info: &str, name: &str) -> u64 {
    let found = info.lines().find_map(|line| line.strip_prefix(name));
    found.and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in INFO"))
}
