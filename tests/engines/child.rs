//! A process of its own that commits to an embedded store, to be killed or starved by the tests in `embedded.rs`. It
//! is this test binary again, told by variables to be the child.

use std::{
    env,
    ffi::OsStr,
    io::{BufRead, BufReader, Lines, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use authsession::{
    base::World,
    engine::{Commit, Engine, Verdict, embedded::Embedded},
};

use crate::fixture::collection;

const DIR: &str = "ENGINES_CHILD_DIR";
const ROUND: &str = "ENGINES_CHILD_ROUND";

/// A running child. Killed when dropped.
pub(crate) struct Committer {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Committer {
    /// Starts one on the store in `dir`. `round` goes into the names of its items. `shell` is run first, in the same
    /// process.
    pub(crate) fn start(dir: &Path, round: usize, shell: &str) -> Self {
        let binary = env::current_exe().unwrap();
        let script = format!(r#"{shell} exec "$0" --exact child::commits_until_killed --nocapture"#);
        let mut process = Command::new("sh")
            .args([OsStr::new("-c"), OsStr::new(&script), binary.as_os_str()])
            .env(DIR, dir)
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The next thing it says: the name of a commit that was acknowledged, or `unavailable`. Nothing once it is dead.
    pub(crate) fn next(&mut self) -> Option<String> {
        // The test runner talks on the same output.
        self.lines.find_map(|line| line.ok()?.strip_prefix("child: ").map(str::to_owned))
    }

    /// Kills it at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Not a test unless it is started as the child.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_until_killed() {
    let (Some(dir), Some(round)) = (env::var_os(DIR).map(PathBuf::from), env::var_os(ROUND)) else { return };
    let round = round.into_string().unwrap();
    let store = Embedded::open(&dir, World::system()).unwrap();
    let tasks: Vec<_> = (0..16)
        .map(|task| tokio::spawn(commit_forever(Arc::clone(&store), format!("{round}-{task}"))))
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Item after item: first provisionally in `p:x`, then for good in `a:x`.
async fn commit_forever(store: Arc<Embedded>, name: String) {
    for number in 0.. {
        let name = format!("{name}-{number}");
        while store.commit(commit("p:x", &name)).await.is_err() {
            say("unavailable").await;
        }
        let mut tries = 0;
        loop {
            match store.commit(commit("a:x", &name)).await {
                Ok(Verdict::Refused(_)) if tries == 0 => panic!("{name} was there before"),
                Ok(_) => break,
                Err(_) => say("unavailable").await,
            }
            tries += 1;
        }
        say(&name).await;
    }
}

fn commit(collection_name: &str, name: &str) -> Commit {
    let to = collection(collection_name);
    let mut commit = Commit::on(to.shard);
    if collection_name == "p:x" {
        commit.provisional();
    } else {
        commit.absent(to.item(name));
        commit.announce(name.into());
    }
    commit.put(to.item(name), vec![b'v'; 100]);
    commit
}

async fn say(what: &str) {
    // One write a line, so that a kill cannot cut it in two.
    std::io::stdout().write_all(format!("child: {what}\n").as_bytes()).unwrap();
    if what == "unavailable" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
