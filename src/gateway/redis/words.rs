//! What the gateway's Redis is told of a session, in Redis's words: the cache record and the event. Pure.

use std::time::Duration;

use super::super::{GatewayRecord, Settings, record::Status};
use crate::engine::redis::Direct;

/// A revoked session's record is kept at least this long, however short the retention: longer than any delayed
/// `active` may take to arrive.
const LEAST_KEPT: Duration = Duration::from_hours(24);

/// A command.
type Command = Vec<Vec<u8>>;

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
    pub(super) fn cache_record(&self, record: &GatewayRecord) -> (String, Command) {
        let key = [&self.settings.session_key_prefix, record.device_session_id.as_str()].concat();
        let mut set = words(["SET", &key, &record.to_json()]);
        match record.status {
            // An active record never overwrites anything, and never expires.
            Status::Active => set.extend(words(["NX"])),
            Status::Revoked => set.extend(words(["PX", &self.kept.as_millis().to_string()])),
        }
        (key, set)
    }

    /// The command that appends the event.
    fn event(&self, record: &GatewayRecord) -> Command {
        let max_len = self.max_len().to_string();
        let mut add = words(["XADD", self.stream(), "MAXLEN", "~", &max_len, "*"]);
        add.extend(words(["device_session_id", &record.device_session_id, "user_id", &record.user_id]));
        add.extend(words(["client_public_key", &record.client_public_key, "status", record.status.as_str()]));
        if let Some(at) = record.revoked_at_ms {
            add.extend(words(["revoked_at_ms", &at.to_string()]));
        }
        add
    }
}

/// Where the gateway reads the store's own Redis, a session's commit tells it.
impl Direct for Words {
    fn commands(&self, announcement: &[u8]) -> Option<Vec<Command>> {
        let record = GatewayRecord::render(announcement).ok()?;
        Some(vec![self.cache_record(&record).1, self.event(&record)])
    }
}

fn words<const N: usize>(words: [&str; N]) -> Command {
    words.map(|word| word.as_bytes().to_vec()).to_vec()
}
