//! A real Redis Cluster for tests.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{ANY_PORT, RedisServer, wait_until};

const SLOTS: usize = 16_384;

/// Masters with equal shares of the slots, and replicas of them. Dropped, all are killed.
pub(crate) struct RedisCluster {
    servers: Vec<RedisServer>,
    masters: usize,
    /// Where they speak TLS; empty where they do not.
    tls: Vec<u16>,
}

impl RedisCluster {
    /// So many masters and, in turn for each, so many replicas; each master that has one acknowledges writes with it.
    pub(crate) fn start(masters: usize, replicas: usize) -> Self {
        let servers: Vec<RedisServer> = (0..masters + replicas).map(|_| node(&[])).collect();
        Self { servers, masters, tls: Vec::new() }.meet()
    }

    /// The same, whose servers speak TLS with one another and with clients, and ask for certificates. `files` are those
    /// of the authority, the certificate and its key. Their plain ports are the harness's way in.
    pub(crate) fn over_tls(masters: usize, replicas: usize, files: &[String; 3]) -> Self {
        let [ca, certificate, key] = files;
        let ours = ["--tls-port", ANY_PORT, "--tls-ca-cert-file", ca, "--tls-cert-file", certificate];
        let more = ["--tls-key-file", key, "--tls-cluster", "yes", "--tls-replication", "yes"];
        let options = [&ours[..], &more].concat();
        let servers: Vec<RedisServer> = (0..masters + replicas).map(|_| node(&options)).collect();
        let tls = servers.iter().map(|server| server.option("tls-port").parse().expect("a port")).collect();
        Self { servers, masters, tls }.meet()
    }

    fn meet(self) -> Self {
        let (masters, cluster) = (self.masters, self);
        for (at, server) in cluster.servers.iter().enumerate() {
            let () = server.run(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
        }
        cluster.introduce();
        for (at, master) in cluster.masters().iter().enumerate() {
            let (from, to) = (SLOTS * at / masters, SLOTS * (at + 1) / masters - 1);
            let () = master.run(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]);
        }
        for (at, replica) in cluster.servers[masters..].iter().enumerate() {
            let id: String = cluster.servers[at % masters].run(&["CLUSTER", "MYID"]);
            wait_until("the replica knows its master", || {
                replica.try_run::<()>(&["CLUSTER", "REPLICATE", &id]).is_ok()
            });
        }
        cluster.wait_until_whole();
        cluster
    }

    /// Makes all servers known to one another.
    fn introduce(&self) {
        let mut looks = 0;
        wait_until("the servers know one another", || {
            if looks % 200 == 0 {
                // A handshake that takes too long on a busy machine is given up: then they have to meet once more.
                for (at, server) in self.servers.iter().enumerate() {
                    let bus = server.option("cluster-port");
                    let port = self.tls.get(at).copied().unwrap_or_else(|| server.port()).to_string();
                    let () = self.servers[0].run(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
                }
            }
            looks += 1;
            self.servers.iter().all(|server| {
                let nodes: String = server.run(&["CLUSTER", "NODES"]);
                nodes.lines().count() == self.servers.len() && !nodes.contains("handshake")
            })
        });
    }

    /// Three masters with a replica each, which the tests of this binary share while at least one of them runs.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<RedisCluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Self::start(3, 3));
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    /// Every server, those first that were masters at the start.
    pub(crate) fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// Those that were masters at the start.
    pub(crate) fn masters(&self) -> &[RedisServer] {
        &self.servers[..self.masters]
    }

    /// A replica, at the start, of that master.
    pub(crate) fn replica_of(&self, master: usize) -> &RedisServer {
        &self.servers[self.masters + master]
    }

    /// All servers, comma-separated.
    pub(crate) fn addr(&self) -> String {
        self.servers.iter().map(RedisServer::addr).collect::<Vec<_>>().join(",")
    }

    /// All servers as they are met over TLS, comma-separated.
    pub(crate) fn tls_urls(&self) -> String {
        let urls = self.tls.iter().map(|port| format!("rediss://127.0.0.1:{port}"));
        urls.collect::<Vec<_>>().join(",")
    }

    /// Runs one command, whose key comes second, on the master that has it. Blocking.
    pub(crate) fn run<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        self.server_of(command[1]).run(command)
    }

    /// The master that has `key` now.
    pub(crate) fn server_of(&self, key: &str) -> &RedisServer {
        let mut found = None;
        wait_until("a master has the key", || {
            let has = |server: &&RedisServer| server.try_run::<u64>(&["EXISTS", key]).is_ok();
            found = self.servers.iter().find(has);
            found.is_some()
        });
        found.expect("a master")
    }

    /// Waits until every server that runs sees every slot served, and every master has its replicas.
    pub(crate) fn wait_until_whole(&self) {
        wait_until("the cluster is whole", || {
            self.servers.iter().all(|server| {
                let info: String = server.try_run(&["CLUSTER", "INFO"]).unwrap_or_default();
                let nodes: String = server.try_run(&["CLUSTER", "NODES"]).unwrap_or_default();
                let replicas = self.servers.len() - self.masters;
                info.contains("cluster_state:ok")
                    && nodes.lines().count() == self.servers.len()
                    && nodes.lines().filter(|line| line.contains("slave")).count() == replicas
            })
        });
        let online = || {
            let infos = self.servers.iter().map(|server| server.info("replication"));
            infos.map(|info| info.matches("state=online").count()).sum::<usize>()
        };
        wait_until("the replicas follow their masters", || online() == self.servers.len() - self.masters);
        let now = self.servers.iter().filter(|server| server.info("replication").contains("role:master"));
        for master in now {
            let info = master.info("replication");
            let all = info.matches("state=online").count().to_string();
            let mut connection = master.connect();
            let key = key_of(master);
            wait_until("the replicas acknowledge writes", || {
                let set = super::query::<()>(&mut connection, &["SET", &key, ""]);
                let acks = super::query::<String>(&mut connection, &["WAIT", &all, "100"]);
                set.is_ok() && acks.is_ok_and(|acks| acks == all)
            });
        }
    }
}

/// A key that `master` has.
fn key_of(master: &RedisServer) -> String {
    let keys = (0..1000).map(|number| format!("harness:probe:{number}"));
    let mut keys = keys.filter(|key| master.try_run::<u64>(&["EXISTS", key]).is_ok());
    keys.next().expect("a key in a slot of this master")
}

fn node(more: &[&str]) -> RedisServer {
    let all = [
        "--cluster-enabled",
        "yes",
        "--cluster-port",
        ANY_PORT,
        "--cluster-node-timeout",
        "1500",
        "--cluster-allow-replica-migration",
        "no",
    ];
    RedisServer::with(&[&all, more].concat())
}
