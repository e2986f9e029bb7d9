//! Processes of our own: the release binary and the reference servers. Their time and memory are read from /proc.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    harness::redis::{free_port, wait_until},
    wire::Door,
};

/// The service.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_authsession");

/// Kills the process when its own standard input ends: the kernel closes that pipe when the benchmark dies, whatever ends it.
const KEEPER: &str = r#""$@" </dev/null >/dev/null & echo $!; read line; kill -KILL $! 2>/dev/null; wait"#;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running process. Dropped, it is killed.
pub(crate) struct Process {
    keeper: Child,
    pid: u32,
    pub(crate) door: Door,
    /// From its start to its first answer.
    pub(crate) started_in: Duration,
}

impl Process {
    /// The service with these settings, besides those that every party has, once it is ready.
    pub(crate) fn service(settings: &[(String, String)]) -> Self {
        Self::start("/readyz", |[public, internal]| {
            let mut command = keeper(BINARY);
            let ours = settings.iter().map(|(name, value)| (format!("AUTHSESSION_{name}"), value.clone()));
            command.env_clear().envs(ours);
            command.env("AUTHSESSION_PUBLIC_HTTP_ADDR", public.to_string());
            command.env("AUTHSESSION_INTERNAL_HTTP_ADDR", internal.to_string());
            command
        })
    }

    /// This program again, as the reference server called `name`.
    pub(crate) fn reference(name: &str, arguments: &[&str]) -> Self {
        let program = std::env::current_exe().expect("a path to this program");
        let mut process = Self::start("/", |[public, _]| {
            let mut command = keeper(&program);
            command.args(["--reference", name, &public.to_string()]).args(arguments);
            command
        });
        process.door.internal = process.door.public;
        process
    }

    /// Somebody may take a free port before the process does: then it exits, and others are tried.
    fn start(path: &str, command: impl Fn([SocketAddr; 2]) -> Command) -> Self {
        for _ in 0..5 {
            let [public, internal] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
            let begun = Instant::now();
            let (keeper, pid) = spawn(&mut command([public, internal]));
            let door = Door { public, internal };
            let mut process = Self { keeper, pid, door, started_in: Duration::ZERO };
            while !has_exited(pid) {
                if answers(public, path) {
                    process.started_in = begun.elapsed();
                    return process;
                }
                assert!(begun.elapsed() < PATIENCE, "a process does not get ready");
                thread::sleep(Duration::from_micros(500));
            }
        }
        panic!("a process exits instead of serving");
    }

    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Lets it end in order, and waits until it has.
    pub(crate) fn stop(self) {
        let script = format!("kill -TERM {}", self.pid);
        assert!(Command::new("/bin/sh").args(["-c", &script]).status().expect("a shell").success());
        wait_until("the process ends", || has_exited(self.pid));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Closing its input makes the keeper kill the process and exit after it.
        drop(self.keeper.stdin.take());
        drop(self.keeper.wait());
    }
}

fn keeper(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", KEEPER, "keeper"]).arg(program).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn spawn(command: &mut Command) -> (Child, u32) {
    let mut keeper = command.spawn().expect("a shell");
    let mut line = String::new();
    let stdout = keeper.stdout.take().expect("a piped output");
    BufReader::new(stdout).read_line(&mut line).expect("a process id");
    (keeper, line.trim().parse().expect("a process id"))
}

/// Whether `GET path` is answered, by any status but 503.
fn answers(addr: SocketAddr, path: &str) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
        let mut status = [0; 12];
        stream.read_exact(&mut status)?;
        Ok::<_, std::io::Error>(status)
    };
    ask().is_ok_and(|status| &status != b"HTTP/1.1 503")
}

fn has_exited(pid: u32) -> bool {
    // The state comes after the name in brackets. The keeper has not waited yet, so what is dead is a zombie.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
}

/// The processor's time that these processes have had so far.
pub(crate) fn cpu(pids: &[u32]) -> Duration {
    let threads = pids.iter().filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok()).flatten();
    let nanoseconds = threads.filter_map(|thread| {
        // A kernel that does not keep this knows the same in hundredths of a second only: too coarse to be of use.
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Resident memory, in bytes.
pub(crate) fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line on memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kilobytes") * 1024
}
