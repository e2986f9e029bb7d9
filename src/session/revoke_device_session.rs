//! `revokeDeviceSession`: ends one session.

use tracing::info;

use super::{Error, Revocation, SessionId, Sessions, store::Found};
use crate::{
    base::{Cause, Races},
    engine::Untold,
};

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was active and is revoked now.
    Revoked,
    /// It had been revoked before; nothing about that has changed.
    AlreadyRevoked,
}

impl Sessions {
    /// Revokes the session called `id`. On return the gateway's record says so, whichever outcome it is.
    pub async fn revoke_device_session(&self, id: &str, cause: Cause) -> Result<Outcome, Error> {
        let id = SessionId::parse(id).ok_or(Error::SessionNotFound)?;
        let revocation = Revocation { at: self.now(), cause };
        let mut races = Races::default();
        let (outcome, untold) = loop {
            let kept = match self.store.find(&id, self.now()).await? {
                Found::Active(kept) => kept,
                // What was read may be undone by a failover, and the publication below then find nothing to publish.
                Found::Revoked(_) if !self.store.stays_revoked(&id).await? => {
                    races.lost()?;
                    continue;
                }
                Found::Revoked(_) => break (Outcome::AlreadyRevoked, Untold::Unknown),
                Found::Nothing => return Err(Error::SessionNotFound),
            };
            if let Some(untold) = self.store.revoke(&[kept], &revocation, None).await? {
                info!(device_session_id = %id, reason_code = revocation.cause.reason_code, "session revoked");
                break (Outcome::Revoked, untold);
            }
            // Somebody else has just revoked it: the next look will show it.
            races.lost()?;
        };
        self.publisher.publish(id.place.shard, untold).await?;
        self.forget_now_and_then(&id.place).await;
        Ok(outcome)
    }
}
