//! Clients that commit all the time, and remember what was acknowledged: what a fault may not take away.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use authsession::base::Unavailable;
use authsession::engine::{Collection, Commit, Engine, Verdict, redis::Redis};
use tokio::task::JoinHandle;

use crate::fixture::{shard, until};

const CLIENTS: usize = 12;
/// Sentinels take ten seconds to tell an old master that it is one no more.
const PATIENCE: Duration = Duration::from_secs(30);

/// Clients at work. Each commits to shards all over the cluster.
pub(crate) struct Load {
    engine: Arc<Redis>,
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    acknowledged: Vec<(u16, String)>,
    failed: usize,
    slowest: Duration,
    away: Duration,
    last: Option<String>,
}

/// What happened, for whoever reads the test's output.
pub(crate) struct Report {
    pub(crate) acknowledged: usize,
    pub(crate) failed: usize,
    pub(crate) lost: usize,
    /// The slowest answer.
    pub(crate) slowest: Duration,
    /// The longest time for which one client got nothing done.
    pub(crate) away: Duration,
    last: Option<String>,
}

impl Load {
    /// Starts it.
    pub(crate) fn start(engine: &Arc<Redis>) -> Self {
        let shared = Arc::new(Shared::default());
        let tasks = (0..CLIENTS)
            .map(|client| tokio::spawn(work(Arc::clone(engine), Arc::clone(&shared), client)))
            .collect();
        Self { engine: Arc::clone(engine), shared, tasks }
    }

    /// Waits until so many more commits are acknowledged.
    pub(crate) async fn goes_on(&self, more: usize) {
        let count = || self.shared.record.lock().unwrap().acknowledged.len();
        let before = count();
        let begun = Instant::now();
        while count() < before + more {
            assert!(begun.elapsed() < PATIENCE, "no commits are acknowledged");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Ends it and looks whether everything acknowledged is there.
    pub(crate) async fn end(self) -> Report {
        self.shared.stop.store(true, SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
        let record = std::mem::take(&mut *self.shared.record.lock().unwrap());
        let mut lost = 0;
        for (index, name) in &record.acknowledged {
            let item = Collection::new(shard(*index), "a:x").item(name.as_str());
            let mut found = None;
            until("the store answers", async || {
                found = self.engine.get(std::slice::from_ref(&item)).await.ok();
                found.is_some()
            })
            .await;
            lost += usize::from(found.unwrap()[0].is_none());
        }
        Report {
            acknowledged: record.acknowledged.len(),
            failed: record.failed,
            lost,
            slowest: record.slowest,
            away: record.away,
            last: record.last,
        }
    }
}

async fn work(engine: Arc<Redis>, shared: Arc<Shared>, client: usize) {
    let mut served = Instant::now();
    for number in 0_usize.. {
        if shared.stop.load(SeqCst) {
            break;
        }
        let index = u16::try_from((client * 85 + number * 37) % 1024).unwrap();
        let name = format!("{client}-{number}");
        let collection = Collection::new(shard(index), "a:x");
        let mut commit = Commit::on(collection.shard);
        commit.absent(collection.item(name.as_str()));
        commit.put(collection.item(name.as_str()), b"1".into());
        commit.announce(name.clone().into_bytes());
        let begun = Instant::now();
        let answer = engine.commit(commit).await;
        let took = begun.elapsed();
        let done = matches!(answer, Ok(Verdict::Done));
        let away = served.elapsed();
        if done {
            served = Instant::now();
        }
        shared.record.lock().unwrap().note(answer.map(|verdict| (verdict, index, name)), took, away);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

impl Record {
    fn note(&mut self, answer: Result<(Verdict, u16, String), Unavailable>, took: Duration, away: Duration) {
        self.slowest = self.slowest.max(took);
        match answer {
            Ok((Verdict::Done, index, name)) => {
                self.acknowledged.push((index, name));
                self.away = self.away.max(away);
            }
            Ok((Verdict::Refused(_), _, name)) => panic!("{name} was there before"),
            Err(error) => {
                self.failed += 1;
                self.last = Some(error.source.to_string());
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, failed, lost, slowest, away, last } = self;
        write!(
            f,
            "{acknowledged} acknowledged, {lost} lost, {failed} failed, slowest answer {slowest:?}, longest time \
             without an answer for one client {away:?}, last error {last:?}"
        )
    }
}
