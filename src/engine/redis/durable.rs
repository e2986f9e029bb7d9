//! Commits that count only once replicas have them. Those that wait share one connection and one `WAIT`, which
//! costs a fraction of a `WAIT` each.

use std::sync::Arc;

use redis::{Cmd, Pipeline, RedisError, RedisResult, Value, from_redis_value};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{
    commit::{Call, SCRIPT, verdict},
    keys::KeyNames,
    lane::Lane,
    script::is_unknown_script,
};
use crate::{
    base::Unavailable,
    engine::{Commit, Verdict},
};

/// How many commits share a `WAIT` at most.
const BATCH: usize = 128;

/// Takes commits; the task behind it ends with it.
pub(super) struct Durable {
    queue: mpsc::Sender<Job>,
    lane: Lane,
}

struct Job {
    commit: Commit,
    reply: oneshot::Sender<Result<Verdict, Unavailable>>,
}

impl Durable {
    /// Over `lane`, which nobody else uses: every answer on it waits for replicas. Must be inside a Tokio runtime.
    pub(super) fn open(lane: Lane, names: Arc<KeyNames>, replicas: u64) -> Self {
        let (queue, jobs) = mpsc::channel(4 * BATCH);
        tokio::spawn(Batches { lane: lane.clone(), names, replicas }.run(jobs));
        Self { queue, lane }
    }

    /// Commits, and waits for the replicas. An error may mean that it happened on the master only.
    pub(super) async fn commit(&self, commit: Commit) -> Result<Verdict, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            if self.queue.send(Job { commit, reply }).await.is_err() {
                return Err(Unavailable::new("store", "durable commits have stopped"));
            }
            answer.await.unwrap_or_else(|gone| Err(Unavailable::new("store", gone)))
        };
        timeout(self.lane.patience(), asked).await.unwrap_or_else(|late| Err(Unavailable::new("store", late)))
    }
}

struct Batches {
    lane: Lane,
    names: Arc<KeyNames>,
    replicas: u64,
}

impl Batches {
    async fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let mut batch = Vec::with_capacity(BATCH);
        while jobs.recv_many(&mut batch, BATCH).await > 0 {
            // Who has given up would not learn that his commit happened after all.
            batch.retain(|job| !job.reply.is_closed());
            if !batch.is_empty() {
                self.serve(std::mem::take(&mut batch)).await;
            }
        }
    }

    async fn serve(&self, batch: Vec<Job>) {
        match self.answers(&batch).await {
            Ok(answers) => {
                for (job, answer) in batch.into_iter().zip(answers) {
                    let verdict = answer.and_then(verdict).map_err(|error| self.lane.unavailable(error));
                    drop(job.reply.send(verdict));
                }
            }
            Err(error) => {
                let cause = error.source.to_string();
                for job in batch {
                    drop(job.reply.send(Err(Unavailable::new("store", cause.clone()))));
                }
            }
        }
    }

    async fn answers(&self, batch: &[Job]) -> Result<Vec<RedisResult<Value>>, Unavailable> {
        let calls: Vec<Call<'_>> = batch.iter().map(|job| Call::new(&self.names, &job.commit)).collect();
        let by_hash = calls.iter().map(|call| SCRIPT.by_hash(&call.keys, &call.args));
        let mut answers = self.send(batch, by_hash).await?;
        let is_unknown = |answer: &RedisResult<Value>| answer.as_ref().is_err_and(is_unknown_script);
        if answers.iter().any(is_unknown) {
            // Only those that did not run are sent again.
            let missing = calls.iter().zip(&answers).filter(|(_, answer)| is_unknown(answer));
            let by_source = missing.map(|(call, _)| SCRIPT.by_source(&call.keys, &call.args));
            let late = self.send(batch, by_source).await?;
            answers
                .iter_mut()
                .filter(|answer| is_unknown(answer))
                .zip(late)
                .for_each(|(gap, late)| *gap = late);
        }
        Ok(answers)
    }

    /// The answers to `calls`, once enough replicas have what they read and wrote.
    async fn send(
        &self,
        batch: &[Job],
        calls: impl Iterator<Item = Cmd>,
    ) -> Result<Vec<RedisResult<Value>>, Unavailable> {
        let mut pipeline = Pipeline::new();
        for call in calls {
            pipeline.add_command(call);
        }
        // `WAIT` waits for the last write of this connection. A commit that was refused wrote nothing, but what it
        // found may be a write of another connection that no replica has yet: this write comes after that one.
        if let Some(job) = batch.first() {
            pipeline.cmd("SET").arg(self.names.mark(job.commit.shard())).arg("");
        }
        let wait = self.lane.patience() * 3 / 4;
        pipeline.cmd("WAIT").arg(self.replicas).arg(wait.as_millis().max(1).to_string());
        let mut answers = self.lane.pipe_each(pipeline).await?;
        let unavailable = |error: RedisError| self.lane.unavailable(error);
        let acknowledged: u64 = match answers.pop() {
            Some(answer) => {
                from_redis_value(answer.map_err(unavailable)?).map_err(|error| unavailable(error.into()))?
            }
            None => 0,
        };
        if acknowledged < self.replicas {
            return Err(Unavailable::new("store", format!("only {acknowledged} replicas have the commit")));
        }
        Ok(answers)
    }
}
