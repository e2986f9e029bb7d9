//! Redis as an engine: one hash a collection, one stream a shard's outbox, one Lua script for every commit. Start with
//! [`Redis`]; [`Servers`], [`Call`] and [`Script`] are the kit for whoever else talks to a Redis.
//!
//! From the outside in: `servers` sends a call to the server that has its key, `cluster` knows which one that is (`survey`
//! keeps its map), `node` is one server, `lane` one connection to it, `link` keeps that connection alive, `topology` opens it.
//!
//! Nothing here connects before it is asked to, and nothing waits longer than the operation timeout.

mod address;
mod args;
mod call;
mod cluster;
mod commit;
mod direct;
mod durable;
mod eviction;
mod keys;
mod lane;
mod link;
mod node;
mod script;
mod sentinel;
mod servers;
mod settings;
mod slots;
mod survey;
mod tls;
mod told;
mod topology;
mod walk;

use std::sync::Arc;

use async_trait::async_trait;
use redis::{Cmd, Value, cmd};

pub use args::Args;
pub use call::Call;
pub use direct::Direct;
pub use eviction::EvictionWatch;
pub use node::Way;
pub use script::Script;
pub use servers::Servers;
pub use settings::{Options, Settings};
pub use slots::hash_tag;

use super::{
    Collection, Collections, Commit, Cursor, Engine, Entry, Item, Outbox, Page, Position, Shard, Untold,
    Verdict,
};
use crate::base::Unavailable;
use keys::KeyNames;

/// A Redis that keeps our data.
pub struct Redis {
    names: KeyNames,
    servers: Arc<Servers>,
    /// Whether replicas must have what is committed.
    replicated: bool,
    /// Tells announcements in the commits that make them.
    direct: Option<Arc<dyn Direct>>,
}

/// The next cursor, and names with values, as `HSCAN` answers them.
type Scanned = (Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

/// Outbox entries as Redis answers them.
type Entries = Vec<(String, Vec<Vec<u8>>)>;

impl Redis {
    /// Starts connecting in the background: the caller must be inside a Tokio runtime. The service can start while its
    /// Redis is away.
    #[must_use]
    pub fn new(settings: &Settings) -> Arc<Self> {
        Self::telling(settings, None)
    }

    /// As [`Self::new`]; announcements are told by `direct` where that can be: in a cluster the keys lie apart, and what
    /// replicas must have is not to be told before.
    #[must_use]
    pub fn telling(settings: &Settings, direct: Option<Arc<dyn Direct>>) -> Arc<Self> {
        let names = KeyNames::new(settings.key_prefix());
        let replicated = settings.min_replicas() > 0;
        let servers = Arc::new(Servers::open(settings, "store"));
        let direct = direct.filter(|_| !replicated && !servers.is_cluster());
        Arc::new(Self { names, servers, replicated, direct })
    }

    /// Watches whether this Redis may throw our data away.
    #[must_use]
    pub fn eviction(&self) -> EvictionWatch {
        EvictionWatch::new(self.servers.clone(), "store")
    }

    /// Asks `verb` of one key per shard, and names the shards where the answer is not zero. Servers that do not answer
    /// are passed over, as long as one does: this is asked again and again.
    async fn shards_with(
        &self,
        verb: &str,
        key: impl Fn(Shard) -> String,
    ) -> Result<Vec<Shard>, Unavailable> {
        let size = |shard| {
            let key = key(shard);
            Call::command(&key, of_key(verb, &key))
        };
        let sizes: Vec<Option<u64>> =
            self.servers.read_what_answers(Way::Slow, Shard::all().map(size).collect()).await?;
        Ok(Shard::all()
            .zip(sizes)
            .filter(|(_, size)| size.is_some_and(|size| size > 0))
            .map(|(shard, _)| shard)
            .collect())
    }
}

#[async_trait]
impl Engine for Redis {
    async fn get(&self, items: &[Item]) -> Result<Vec<Option<Vec<u8>>>, Unavailable> {
        // Neighbours of one collection share a command.
        let calls: Vec<Call> = items
            .chunk_by(|a, b| a.collection == b.collection)
            .filter_map(|group| self.get_call(group))
            .collect();
        let values: Vec<Vec<Option<Vec<u8>>>> = self.servers.read_all(Way::Fast, calls).await?;
        Ok(values.into_iter().flatten().collect())
    }

    async fn get_one(&self, item: &Item) -> Result<Option<Vec<u8>>, Unavailable> {
        self.servers.read(Way::Fast, self.get_one_call(item)).await
    }

    async fn get_lasting(&self, item: &Item) -> Result<Option<Vec<u8>>, Unavailable> {
        if !self.replicated {
            return self.get_one(item).await;
        }
        let mark = self.names.mark(item.collection.shard);
        self.servers.write(self.get_one_call(item).marked(mark)).await
    }

    async fn list(
        &self,
        collection: &Collection,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, Unavailable> {
        self.servers.read(Way::Slow, self.list_call(collection, from, limit)).await.map(page)
    }

    async fn first_pages(&self, collections: &[Collection], limit: usize) -> Result<Vec<Page>, Unavailable> {
        let mut pages = Vec::with_capacity(collections.len());
        if self.servers.is_cluster() {
            // One by one: of calls that go out together, the first may be sent on to another server, and come second.
            for collection in collections {
                pages.push(self.list(collection, None, limit).await?);
            }
        } else {
            let calls =
                collections.iter().map(|collection| self.list_call(collection, None, limit)).collect();
            pages.extend(self.servers.read_all(Way::Slow, calls).await?.into_iter().map(page));
        }
        Ok(pages)
    }

    async fn count(&self, collection: &Collection) -> Result<u64, Unavailable> {
        self.servers.read(Way::Fast, self.count_call(collection)).await
    }

    async fn count_lasting(&self, collection: &Collection) -> Result<u64, Unavailable> {
        if !self.replicated {
            return self.count(collection).await;
        }
        let mark = self.names.mark(collection.shard);
        self.servers.write(self.count_call(collection).marked(mark)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Verdict, Unavailable> {
        Ok(self.commit_and_tell(commit).await?.0)
    }

    async fn commit_and_tell(&self, commit: Commit) -> Result<(Verdict, Untold), Unavailable> {
        let tell = direct::commands(self.direct.as_deref(), commit.announcements());
        let mut call = commit::call(&self.names, &commit, tell);
        if self.replicated {
            call = call.marked(self.names.mark(commit.shard()));
        }
        let answer: Value = self.servers.write(call).await?;
        commit::verdict(answer, commit.checks().len(), commit.into_announcements())
            .map_err(|error| self.servers.unavailable(&error))
    }

    async fn populated(&self, name: &str) -> Result<Vec<Shard>, Unavailable> {
        self.shards_with("HLEN", |shard| self.names.collection(&Collection::new(shard, name))).await
    }

    async fn collections(
        &self,
        prefix: &str,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<Collections, Unavailable> {
        walk::collections(&self.servers, &self.names, prefix, (from, limit)).await
    }

    fn outbox_of(&self, shard: Shard) -> Outbox {
        Outbox(shard.index())
    }

    async fn pending(&self, outbox: Outbox, limit: usize) -> Result<Vec<Entry>, Unavailable> {
        let Some(shard) = Shard::from_index(outbox.0) else { return Ok(Vec::new()) };
        let (key, mut command) = (self.names.outbox(shard), cmd("XRANGE"));
        command.arg(&key).arg("-").arg("+").arg("COUNT").arg(limit);
        let call = Call::command(key, command);
        // What no replica has may yet be undone by a failover, and must not be told to anybody before.
        let entries: Entries = if self.replicated {
            self.servers.write(call.marked(self.names.mark(shard))).await?
        } else {
            self.servers.read(Way::Slow, call).await?
        };
        entries.into_iter().map(entry).collect()
    }

    async fn trim(&self, outbox: Outbox, through: Position) -> Result<(), Unavailable> {
        let Some(shard) = Shard::from_index(outbox.0) else { return Ok(()) };
        let first_kept = match through.sequence.checked_add(1) {
            Some(sequence) => Position { sequence, ..through },
            None => Position { ms: through.ms.saturating_add(1), sequence: 0 },
        };
        let (key, mut command) = (self.names.outbox(shard), cmd("XTRIM"));
        command.arg(&key).arg("MINID").arg(first_kept.to_string());
        // Trimming again what was trimmed changes nothing, so this may be sent again as a read may.
        self.servers.read(Way::Slow, Call::command(key, command)).await
    }

    async fn backlog(&self) -> Result<Vec<Outbox>, Unavailable> {
        let shards = self.shards_with("XLEN", |shard| self.names.outbox(shard)).await?;
        Ok(shards.into_iter().map(|shard| self.outbox_of(shard)).collect())
    }

    async fn ready(&self) -> Result<Vec<String>, Unavailable> {
        self.servers.ready().await
    }
}

impl Redis {
    fn get_one_call(&self, item: &Item) -> Call {
        let key = self.names.collection(&item.collection);
        let mut command = Cmd::with_capacity(3, 2 * key.len());
        command.arg("HGET").arg(&key).arg(&item.name);
        Call::command(key, command)
    }

    fn count_call(&self, collection: &Collection) -> Call {
        let key = self.names.collection(collection);
        Call::command(&key, of_key("HLEN", &key))
    }

    /// Reads `group`, items of one collection.
    fn get_call(&self, group: &[Item]) -> Option<Call> {
        let (key, mut command) = (self.names.collection(&group.first()?.collection), cmd("HMGET"));
        command.arg(&key);
        for item in group {
            command.arg(&item.name);
        }
        Some(Call::command(key, command))
    }

    fn list_call(&self, collection: &Collection, from: Option<&Cursor>, limit: usize) -> Call {
        let key = self.names.collection(collection);
        let mut command = Cmd::with_capacity(5, key.len() + 32);
        let start = from.map_or(b"0".as_slice(), |Cursor(cursor)| cursor);
        command.arg("HSCAN").arg(&key).arg(start).arg("COUNT").arg(limit.max(1));
        Call::command(key, command)
    }
}

/// The command that asks `verb` of `key`.
fn of_key(verb: &str, key: &str) -> Cmd {
    let mut command = Cmd::with_capacity(2, verb.len() + key.len());
    command.arg(verb).arg(key);
    command
}

/// What `HSCAN` answered.
fn page((next, items): Scanned) -> Page {
    Page { items, next: (next != b"0").then_some(Cursor(next)) }
}

fn entry((position, fields): (String, Vec<Vec<u8>>)) -> Result<Entry, Unavailable> {
    let nonsense = || Unavailable::new("store", "an outbox entry of a form that commit.lua never writes");
    let position = position.parse().map_err(|()| nonsense())?;
    let announcement = fields.into_iter().nth(1).ok_or_else(nonsense)?;
    Ok(Entry { position, announcement })
}
