//! The real binary as a process of its own: started with an environment, watched through its log, ended by signals.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::Value;

use super::{PATIENCE, Wire, eventually};

const BINARY: &str = env!("CARGO_BIN_EXE_authsession");

/// Kills the process it is given when its own standard input ends, as it does when the tests are killed.
const KEEPER: &str = "read line; kill -KILL $1";

/// The binary with these settings (names without `AUTHSESSION_` unless they start with another known prefix) and
/// nothing else in its environment.
pub fn command(settings: &[(&str, &str)]) -> Command {
    let mut command = Command::new(BINARY);
    command.env_clear();
    for (name, value) in settings {
        let foreign = ["OTEL_", "RUST_", "AUTHSESSION_"].iter().any(|prefix| name.starts_with(prefix));
        let name = if foreign { (*name).to_owned() } else { format!("AUTHSESSION_{name}") };
        command.env(name, value);
    }
    command.stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub fn run(settings: &[(&str, &str)], arguments: &[&str]) -> Output {
    command(settings).args(arguments).output().expect("the binary")
}

/// A running service process. Dropped, it is killed.
pub struct Service {
    child: Child,
    keeper: Child,
    log: Arc<Mutex<Vec<String>>>,
    stderr: Arc<Mutex<String>>,
    /// The way to it.
    pub wire: Wire,
}

impl Service {
    /// Starts it on free ports, and waits until both listeners are ready.
    pub async fn start(settings: &[(&str, &str)]) -> Self {
        let ports = [("PUBLIC_HTTP_ADDR", "127.0.0.1:0"), ("INTERNAL_HTTP_ADDR", "127.0.0.1:0")];
        let all: Vec<(&str, &str)> = ports.iter().chain(settings).copied().collect();
        Self::of(command(&all)).await
    }

    /// Starts it, allowed to have so many files open.
    pub async fn start_with_files(files: usize, settings: &[(&str, &str)]) -> Self {
        let ports = [("PUBLIC_HTTP_ADDR", "127.0.0.1:0"), ("INTERNAL_HTTP_ADDR", "127.0.0.1:0")];
        let plain = command(&ports.iter().chain(settings).copied().collect::<Vec<_>>());
        let mut limited = Command::new("/bin/sh");
        limited.args(["-c", &format!("ulimit -n {files} && exec {BINARY}")]).env_clear();
        limited.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
        Self::of(limited).await
    }

    /// Starts the service that `command` is, and waits until both listeners are ready.
    pub async fn of(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary");
        let keeper = Command::new("/bin/sh")
            .args(["-c", KEEPER, "keeper", &child.id().to_string()])
            .stdin(Stdio::piped())
            .spawn()
            .expect("a shell");
        let (log, stderr) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<String>>::default());
        let (stdout, kept) = (child.stdout.take().expect("a pipe"), Arc::clone(&log));
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let (mut faults, kept) = (child.stderr.take().expect("a pipe"), Arc::clone(&stderr));
        thread::spawn(move || {
            let mut text = String::new();
            let _ = faults.read_to_string(&mut text);
            *kept.lock().unwrap() = text;
        });
        let mut service = Self { child, keeper, log, stderr, wire: Wire::to("unknown", "unknown") };
        let public = service.address("public listener ready").await;
        let internal = service.address("internal listener ready").await;
        service.wire = Wire::to(&public, &internal);
        service
    }

    /// Every line of the log so far.
    pub fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Every line of the log so far as JSON, which it must be.
    pub fn records(&self) -> Vec<Value> {
        let parse = |line: &String| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the log line {line:?}"))
        };
        self.lines().iter().map(parse).collect()
    }

    /// What it wrote to standard error; complete once it has ended.
    pub fn errors(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The code that stub mail logged for this challenge.
    pub async fn code_for(&self, challenge: &str) -> String {
        let find = async || {
            let records = self.records();
            let record = records.iter().find(|record| record["challenge_id"] == challenge)?;
            Some(record["code"].as_str()?.to_owned())
        };
        eventually("the code is in the log", find).await
    }

    /// Kilobytes of memory that the process has had at most, and has now.
    pub fn memory(&self) -> (u64, u64) {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("a process");
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            line.trim().trim_end_matches(" kB").parse().expect("kilobytes")
        };
        (of("VmHWM:"), of("VmRSS:"))
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Any signal, by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap().success());
    }

    /// Kills it at once, and waits until it is gone.
    pub fn kill(&mut self) {
        // The keeper first: the number of a process that is gone may soon be another's.
        for process in [&mut self.keeper, &mut self.child] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the process ends", async || self.child.try_wait().unwrap()).await
    }

    async fn address(&mut self, message: &str) -> String {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let says = |record: &&Value| record["message"] == message;
            if let Some(record) = self.records().iter().find(says) {
                return record["addr"].as_str().expect("an address").to_owned();
            }
            let running = self.child.try_wait().unwrap().is_none();
            let story = || format!("{}\n{}", self.lines().join("\n"), self.errors());
            assert!(running && std::time::Instant::now() < deadline, "no {message:?}:\n{}", story());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            eprintln!("log of the service:\n{}", self.lines().join("\n"));
        }
    }
}
