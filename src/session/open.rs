//! Opening a session: what a login ends in. Not an operation of its own; `challenge` calls it.

use tracing::{info, warn};

use super::{
    LimitPolicy, Revocation, Session, SessionId, Sessions,
    pages::ActivePage,
    revoke_all_user_sessions::{CHUNK, Ending},
    store::{Flag, Opened},
};
use crate::{
    base::{Cause, DeviceKey, Unavailable},
    engine::{Names, Place, Untold},
};

/// Which session to open.
pub struct Request<'a> {
    /// For whom.
    pub user_id: &'a str,
    /// For which device.
    pub key: DeviceKey,
    /// What gives the right to: the challenge's id. Opening again with the same origin and key finds the same session.
    pub origin: &'a str,
}

/// How opening ended.
pub enum Opening {
    /// The session is active, opened now or by an earlier run of the same request.
    Open(SessionId),
    /// An earlier run opened it, and it has been revoked since. Nothing was opened.
    Ended,
    /// The user was blocked when this was tried; see [`Sessions::lift`].
    Blocked(Flag),
    /// The user has as many sessions as he may have.
    LimitReached,
}

impl Sessions {
    /// Opens the session that `request` is for, once, however often it is asked. The gateway knows of it on return
    /// where its store answers in time, and soon after where it does not.
    pub async fn open(&self, request: &Request<'_>) -> Result<Opening, Unavailable> {
        let names = self.keys.names().await?;
        let session = self.requested(names, request);
        let untold = loop {
            match self.store.open(&session, self.settings.max_per_user).await? {
                Opened::Fresh(untold) => {
                    info!(device_session_id = %session.id, user_id = session.user_id, "session opened");
                    break untold;
                }
                Opened::Already => break Untold::Unknown,
                Opened::Ended => return Ok(Opening::Ended),
                Opened::Blocked(flag) => return Ok(Opening::Blocked(flag)),
                Opened::Full => match self.settings.limit_policy {
                    LimitPolicy::Reject => return Ok(Opening::LimitReached),
                    LimitPolicy::RevokeOldest => self.make_room(&session.id.place).await?,
                },
            }
        };
        if let Err(error) = self.publisher.publish(session.id.place.shard, untold).await {
            warn!(cause = %error.source, "the gateway will learn of a new session later");
        }
        Ok(Opening::Open(session.id))
    }

    /// Whether one more session may be opened for a user, as far as can be told before it is tried.
    pub async fn has_room(&self, user_id: &str) -> Result<bool, Unavailable> {
        let limit = self.settings.max_per_user.filter(|_| self.settings.limit_policy == LimitPolicy::Reject);
        let Some(limit) = limit else { return Ok(true) };
        let place = self.keys.names().await?.place("user", user_id);
        Ok(self.store.count_active(&place).await? < limit)
    }

    /// Takes back the block that was met when opening. Right only where the user service, asked *after* the block was
    /// met, admits the user: a block is told to the user service before it is noted here, so it must have been lifted
    /// there since.
    pub async fn lift(&self, user_id: &str, flag: &Flag) -> Result<(), Unavailable> {
        let place = self.keys.names().await?.place("user", user_id);
        info!(user_id, "the user service admits a user who was blocked: the block is lifted here, too");
        self.store.lift(&place, flag).await
    }

    fn requested(&self, names: &Names, request: &Request<'_>) -> Session {
        Session {
            id: SessionId::derive(names, request.user_id, request.origin.as_bytes(), &request.key),
            user_id: request.user_id.to_owned(),
            key: request.key,
            created_at: self.now(),
            revocation: None,
        }
    }

    /// Revokes the user's oldest sessions until there is room for one more.
    async fn make_room(&self, place: &Place) -> Result<(), Unavailable> {
        let Some(limit) = self.settings.max_per_user else { return Ok(()) };
        let mut oldest = self.active_by_age(place).await?;
        // Fewer than expected where somebody else has made room meanwhile: then the caller's next try shows it.
        let room =
            oldest.len().saturating_add(1).saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        oldest.truncate(room);
        let revocation = Revocation { at: self.now(), cause: Cause::system("session_limit") };
        let ending = Ending { place, revocation: &revocation, until: None };
        let mut publishing = true;
        for chunk in oldest.chunks(CHUNK) {
            let suffixes: Vec<[u8; 16]> = chunk.iter().map(|(_, suffix)| *suffix).collect();
            let sessions = self.store.active_among(place, &suffixes).await?;
            self.revoke_pages(&ending, ActivePage { sessions, next: None }, None).await?;
            if publishing && oldest.len() > CHUNK {
                // There may be many, where the limit is new: the caller's publication should have little left to do.
                publishing = self.publisher.publish(place.shard, Untold::Unknown).await.is_ok();
            }
        }
        Ok(())
    }
}
