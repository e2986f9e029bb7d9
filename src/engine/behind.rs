//! For tests: a store of which others have replaced the server that quick reads ask. It knows nothing of what is there;
//! what is to last is asked of the real one.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    Collection, Collections, Commit, Cursor, Engine, Entry, Item, Outbox, Page, Position, Shard, Verdict,
};
use crate::base::Unavailable;

/// Over the real one.
pub(crate) struct Behind(pub(crate) Arc<dyn Engine>);

#[async_trait]
impl Engine for Behind {
    async fn get(&self, items: &[Item]) -> Result<Vec<Option<Vec<u8>>>, Unavailable> {
        Ok(vec![None; items.len()])
    }

    async fn get_lasting(&self, item: &Item) -> Result<Option<Vec<u8>>, Unavailable> {
        self.0.get_one(item).await
    }

    async fn list(&self, _: &Collection, _: Option<&Cursor>, _: usize) -> Result<Page, Unavailable> {
        Ok(Page::default())
    }

    async fn count(&self, _: &Collection) -> Result<u64, Unavailable> {
        Ok(0)
    }

    async fn count_lasting(&self, collection: &Collection) -> Result<u64, Unavailable> {
        self.0.count(collection).await
    }

    async fn commit(&self, commit: Commit) -> Result<Verdict, Unavailable> {
        self.0.commit(commit).await
    }

    async fn populated(&self, name: &str) -> Result<Vec<Shard>, Unavailable> {
        self.0.populated(name).await
    }

    async fn collections(
        &self,
        prefix: &str,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<Collections, Unavailable> {
        self.0.collections(prefix, from, limit).await
    }

    fn outbox_of(&self, shard: Shard) -> Outbox {
        self.0.outbox_of(shard)
    }

    async fn pending(&self, outbox: Outbox, limit: usize) -> Result<Vec<Entry>, Unavailable> {
        self.0.pending(outbox, limit).await
    }

    async fn trim(&self, outbox: Outbox, through: Position) -> Result<(), Unavailable> {
        self.0.trim(outbox, through).await
    }

    async fn backlog(&self) -> Result<Vec<Outbox>, Unavailable> {
        self.0.backlog().await
    }

    async fn ready(&self) -> Result<Vec<String>, Unavailable> {
        self.0.ready().await
    }
}
