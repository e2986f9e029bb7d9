//! `listUserSessions`: all of a user's sessions, newest first.

use std::{cmp::Reverse, collections::BTreeMap};

use tracing::warn;

use super::{Session, Sessions};
use crate::{base::Unavailable, engine::Place};

const PAGE: usize = 500;

impl Sessions {
    /// Every session of `user_id` that may be read, active or revoked; none for a user nobody has heard of.
    pub async fn list_user_sessions(&self, user_id: &str) -> Result<Vec<Session>, Unavailable> {
        let place = self.keys.names().await?.place("user", user_id);
        let active = self.all_active(&place).await?;
        // Read second: a session that is revoked between the two is seen twice rather than missed.
        let revoked = self.all_revoked(&place).await?;
        let distinct: BTreeMap<[u8; 16], Session> =
            active.into_iter().chain(revoked).map(|session| (session.id.suffix, session)).collect();
        let mut sessions: Vec<Session> = distinct.into_values().collect();
        sessions.sort_by_key(|session| Reverse((session.created_at, session.id.suffix)));
        Ok(sessions)
    }

    /// A user's active sessions, in no order.
    pub(super) async fn all_active(&self, place: &Place) -> Result<Vec<Session>, Unavailable> {
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let page = self.store.active_page(place, from.as_ref(), PAGE).await?;
            all.extend(page.sessions);
            from = page.next;
            if from.is_none() {
                return Ok(all);
            }
        }
    }

    async fn all_revoked(&self, place: &Place) -> Result<Vec<Session>, Unavailable> {
        let (mut all, mut from, mut over) = (Vec::new(), None, Vec::new());
        loop {
            let (page, forgettable) = self.store.revoked_page(place, from.as_ref(), PAGE, self.now()).await?;
            all.extend(page.sessions);
            over.extend(forgettable);
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        if !over.is_empty() {
            // Housekeeping on the way: who reads them last, cleans up. Its failure is no reason to fail the reader.
            if let Err(error) = self.store.forget(place, over).await {
                warn!(cause = %error.source, "revoked sessions whose time is over stay for now");
            }
        }
        Ok(all)
    }
}
