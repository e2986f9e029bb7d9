//! `listUserSessions`: all of a user's sessions, newest first, however many there are.
//!
//! A few are read once and kept. Of many only the order is kept, 24 bytes a session, and each is read again when its
//! page is asked for: a list of 100,000 needs little more memory than one of a thousand.

use std::{cmp::Reverse, collections::BTreeMap, mem, sync::Arc};

use super::{Session, Sessions};
use crate::{
    base::{Timestamp, Unavailable},
    engine::Place,
};

/// How many sessions are read at once.
pub(super) const PAGE: usize = 500;

/// How many are kept whole.
const FEW: usize = 1000;

/// Sorts sessions, and finds them again: when it was opened, and its suffix.
pub(super) type Key = (Timestamp, [u8; 16]);

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
        let mut found = Found::default();
        let (mut active, mut revoked) = self.store.first_pages(&place, PAGE, self.now()).await?;
        let one_page = active.next.is_none();
        loop {
            found.add(active.sessions.into_iter().map(|kept| kept.session).collect());
            let Some(next) = active.next else { break };
            active = self.store.active_page(&place, Some(&next), PAGE).await?;
        }
        // Read second: a session that is revoked between the two is seen twice rather than missed.
        if !one_page {
            revoked = self.store.revoked_page(&place, None, PAGE, self.now()).await?;
        }
        loop {
            found.add(revoked.sessions);
            self.forget(&place, revoked.over).await;
            let Some(next) = revoked.next else { break };
            revoked = self.store.revoked_page(&place, Some(&next), PAGE, self.now()).await?;
        }
        let (ready, order) = found.sorted();
        Ok(Listing { sessions: self.clone(), place, order, ready })
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
struct Found {
    few: BTreeMap<[u8; 16], Session>,
    /// All of them, from when on there are many.
    many: Vec<Key>,
}

impl Found {
    fn add(&mut self, sessions: Vec<Session>) {
        if self.many.is_empty() {
            self.few.extend(sessions.into_iter().map(|session| (session.id.suffix, session)));
            if self.few.len() > FEW {
                self.many = mem::take(&mut self.few).values().map(key).collect();
            }
        } else {
            self.many.extend(sessions.iter().map(key));
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

pub(super) fn key(session: &Session) -> Key {
    (session.created_at, session.id.suffix)
}
