//! One of the two that a row compares: processes, the store under them, and the work they are given.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    load::{Batch, Load, Run},
    mailbox::Mailbox,
    process::{Process, cpu},
    store::Store,
    wire::Door,
    work::Work,
};

/// Who is measured.
pub(crate) struct Party {
    /// Services, between which the connections are shared out; or one reference.
    pub(crate) servers: Vec<Process>,
    /// Nothing for a reference that asks no Redis.
    pub(crate) store: Option<Store>,
    /// The gateway's Redis, where it is another.
    pub(crate) gateway: Option<Store>,
    pub(crate) work: Work,
    pub(crate) mailbox: Mailbox,
}

/// How long a turn is.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) concurrency: usize,
    pub(crate) time: Duration,
    /// How much is made ready of what can be done once only.
    pub(crate) expected: usize,
    /// How much is done at most.
    pub(crate) most: usize,
}

/// One turn of one party.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Turn {
    pub(crate) operations: usize,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Seconds of processor for a thousand operations.
    pub(crate) server_cpu: f64,
    pub(crate) redis_cpu: f64,
    /// The gateway's Redis, where it is another.
    pub(crate) gateway_cpu: f64,
    /// In and out of Redis, for one operation.
    pub(crate) redis_bytes: f64,
    pub(crate) wrong: usize,
    #[serde(skip)]
    pub(crate) story: Option<String>,
}

impl Party {
    pub(crate) fn doors(&self) -> Vec<Door> {
        self.servers.iter().map(|server| server.door).collect()
    }

    /// So much of its work, with this many in flight.
    pub(crate) async fn turn(&self, Plan { concurrency, time, expected, most }: Plan) -> Turn {
        let batch = self.work.batch(self, expected).await;
        let servers: Vec<u32> = self.servers.iter().map(Process::pid).collect();
        let [stores, gateways] =
            [&self.store, &self.gateway].map(|it| it.as_ref().map(Store::pids).unwrap_or_default());
        let traffic = || [&self.store, &self.gateway].into_iter().flatten().map(Store::traffic).sum::<u64>();
        let before = ([&servers, &stores, &gateways].map(|it| cpu(it)), traffic());
        let doors = self.doors();
        let load = Load { doors: &doors, mailbox: &self.mailbox, concurrency, time, most };
        let run = load.run(&batch).await;
        let after = ([&servers, &stores, &gateways].map(|it| cpu(it)), traffic());
        let mut turn = Turn::of(&run);
        let thousands = run.latencies.len() as f64 / 1000.0;
        if thousands > 0.0 {
            let cpu = |at: usize| after.0[at].saturating_sub(before.0[at]).as_secs_f64() / thousands;
            (turn.server_cpu, turn.redis_cpu, turn.gateway_cpu) = (cpu(0), cpu(1), cpu(2));
            turn.redis_bytes = (after.1 - before.1) as f64 / thousands / 1000.0;
        }
        if let Err(story) = self.work.verify(self, &batch, &run).await {
            turn.wrong += 1;
            turn.story.get_or_insert(story);
        }
        self.mailbox.empty();
        turn
    }

    /// Does all of `batch`, which must come out right.
    pub(crate) async fn finish(&self, batch: &Batch) -> Run {
        let (doors, time) = (self.doors(), Duration::from_mins(5));
        let begun = Instant::now();
        let load = Load { doors: &doors, mailbox: &self.mailbox, concurrency: 64, time, most: usize::MAX };
        let run = load.run(batch).await;
        assert!(run.wrong == 0, "wrong answers while things are made ready: {:?}", run.story);
        assert!(run.latencies.len() == batch.steps.len(), "not done within {:?}", begun.elapsed());
        run
    }
}

impl Turn {
    fn of(run: &Run) -> Self {
        let mut latencies = run.latencies.clone();
        latencies.sort_unstable();
        let at = |share: f64| {
            let place = (latencies.len() as f64 * share) as usize;
            latencies.get(place).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e6)
        };
        let none = latencies.is_empty() && run.wrong == 0;
        Self {
            operations: latencies.len(),
            per_second: latencies.len() as f64 / run.took.as_secs_f64().max(1e-9),
            p50_us: at(0.5),
            p99_us: at(0.99),
            wrong: run.wrong + usize::from(none),
            story: run.story.clone().or(none.then(|| "no answer at all".to_owned())),
            ..Self::default()
        }
    }
}

/// A party's own copy of a batch that is the same every time.
pub(crate) type Shared = Rc<Batch>;
