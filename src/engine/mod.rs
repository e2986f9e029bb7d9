//! A small transactional store, the same on every backend: **shard → collection → item → bytes**.
//!
//! The shard is the unit of atomicity: [`Engine::commit`] applies checks, writes and announcements of one shard all
//! or not at all. Domain rules are written once, in Rust, over this trait; a backend knows none of them. Start with
//! [`Engine`] and [`Commit`]; `tests/engines/` says what every backend must do.

#[cfg(test)]
pub(crate) mod behind;
mod commit;
pub mod embedded;
mod keys;
mod outbox;
pub mod record;
pub mod redis;
mod shard;

use async_trait::async_trait;

pub use commit::{Check, CheckId, Commit, Refusal, Verdict, Write};
pub use keys::{Keys, Names, Place};
pub use outbox::{Entry, EventLog, History, Outbox, Position, Untold};
pub use shard::{Collection, Item, Shard};

use crate::base::Unavailable;

/// A page of a collection's items.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Names and values, in no promised order. An item may come twice in a listing, on the same or another page.
    pub items: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the next page starts; nothing after the last.
    pub next: Option<Cursor>,
}

/// A page of the names of collections.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Collections {
    /// In no promised order. A collection may come twice in a walk, on the same or another page.
    pub found: Vec<Collection>,
    /// Where the next page starts; nothing after the last.
    pub next: Option<Cursor>,
}

/// Where a walk goes on: opaque, of one engine, good for the walk that it came from: through one collection, or through
/// the collections of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

/// What every backend can do. An `Err` only ever means that it could not answer; a commit that was answered with an
/// error may or may not have happened, and every caller is built so that doing it again is safe.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// The values of `items`, in their order, in one round trip. All items are of one shard. Not a snapshot: an item
    /// is read no earlier than those before it.
    async fn get(&self, items: &[Item]) -> Result<Vec<Option<Vec<u8>>>, Unavailable>;

    /// The value of one item.
    async fn get_one(&self, item: &Item) -> Result<Option<Vec<u8>>, Unavailable> {
        Ok(self.get(std::slice::from_ref(item)).await?.pop().flatten())
    }

    /// About `limit` items of `collection` (small collections may come whole), from the start or where a page ended.
    /// An item that stays in the collection all through the walk is seen.
    async fn list(
        &self,
        collection: &Collection,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, Unavailable>;

    /// The first pages of `collections`, all of one shard, as [`Self::list`] gives them. None is read before those before
    /// it.
    async fn first_pages(&self, collections: &[Collection], limit: usize) -> Result<Vec<Page>, Unavailable> {
        let mut pages = Vec::with_capacity(collections.len());
        for collection in collections {
            pages.push(self.list(collection, None, limit).await?);
        }
        Ok(pages)
    }

    /// How many items `collection` has.
    async fn count(&self, collection: &Collection) -> Result<u64, Unavailable>;

    /// As [`Self::get_one`], and what it saw lasts: where replicas must have a commit, one has all that led to this value,
    /// and the server that gave it is not one that others have replaced.
    async fn get_lasting(&self, item: &Item) -> Result<Option<Vec<u8>>, Unavailable> {
        self.get_one(item).await
    }

    /// As [`Self::count`], and what it saw lasts, as above.
    async fn count_lasting(&self, collection: &Collection) -> Result<u64, Unavailable> {
        self.count(collection).await
    }

    /// Applies `commit` if all its checks hold; otherwise changes nothing and names the first that did not.
    /// `Done` is durable as far as the backend's settings promise.
    async fn commit(&self, commit: Commit) -> Result<Verdict, Unavailable>;

    /// As [`Self::commit`], and says what is left to tell of what it announced.
    async fn commit_and_tell(&self, commit: Commit) -> Result<(Verdict, Untold), Unavailable> {
        Ok((self.commit(commit).await?, Untold::Unknown))
    }

    /// The shards in which a collection of this name has items.
    async fn populated(&self, name: &str) -> Result<Vec<Shard>, Unavailable>;

    /// About `limit` collections of all shards whose names start with `prefix`, from the start or where a page ended.
    /// A page before the last may be short or empty. A collection that is there all through the walk is named. The
    /// cursor may be kept and used by another process later; the walk then still keeps that promise.
    async fn collections(
        &self,
        prefix: &str,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<Collections, Unavailable>;

    /// The outbox that announcements of `shard` go to.
    fn outbox_of(&self, shard: Shard) -> Outbox;

    /// The first `limit` entries of `outbox`, oldest first.
    async fn pending(&self, outbox: Outbox, limit: usize) -> Result<Vec<Entry>, Unavailable>;

    /// Forgets the entries of `outbox` up to and including `through`. May be undone by a crash: entries are
    /// delivered at least once.
    async fn trim(&self, outbox: Outbox, through: Position) -> Result<(), Unavailable>;

    /// The outboxes that have entries.
    async fn backlog(&self) -> Result<Vec<Outbox>, Unavailable>;

    /// Whether the store answers now; and if so, what its operators should know all the same.
    async fn ready(&self) -> Result<Vec<String>, Unavailable>;
}
