//! `revokeAllUserSessions`: ends every session that a user has.
//!
//! In chunks, since one commit over many thousand sessions would hold up the store. The first chunk's commit notes
//! the intent, so that `unfinished` completes it if this process dies half-way.

use tracing::info;

use super::{
    Error, Revocation, SessionId, Sessions,
    job::{CLOCK_SKEW, job_item},
    pages::ActivePage,
    record::Job,
    store::Kept,
};
use crate::{
    base::{Cause, Timestamp, Unavailable},
    engine::{Place, Untold, record::Record},
};

/// How many sessions one commit revokes: about 1 ms of the store's time.
pub(super) const CHUNK: usize = 100;

/// Whose sessions are to end, and how.
pub(super) struct Ending<'a> {
    pub(super) place: &'a Place,
    pub(super) revocation: &'a Revocation,
    /// Those that were opened later are not meant.
    pub(super) until: Option<Timestamp>,
}

impl Sessions {
    /// Revokes all active sessions of `user_id` and returns their ids, which are none where he had none. On return
    /// the gateway's records say so.
    pub async fn revoke_all_user_sessions(
        &self,
        user_id: &str,
        cause: Cause,
    ) -> Result<Vec<SessionId>, Error> {
        let place = self.keys.names().await?.place("user", user_id);
        let revocation = Revocation { at: self.now(), cause };
        let revoked = self.revoke_all(&place, &revocation).await;
        // Before the answer to a failure, too: what was revoked shall be in effect as soon as can be.
        let published = self.publisher.publish(place.shard, Untold::Unknown).await;
        let revoked = revoked?;
        published?;
        if revoked.is_empty() && !self.users.exists(user_id).await? {
            return Err(Error::SubjectNotFound);
        }
        info!(user_id, count = revoked.len(), reason_code = revocation.cause.reason_code, "sessions revoked");
        Ok(revoked)
    }

    async fn revoke_all(
        &self,
        place: &Place,
        revocation: &Revocation,
    ) -> Result<Vec<SessionId>, Unavailable> {
        let first = self.store.active_page(place, None, CHUNK).await?;
        let job = Job::new(revocation, false);
        let one_step = first.next.is_none() && first.sessions.len() <= CHUNK;
        let _begun = self.under_way.begin(job_item(place, &job));
        let seen = Ending { place, revocation, until: None };
        let mut revoked = self.revoke_pages(&seen, first, (!one_step).then_some(&job)).await?;
        let meant = Ending { place, revocation, until: Some(revocation.at.after(CLOCK_SKEW)) };
        revoked.extend(self.revoke_active(&meant).await?);
        if !one_step {
            self.store.finish_job(job_item(place, &job), &job.encode()).await?;
        }
        Ok(revoked)
    }

    /// Revokes the sessions that are meant until none is left, for good. One walk may not show all: its server may have
    /// been replaced meanwhile, by one on which more are active, or on which the walk's cursor led elsewhere.
    pub(super) async fn revoke_active(&self, ending: &Ending<'_>) -> Result<Vec<SessionId>, Unavailable> {
        let mut revoked = Vec::new();
        while !self.store.none_is_active(ending.place).await? {
            let page = self.store.active_page(ending.place, None, CHUNK).await?;
            let more = self.revoke_pages(ending, page, None).await?;
            if more.is_empty() {
                // What is left is not meant; and asked once more, so that what this walk saw lasts, too.
                self.store.none_is_active(ending.place).await?;
                break;
            }
            revoked.extend(more);
        }
        Ok(revoked)
    }

    /// Revokes the sessions of `page` and of all that follow it. The first commit notes `job`.
    pub(super) async fn revoke_pages(
        &self,
        &Ending { place, revocation, until }: &Ending<'_>,
        mut page: ActivePage,
        mut job: Option<&Job>,
    ) -> Result<Vec<SessionId>, Unavailable> {
        let (mut revoked, mut publishing) = (Vec::new(), true);
        loop {
            page.sessions.retain(|kept| until.is_none_or(|until| kept.session.created_at <= until));
            for chunk in page.sessions.chunks(CHUNK) {
                // Between chunks, so that the caller's publication has little left to do. Where the gateway's store is
                // away, the truth goes on without it.
                if !revoked.is_empty() && publishing {
                    publishing = self.publisher.publish(place.shard, Untold::Unknown).await.is_ok();
                }
                let ended = self.revoke_chunk(chunk, revocation, job).await?;
                if !ended.is_empty() {
                    // Otherwise others were faster, and nothing was committed.
                    job = None;
                }
                revoked.extend(ended);
            }
            let Some(next) = page.next else { return Ok(revoked) };
            page = self.store.active_page(place, Some(&next), CHUNK).await?;
        }
    }

    async fn revoke_chunk(
        &self,
        chunk: &[Kept],
        revocation: &Revocation,
        job: Option<&Job>,
    ) -> Result<Vec<SessionId>, Unavailable> {
        let mut rest = chunk.to_vec();
        while !rest.is_empty() && self.store.revoke(&rest, revocation, job).await?.is_none() {
            // Some of them have been revoked by others meanwhile: those are not ours to count.
            let suffixes: Vec<[u8; 16]> = rest.iter().map(|kept| kept.session.id.suffix).collect();
            rest = match rest.first() {
                Some(kept) => self.store.active_among(&kept.session.id.place, &suffixes).await?,
                None => Vec::new(),
            };
        }
        Ok(rest.into_iter().map(|kept| kept.session.id).collect())
    }
}
