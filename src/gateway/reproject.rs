//! `authsession reproject`: writes every cache record anew from the truth, for a gateway's Redis that was lost, flushed
//! or restored from a backup. Beside live traffic, by several at once, and as often as one likes.
//!
//! First the active sessions, each only where the gateway has no record of it; when they are through, the revoked ones,
//! whatever the gateway has. That order is what makes it safe: a session that is revoked between being read and being
//! written is on the second roll before that is begun, and so nothing that this has written stays active. What happens
//! meanwhile goes its usual way, see `relay`: what is opened later needs nothing of this, and a revoke that is
//! published overwrites whatever was written here. Should the gateway's Redis be lost again before the end, then again
//! after the end.
//!
//! There are no events: no session has changed. Who follows the stream and finds it gone reads the records anew.

use std::{
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use data_encoding::HEXLOWER;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use super::{GatewayRecord, RedisGateway};
use crate::{
    base::Unavailable,
    engine::{Collection, Cursor},
    http::Stop,
    session::{Census, Roll},
};

/// How many users are looked for at once. On Redis about as many keys are looked at, whatever they are: 0.4 ms.
const USERS: usize = 256;

/// How many sessions are read and written at once.
const BATCH: usize = 128;

/// How many users are read at a time.
const WIDTH: usize = 8;

/// What looking for users costs, in sessions.
const LOOK: usize = 10;

/// How often progress is told.
const TELL: Duration = Duration::from_secs(5);

/// How long to wait after a failure, and how many in a row are too many: a restart or a failover is sat out.
const RETRY: Duration = Duration::from_secs(1);
const FAILURES: u32 = 60;

/// Where a run has come to, as text that another run takes. It is told to the operator and kept nowhere: a run that is
/// given none is always a whole one, and never goes on by mistake where another left off before the loss it is to mend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    roll: Roll,
    users: Option<Cursor>,
}

/// What a run has done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// How many active sessions the gateway has a record of now, about: one may be counted twice.
    pub active: u64,
    /// How many revoked ones.
    pub revoked: u64,
    /// How many records of the store could not be read.
    pub unreadable: u64,
    /// Everything before this is done.
    pub at: Checkpoint,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ending {
    /// All is written.
    Complete,
    /// It was told to stop.
    Stopped,
    /// The store or the gateway's Redis did not answer for long.
    Unavailable(Unavailable),
}

/// The way from all sessions to the gateway's Redis.
pub struct Reprojection {
    census: Census,
    gateway: RedisGateway,
    pace: Pace,
}

impl Reprojection {
    /// From `census` to `gateway`, at most `per_second` sessions a second.
    #[must_use]
    pub fn new(census: Census, gateway: RedisGateway, per_second: u32) -> Self {
        Self { census, gateway, pace: Pace::new(per_second) }
    }

    /// Goes on from `progress` until all is written, or `stop`. Tells on the way in the log.
    pub async fn run(&self, progress: &mut Progress, stop: &Stop) -> Ending {
        let (mut failures, mut told) = (0, Instant::now());
        while !stop.is_cancelled() {
            match self.step(progress).await {
                Ok(true) => return Ending::Complete,
                Ok(false) => failures = 0,
                Err(error) if failures >= FAILURES => return Ending::Unavailable(error),
                Err(error) => {
                    if failures == 0 {
                        warn!(dependency = error.dependency, cause = %error.source, "waiting, then going on");
                    }
                    failures += 1;
                    stop.run_until_cancelled(sleep(RETRY)).await;
                }
            }
            if told.elapsed() >= TELL {
                told = Instant::now();
                progress.tell("reprojecting");
            }
        }
        Ending::Stopped
    }

    /// Does the next page of users. Whether it was the last.
    async fn step(&self, progress: &mut Progress) -> Result<bool, Unavailable> {
        let Checkpoint { roll, users } = &progress.at;
        let (roll, from) = (*roll, users.as_ref());
        self.pace.wait_for(LOOK).await;
        let page = self.census.users(roll, from, USERS).await?;
        let users = stream::iter(page.found).map(|user| self.restore(roll, user)).buffer_unordered(WIDTH);
        let sum = |all: (u64, u64), one: (u64, u64)| async move { Ok((all.0 + one.0, all.1 + one.1)) };
        let (written, unreadable) = users.try_fold((0, 0), sum).await?;
        match roll {
            Roll::Active => progress.active += written,
            Roll::Revoked => progress.revoked += written,
        }
        progress.unreadable += unreadable;
        progress.at = match (page.next, roll) {
            (Some(next), roll) => Checkpoint { roll, users: Some(next) },
            (None, Roll::Active) => Checkpoint { roll: Roll::Revoked, users: None },
            (None, Roll::Revoked) => return Ok(true),
        };
        Ok(false)
    }

    /// Writes the records of one user's sessions. How many, and how many could not be read.
    async fn restore(&self, roll: Roll, user: Collection) -> Result<(u64, u64), Unavailable> {
        let (mut written, mut unreadable, mut from) = (0, 0, None);
        loop {
            let page = self.census.sessions(roll, &user, from.as_ref(), BATCH).await?;
            let records: Vec<GatewayRecord> = page.sessions.into_iter().map(GatewayRecord::of).collect();
            for batch in records.chunks(BATCH) {
                self.pace.wait_for(batch.len()).await;
                self.gateway.restore(batch).await?;
                written += batch.len() as u64;
            }
            unreadable += page.unreadable;
            from = page.next;
            if from.is_none() {
                return Ok((written, unreadable));
            }
        }
    }
}

impl Progress {
    /// Nothing done, from `at` on.
    #[must_use]
    pub const fn starting(at: Checkpoint) -> Self {
        Self { active: 0, revoked: 0, unreadable: 0, at }
    }

    /// Logs it.
    pub fn tell(&self, message: &'static str) {
        let Self { active, revoked, unreadable, at } = self;
        info!(active, revoked, unreadable, checkpoint = %at, "{message}");
    }
}

impl Checkpoint {
    /// Before everything.
    pub const START: Self = Self { roll: Roll::Active, users: None };
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roll = match self.roll {
            Roll::Active => "active",
            Roll::Revoked => "revoked",
        };
        match &self.users {
            Some(Cursor(cursor)) => write!(f, "{roll}-{}", HEXLOWER.encode(cursor)),
            None => f.write_str(roll),
        }
    }
}

impl FromStr for Checkpoint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (roll, cursor) = match text.split_once('-') {
            Some((roll, cursor)) => (roll, Some(HEXLOWER.decode(cursor.as_bytes()).map_err(|_| ())?)),
            None => (text, None),
        };
        if cursor.as_ref().is_some_and(Vec::is_empty) {
            return Err(());
        }
        let roll = match roll {
            "active" => Roll::Active,
            "revoked" => Roll::Revoked,
            _ => return Err(()),
        };
        Ok(Self { roll, users: cursor.map(Cursor) })
    }
}

/// Lets so many sessions through a second, so that store and gateway have time for everybody else.
struct Pace {
    each: Duration,
    /// When the next may go.
    next: Mutex<Instant>,
}

impl Pace {
    fn new(per_second: u32) -> Self {
        Self { each: Duration::from_secs(1) / per_second.max(1), next: Mutex::new(Instant::now()) }
    }

    /// Returns when `sessions` more may go.
    async fn wait_for(&self, sessions: usize) {
        let turn = self.turn(Instant::now(), sessions);
        sleep_until(turn).await;
    }

    /// When `sessions` that come at `now` may go.
    fn turn(&self, now: Instant, sessions: usize) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = (*next).max(now);
        *next = turn + self.each.saturating_mul(u32::try_from(sessions).unwrap_or(u32::MAX));
        turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_read_as_it_is_printed() {
        for text in ["active", "revoked", "active-00ff", "revoked-3132"] {
            assert_eq!(text.parse::<Checkpoint>().unwrap().to_string(), text);
        }
        for wrong in ["", "both", "active-", "active-0", "active-zz", "-00", "active-00-11"] {
            assert_eq!(wrong.parse::<Checkpoint>(), Err(()), "{wrong}");
        }
    }

    #[tokio::test]
    async fn no_more_go_through_a_second_than_may() {
        let pace = Pace::new(100);
        let now = Instant::now() + Duration::from_secs(1);
        let turns: Vec<u64> = (0..5).map(|_| (pace.turn(now, 50) - now).as_secs()).collect();
        assert_eq!(turns, [0, 0, 1, 1, 2]);
        let later = now + Duration::from_mins(1);
        assert_eq!(pace.turn(later, 50), later, "what was not used is not saved up");
    }
}
