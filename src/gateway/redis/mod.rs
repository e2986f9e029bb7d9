//! The gateway's Redis: cache records and the event stream, written so that doing it again, late, or from two
//! replicas at once changes nothing for the worse. `relay` says when this is called.

mod feed;
mod words;

use std::sync::{Arc, LazyLock};

use redis::{Cmd, cmd};
use tokio::sync::OnceCell;

pub(super) use feed::StreamFeed;
pub use words::Words;

use super::{GatewayRecord, relay::Projected};
use crate::{
    base::{Unavailable, id},
    engine::{
        Keys, Outbox,
        redis::{Args, Call, Script, Servers, hash_tag},
    },
};

/// Writes the events.
static FENCE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("fence.lua")));

/// Writes the projection.
pub struct RedisGateway {
    servers: Arc<Servers>,
    words: Arc<Words>,
    positions: String,
    keys: Arc<Keys>,
    /// What tells the outboxes of this store from another's, see [`Self::store`].
    store: OnceCell<String>,
}

impl RedisGateway {
    /// On `servers`. The key of the bookkeeping starts with `positions_prefix`; `keys` are those of the store that is
    /// projected.
    #[must_use]
    pub fn new(servers: Arc<Servers>, words: Arc<Words>, positions_prefix: &str, keys: Arc<Keys>) -> Self {
        // In the stream's slot, since one script writes both.
        let tag = hash_tag(words.stream().as_bytes());
        let positions = format!("{positions_prefix}{{{}}}:pos", String::from_utf8_lossy(tag));
        Self { servers, words, positions, keys, store: OnceCell::new() }
    }

    /// The events as readers follow them.
    #[must_use]
    pub fn feed(&self) -> Arc<StreamFeed> {
        StreamFeed::new(Arc::clone(&self.servers), self.words.stream().to_owned())
    }

    /// Makes `entries`, the next of `outbox`, visible to the gateway: first the cache records, then the events. Where
    /// replicas must have a commit, they have this too: the entries will not be read again.
    pub(super) async fn apply(&self, outbox: Outbox, entries: &[Projected]) -> Result<(), Unavailable> {
        let store = self.store().await?;
        let records = entries.iter().map(|entry| self.cache_record(&entry.record)).collect();
        let keys = [self.words.stream(), &self.positions].into_iter().collect();
        let events = Call::script(&FENCE, keys, self.events(&format!("{store}:{}", outbox.0), entries));
        self.servers.write_in_order(records, events).await
    }

    /// Writes cache records anew, without events: nothing has changed.
    pub(super) async fn restore(&self, records: &[GatewayRecord]) -> Result<(), Unavailable> {
        self.servers.write_all(records.iter().map(|record| self.cache_record(record)).collect()).await
    }

    /// Two stores may share this Redis, even under the same names of keys. Each has outboxes 0, 1, …, and would take the
    /// other's positions for its own, and its own `active` events for relayed.
    async fn store(&self) -> Result<&str, Unavailable> {
        let derive = async || {
            let bits = self.keys.names().await?.derive("gateway", &[]);
            Ok(id::encode(bits.first_chunk::<5>().unwrap_or(&[0; 5])))
        };
        self.store.get_or_try_init(derive).await.map(String::as_str)
    }

    fn cache_record(&self, record: &GatewayRecord) -> Call {
        let (key, words) = self.words.cache_record(record);
        let mut set = Cmd::new();
        set.arg(&words);
        // There is a record now, whoever wrote it, so this changes nothing.
        let mut mark = cmd("APPEND");
        mark.arg(&key).arg("");
        Call::command(key, set).marked(mark)
    }

    fn events(&self, outbox: &str, entries: &[Projected]) -> Args {
        let mut arguments = Args::default();
        arguments.push(outbox);
        arguments.push_number(self.words.max_len());
        for Projected { position, record } in entries {
            arguments.push_number(position.ms);
            arguments.push_number(position.sequence);
            arguments.extend([&record.device_session_id, &record.user_id, &record.client_public_key]);
            arguments.push(record.revoked_at_ms.map(|ms| ms.to_string()).unwrap_or_default());
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_lie_in_the_streams_slot() {
        let tag = |key: &str| String::from_utf8(hash_tag(key.as_bytes()).to_vec()).unwrap();
        for stream in ["gateway:session_events", "{gw}:events", "x{gw}y"] {
            let positions = format!("authsession:{{{}}}:pos", tag(stream));
            assert_eq!(tag(stream), tag(&positions), "{stream}");
        }
    }
}
