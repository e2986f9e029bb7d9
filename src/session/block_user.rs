//! `blockUser`: keeps somebody from logging in, and ends the sessions he has.

use tracing::info;

use super::{
    Error, Revocation, SessionId, Sessions,
    job::job_item,
    record::{Blocked, Job},
    revoke_all_user_sessions::Ending,
};
use crate::{
    base::Cause,
    engine::{Untold, record::Record},
    users::{Block, Subject},
};

/// What a block did.
pub struct Outcome {
    /// Whether the subject was blocked before.
    pub already_blocked: bool,
    /// The sessions that it ended.
    pub revoked: Vec<SessionId>,
}

impl Sessions {
    /// Blocks `subject` at the user service, then here, then revokes what is active. On return no session of his is,
    /// nor will be: a login that races with this either is refused or has its session revoked.
    pub async fn block_user(&self, subject: &Subject, cause: Cause) -> Result<Outcome, Error> {
        let (already_blocked, user_id) = match self.users.block(subject, &cause).await? {
            Block::Blocked(user_id) => (false, user_id),
            Block::AlreadyBlocked(user_id) => (true, user_id),
            Block::Unknown => return Err(Error::SubjectNotFound),
        };
        let reason_code = cause.reason_code.clone();
        // Also when blocked already: a repeat finishes what a crash interrupted.
        let revoked = match &user_id {
            Some(user_id) => self.shut_out(user_id, cause).await?,
            None => Vec::new(),
        };
        info!(user_id, count = revoked.len(), reason_code, "user blocked");
        Ok(Outcome { already_blocked, revoked })
    }

    async fn shut_out(&self, user_id: &str, cause: Cause) -> Result<Vec<SessionId>, Error> {
        let place = self.keys.names().await?.place("user", user_id);
        let revocation = Revocation { at: self.now(), cause };
        let job = Job::new(&revocation, true);
        let _begun = self.under_way.begin(job_item(&place, &job));
        // The flag first: whatever is opened after this commit is refused, whatever was opened before is listed below.
        self.store.block(&place, &Blocked { at: revocation.at, nonce: self.world.random() }, &job).await?;
        let revoked =
            self.revoke_active(&Ending { place: &place, revocation: &revocation, until: None }).await;
        let published = self.publisher.publish(place.shard, Untold::Unknown).await;
        let revoked = revoked?;
        self.store.finish_job(job_item(&place, &job), &job.encode()).await?;
        published?;
        Ok(revoked)
    }
}
