//! The projection of one session: the cache record, the stream event and the feed's data are all this.

use serde::Serialize;

use crate::{
    base::{Timestamp, Unavailable},
    session::{Announced, Announcement},
};

/// What the gateway knows of a session. Its fields, their order and their names are contract.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GatewayRecord {
    /// The session's id.
    pub device_session_id: String,
    /// Whose it is.
    pub user_id: String,
    /// Standard base64 of the raw Ed25519 key.
    pub client_public_key: String,
    /// Whether requests of this session are let through.
    pub status: Status,
    /// Milliseconds since the Unix epoch; for revoked sessions only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at_ms: Option<u64>,
}

/// Revoked is final.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Requests are let through.
    Active,
    /// They are not.
    Revoked,
}

impl GatewayRecord {
    /// Renders an announcement as `session` wrote it.
    pub fn render(announcement: &[u8]) -> Result<Self, Unavailable> {
        Announcement::read(announcement).map(Self::of)
    }

    /// Renders a session.
    #[must_use]
    pub fn of(session: Announced) -> Self {
        Self {
            device_session_id: session.id,
            user_id: session.user_id,
            client_public_key: session.key.to_string(),
            status: if session.revoked_at.is_some() { Status::Revoked } else { Status::Active },
            revoked_at_ms: session.revoked_at.map(Timestamp::as_ms),
        }
    }

    /// The cache record: JSON, one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Cannot fail: strings and a number.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The record that a stream entry's fields tell of; nothing where they are not ours.
    pub fn from_fields(field: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let status = match field("status")?.as_str() {
            "active" => Status::Active,
            "revoked" => Status::Revoked,
            _ => return None,
        };
        let revoked_at_ms = match field("revoked_at_ms") {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        Some(Self {
            device_session_id: field("device_session_id")?,
            user_id: field("user_id")?,
            client_public_key: field("client_public_key")?,
            status,
            revoked_at_ms,
        })
    }
}

impl Status {
    /// As the contract spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(revoked_at_ms: Option<u64>) -> GatewayRecord {
        GatewayRecord {
            device_session_id: "device-session-123".into(),
            user_id: "user-123".into(),
            client_public_key: "11qYAYdk8v3K6Yw8QK6ZlQ2nP4Wm8Cq5g1H0K8vT9no=".into(),
            status: if revoked_at_ms.is_some() { Status::Revoked } else { Status::Active },
            revoked_at_ms,
        }
    }

    #[test]
    fn the_cache_record_is_the_owners_example() {
        assert_eq!(
            record(None).to_json(),
            r#"{"device_session_id":"device-session-123","user_id":"user-123","client_public_key":"11qYAYdk8v3K6Yw8QK6ZlQ2nP4Wm8Cq5g1H0K8vT9no=","status":"active"}"#
        );
        assert!(
            record(Some(1_775_121_700_000))
                .to_json()
                .ends_with(r#""status":"revoked","revoked_at_ms":1775121700000}"#)
        );
    }

    #[test]
    fn a_stream_entry_is_read_by_its_fields() {
        for record in [record(None), record(Some(1_775_121_700_000))] {
            let field = |name: &str| {
                Some(match name {
                    "device_session_id" => record.device_session_id.clone(),
                    "user_id" => record.user_id.clone(),
                    "client_public_key" => record.client_public_key.clone(),
                    "status" => record.status.as_str().to_owned(),
                    "revoked_at_ms" => return record.revoked_at_ms.map(|ms| ms.to_string()),
                    _ => return None,
                })
            };
            assert_eq!(GatewayRecord::from_fields(field), Some(record.clone()));
        }
        assert_eq!(GatewayRecord::from_fields(|_| Some("x".into())), None);
    }
}
