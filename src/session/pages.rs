//! A user's sessions page by page, as the store has them: active ones from one collection, revoked ones from another.

use std::collections::BTreeMap;

use super::{
    model::Session,
    record::Revoked,
    store::{Kept, LEAST_KEPT, Store, active, id_of, kept, revoked},
};
use crate::{
    base::{Timestamp, Unavailable},
    engine::{Cursor, Item, Page, Place, record::Record},
};

/// One page of a walk through a user's active sessions.
pub(super) struct ActivePage {
    pub(super) sessions: Vec<Kept>,
    pub(super) next: Option<Cursor>,
}

/// One page of a walk through a user's revoked sessions.
pub(super) struct RevokedPage {
    pub(super) sessions: Vec<Session>,
    /// Those that may not be read any more, and need not be kept.
    pub(super) over: Vec<Item>,
    pub(super) next: Option<Cursor>,
}

impl Store {
    /// About `limit` active sessions of a user, none of them twice within a page.
    pub(super) async fn active_page(
        &self,
        place: &Place,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<ActivePage, Unavailable> {
        actives(place, self.engine.list(&active(place), from, limit).await?)
    }

    /// About `limit` revoked sessions of a user.
    pub(super) async fn revoked_page(
        &self,
        place: &Place,
        from: Option<&Cursor>,
        limit: usize,
        now: Timestamp,
    ) -> Result<RevokedPage, Unavailable> {
        revokeds(place, self.engine.list(&revoked(place), from, limit).await?, now)
    }

    /// Where both walks start, asked for together. That is no snapshot: the revoked ones are read second.
    pub(super) async fn first_pages(
        &self,
        place: &Place,
        limit: usize,
        now: Timestamp,
    ) -> Result<(ActivePage, RevokedPage), Unavailable> {
        let pages = self.engine.first_pages(&[active(place), revoked(place)], limit).await?;
        let [first, second] = <[Page; 2]>::try_from(pages)
            .map_err(|_| Unavailable::new("store", "not as many pages as were asked for"))?;
        Ok((actives(place, first)?, revokeds(place, second, now)?))
    }
}

/// A page of active sessions, each once.
fn actives(place: &Place, page: Page) -> Result<ActivePage, Unavailable> {
    let distinct: BTreeMap<Vec<u8>, Vec<u8>> = page.items.into_iter().collect();
    let keep = |(name, bytes): (Vec<u8>, Vec<u8>)| {
        let item = active(place).item(name);
        kept(&item, id_of(place, &item)?, bytes)
    };
    Ok(ActivePage { sessions: distinct.into_iter().map(keep).collect::<Result<_, _>>()?, next: page.next })
}

/// A page of revoked sessions, and those among them that are over.
fn revokeds(place: &Place, page: Page, now: Timestamp) -> Result<RevokedPage, Unavailable> {
    let (mut sessions, mut over) = (Vec::new(), Vec::new());
    for (name, bytes) in page.items {
        let item = revoked(place).item(name);
        let record = Revoked::decode(&item, &bytes)?;
        if now < record.expires_at {
            sessions.push(record.into_session(id_of(place, &item)?));
        } else if record.expires_at.after(LEAST_KEPT) <= now {
            over.push(item);
        }
    }
    Ok(RevokedPage { sessions, over, next: page.next })
}
