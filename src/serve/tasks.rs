//! The background work: watched while the service runs, told to stop when it drains.

use std::collections::HashMap;

use tokio::task::{Id, JoinError, JoinSet};
use tracing::{Instrument, error, info_span};

use crate::http::{Stop, Task};

pub(super) struct Tasks {
    running: JoinSet<()>,
    names: HashMap<Id, &'static str>,
    stop: Stop,
}

impl Tasks {
    pub(super) fn start(tasks: Vec<Task>) -> Self {
        let stop = Stop::new();
        let mut running = JoinSet::new();
        let start = |Task { name, run }| {
            let work = run(stop.clone()).instrument(info_span!("task", task = name));
            (running.spawn(work).id(), name)
        };
        let names = tasks.into_iter().map(start).collect();
        Self { running, names, stop }
    }

    /// Returns when one has ended that nobody told to; never where there are none.
    pub(super) async fn one_ended(&mut self) {
        match self.running.join_next_with_id().await {
            Some(ended) => self.report(&ended),
            None => std::future::pending().await,
        }
    }

    /// Tells all to stop, and waits.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.running.join_next_with_id().await {
            if ended.is_err() {
                self.report(&ended);
            }
        }
    }

    /// Ends whatever still runs, where it stands.
    pub(super) async fn shutdown(&mut self) {
        self.running.shutdown().await;
    }

    fn report(&self, ended: &Result<(Id, ()), JoinError>) {
        let (id, how) = match ended {
            Ok((id, ())) => (*id, "returned"),
            Err(error) => (error.id(), "panicked"),
        };
        let task = self.names.get(&id).copied().unwrap_or_default();
        error!(task, how, "background task ended by itself");
    }
}
