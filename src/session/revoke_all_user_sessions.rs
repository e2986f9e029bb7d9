//! `revokeAllUserSessions`: ends every session that a user has.
//!
//! In chunks, since one commit over many thousand sessions would hold up the store. The first chunk's commit notes
//! the intent, so that `unfinished` completes it if this process dies half-way.

use tracing::info;

use super::{
    Error, Revocation, SessionId, Sessions,
    job::job_item,
    pages::ActivePage,
    record::Job,
    store::{Found, Kept},
};
use crate::{
    base::{Cause, Unavailable},
    engine::{Place, Untold, record::Record},
};

/// How many sessions one commit revokes: about 1 ms of the store's time.
pub(super) const CHUNK: usize = 100;

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
        let revoked = self.revoke_pages(place, revocation, first, (!one_step).then_some(&job)).await?;
        if !one_step {
            self.store.finish_job(job_item(place, &job), &job.encode()).await?;
        }
        Ok(revoked)
    }

    /// Revokes the sessions of `page` and of all that follow it. The first commit notes `job`.
    pub(super) async fn revoke_pages(
        &self,
        place: &Place,
        revocation: &Revocation,
        mut page: ActivePage,
        mut job: Option<&Job>,
    ) -> Result<Vec<SessionId>, Unavailable> {
        let (mut revoked, mut publishing) = (Vec::new(), true);
        loop {
            for chunk in page.sessions.chunks(CHUNK) {
                // Between chunks, so that the caller's publication has little left to do. Where the gateway's store is
                // away, the truth goes on without it.
                if !revoked.is_empty() && publishing {
                    publishing = self.publisher.publish(place.shard, Untold::Unknown).await.is_ok();
                }
                revoked.extend(self.revoke_chunk(chunk, revocation, job.take()).await?);
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
            rest = self.still_active(rest).await?;
        }
        Ok(rest.into_iter().map(|kept| kept.session.id).collect())
    }

    async fn still_active(&self, sessions: Vec<Kept>) -> Result<Vec<Kept>, Unavailable> {
        let mut active = Vec::with_capacity(sessions.len());
        for Kept { session, .. } in sessions {
            match self.store.find(&session.id, self.now()).await? {
                Found::Active(kept) => active.push(kept),
                Found::Revoked(_) | Found::Nothing => {}
            }
        }
        Ok(active)
    }
}
