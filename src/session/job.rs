//! Jobs: revocations of many sessions that are under way, noted so that somebody finishes them if this process cannot.
//! One item a job in the collection `j` of the user's shard.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{record::Job, store::Store};
use crate::{
    base::Unavailable,
    engine::{Collection, Commit, Item, Place},
};

/// A session that was opened this much later than a job by its clock may still have been opened before it.
pub(super) const CLOCK_SKEW: Duration = Duration::from_secs(2);

/// The jobs that this process is at itself: its own sweeper leaves them alone, however slowly they move.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<Vec<Item>>);

/// A job is under way until this is dropped.
pub(super) struct Begun<'a> {
    all: &'a UnderWay,
    item: Item,
}

impl UnderWay {
    pub(super) fn begin(&self, item: Item) -> Begun<'_> {
        self.with(|items| items.push(item.clone()));
        Begun { all: self, item }
    }

    pub(super) fn has(&self, item: &Item) -> bool {
        self.with(|items| items.contains(item))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Vec<Item>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.all.with(|items| {
            // Two calls may be at it at once: then it is there twice.
            if let Some(at) = items.iter().position(|item| *item == self.item) {
                items.swap_remove(at);
            }
        });
    }
}

impl Store {
    /// Every unfinished revocation of many sessions: its item and what that holds.
    pub(super) async fn jobs(&self) -> Result<Vec<(Item, Vec<u8>)>, Unavailable> {
        let mut jobs = Vec::new();
        for shard in self.engine.populated("j").await? {
            let collection = Collection::new(shard, "j");
            let mut from = None;
            loop {
                let page = self.engine.list(&collection, from.as_ref(), 100).await?;
                jobs.extend(page.items.into_iter().map(|(name, bytes)| (collection.item(name), bytes)));
                from = page.next;
                if from.is_none() {
                    break;
                }
            }
        }
        Ok(jobs)
    }

    /// The work is done, unless somebody has ordered more since.
    pub(super) async fn finish_job(&self, item: Item, job: &[u8]) -> Result<(), Unavailable> {
        let mut commit = Commit::on(item.collection.shard);
        commit.unchanged(item.clone(), Some(job));
        commit.delete(item);
        self.engine.commit(commit).await.map(drop)
    }
}

/// A revoke-all and a block have jobs of their own: one must not take the other's place.
pub(super) fn job_item(place: &Place, job: &Job) -> Item {
    let kind = if job.later_ones_too { b'b' } else { b'a' };
    let name: Vec<u8> = std::iter::once(kind).chain(place.key.bytes()).collect();
    Collection::new(place.shard, "j").item(name)
}

/// Whose sessions the job at `item` is about.
pub(super) fn place_of(item: &Item) -> Result<Place, Unavailable> {
    let key = item.name.get(1..).and_then(|key| String::from_utf8(key.to_vec()).ok());
    let key = key.ok_or_else(|| Unavailable::new("store", "a job with a strange name"))?;
    Ok(Place { shard: item.collection.shard, key })
}
