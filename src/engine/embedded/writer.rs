//! The one thread that writes. It gathers what waits in its queue into one transaction, so that many commits share
//! one sync of the disk, and answers each only after that sync. A provisional commit need not wait for it: it is on the
//! disk with the next one that does, for the file keeps them in order.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use redb::{Durability, WriteTransaction};
use tokio::sync::{oneshot, watch};

use super::{
    apply::{apply, write},
    disk::{Disk, Snapshot},
    housekeeping,
    tables::{self, DUE, MARKS, OUTBOX, Tables},
};
use crate::{
    base::{Unavailable, World},
    engine::{Commit, Position, Verdict},
};

/// How many jobs share a transaction at most.
const BATCH: usize = 512;
/// How often to look for collections that are due.
const PURGE_INTERVAL: Duration = Duration::from_secs(1);
/// How many of their items to remove in one go: callers wait meanwhile.
const PURGE_BUDGET: usize = 1000;

/// Something to write, and whom to tell.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) reply: oneshot::Sender<Result<Verdict, Unavailable>>,
}

/// What to write. All but a commit end as `Done`.
pub(super) enum Work {
    /// A caller's atomic step.
    Commit(Commit),
    /// Forget announcements up to and including this one.
    Trim(Position),
    /// Forget all but so many announcements.
    Retain(u64),
    /// Nothing: whether writing works.
    Probe,
}

impl Work {
    const fn is_provisional(&self) -> bool {
        matches!(self, Self::Commit(commit) if commit.is_provisional())
    }
}

/// Whether what a transaction changed must be on the disk before it is answered. In order of strength.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Nothing,
    Forgettable,
    Lasting,
}

/// The writer's side of the store.
pub(super) struct Writer {
    disk: Arc<Disk>,
    world: World,
    end: Position,
    /// Tells followers of the log how far it has grown.
    grown: watch::Sender<Position>,
    healthy: bool,
    /// What is not on the disk yet, in order: it is done again where the file had to be opened anew.
    provisional: Vec<Commit>,
    next_purge: Instant,
}

impl Writer {
    /// Goes on from where the file ends.
    pub(super) fn new(disk: Arc<Disk>, world: World) -> Result<Self, redb::Error> {
        let end = disk.read(|Snapshot { all, .. }| {
            Ok(tables::end(&all.open_table(OUTBOX)?, &all.open_table(MARKS)?)?)
        })?;
        let grown = watch::Sender::new(end);
        Ok(Self {
            disk,
            world,
            end,
            grown,
            healthy: true,
            provisional: Vec::new(),
            next_purge: Instant::now(),
        })
    }

    /// Follows the growth of the log.
    pub(super) fn follow(&self) -> watch::Receiver<Position> {
        self.grown.subscribe()
    }

    /// Works until nobody can send any more and everything sent is done.
    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        loop {
            let wait = self.next_purge.saturating_duration_since(Instant::now());
            match queue.recv_timeout(wait) {
                Ok(first) => {
                    let all = std::iter::once(first).chain(queue.try_iter()).take(BATCH);
                    let (quick, lasting): (Vec<Job>, Vec<Job>) =
                        all.partition(|job| job.work.is_provisional());
                    self.serve(quick);
                    self.serve(lasting);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.next_purge <= Instant::now() {
                self.keep();
                self.purge();
            }
        }
    }

    /// Puts on the disk what is not there yet.
    fn keep(&mut self) {
        if !self.provisional.is_empty() {
            // A failure is in the log; what waits is kept for later.
            drop(self.transact(|_, _| Ok((Change::Lasting, ()))));
        }
    }

    /// Does all of `jobs` in one transaction and answers them.
    fn serve(&mut self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        let before = self.end;
        match self.transact(|writer, tables| writer.apply_all(tables, &jobs)) {
            Ok(verdicts) => {
                // Not what a failed transaction before this one has left: nothing can be read there.
                if self.end != before {
                    self.grown.send_replace(self.end);
                }
                for (job, verdict) in jobs.into_iter().zip(verdicts) {
                    if let (Work::Commit(commit), Verdict::Done) = (job.work, &verdict)
                        && commit.is_provisional()
                    {
                        self.provisional.push(commit);
                    }
                    // Whoever asked may have given up; the work is done all the same.
                    drop(job.reply.send(Ok(verdict)));
                }
            }
            Err(error) => {
                let cause = error.to_string();
                for job in jobs {
                    drop(job.reply.send(Err(Unavailable::new("store", cause.clone()))));
                }
            }
        }
    }

    fn apply_all(
        &mut self,
        tables: &mut Tables<'_>,
        jobs: &[Job],
    ) -> Result<(Change, Vec<Verdict>), redb::Error> {
        let mut change = Change::Nothing;
        let mut verdicts = Vec::with_capacity(jobs.len());
        let now = self.world.now();
        let forgets = |forgot| if forgot { Change::Forgettable } else { Change::Nothing };
        for job in jobs {
            let (made, verdict) = match &job.work {
                Work::Commit(commit) => match apply(tables, commit, now, &mut self.end)? {
                    Verdict::Done if commit.is_provisional() => (Change::Forgettable, Verdict::Done),
                    Verdict::Done => (Change::Lasting, Verdict::Done),
                    refused @ Verdict::Refused(_) => (Change::Nothing, refused),
                },
                Work::Trim(through) => (forgets(housekeeping::trim(tables, *through)?), Verdict::Done),
                Work::Retain(keep) => (forgets(housekeeping::retain(tables, *keep)?), Verdict::Done),
                Work::Probe => (Change::Nothing, Verdict::Done),
            };
            change = change.max(made);
            verdicts.push(verdict);
        }
        Ok((change, verdicts))
    }

    /// Removes some of what is due; comes back soon if there is more.
    fn purge(&mut self) {
        let now = self.world.now();
        let due =
            self.disk.read(|snapshot| Ok(housekeeping::first_due(&snapshot.all.open_table(DUE)?, now)?));
        let more = match due {
            Ok(None) | Err(_) => ControlFlow::Break(()),
            Ok(Some(_)) => self
                .transact(|_, tables| {
                    Ok((Change::Forgettable, housekeeping::purge(tables, now, PURGE_BUDGET)?))
                })
                .unwrap_or(ControlFlow::Break(())),
        };
        self.next_purge = Instant::now() + if more.is_continue() { Duration::ZERO } else { PURGE_INTERVAL };
    }

    /// Does once more what the file has forgotten. It has been checked: what the file has now may be older than that, for it
    /// has forgotten what was thrown away meanwhile, too.
    fn redo(&mut self) -> Result<(), redb::Error> {
        let (now, end) = (self.world.now(), &mut self.end);
        self.disk.write(|database| {
            let transaction = database.begin_write()?;
            {
                let mut tables = Tables::open(&transaction)?;
                for commit in &self.provisional {
                    write(&mut tables, commit, now, end)?;
                }
            }
            Ok(transaction.commit()?)
        })?;
        self.provisional.clear();
        Ok(())
    }

    /// Runs `job` in one transaction, which ends as the change that it made demands.
    fn transact<T>(
        &mut self,
        job: impl FnOnce(&mut Self, &mut Tables<'_>) -> Result<(Change, T), redb::Error>,
    ) -> Result<T, redb::Error> {
        let disk = Arc::clone(&self.disk);
        if !self.healthy {
            disk.reopen()?;
            self.redo()?;
        }
        let outcome = disk.write(|database| {
            let mut transaction = database.begin_write()?;
            let (change, outcome) = job(self, &mut Tables::open(&transaction)?)?;
            end(&mut transaction, change)?;
            finish(transaction, change)?;
            if change == Change::Lasting {
                self.provisional.clear();
            }
            Ok(outcome)
        });
        match &outcome {
            Ok(_) if !self.healthy => tracing::info!("the embedded store can write again"),
            Err(error) if self.healthy => tracing::error!(error = %error, "the embedded store cannot write"),
            Ok(_) | Err(_) => {}
        }
        self.healthy = outcome.is_ok();
        outcome
    }
}

fn end(transaction: &mut WriteTransaction, change: Change) -> Result<(), redb::Error> {
    match change {
        Change::Nothing | Change::Lasting => Ok(()),
        // Rides on the next sync that a commit pays for.
        Change::Forgettable => Ok(transaction.set_durability(Durability::None)?),
    }
}

fn finish(transaction: WriteTransaction, change: Change) -> Result<(), redb::Error> {
    match change {
        Change::Nothing => Ok(transaction.abort()?),
        Change::Forgettable | Change::Lasting => Ok(transaction.commit()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Collection, Item, Shard, embedded::tables::value_of};

    fn put(item: &Item, value: &[u8]) -> Commit {
        let mut commit = Commit::on(item.collection.shard);
        commit.put(item.clone(), value.to_vec());
        commit
    }

    #[test]
    fn what_was_checked_is_done_again_though_the_file_has_what_had_been_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(Disk::open(dir.path()).unwrap());
        let mut writer = Writer::new(Arc::clone(&disk), World::system()).unwrap();
        let item = Collection::new(Shard::from_index(7).unwrap(), "l:x").item("l");
        let (reply, _) = oneshot::channel();
        writer.serve(vec![Job { work: Work::Commit(put(&item, b"over")), reply }]);
        // Thrown away, then written anew: all of that is forgotten when the file is opened anew.
        let mut anew = put(&item, b"new");
        anew.absent(item.clone());
        anew.provisional();
        writer.provisional.push(anew);
        writer.healthy = false;
        writer.keep();
        let value = disk.read(|snapshot| Ok(value_of(&snapshot.items, &item)?)).unwrap();
        assert_eq!(value.as_deref(), Some(&b"new"[..]));
    }
}
