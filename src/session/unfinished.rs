//! Finishes what a process that died left half-way: a revoke-all or a block whose intent is noted in the store.

use std::{collections::HashMap, time::Duration};

use tracing::{info, warn};

use super::{
    Sessions,
    job::{CLOCK_SKEW, place_of},
    record::Job,
    revoke_all_user_sessions::Ending,
};
use crate::{
    base::Unavailable,
    engine::{Item, Place, Untold, record::Record},
    http::Stop,
};

/// How often to look for work.
const INTERVAL: Duration = Duration::from_millis(400);

/// How soon to look again while there is some. It counts as left behind when it has not moved from one look to the next;
/// so both together must stay below the repair interval.
const AGAIN: Duration = Duration::from_millis(300);

/// Jobs as they looked last time: the record, and how many sessions were still active.
type Seen = HashMap<Item, (Vec<u8>, u64)>;

impl Sessions {
    /// Looks after unfinished work until `stop`.
    pub(super) async fn finish_unfinished(&self, stop: Stop) {
        let (mut seen, mut failing) = (Seen::new(), None);
        loop {
            let pause = if seen.is_empty() { INTERVAL } else { AGAIN };
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            let cause = self.look_after_jobs(&mut seen).await.err().map(|error| error.source.to_string());
            // Once for a cause, not with every look: the store may be away for long.
            if let Some(cause) = cause.as_ref().filter(|_| cause != failing) {
                warn!(cause, "revocations that were left half-way stay so for now");
            }
            failing = cause;
        }
    }

    /// Goes through all jobs, whatever becomes of one; the error is the last one's.
    async fn look_after_jobs(&self, seen: &mut Seen) -> Result<(), Unavailable> {
        let (mut now_seen, mut result) = (Seen::new(), Ok(()));
        for (item, job) in self.store.jobs().await? {
            if self.under_way.has(&item) {
                continue;
            }
            let before = seen.remove(&item);
            match self.look_after(&item, job, before).await {
                Ok(Some(sight)) => drop(now_seen.insert(item, sight)),
                Ok(None) => {}
                Err(error) => result = Err(error),
            }
        }
        *seen = now_seen;
        result
    }

    /// Finishes the job if it has not moved since `before`; otherwise tells how it looks now.
    async fn look_after(
        &self,
        item: &Item,
        job: Vec<u8>,
        before: Option<(Vec<u8>, u64)>,
    ) -> Result<Option<(Vec<u8>, u64)>, Unavailable> {
        let place = place_of(item)?;
        let sight = (job, self.store.count_active(&place).await?);
        if before.as_ref() != Some(&sight) {
            return Ok(Some(sight));
        }
        self.finish(&place, item, &sight.0).await.map(|()| None)
    }

    async fn finish(&self, place: &Place, item: &Item, bytes: &[u8]) -> Result<(), Unavailable> {
        let job = Job::decode(item, bytes)?;
        let until = (!job.later_ones_too).then(|| job.at.after(CLOCK_SKEW));
        let revoked = self.revoke_active(&Ending { place, revocation: &job.revocation(), until }).await?;
        self.store.finish_job(item.clone(), bytes).await?;
        // Nobody waits for it, and the gateway's own sweeper would do it a little later.
        drop(self.publisher.publish(place.shard, Untold::Unknown).await);
        info!(count = revoked.len(), "finished a revocation that was left half-way");
        Ok(())
    }
}
