//! Many sessions of one user at once, for lists that are read page by page.

use std::collections::BTreeMap;

use super::{
    model::Session,
    record::Revoked,
    store::{Store, active, id_of, kept, revoked},
};
use crate::{
    base::{Timestamp, Unavailable},
    engine::{Collection, Item, Place, record::Record},
};

impl Store {
    /// Those of a user's sessions that may be read, in the order of `suffixes`.
    pub(super) async fn find_all(
        &self,
        place: &Place,
        suffixes: &[[u8; 16]],
        now: Timestamp,
    ) -> Result<Vec<Session>, Unavailable> {
        let mut found = BTreeMap::new();
        // Active first: a session only ever moves from active to revoked, so it cannot slip past between the reads.
        for (item, bytes) in self.present(&active(place), suffixes).await? {
            let session = kept(&item, id_of(place, &item)?, bytes)?.session;
            found.insert(session.id.suffix, session);
        }
        let rest: Vec<[u8; 16]> =
            suffixes.iter().filter(|suffix| !found.contains_key(*suffix)).copied().collect();
        for (item, bytes) in self.present(&revoked(place), &rest).await? {
            let record = Revoked::decode(&item, &bytes)?;
            if now < record.expires_at {
                let session = record.into_session(id_of(place, &item)?);
                found.insert(session.id.suffix, session);
            }
        }
        Ok(suffixes.iter().filter_map(|suffix| found.remove(suffix)).collect())
    }

    /// Those of these items that are there.
    async fn present(
        &self,
        collection: &Collection,
        suffixes: &[[u8; 16]],
    ) -> Result<Vec<(Item, Vec<u8>)>, Unavailable> {
        let items: Vec<Item> = suffixes.iter().map(|suffix| collection.item(*suffix)).collect();
        let values = self.engine.get(&items).await?;
        Ok(items.into_iter().zip(values).filter_map(|(item, value)| Some((item, value?))).collect())
    }
}
