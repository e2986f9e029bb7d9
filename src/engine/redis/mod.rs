//! Redis as an engine: one hash a collection, one stream a shard's outbox, one Lua script for every commit. Start with
//! [`Redis`]; [`Lane`] and [`Script`] are the kit for whoever else talks to a Redis.
//!
//! Nothing here connects before it is asked to, and nothing waits longer than the operation timeout.

mod commit;
mod durable;
mod eviction;
mod keys;
mod lane;
mod link;
mod script;
mod settings;
mod topology;
mod walk;

use std::sync::Arc;

use async_trait::async_trait;
use redis::{Cmd, Pipeline, Value, cmd};

pub use eviction::EvictionWatch;
pub use lane::Lane;
pub use script::Script;
pub use settings::{Options, Settings};

use super::{
    Collection, Collections, Commit, Cursor, Engine, Entry, Item, Outbox, Page, Position, Shard, Verdict,
};
use crate::base::Unavailable;
use commit::{Call, SCRIPT, verdict};
use durable::Durable;
use keys::KeyNames;

/// A Redis that keeps our data.
pub struct Redis {
    names: Arc<KeyNames>,
    /// Gets and commits.
    fast: Lane,
    /// What takes long: lists, counts over all shards, outboxes.
    slow: Lane,
    /// Commits, where replicas must have them.
    durable: Option<Durable>,
}

impl Redis {
    /// Starts connecting in the background: the caller must be inside a Tokio runtime. The service can start while its
    /// Redis is away.
    #[must_use]
    pub fn new(settings: &Settings) -> Arc<Self> {
        let names = Arc::new(KeyNames::new(settings.key_prefix()));
        let lane = || Lane::open(settings, "store");
        let replicas = settings.min_replicas();
        let durable = (replicas > 0).then(|| Durable::open(lane(), Arc::clone(&names), replicas));
        Arc::new(Self { names, fast: lane(), slow: lane(), durable })
    }

    /// Watches whether this Redis may throw our data away.
    #[must_use]
    pub fn eviction(&self) -> EvictionWatch {
        EvictionWatch::new(self.slow.clone(), "store")
    }

    /// Asks `verb` of one key per shard, and names the shards where the answer is not zero.
    async fn shards_with(
        &self,
        verb: &str,
        key: impl Fn(Shard) -> String,
    ) -> Result<Vec<Shard>, Unavailable> {
        let mut pipeline = Pipeline::with_capacity(usize::from(Shard::COUNT));
        for shard in Shard::all() {
            pipeline.cmd(verb).arg(key(shard));
        }
        let sizes: Vec<u64> = self.slow.read_pipe(&pipeline).await?;
        Ok(Shard::all().zip(sizes).filter(|(_, size)| *size > 0).map(|(shard, _)| shard).collect())
    }
}

#[async_trait]
impl Engine for Redis {
    async fn get(&self, items: &[Item]) -> Result<Vec<Option<Vec<u8>>>, Unavailable> {
        // Neighbours of one collection share a command; most calls need only one.
        let mut commands: Vec<Cmd> = items
            .chunk_by(|a, b| a.collection == b.collection)
            .map(|group| self.get_command(group))
            .collect();
        if commands.len() > 1 {
            let mut pipeline = Pipeline::with_capacity(commands.len());
            for command in commands {
                pipeline.add_command(command);
            }
            let values: Vec<Vec<Option<Vec<u8>>>> = self.fast.read_pipe(&pipeline).await?;
            return Ok(values.into_iter().flatten().collect());
        }
        match commands.pop() {
            Some(command) => self.fast.read(&command).await,
            None => Ok(Vec::new()),
        }
    }

    async fn list(
        &self,
        collection: &Collection,
        from: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, Unavailable> {
        let mut command = cmd("HSCAN");
        let start = from.map_or(b"0".as_slice(), |Cursor(cursor)| cursor);
        command.arg(self.names.collection(collection)).arg(start).arg("COUNT").arg(limit.max(1));
        let (next, items): (Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>) = self.slow.read(&command).await?;
        Ok(Page { items, next: (next != b"0").then_some(Cursor(next)) })
    }

    async fn count(&self, collection: &Collection) -> Result<u64, Unavailable> {
        self.fast.read(cmd("HLEN").arg(self.names.collection(collection))).await
    }

    async fn commit(&self, commit: Commit) -> Result<Verdict, Unavailable> {
        if let Some(durable) = &self.durable {
            return durable.commit(commit).await;
        }
        let call = Call::new(&self.names, &commit);
        let answer: Value = self.fast.script(&SCRIPT, &call.keys, &call.args).await?;
        verdict(answer).map_err(|error| self.fast.unavailable(error))
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
        walk::collections(&self.slow, &self.names, prefix, (from, limit)).await
    }

    fn outbox_of(&self, shard: Shard) -> Outbox {
        Outbox(shard.index())
    }

    async fn pending(&self, outbox: Outbox, limit: usize) -> Result<Vec<Entry>, Unavailable> {
        let Some(shard) = Shard::from_index(outbox.0) else { return Ok(Vec::new()) };
        let mut command = cmd("XRANGE");
        command.arg(self.names.outbox(shard)).arg("-").arg("+").arg("COUNT").arg(limit);
        let entries: Vec<(String, Vec<Vec<u8>>)> = self.slow.read(&command).await?;
        entries.into_iter().map(entry).collect()
    }

    async fn trim(&self, outbox: Outbox, through: Position) -> Result<(), Unavailable> {
        let Some(shard) = Shard::from_index(outbox.0) else { return Ok(()) };
        let first_kept = match through.sequence.checked_add(1) {
            Some(sequence) => Position { sequence, ..through },
            None => Position { ms: through.ms.saturating_add(1), sequence: 0 },
        };
        let mut command = cmd("XTRIM");
        command.arg(self.names.outbox(shard)).arg("MINID").arg(first_kept.to_string());
        // Trimming again what was trimmed changes nothing, so this may be sent again as a read may.
        self.slow.read(&command).await
    }

    async fn backlog(&self) -> Result<Vec<Outbox>, Unavailable> {
        let shards = self.shards_with("XLEN", |shard| self.names.outbox(shard)).await?;
        Ok(shards.into_iter().map(|shard| self.outbox_of(shard)).collect())
    }

    async fn ready(&self) -> Result<(), Unavailable> {
        self.fast.read(&cmd("PING")).await
    }
}

impl Redis {
    /// Reads `group`, items of one collection.
    fn get_command(&self, group: &[Item]) -> Cmd {
        let mut command = cmd("HMGET");
        if let [first, ..] = group {
            command.arg(self.names.collection(&first.collection));
        }
        for item in group {
            command.arg(&item.name);
        }
        command
    }
}

fn entry((position, fields): (String, Vec<Vec<u8>>)) -> Result<Entry, Unavailable> {
    let nonsense = || Unavailable::new("store", "an outbox entry of a form that commit.lua never writes");
    let position = position.parse().map_err(|()| nonsense())?;
    let announcement = fields.into_iter().nth(1).ok_or_else(nonsense)?;
    Ok(Entry { position, announcement })
}
