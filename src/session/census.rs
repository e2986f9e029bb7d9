//! All sessions of all users, for whoever has to tell the gateway anew. Reads the truth and changes nothing.

use std::sync::Arc;

use tracing::warn;

use super::{
    record::{Active, Announced, Revoked},
    store::{id_of, place_in},
};
use crate::{
    base::Unavailable,
    engine::{Collection, Collections, Cursor, Engine, Item, record::Record},
};

/// Walks through every session of a store, in memory for one page.
pub struct Census {
    engine: Arc<dyn Engine>,
}

/// Which sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Roll {
    /// Those that are active.
    Active,
    /// Those that are revoked, as long as the store remembers them.
    Revoked,
}

/// A page of one user's sessions.
#[derive(Debug, Default)]
pub struct RollPage {
    /// As they stand. One that is opened or revoked meanwhile may be missing; its announcement tells of it.
    pub sessions: Vec<Announced>,
    /// How many records could not be read. Each has been logged.
    pub unreadable: u64,
    /// Where the next page starts; nothing after the last.
    pub next: Option<Cursor>,
}

impl Census {
    /// Over `engine`.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine }
    }

    /// About `limit` users who have sessions on this roll, each by the collection of these.
    pub async fn users(
        &self,
        roll: Roll,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<Collections, Unavailable> {
        let prefix = match roll {
            Roll::Active => "a:",
            Roll::Revoked => "r:",
        };
        self.engine.collections(prefix, from, limit).await
    }

    /// About `limit` sessions of one of these users.
    pub async fn sessions(
        &self,
        roll: Roll,
        user: &Collection,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<RollPage, Unavailable> {
        let page = self.engine.list(user, from, limit).await?;
        let mut read = RollPage { next: page.next, ..RollPage::default() };
        for (name, bytes) in page.items {
            match session_in(roll, &user.item(name), &bytes) {
                Ok(session) => read.sessions.push(session),
                // One damaged record must not keep all others from the gateway.
                Err(error) => {
                    warn!(cause = %error.source, "a session is left out");
                    read.unreadable += 1;
                }
            }
        }
        Ok(read)
    }
}

fn session_in(roll: Roll, item: &Item, bytes: &[u8]) -> Result<Announced, Unavailable> {
    let id = id_of(&place_in(&item.collection)?, item)?;
    Ok(Announced::of(match roll {
        Roll::Active => Active::decode(item, bytes)?.into_session(id),
        // Also one whose time is over: as long as it is here, the gateway may have it as active.
        Roll::Revoked => Revoked::decode(item, bytes)?.into_session(id),
    }))
}
