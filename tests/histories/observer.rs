//! Reads gateway records all the time, as a gateway does with every request that it checks.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::{
    clients::Crew,
    gateway::Reader,
    history::{Moment, Status},
};

/// How many records are read at a time: the newest, and in turn the others.
const NEWEST: usize = 48;
const OTHERS: usize = 48;

/// A running observer.
pub struct Observer {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<BTreeMap<String, Moment>>,
}

impl Observer {
    /// Looks at every session that the crew knows of; nothing to look at without a gateway's Redis.
    pub fn start(crew: &Arc<Crew>) -> Option<Self> {
        let mut reader = Reader::of(&crew.stage)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (crew, told) = (Arc::clone(crew), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let (mut last_active, mut turn) = (BTreeMap::new(), 0);
            while !told.load(Ordering::SeqCst) {
                let asked_at = crew.stage.now();
                for (session, status) in reader.records(&some(&crew.opened(), turn)) {
                    if status == Some(Status::Active) {
                        last_active.insert(session, asked_at);
                    }
                }
                turn += 1;
                thread::sleep(Duration::from_millis(10));
            }
            last_active
        });
        Some(Self { stop, thread })
    }

    /// Stops it: when each session was last asked for and found active.
    pub fn finish(self) -> BTreeMap<String, Moment> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("an observer")
    }
}

fn some(sessions: &[String], turn: usize) -> Vec<String> {
    let newest = sessions.len().saturating_sub(NEWEST);
    let others =
        sessions[..newest].iter().cycle().skip((turn * OTHERS) % newest.max(1)).take(OTHERS.min(newest));
    sessions[newest..].iter().chain(others).cloned().collect()
}
