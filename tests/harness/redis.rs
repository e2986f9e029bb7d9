//! Real Redis servers for tests: each in a temporary directory, on a free port, gone with the test process whatever
//! ends it. Start with [`RedisServer::start`], or with [`RedisServer::shared`] and a [`fresh_prefix`].
#![allow(dead_code, unused_imports, reason = "each test binary that includes this file uses a part of it")]
#![allow(clippy::disallowed_methods, reason = "tests may read the environment: which server to test with")]

#[path = "redis_cluster.rs"]
mod cluster;
#[path = "redis_sentinels.rs"]
mod sentinels;

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub(crate) use cluster::RedisCluster;
pub(crate) use sentinels::{RedisSentinels, Sentinel};

const INSTALL_HINT: &str =
    "these tests need redis-server 7.0 or later in the PATH (apt install redis-server)";

/// Stands for a free port among a server's options.
pub(crate) const ANY_PORT: &str = "any-port";

/// Kills the server when its own standard input ends: the kernel closes that pipe when the test process dies, also by
/// SIGKILL. (A parent-death signal would follow the thread that started the server, not the process.)
const KEEPER: &str = r#""$@" </dev/null >>redis.log 2>&1 & echo $!; read line; kill -KILL $!; wait"#;

/// A Redis server of our own. Dropped, it is killed; a failing test prints its log.
pub(crate) struct RedisServer {
    port: u16,
    options: Vec<String>,
    dir: TempDir,
    process: Mutex<Option<Process>>,
}

struct Process {
    keeper: Child,
    pid: u32,
}

impl RedisServer {
    /// A server that keeps everything in memory.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// A server that syncs every write before it answers: it loses nothing when killed.
    pub(crate) fn durable() -> Self {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// A replica of `master`, already in step with it.
    pub(crate) fn replica_of(master: &Self) -> Self {
        let port = master.port.to_string();
        let replica = Self::with(&["--replicaof", "127.0.0.1", &port]);
        let online = format!("port={},state=online", replica.port);
        wait_until("the replica follows its master", || {
            let info = master.info("replication");
            let all = info.matches("state=online").count().to_string();
            let mut connection = master.connect();
            // A replica that is online may yet take a second before it acknowledges anything.
            info.contains(&online)
                && query::<()>(&mut connection, &["SET", "harness:probe", ""]).is_ok()
                && query::<String>(&mut connection, &["WAIT", &all, "100"]).is_ok_and(|acks| acks == all)
        });
        replica
    }

    /// A server with more options, as on redis-server's command line. [`ANY_PORT`] among them is a free one.
    pub(crate) fn with(options: &[&str]) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let chosen = |&option: &&str| {
            if option == ANY_PORT { free_port().to_string() } else { option.to_owned() }
        };
        // Somebody may take a free port before the server does: then it exits, and others are tried.
        for _ in 0..20 {
            let port = free_port();
            let options: Vec<String> = options.iter().map(chosen).collect();
            if let Some(process) = launch(port, &options, &dir) {
                return Self { port, options, dir, process: Mutex::new(Some(process)) };
            }
        }
        panic!("redis-server does not start:\n{}\n{INSTALL_HINT}", log(&dir));
    }

    /// A server on a port that the test has chosen before, see [`free_port`].
    pub(crate) fn with_port(port: u16, options: &[&str]) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let process = launch(port, &options, &dir);
        let process = process.unwrap_or_else(|| panic!("redis-server does not start:\n{}", log(&dir)));
        Self { port, options, dir, process: Mutex::new(Some(process)) }
    }

    /// The server that the tests of this binary share while at least one of them runs.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<RedisServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// `127.0.0.1:port`.
    pub(crate) fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The port.
    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// The Unix socket that it listens on too.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    /// A plain connection, for looking at what was stored. Blocking.
    pub(crate) fn connect(&self) -> redis::Connection {
        // A signal may interrupt the call; it is then no fault of the server's.
        let mut tries = (0..5).map(|_| connect(self.port));
        let done =
            tries.find(|tried| tried.as_ref().err().is_none_or(redis::RedisError::is_connection_refusal));
        done.expect("no interruption each time").expect("a connection to the test's Redis")
    }

    /// What the option called `name` is set to.
    pub(crate) fn option(&self, name: &str) -> String {
        let answer: Vec<String> = self.run(&["CONFIG", "GET", name]);
        answer.into_iter().nth(1).expect("an option")
    }

    /// Runs one command on a connection of its own. Blocking.
    pub(crate) fn run<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        query(&mut self.connect(), command).expect("an answer of the test's Redis")
    }

    /// As [`Self::run`], where the server may answer with an error.
    pub(crate) fn try_run<T: redis::FromRedisValue>(&self, command: &[&str]) -> redis::RedisResult<T> {
        query(&mut connect(self.port)?, command)
    }

    /// A section of `INFO`.
    pub(crate) fn info(&self, section: &str) -> String {
        self.run(&["INFO", section])
    }

    /// Kills it at once, as a power cut of its machine would.
    pub(crate) fn kill(&self) {
        if let Some(process) = self.lock().take() {
            process.end();
        }
    }

    /// Stops it in its tracks: it keeps its sockets and answers nothing.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on after [`Self::pause`].
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    /// Starts it again on the same port and data, killing it first where it still runs.
    pub(crate) fn restart(&self) {
        self.kill();
        for _ in 0..20 {
            if let Some(process) = launch(self.port, &self.options, &self.dir) {
                *self.lock() = Some(process);
                return;
            }
        }
        panic!("redis-server does not start again:\n{}", log(&self.dir));
    }

    fn signal(&self, signal: &str) {
        let process = self.lock();
        send_signal(signal, process.as_ref().expect("a running server").pid);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("log of the test's Redis on port {}:\n{}", self.port, log(&self.dir));
        }
    }
}

impl Process {
    fn end(mut self) {
        // Closing its input makes the keeper kill the server and exit after it.
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

/// A key prefix that no other test of this run has.
pub(crate) fn fresh_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}:", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A port that nobody listened on a moment ago. It lies below those that Linux gives to outgoing connections: one of
/// these might take it while its server is down, and the server could not come back.
pub(crate) fn free_port() -> u16 {
    let random = || RandomState::new().build_hasher().finish() % 20_000;
    let mut ports = std::iter::repeat_with(random).filter_map(|number| u16::try_from(12_000 + number).ok());
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// Polls until `happened`, for at most as long as a very busy machine may take. Blocking.
pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited too long until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The server, once it answers; nothing when it exited instead.
fn launch(port: u16, options: &[String], dir: &TempDir) -> Option<Process> {
    let port_text = port.to_string();
    let fixed = ["--port", &port_text, "--bind", "127.0.0.1", "--unixsocket", "redis.sock", "--save", ""];
    let more = ["--appendonly", "no", "--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0"];
    let options = options.iter().map(String::as_str);
    let process = spawn(&fixed.into_iter().chain(more).chain(options).collect::<Vec<_>>(), dir);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(30) {
        if is_up(port, process.pid) {
            return Some(process);
        }
        if has_exited(process.pid) {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    process.end();
    None
}

/// Valkey, or another release of Redis, where `AUTHSESSION_TEST_REDIS_SERVER` names it.
fn program() -> String {
    std::env::var("AUTHSESSION_TEST_REDIS_SERVER").unwrap_or_else(|_unset| "redis-server".to_owned())
}

/// That program with these arguments, in `dir`.
fn spawn(arguments: &[&str], dir: &TempDir) -> Process {
    let mut keeper = Command::new("sh")
        .args(["-c", KEEPER, "keeper", &program()])
        .args(arguments)
        .current_dir(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut line = String::new();
    let stdout = keeper.stdout.take().expect("a piped output");
    BufReader::new(stdout).read_line(&mut line).expect("the server's process id");
    Process { keeper, pid: line.trim().parse().expect("the server's process id") }
}

/// Whether the server that answers on `port` is the process `pid`, not a stranger, and has loaded its data.
fn is_up(port: u16, pid: u32) -> bool {
    let info = connect(port).and_then(|mut connection| query::<String>(&mut connection, &["INFO"]));
    info.is_ok_and(|info| info.contains(&format!("process_id:{pid}\r\n")) && info.contains("\nloading:0\r\n"))
}

fn has_exited(pid: u32) -> bool {
    // The state comes after the name in brackets. The keeper has not waited yet, so a dead server is a zombie.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
}

fn connect(port: u16) -> redis::RedisResult<redis::Connection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
    client.get_connection_with_timeout(Duration::from_secs(2))
}

fn query<T: redis::FromRedisValue>(
    connection: &mut redis::Connection,
    command: &[&str],
) -> redis::RedisResult<T> {
    let mut packed = redis::Cmd::new();
    for part in command {
        packed.arg(part);
    }
    packed.query(connection)
}

fn send_signal(signal: &str, pid: u32) {
    let script = format!("kill -{signal} {pid}");
    let status = Command::new("sh").args(["-c", &script]).status().expect("a shell");
    assert!(status.success(), "{script}");
}

fn log(dir: &TempDir) -> String {
    std::fs::read_to_string(dir.path().join("redis.log")).unwrap_or_default()
}
