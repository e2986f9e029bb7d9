//! `listUserSessions`: all of a user's sessions, newest first, however many there are.
//!
//! A few are read once and kept. Of many only the order is kept, 24 bytes a session, and each is read again when its
//! page is asked for: a list of 100,000 needs little more memory than one of a thousand.

use std::{cmp::Reverse, collections::BTreeMap, mem, sync::Arc};

use tracing::warn;

use super::{Session, Sessions, store::Kept};
use crate::{
    base::{Timestamp, Unavailable},
    engine::{Item, Place},
};

/// How many sessions are read at once.
const PAGE: usize = 500;

/// How many are kept whole.
const FEW: usize = 1000;

/// Sorts sessions, and finds them again: when it was opened, and its suffix.
type Key = (Timestamp, [u8; 16]);

/// A user's sessions, to be taken page by page.
pub struct Listing {
    sessions: Arc<Sessions>,
    place: Place,
    /// Those still to come, oldest first: taken from the end.
    order: Vec<Key>,
    /// The next page, where it is known already.
    ready: Vec<Session>,
}

impl Sessions {
    /// Every session of `user_id` that may be read, active or revoked; none for a user nobody has heard of.
    pub async fn list_user_sessions(self: &Arc<Self>, user_id: &str) -> Result<Listing, Unavailable> {
        let place = self.keys.names().await?.place("user", user_id);
        let mut seen = Seen::default();
        let mut from = None;
        loop {
            let page = self.store.active_page(&place, from.as_ref(), PAGE).await?;
            seen.add(page.sessions.into_iter().map(|kept| kept.session));
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        // Read second: a session that is revoked between the two is seen twice rather than missed.
        loop {
            let page = self.store.revoked_page(&place, from.as_ref(), PAGE, self.now()).await?;
            seen.add(page.sessions.into_iter());
            self.forget(&place, page.over).await;
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        let (ready, order) = seen.sorted();
        Ok(Listing { sessions: self.clone(), place, order, ready })
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

impl Listing {
    /// The next sessions; none after the last.
    pub async fn next(&mut self) -> Result<Vec<Session>, Unavailable> {
        let mut page = mem::take(&mut self.ready);
        // A page may turn out empty: what was revoked long ago may have been forgotten since the order was read.
        while page.is_empty() && !self.order.is_empty() {
            let left = self.order.len().saturating_sub(PAGE);
            let suffixes: Vec<[u8; 16]> =
                self.order.split_off(left).into_iter().rev().map(|(_, suffix)| suffix).collect();
            let now = self.sessions.now();
            page = self.sessions.store.find_all(&self.place, &suffixes, now).await?;
        }
        Ok(page)
    }

    /// Whether nothing is left to come.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.ready.is_empty() && self.order.is_empty()
    }
}

/// What the walk has seen so far.
#[derive(Default)]
struct Seen {
    few: BTreeMap<[u8; 16], Session>,
    /// All of them, from when on there are many.
    many: Vec<Key>,
}

impl Seen {
    fn add(&mut self, sessions: impl Iterator<Item = Session>) {
        if self.many.is_empty() {
            self.few.extend(sessions.map(|session| (session.id.suffix, session)));
            if self.few.len() > FEW {
                self.many = mem::take(&mut self.few).values().map(key).collect();
            }
        } else {
            self.many.extend(sessions.map(|session| key(&session)));
        }
    }

    /// The few, newest first, or the order of the many, newest last; each session once.
    fn sorted(mut self) -> (Vec<Session>, Vec<Key>) {
        let mut few: Vec<Session> = self.few.into_values().collect();
        few.sort_by_key(|session| Reverse(key(session)));
        self.many.sort_unstable();
        self.many.dedup();
        (few, self.many)
    }
}

fn key(session: &Session) -> Key {
    (session.created_at, session.id.suffix)
}
