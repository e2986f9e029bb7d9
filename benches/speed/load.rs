//! The load: so many connections, each with one request in flight.

use std::{
    cell::{Cell, RefCell},
    io,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::{
    harness::Listener,
    mailbox::Mailbox,
    people::{self, Call},
    wire::{Connection, Door},
};

/// How long answers may take beyond the end of a turn before they count as none.
const PATIENCE: Duration = Duration::from_secs(20);

/// One operation as it is timed.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Call(Call),
    /// Send, read the mail, confirm.
    Login {
        email: String,
        device: &'static str,
    },
    /// The same, then revoke.
    Cycle {
        email: String,
        device: &'static str,
    },
}

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) steps: Vec<Step>,
    /// Begin again after the last; otherwise each is done once.
    pub(crate) endless: bool,
}

/// Who is asked, by how many at once, for how long.
#[derive(Clone, Copy)]
pub(crate) struct Load<'a> {
    pub(crate) doors: &'a [Door],
    pub(crate) mailbox: &'a Mailbox,
    pub(crate) concurrency: usize,
    /// Nobody begins anything after this; but everybody begins once.
    pub(crate) time: Duration,
    /// How many operations at most.
    pub(crate) most: usize,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Run {
    pub(crate) took: Duration,
    /// One a right answer.
    pub(crate) latencies: Vec<Duration>,
    /// How many answers were wrong, and what the first of them was.
    pub(crate) wrong: usize,
    pub(crate) story: Option<String>,
    /// The id in each right answer that had one, by the number of its step: a challenge, or a session.
    pub(crate) ids: Vec<(usize, String)>,
}

impl Load<'_> {
    /// Does `batch`: all of it once, or as much as fits into the time.
    pub(crate) async fn run(&self, batch: &Batch) -> Run {
        let (next, run) = (Cell::new(0), RefCell::new(Run::default()));
        let pairs = (0..self.concurrency).map(|number| Pair::open(self.doors[number % self.doors.len()]));
        let pairs = join_all(pairs).await;
        let begun = Instant::now();
        let clients = pairs.into_iter().map(|pair| self.client(pair, batch, (&next, begun), &run));
        let ended = timeout(self.time + PATIENCE, join_all(clients)).await;
        let mut run = run.take();
        if ended.is_err() {
            run.wrong += 1;
            run.story = Some(format!("no answer within {PATIENCE:?}"));
        }
        run
    }

    async fn client(
        &self,
        mut pair: Pair,
        batch: &Batch,
        (next, begun): (&Cell<usize>, Instant),
        run: &RefCell<Run>,
    ) {
        let count = batch.steps.len();
        let most = if batch.endless { self.most } else { self.most.min(count) };
        let mut idle = true;
        loop {
            let number = next.replace(next.get() + 1);
            let start = Instant::now();
            if number >= most || start - begun >= self.time && !idle {
                return;
            }
            idle = false;
            let number = number % count;
            let answer = self.perform(&mut pair, number, &batch.steps[number]).await;
            let end = Instant::now();
            if answer.is_err() {
                // What is still under way on the old ones belongs to nobody.
                pair = Pair::open(pair.door).await;
            }
            run.borrow_mut().note(answer.map(|id| (number, id)), end - start, end - begun);
        }
    }

    async fn perform(&self, pair: &mut Pair, number: usize, step: &Step) -> Result<Option<String>, String> {
        match step {
            Step::Call(call) => pair.call(call).await,
            Step::Login { email, device } => self.log_in(pair, email, device).await.map(Some),
            Step::Cycle { email, device } => {
                let session = self.log_in(pair, email, device).await?;
                // Only every so many are looked at again.
                pair.call(&people::revoke(&session))
                    .await
                    .map(|_| number.is_multiple_of(64).then_some(session))
            }
        }
    }

    async fn log_in(&self, pair: &mut Pair, email: &str, device: &str) -> Result<String, String> {
        let challenge = pair.call(&people::send(email)).await?.ok_or("no challenge")?;
        let code =
            self.mailbox.take(&challenge).ok_or("no mail for a challenge that was answered with 200")?;
        pair.call(&people::confirm(&challenge, &code, device)).await?.ok_or_else(|| "no session".to_owned())
    }
}

impl Run {
    fn note(&mut self, answer: Result<(usize, Option<String>), String>, latency: Duration, took: Duration) {
        self.took = took;
        match answer {
            Ok((number, id)) => {
                self.latencies.push(latency);
                self.ids.extend(id.map(|id| (number, id)));
            }
            Err(story) => {
                self.wrong += 1;
                self.story.get_or_insert(story);
            }
        }
    }
}

/// One client's connections.
struct Pair {
    door: Door,
    public: io::Result<Connection>,
    internal: io::Result<Connection>,
}

impl Pair {
    async fn open(door: Door) -> Self {
        let public = Connection::open(door.public).await;
        Self { door, public, internal: Connection::open(door.internal).await }
    }

    /// The id in the answer, where a right one has one.
    async fn call(&mut self, call: &Call) -> Result<Option<String>, String> {
        let connection = match call.listener {
            Listener::Public => &mut self.public,
            Listener::Internal => &mut self.internal,
        };
        let connection = connection.as_mut().map_err(|error| format!("no connection: {error}"))?;
        let (status, body) = connection.call(&call.bytes).await.map_err(|error| error.to_string())?;
        if status != 200 || !call.expected.is(body) {
            return Err(format!("{status} {}", String::from_utf8_lossy(body)));
        }
        Ok(call.expected.id(body))
    }
}
