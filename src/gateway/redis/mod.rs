//! The gateway's Redis: cache records and the event stream, written so that doing it again, late, or from two
//! replicas at once changes nothing for the worse. `relay` says when this is called.

mod feed;

use std::{sync::Arc, time::Duration};

use redis::{Cmd, Pipeline, cmd};
use tokio::try_join;

pub(super) use feed::StreamFeed;

use super::{GatewayRecord, Settings, record::Status, relay::Projected};
use crate::{
    base::Unavailable,
    engine::{
        Outbox,
        redis::{Lane, Script},
    },
};

/// A revoked session's record is kept at least this long, however short the retention: longer than any delayed
/// `active` may take to arrive.
const LEAST_KEPT: Duration = Duration::from_hours(24);

/// Writes the projection.
pub struct RedisGateway {
    lane: Lane,
    fence: Script,
    settings: Settings,
    positions: String,
    kept: Duration,
}

impl RedisGateway {
    /// Over `lane`. `positions_prefix` is the store's key prefix: it keeps the bookkeeping of two stores that share a
    /// gateway apart. `retention` is how long a revoked session can be read.
    #[must_use]
    pub fn new(lane: Lane, settings: Settings, positions_prefix: &str, retention: Duration) -> Self {
        // In the stream's slot, since one script writes both.
        let positions = format!("{positions_prefix}{{{}}}:pos", hash_tag(&settings.session_events_stream));
        let fence = Script::new(include_str!("fence.lua"));
        Self { lane, fence, settings, positions, kept: retention.max(LEAST_KEPT) }
    }

    /// The events as readers follow them. `tail` is a connection of its own, since it waits.
    #[must_use]
    pub fn feed(&self, tail: Lane) -> Arc<StreamFeed> {
        StreamFeed::new(self.lane.clone(), tail, self.settings.session_events_stream.clone())
    }

    /// Makes `entries`, the next of `outbox`, visible to the gateway: first the cache records, then the events.
    pub(super) async fn apply(&self, outbox: Outbox, entries: &[Projected]) -> Result<(), Unavailable> {
        let mut records = Pipeline::with_capacity(entries.len());
        for entry in entries {
            records.add_command(self.cache_record(&entry.record)).ignore();
        }
        let keys =
            [self.settings.session_events_stream.clone().into_bytes(), self.positions.clone().into_bytes()];
        let arguments = self.events(outbox, entries);
        // Sent one behind the other on one connection, so the records are written first and nobody waits twice.
        try_join!(
            biased;
            self.lane.pipe::<()>(&records),
            self.lane.script::<redis::Value>(&self.fence, &keys, &arguments)
        )?;
        Ok(())
    }

    /// Writes cache records anew, without events: nothing has changed.
    pub(super) async fn restore(&self, records: &[GatewayRecord]) -> Result<(), Unavailable> {
        let mut sets = Pipeline::with_capacity(records.len());
        for record in records {
            sets.add_command(self.cache_record(record)).ignore();
        }
        self.lane.pipe(&sets).await
    }

    fn cache_record(&self, record: &GatewayRecord) -> Cmd {
        let mut set = cmd("SET");
        set.arg(format!("{}{}", self.settings.session_key_prefix, record.device_session_id))
            .arg(record.to_json());
        match record.status {
            // An active record never overwrites anything, and never expires.
            Status::Active => set.arg("NX"),
            Status::Revoked => set.arg("PX").arg(u64::try_from(self.kept.as_millis()).unwrap_or(u64::MAX)),
        };
        set
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

/// The part of `key` that Redis Cluster hashes (cluster specification, "hash tags").
fn hash_tag(key: &str) -> &str {
    key.split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty())
        .unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_lie_in_the_streams_slot() {
        let slot = |key: &str| crc16::State::<crc16::XMODEM>::calculate(hash_tag(key).as_bytes()) % 16_384;
        for stream in ["gateway:session_events", "{gw}:events", "a{}b", "{{x}}", "a{b"] {
            let positions = format!("authsession:{{{}}}:pos", hash_tag(stream));
            if !hash_tag(stream).contains(['{', '}']) {
                assert_eq!(slot(stream), slot(&positions), "{stream}");
            }
        }
    }
}
