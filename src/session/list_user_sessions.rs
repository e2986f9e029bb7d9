//! `listUserSessions`: all of a user's sessions, newest first.

use std::{cmp::Reverse, collections::BTreeMap};

use tracing::warn;

use super::{Session, Sessions, store::Kept};
use crate::{
    base::Unavailable,
    engine::{Item, Place},
};

const PAGE: usize = 500;

impl Sessions {
    /// Every session of `user_id` that may be read, active or revoked; none for a user nobody has heard of.
    pub async fn list_user_sessions(&self, user_id: &str) -> Result<Vec<Session>, Unavailable> {
        let place = self.keys.names().await?.place("user", user_id);
        let active = self.all_active(&place).await?;
        // Read second: a session that is revoked between the two is seen twice rather than missed.
        let revoked = self.all_revoked(&place).await?;
        let distinct: BTreeMap<[u8; 16], Session> = active
            .into_iter()
            .map(|kept| kept.session)
            .chain(revoked)
            .map(|session| (session.id.suffix, session))
            .collect();
        let mut sessions: Vec<Session> = distinct.into_values().collect();
        sessions.sort_by_key(|session| Reverse((session.created_at, session.id.suffix)));
        Ok(sessions)
    }

    /// A user's active sessions, each once, in no order.
    pub(super) async fn all_active(&self, place: &Place) -> Result<Vec<Kept>, Unavailable> {
        let (mut all, mut from) = (BTreeMap::new(), None);
        loop {
            let page = self.store.active_page(place, from.as_ref(), PAGE).await?;
            all.extend(page.sessions.into_iter().map(|kept| (kept.session.id.suffix, kept)));
            from = page.next;
            if from.is_none() {
                return Ok(all.into_values().collect());
            }
        }
    }

    async fn all_revoked(&self, place: &Place) -> Result<Vec<Session>, Unavailable> {
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let page = self.store.revoked_page(place, from.as_ref(), PAGE, self.now()).await?;
            all.extend(page.sessions);
            self.forget(place, page.over).await;
            from = page.next;
            if from.is_none() {
                return Ok(all);
            }
        }
    }

    /// Housekeeping for users whom nobody lists: now and then a revoke looks for sessions whose time is over.
    pub(super) async fn forget_now_and_then(&self, place: &Place) {
        const ONE_IN: u64 = 16;
        if self.world.below(ONE_IN) == 0
            && let Ok(page) = self.store.revoked_page(place, None, PAGE, self.now()).await
        {
            self.forget(place, page.over).await;
        }
    }

    /// Throws revoked sessions away whose time is over. A failure is no reason to fail whoever came across them.
    async fn forget(&self, place: &Place, over: Vec<Item>) {
        if over.is_empty() {
            return;
        }
        if let Err(error) = self.store.forget(place, over).await {
            warn!(cause = %error.source, "revoked sessions whose time is over stay for now");
        }
    }
}
