//! A real master with replicas, watched by real sentinels, for tests.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
};

use tempfile::TempDir;

use super::{
    Process, RedisServer, connect, free_port, has_exited, log, query, send_signal, spawn, wait_until,
};

/// Three sentinels and the servers that they watch, under the name `mymaster`. Dropped, all are killed.
pub(crate) struct RedisSentinels {
    servers: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
}

/// One sentinel. Dropped, it is killed.
pub(crate) struct Sentinel {
    port: u16,
    dir: TempDir,
    process: Option<Process>,
}

impl RedisSentinels {
    /// A master with so many replicas.
    pub(crate) fn start(replicas: usize) -> Self {
        let master = RedisServer::start();
        let port = master.port();
        let mut servers = vec![master];
        for _ in 0..replicas {
            let replica = RedisServer::replica_of(&servers[0]);
            servers.push(replica);
        }
        let sentinels: Vec<Sentinel> = (0..3).map(|_| Sentinel::watching(port, 0)).collect();
        let watched = Self { servers, sentinels };
        wait_until("the sentinels know everybody", || {
            watched.sentinels.iter().all(|sentinel| {
                let info = sentinel.ask::<String>(&["INFO", "sentinel"]).unwrap_or_default();
                // On a busy machine there may have been a failover already.
                info.contains("status=ok") && info.contains(&format!(",slaves={replicas},sentinels=3"))
            })
        });
        watched
    }

    /// A master with one replica, which the tests of this binary share while at least one of them runs.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<RedisSentinels>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let watched = Arc::new(Self::start(1));
            *shared = Arc::downgrade(&watched);
            watched
        })
    }

    /// The sentinels, comma-separated.
    pub(crate) fn addr(&self) -> String {
        self.sentinels.iter().map(Sentinel::addr).collect::<Vec<_>>().join(",")
    }

    /// Every server, the one first that was the master at the start.
    pub(crate) fn servers(&self) -> &[RedisServer] {
        &self.servers
    }

    /// The server that a sentinel calls the master now.
    pub(crate) fn master(&self) -> &RedisServer {
        let (_, port): (String, u16) =
            self.sentinels[1].ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"]).expect("a master");
        self.servers.iter().find(|server| server.port() == port).expect("one of ours")
    }

    /// A server that is not the master now.
    pub(crate) fn replica(&self) -> &RedisServer {
        let master = self.master().port();
        self.servers.iter().find(|server| server.port() != master).expect("a replica")
    }

    /// Asks the sentinels to make another server the master, and waits until they have.
    pub(crate) fn fail_over(&self) {
        let before = self.master().port();
        wait_until("a sentinel begins a failover", || {
            self.sentinels[1].ask::<()>(&["SENTINEL", "FAILOVER", "mymaster"]).is_ok()
        });
        wait_until("there is another master", || self.master().port() != before);
    }

    /// Stops the first sentinel in its tracks.
    pub(crate) fn pause_a_sentinel(&self) {
        send_signal("STOP", self.sentinels[0].process.as_ref().expect("a running sentinel").pid);
    }
}

impl Sentinel {
    /// Which takes the server on this port for the master since this epoch.
    pub(crate) fn watching(master: u16, epoch: u64) -> Self {
        // Somebody may take the free port before the sentinel does: then it exits, and another port is tried.
        let started = (0..20).find_map(|_| Self::launch(master, epoch));
        started.expect("a sentinel that starts")
    }

    /// The sentinel, once it answers; nothing when it exited instead.
    fn launch(master: u16, epoch: u64) -> Option<Self> {
        let dir = TempDir::new().expect("a temporary directory");
        let port = free_port();
        let mut config =
            format!("port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {master} 2\n");
        let epoch = format!("config-epoch mymaster {epoch}");
        for option in ["down-after-milliseconds mymaster 1000", "failover-timeout mymaster 4000", &epoch] {
            writeln!(config, "sentinel {option}").expect("a string takes everything");
        }
        std::fs::write(dir.path().join("sentinel.conf"), config).expect("a file");
        let process = spawn(&["sentinel.conf", "--sentinel"], &dir);
        let pid = process.pid;
        let sentinel = Self { port, dir, process: Some(process) };
        let ours = format!("process_id:{pid}\r\n");
        let answers = || sentinel.ask::<String>(&["INFO", "server"]).is_ok_and(|info| info.contains(&ours));
        wait_until("the sentinel answers", || answers() || has_exited(pid));
        answers().then_some(sentinel)
    }

    /// `127.0.0.1:port`.
    pub(crate) fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        query(&mut connect(self.port)?, command)
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end();
        }
        if thread::panicking() {
            eprintln!("log of the test's sentinel on port {}:\n{}", self.port, log(&self.dir));
        }
    }
}
