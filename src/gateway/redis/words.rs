//! What the gateway's Redis is told of a session, in Redis's words: the cache record and the event. Pure.

use std::time::Duration;

use super::super::{GatewayRecord, Settings, record::Status};
use crate::engine::redis::{Args, Direct};

/// A revoked session's record is kept at least this long, however short the retention: longer than any delayed
/// `active` may take to arrive.
const LEAST_KEPT: Duration = Duration::from_hours(24);

/// What either command needs, in words and in bytes.
const ROOM: (usize, usize) = (16, 384);

/// Knows the names of the gateway's keys.
pub struct Words {
    settings: Settings,
    kept: Duration,
}

impl Words {
    /// `retention` is how long a revoked session can be read.
    #[must_use]
    pub fn new(settings: Settings, retention: Duration) -> Self {
        Self { settings, kept: retention.max(LEAST_KEPT) }
    }

    pub(super) fn stream(&self) -> &str {
        &self.settings.session_events_stream
    }

    pub(super) const fn max_len(&self) -> u64 {
        self.settings.session_events_max_len
    }

    /// The key of the cache record, and the command that writes it.
    pub(super) fn cache_record(&self, record: &GatewayRecord) -> (String, Args) {
        let key = [&self.settings.session_key_prefix, record.device_session_id.as_str()].concat();
        let mut set = command(["SET", &key, &record.to_json()]);
        match record.status {
            // An active record never overwrites anything, and never expires.
            Status::Active => set.push("NX"),
            Status::Revoked => {
                set.push("PX");
                set.push_number(u64::try_from(self.kept.as_millis()).unwrap_or(u64::MAX));
            }
        }
        (key, set)
    }

    /// The command that appends the event.
    fn event(&self, record: &GatewayRecord) -> Args {
        let mut add = command(["XADD", self.stream(), "MAXLEN", "~"]);
        add.push_number(self.max_len());
        add.extend(["*", "device_session_id", &record.device_session_id, "user_id", &record.user_id]);
        add.extend(["client_public_key", &record.client_public_key, "status", record.status.as_str()]);
        if let Some(at) = record.revoked_at_ms {
            add.push("revoked_at_ms");
            add.push_number(at);
        }
        add
    }
}

/// Where the gateway reads the store's own Redis, a session's commit tells it.
impl Direct for Words {
    fn commands(&self, announcement: &[u8]) -> Option<Vec<Args>> {
        let record = GatewayRecord::render(announcement).ok()?;
        Some(vec![self.cache_record(&record).1, self.event(&record)])
    }
}

fn command<const N: usize>(words: [&str; N]) -> Args {
    let mut command = Args::with_capacity(ROOM.0, ROOM.1);
    command.extend(words);
    command
}
