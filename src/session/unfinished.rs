//! Finishes what a process that died left half-way: a revoke-all or a block whose intent is noted in the store.

use std::{collections::HashMap, time::Duration};

use tracing::{info, warn};

use super::{
    Sessions,
    store::{ActivePage, Store},
};
use crate::{base::Unavailable, engine::Place, http::Stop};

/// How often to look. Work counts as left behind when it has not moved from one look to the next.
const INTERVAL: Duration = Duration::from_millis(400);

/// A session that was opened this much later than a job by its clock may still have been opened before it.
const CLOCK_SKEW: Duration = Duration::from_secs(2);

/// A job as it looked last time: its record, and how many sessions were still active.
type Sight = (Vec<u8>, u64);

impl Sessions {
    /// Looks after unfinished work until `stop`.
    pub(super) async fn finish_unfinished(&self, stop: Stop) {
        let mut seen = HashMap::new();
        while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            match self.look_after_jobs(&mut seen).await {
                Ok(()) => {}
                Err(error) => warn!(cause = %error.source, "cannot look for unfinished revocations"),
            }
        }
    }

    async fn look_after_jobs(&self, seen: &mut HashMap<String, Sight>) -> Result<(), Unavailable> {
        let mut now_seen = HashMap::new();
        for (place, job) in self.store.jobs().await? {
            let sight = (job, self.store.count_active(&place).await?);
            let place_name = place.prefix();
            if seen.get(&place_name) == Some(&sight) {
                self.finish(&place, &sight.0).await?;
            } else {
                now_seen.insert(place_name, sight);
            }
        }
        *seen = now_seen;
        Ok(())
    }

    async fn finish(&self, place: &Place, bytes: &[u8]) -> Result<(), Unavailable> {
        let job = Store::read_job(place, bytes)?;
        let (later_ones_too, until) = (job.later_ones_too, job.at.after(CLOCK_SKEW));
        let revocation = job.revocation();
        let mut meant = self.all_active(place).await?;
        meant.retain(|session| later_ones_too || session.created_at <= until);
        let page = ActivePage { sessions: meant, next: None };
        let revoked = self.revoke_pages(place, &revocation, page, None).await?;
        self.store.finish_job(place, bytes).await?;
        info!(count = revoked.len(), "finished a revocation that was left half-way");
        self.publisher.publish(place.shard).await
    }
}
