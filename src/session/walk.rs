//! Walks through a user's sessions that several operations share.

use tracing::warn;

use super::{
    Sessions,
    list_user_sessions::{Key, PAGE, key},
};
use crate::{
    base::Unavailable,
    engine::{Item, Place},
};

impl Sessions {
    /// A user's active sessions, each once, oldest first: 24 bytes each, since there may be very many.
    pub(super) async fn active_by_age(&self, place: &Place) -> Result<Vec<Key>, Unavailable> {
        let (mut all, mut from) = (Vec::new(), None);
        loop {
            let page = self.store.active_page(place, from.as_ref(), PAGE).await?;
            all.extend(page.sessions.iter().map(|kept| key(&kept.session)));
            from = page.next;
            if from.is_none() {
                all.sort_unstable();
                all.dedup();
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
    pub(super) async fn forget(&self, place: &Place, over: Vec<Item>) {
        if over.is_empty() {
            return;
        }
        if let Err(error) = self.store.forget(place, over).await {
            warn!(cause = %error.source, "revoked sessions whose time is over stay for now");
        }
    }
}
