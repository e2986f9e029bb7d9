//! Finishes what a process that died left half-way: a revoke-all or a block whose intent is noted in the store.

use std::{collections::HashMap, time::Duration};

use tracing::{info, warn};

use super::{Sessions, job::place_of, pages::ActivePage, record::Job};
use crate::{
    base::Unavailable,
    engine::{Item, Place, record::Record},
    http::Stop,
};

/// How often to look. Work counts as left behind when it has not moved from one look to the next.
const INTERVAL: Duration = Duration::from_millis(400);

/// A session that was opened this much later than a job by its clock may still have been opened before it.
const CLOCK_SKEW: Duration = Duration::from_secs(2);

/// Jobs as they looked last time: the record, and how many sessions were still active.
type Seen = HashMap<Item, (Vec<u8>, u64)>;

impl Sessions {
    /// Looks after unfinished work until `stop`.
    pub(super) async fn finish_unfinished(&self, stop: Stop) {
        let (mut seen, mut failing) = (Seen::new(), None);
        while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
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
        let until = job.at.after(CLOCK_SKEW);
        let mut meant = self.all_active(place).await?;
        meant.retain(|kept| job.later_ones_too || kept.session.created_at <= until);
        let page = ActivePage { sessions: meant, next: None };
        let revoked = self.revoke_pages(place, &job.revocation(), page, None).await?;
        self.store.finish_job(item.clone(), bytes).await?;
        info!(count = revoked.len(), "finished a revocation that was left half-way");
        Ok(())
    }
}
