//! The embedded store: one file, one writer thread, readers that do not wait for its work. It is the product's default
//! store, and does what Redis does: `tests/engines/` runs the same cases on both. Start with [`Embedded::open`].

mod apply;
mod disk;
mod housekeeping;
mod log;
mod tables;
mod walk;
mod writer;

use std::{
    path::Path,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};

pub use disk::OpenError;
use disk::{Disk, Snapshot};
use tables::{Key, OUTBOX, behind, count_of, entries, keys_of, value_of};
use writer::{Job, Work, Writer};

use super::{
    Collection, Collections, Commit, Cursor, Engine, Entry, Item, Outbox, Page, Position, Shard, Verdict,
};
use crate::base::{Unavailable, World};

/// A disk that has not synced for so long will not do so soon.
const PATIENCE: Duration = Duration::from_secs(10);
/// The one outbox, for all shards.
const OUTBOX_OF_ALL: Outbox = Outbox(0);

/// An open embedded store. Dropped, it finishes what was asked of it and gives the file up.
pub struct Embedded {
    disk: Arc<Disk>,
    grown: watch::Receiver<Position>,
    /// Taken on drop: the writer ends when the queue does.
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Opens the store in `dir`; makes both where they are missing. One process at a time.
    pub fn open(dir: &Path, world: World) -> Result<Arc<Self>, OpenError> {
        let disk = Arc::new(Disk::open(dir)?);
        let unusable = |error: redb::Error| OpenError::Unusable(dir.to_owned(), error);
        let writer = Writer::new(Arc::clone(&disk), world).map_err(unusable)?;
        let grown = writer.follow();
        let (queue, jobs) = mpsc::channel();
        let thread = thread::Builder::new().name("embedded-writer".to_owned());
        let writer = thread.spawn(move || writer.run(&jobs)).map_err(|error| unusable(error.into()))?;
        Ok(Arc::new(Self { disk, grown, queue: Some(queue), writer: Some(writer) }))
    }

    async fn write(&self, work: Work) -> Result<Verdict, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let sent = self.queue.as_ref().is_some_and(|queue| queue.send(Job { work, reply }).is_ok());
        match timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) if sent => answer,
            Ok(_) => Err(Unavailable::new("store", "the writer has stopped")),
            Err(late) => Err(Unavailable::new("store", late)),
        }
    }

    fn read<T>(&self, look: impl FnOnce(&Snapshot) -> Result<T, redb::Error>) -> Result<T, Unavailable> {
        self.disk.read(look).map_err(|error| Unavailable::new("store", error))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(writer) = self.writer.take() {
            drop(writer.join());
        }
    }
}

#[async_trait]
impl Engine for Embedded {
    async fn get(&self, items: &[Item]) -> Result<Vec<Option<Vec<u8>>>, Unavailable> {
        self.read(|snapshot| items.iter().map(|item| Ok(value_of(&snapshot.items, item)?)).collect())
    }

    async fn list(
        &self,
        collection: &Collection,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, Unavailable> {
        self.read(|snapshot| page(snapshot, collection, from, limit.max(1)))
    }

    async fn first_pages(&self, collections: &[Collection], limit: usize) -> Result<Vec<Page>, Unavailable> {
        self.read(|snapshot| {
            collections.iter().map(|collection| page(snapshot, collection, None, limit.max(1))).collect()
        })
    }

    async fn count(&self, collection: &Collection) -> Result<u64, Unavailable> {
        self.read(|snapshot| Ok(count_of(&snapshot.items, collection, u64::MAX)?))
    }

    async fn commit(&self, commit: Commit) -> Result<Verdict, Unavailable> {
        self.write(Work::Commit(commit)).await
    }

    async fn populated(&self, name: &str) -> Result<Vec<Shard>, Unavailable> {
        self.read(|snapshot| {
            let mut shards = Vec::new();
            for shard in Shard::all() {
                if count_of(&snapshot.items, &Collection::new(shard, name), 1)? > 0 {
                    shards.push(shard);
                }
            }
            Ok(shards)
        })
    }

    async fn collections(
        &self,
        prefix: &str,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<Collections, Unavailable> {
        let start = walk::Start::at(from)?;
        self.read(|snapshot| walk::collections(&snapshot.items, prefix, &start, limit.max(1)))
    }

    fn outbox_of(&self, _shard: Shard) -> Outbox {
        OUTBOX_OF_ALL
    }

    async fn pending(&self, outbox: Outbox, limit: usize) -> Result<Vec<Entry>, Unavailable> {
        let limit = if outbox == OUTBOX_OF_ALL { limit } else { 0 };
        self.read(|snapshot| Ok(entries(&snapshot.all.open_table(OUTBOX)?, (0, 0), limit)?))
    }

    async fn trim(&self, outbox: Outbox, through: Position) -> Result<(), Unavailable> {
        if outbox == OUTBOX_OF_ALL {
            self.write(Work::Trim(through)).await?;
        }
        Ok(())
    }

    async fn backlog(&self) -> Result<Vec<Outbox>, Unavailable> {
        let waiting = self.pending(OUTBOX_OF_ALL, 1).await?;
        Ok(waiting.first().map(|_| OUTBOX_OF_ALL).into_iter().collect())
    }

    async fn ready(&self) -> Result<Vec<String>, Unavailable> {
        self.write(Work::Probe).await.map(|_| Vec::new())
    }
}

fn page(
    snapshot: &Snapshot,
    collection: &Collection,
    from: Option<&Cursor>,
    limit: usize,
) -> Result<Page, redb::Error> {
    let behind = behind(collection);
    let after = from.map_or(&[][..], |Cursor(last)| last);
    let mut page = Page::default();
    for entry in snapshot.items.range::<Key<'_>>(keys_of(collection, after, &behind))? {
        if page.items.len() == limit {
            page.next = page.items.last().map(|(last, _)| Cursor(last.clone()));
            break;
        }
        let (key, value) = entry?;
        page.items.push((key.value().2.to_vec(), value.value().to_vec()));
    }
    Ok(page)
}
