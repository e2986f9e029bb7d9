//! The gateway's Redis: cache records and the event stream, written so that doing it again, late, or from two
//! replicas at once changes nothing for the worse. `relay` says when this is called.

mod feed;

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use redis::cmd;

pub(super) use feed::StreamFeed;

use super::{GatewayRecord, Settings, record::Status, relay::Projected};
use crate::{
    base::Unavailable,
    engine::{
        Outbox,
        redis::{Call, Script, Servers, hash_tag},
    },
};

/// A revoked session's record is kept at least this long, however short the retention: longer than any delayed
/// `active` may take to arrive.
const LEAST_KEPT: Duration = Duration::from_hours(24);

/// Writes the events.
static FENCE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("fence.lua")));

/// Writes the projection.
pub struct RedisGateway {
    servers: Arc<Servers>,
    settings: Settings,
    positions: String,
    kept: Duration,
}

impl RedisGateway {
    /// On `servers`. `positions_prefix` is the store's key prefix: it keeps the bookkeeping of two stores that share a
    /// gateway apart. `retention` is how long a revoked session can be read.
    #[must_use]
    pub fn new(
        servers: Arc<Servers>,
        settings: Settings,
        positions_prefix: &str,
        retention: Duration,
    ) -> Self {
        // In the stream's slot, since one script writes both.
        let tag = hash_tag(settings.session_events_stream.as_bytes());
        let positions = format!("{positions_prefix}{{{}}}:pos", String::from_utf8_lossy(tag));
        Self { servers, settings, positions, kept: retention.max(LEAST_KEPT) }
    }

    /// The events as readers follow them.
    #[must_use]
    pub fn feed(&self) -> Arc<StreamFeed> {
        StreamFeed::new(Arc::clone(&self.servers), self.settings.session_events_stream.clone())
    }

    /// Makes `entries`, the next of `outbox`, visible to the gateway: first the cache records, then the events. Where
    /// replicas must have a commit, they have this too: the entries will not be read again.
    pub(super) async fn apply(&self, outbox: Outbox, entries: &[Projected]) -> Result<(), Unavailable> {
        let records = entries.iter().map(|entry| self.cache_record(&entry.record)).collect();
        let keys = vec![
            self.settings.session_events_stream.clone().into_bytes(),
            self.positions.clone().into_bytes(),
        ];
        let events = Call::script(&FENCE, keys, self.events(outbox, entries));
        self.servers.write_in_order(records, events).await
    }

    /// Writes cache records anew, without events: nothing has changed.
    pub(super) async fn restore(&self, records: &[GatewayRecord]) -> Result<(), Unavailable> {
        self.servers.write_all(records.iter().map(|record| self.cache_record(record)).collect()).await
    }

    fn cache_record(&self, record: &GatewayRecord) -> Call {
        let key = format!("{}{}", self.settings.session_key_prefix, record.device_session_id);
        let mut set = cmd("SET");
        set.arg(&key).arg(record.to_json());
        match record.status {
            // An active record never overwrites anything, and never expires.
            Status::Active => set.arg("NX"),
            Status::Revoked => set.arg("PX").arg(u64::try_from(self.kept.as_millis()).unwrap_or(u64::MAX)),
        };
        // There is a record now, whoever wrote it, so this changes nothing.
        let mut mark = cmd("APPEND");
        mark.arg(&key).arg("");
        Call::command(key, set).marked(mark)
    }

    fn events(&self, outbox: Outbox, entries: &[Projected]) -> Vec<Vec<u8>> {
        let mut arguments = vec![
            outbox.0.to_string().into_bytes(),
            self.settings.session_events_max_len.to_string().into_bytes(),
        ];
        for Projected { position, record } in entries {
            arguments.extend([
                position.ms.to_string().into_bytes(),
                position.sequence.to_string().into_bytes(),
                record.device_session_id.clone().into_bytes(),
                record.user_id.clone().into_bytes(),
                record.client_public_key.clone().into_bytes(),
                record.revoked_at_ms.map(|ms| ms.to_string()).unwrap_or_default().into_bytes(),
            ]);
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
