//! Calls that count only once replicas have them. Those that wait share one connection and one `WAIT`, which costs a
//! fraction of a `WAIT` each.

use std::{io, sync::Arc};

use redis::{Cmd, RedisResult, Value, cmd, from_redis_value};
use tokio::{
    sync::{mpsc, oneshot},
    task::yield_now,
    time::{Instant, timeout_at},
};

use super::{
    call::{Call, What},
    lane::{Lane, commands},
    script::is_unknown_script,
    topology::failed,
};

/// How many jobs share a `WAIT` at most.
const BATCH: usize = 128;
/// How often the others are let on before a batch goes out, at most.
const ROUNDS: usize = 4;

/// One answer a call, each with its own error.
pub(super) type Answers = Vec<RedisResult<Value>>;

/// Takes calls; the task behind it ends with it.
pub(super) struct Durable {
    queue: mpsc::Sender<Job>,
}

struct Job {
    calls: Vec<Arc<Call>>,
    /// They are for a slot that is on its way to this server.
    asking: bool,
    reply: oneshot::Sender<RedisResult<Answers>>,
}

/// A call of some job.
#[derive(Clone, Copy)]
struct Part<'a> {
    call: &'a Call,
    asking: bool,
    by_source: bool,
}

impl Durable {
    /// Over `lane`, which nobody else uses: every answer on it waits for replicas. Must be inside a Tokio runtime.
    pub(super) fn open(lane: Lane, replicas: u64) -> Self {
        let (queue, jobs) = mpsc::channel(4 * BATCH);
        tokio::spawn(Batches { lane, replicas }.run(jobs));
        Self { queue }
    }

    /// The answers to `calls`, once enough replicas have what they read and wrote. An error may mean that they were
    /// done on the master only.
    pub(super) async fn calls(
        &self,
        calls: Vec<Arc<Call>>,
        asking: bool,
        until: Instant,
    ) -> RedisResult<Answers> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            if self.queue.send(Job { calls, asking, reply }).await.is_err() {
                return Err(failed("durable calls have stopped"));
            }
            answer.await.unwrap_or_else(|_gone| Err(failed("durable calls have stopped")))
        };
        timeout_at(until, asked)
            .await
            .unwrap_or_else(|_late| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }
}

struct Batches {
    lane: Lane,
    replicas: u64,
}

impl Batches {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(first) = jobs.recv().await {
            batch.push(first);
            gathered(&jobs).await;
            while batch.len() < BATCH
                && let Ok(job) = jobs.try_recv()
            {
                batch.push(job);
            }
            // Who has given up would not learn that it happened after all.
            batch.retain(|job| !job.reply.is_closed());
            if !batch.is_empty() {
                self.serve(std::mem::take(&mut batch)).await;
            }
        }
    }

    async fn serve(&self, batch: Vec<Job>) {
        let parts = |job: &Job| {
            let asking = job.asking;
            job.calls.iter().map(move |call| (Arc::clone(call), asking)).collect::<Vec<_>>()
        };
        let calls: Vec<(Arc<Call>, bool)> = batch.iter().flat_map(parts).collect();
        let parts: Vec<Part<'_>> =
            calls.iter().map(|(call, asking)| Part { call, asking: *asking, by_source: false }).collect();
        match self.answers(&parts).await {
            Ok(answers) => {
                let mut answers = answers.into_iter();
                for job in batch {
                    drop(job.reply.send(Ok(answers.by_ref().take(job.calls.len()).collect())));
                }
            }
            Err(error) => batch.into_iter().for_each(|job| drop(job.reply.send(Err(error.clone())))),
        }
    }

    async fn answers(&self, parts: &[Part<'_>]) -> RedisResult<Answers> {
        let mut answers = self.send(parts).await?;
        let is_unknown = |answer: &RedisResult<Value>| answer.as_ref().is_err_and(is_unknown_script);
        if answers.iter().any(is_unknown) {
            // Only those that did not run are sent again.
            let missing: Vec<Part<'_>> = parts
                .iter()
                .zip(&answers)
                .filter(|(_, answer)| is_unknown(answer))
                .map(|(part, _)| Part { by_source: true, ..*part })
                .collect();
            let late = self.send(&missing).await?;
            answers
                .iter_mut()
                .filter(|answer| is_unknown(answer))
                .zip(late)
                .for_each(|(gap, late)| *gap = late);
        }
        Ok(answers)
    }

    /// The answers to `parts`, once enough replicas have what they read and wrote.
    async fn send(&self, parts: &[Part<'_>]) -> RedisResult<Answers> {
        // What was found may be a write of another connection that no replica has yet: the mark comes after that one.
        let mark = parts.iter().find_map(Part::mark).unwrap_or_default();
        let calls = parts.iter().flat_map(Part::commands);
        let all = commands(calls.chain(mark.iter().cloned()).chain([self.wait()]));
        let mut raw = self.lane.pipe_each(&all, self.deadline()).await?;
        let waited = raw.pop();
        let marked = raw.drain(raw.len().saturating_sub(mark.len())..).all(|answer| answer.is_ok());
        let mut raw = raw.into_iter();
        let answers: Answers = parts.iter().map(|part| part.answer(&mut raw)).collect();
        if marked {
            self.check(waited)?;
        } else {
            self.mark_elsewhere(parts, &answers).await?;
        }
        Ok(answers)
    }

    /// Waits for the replicas once more, by the mark of a call that was answered: the slot of the first one may have
    /// gone to another server.
    async fn mark_elsewhere(&self, parts: &[Part<'_>], answers: &Answers) -> RedisResult<()> {
        let mut answered = parts.iter().zip(answers).filter(|(_, answer)| answer.is_ok());
        // If every call has failed there is nothing to wait for.
        let Some(mark) = answered.find_map(|(part, _)| part.mark()) else { return Ok(()) };
        let all = commands(mark.into_iter().chain([self.wait()]));
        let mut raw = self.lane.pipe_each(&all, self.deadline()).await?;
        let waited = raw.pop();
        raw.into_iter().collect::<RedisResult<Vec<Value>>>()?;
        self.check(waited)
    }

    fn wait(&self) -> Cmd {
        let patience = self.lane.patience() * 3 / 4;
        let mut wait = cmd("WAIT");
        wait.arg(self.replicas).arg(patience.as_millis().max(1).to_string());
        wait
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.lane.patience()
    }

    fn check(&self, waited: Option<RedisResult<Value>>) -> RedisResult<()> {
        let acknowledged: u64 = match waited {
            Some(answer) => from_redis_value(answer?)?,
            None => 0,
        };
        if acknowledged < self.replicas {
            return Err(failed(&format!("only {acknowledged} replicas have the commit")));
        }
        Ok(())
    }
}

/// Lets everybody go on who can, while more jobs come of it: a `WAIT` costs master and replica the same for one as for
/// many.
async fn gathered(jobs: &mpsc::Receiver<Job>) {
    for _ in 0..ROUNDS {
        let before = jobs.len();
        yield_now().await;
        if jobs.len() == before {
            return;
        }
    }
}

impl Part<'_> {
    fn commands(&self) -> Vec<Cmd> {
        let command = match (&self.call.what, self.by_source) {
            (What::Command(command), _) => command.clone(),
            (What::Script(script), false) => script.by_hash(),
            (What::Script(script), true) => script.by_source(),
        };
        self.with_permission(command)
    }

    /// The write that changes nothing, ready to be sent.
    fn mark(&self) -> Option<Vec<Cmd>> {
        self.call.mark.clone().map(|mark| self.with_permission(mark))
    }

    /// `ASKING` is good for one command.
    fn with_permission(&self, command: Cmd) -> Vec<Cmd> {
        if self.asking { vec![cmd("ASKING"), command] } else { vec![command] }
    }

    /// Takes this part's answer off `raw`.
    fn answer(&self, raw: &mut impl Iterator<Item = RedisResult<Value>>) -> RedisResult<Value> {
        if self.asking {
            raw.next();
        }
        raw.next().unwrap_or_else(|| Err(failed("an answer is missing")))
    }
}
