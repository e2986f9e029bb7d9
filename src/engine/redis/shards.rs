//! Which shards have something to be done: what the service asks several times a second, mostly to hear that none has.

use redis::Cmd;

use super::{Call, Redis, Way};
use crate::{
    base::Unavailable,
    engine::{Collection, Shard},
};

impl Redis {
    /// The shards in which a collection of this name has items.
    pub(super) async fn shards_with_items(&self, name: &str) -> Result<Vec<Shard>, Unavailable> {
        let key = |shard| self.names.collection(&Collection::new(shard, name));
        let keys: Vec<String> = Shard::all().map(key).collect();
        if self.has_none(&keys).await? {
            return Ok(Vec::new());
        }
        self.shards_with("HLEN", &keys).await
    }

    /// The shards whose outboxes have entries. (That there is a stream says nothing: it stays when it is empty.)
    pub(super) async fn shards_to_tell(&self) -> Result<Vec<Shard>, Unavailable> {
        let keys: Vec<String> = Shard::all().map(|shard| self.names.outbox(shard)).collect();
        self.shards_with("XLEN", &keys).await
    }

    /// Asks `verb` of each shard's key, and names the shards where the answer is not zero. Servers that do not answer
    /// are passed over, as long as one does: this is asked again and again.
    async fn shards_with(&self, verb: &str, keys: &[String]) -> Result<Vec<Shard>, Unavailable> {
        let sizes = keys.iter().map(|key| Call::command(key, of_key(verb, key))).collect();
        let sizes: Vec<Option<u64>> = self.servers.read_what_answers(Way::Slow, sizes).await?;
        Ok(Shard::all()
            .zip(sizes)
            .filter(|(_, size)| size.is_some_and(|size| size > 0))
            .map(|(shard, _)| shard)
            .collect())
    }

    /// Whether there is certainly no such key, by one question: most of the time that is all there is to know. A server
    /// that keeps keys apart, as those of a cluster do, does not answer it.
    async fn has_none(&self, keys: &[String]) -> Result<bool, Unavailable> {
        if self.servers.is_cluster() {
            return Ok(false);
        }
        let mut exists = Cmd::with_capacity(keys.len() + 1, keys.iter().map(String::len).sum());
        exists.arg("EXISTS").arg(keys);
        let call = Call::command(keys.first().map_or("", String::as_str), exists);
        Ok(self.servers.read_if_served::<u64>(Way::Slow, call).await? == Some(0))
    }
}

/// The command that asks `verb` of `key`.
pub(super) fn of_key(verb: &str, key: &str) -> Cmd {
    let mut command = Cmd::with_capacity(2, verb.len() + key.len());
    command.arg(verb).arg(key);
    command
}
