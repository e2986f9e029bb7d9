//! How sessions are stored, and how a change of one is announced.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::model::{Revocation, Session, SessionId};
use crate::{
    base::{Cause, DeviceKey, Timestamp, Unavailable},
    engine::record::Record,
};

/// An active session. Never expires. Stays at or below 64 bytes for user ids that are UUIDs or short, since Redis
/// keeps a small hash compact only while no value is longer (116 bytes a session instead of some 400).
#[derive(Serialize, Deserialize)]
pub(super) struct Active {
    key: [u8; 32],
    created_at: Timestamp,
    user: UserId,
}

impl Record for Active {
    const VERSION: u8 = 1;
}

/// A revoked session, kept until `expires_at` for those who ask.
#[derive(Serialize, Deserialize)]
pub(super) struct Revoked {
    active: Active,
    at: Timestamp,
    cause: Cause,
    pub(super) expires_at: Timestamp,
}

impl Record for Revoked {
    const VERSION: u8 = 1;
}

/// That a user is blocked: no session of his may be opened while this stands. `nonce` tells one block from the next.
#[derive(Serialize, Deserialize)]
pub(super) struct Blocked {
    pub(super) at: Timestamp,
    pub(super) nonce: [u8; 8],
}

impl Record for Blocked {
    const VERSION: u8 = 1;
}

/// The intent to revoke all of a user's sessions, for whoever finds the work unfinished.
#[derive(Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) at: Timestamp,
    cause: Cause,
    /// Whether sessions that were opened after `at` are meant, too: so it is for a block.
    pub(super) later_ones_too: bool,
}

impl Record for Job {
    const VERSION: u8 = 1;
}

/// A user id, in 16 bytes where it is a UUID in its usual spelling.
#[derive(Serialize, Deserialize)]
enum UserId {
    Uuid([u8; 16]),
    Text(String),
}

impl Active {
    pub(super) fn of(session: &Session) -> Self {
        let user = match Uuid::try_parse(&session.user_id) {
            Ok(uuid) if uuid.to_string() == session.user_id => UserId::Uuid(uuid.into_bytes()),
            _ => UserId::Text(session.user_id.clone()),
        };
        Self { key: *session.key.as_bytes(), created_at: session.created_at, user }
    }

    pub(super) fn into_session(self, id: SessionId) -> Session {
        let user_id = match self.user {
            UserId::Uuid(bytes) => Uuid::from_bytes(bytes).to_string(),
            UserId::Text(text) => text,
        };
        Session {
            id,
            user_id,
            key: DeviceKey::from_stored(self.key),
            created_at: self.created_at,
            revocation: None,
        }
    }
}

impl Revoked {
    pub(super) fn of(session: &Session, revocation: &Revocation, expires_at: Timestamp) -> Self {
        let Revocation { at, cause } = revocation.clone();
        Self { active: Active::of(session), at, cause, expires_at }
    }

    pub(super) fn into_session(self, id: SessionId) -> Session {
        let mut session = self.active.into_session(id);
        session.revocation = Some(Revocation { at: self.at, cause: self.cause });
        session
    }
}

impl Job {
    pub(super) fn new(revocation: &Revocation, later_ones_too: bool) -> Self {
        let Revocation { at, cause } = revocation.clone();
        Self { at, cause, later_ones_too }
    }

    pub(super) fn revocation(&self) -> Revocation {
        Revocation { at: self.at, cause: self.cause.clone() }
    }
}

/// What a commit announces: the session as it stands after it, in full, so that publishing needs no second read.
#[derive(Serialize, Deserialize)]
pub struct Announcement {
    id: String,
    active: Active,
    revoked_at: Option<Timestamp>,
}

impl Record for Announcement {
    const VERSION: u8 = 1;
}

impl Announcement {
    pub(super) fn of(session: &Session) -> Self {
        Self {
            id: session.id.to_string(),
            active: Active::of(session),
            revoked_at: session.revocation.as_ref().map(|revocation| revocation.at),
        }
    }

    /// The session's id, user and key, and when it was revoked, if it was.
    pub fn read(bytes: &[u8]) -> Result<Announced, Unavailable> {
        let damaged = || Unavailable::new("store", "unreadable announcement in outbox");
        let Self { id, active, revoked_at } = Self::decode_bytes(bytes).ok_or_else(damaged)?;
        let session = active.into_session(SessionId::parse(&id).ok_or_else(damaged)?);
        Ok(Announced { revoked_at, ..Announced::of(session) })
    }
}

/// What an announcement says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announced {
    /// The session's id.
    pub id: String,
    /// Whose it is.
    pub user_id: String,
    /// The device.
    pub key: DeviceKey,
    /// Present once it is revoked.
    pub revoked_at: Option<Timestamp>,
}

impl Announced {
    pub(super) fn of(session: Session) -> Self {
        Self {
            id: session.id.to_string(),
            user_id: session.user_id,
            key: session.key,
            revoked_at: session.revocation.map(|revocation| revocation.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Place, Shard};

    fn session(user_id: &str) -> Session {
        let place = Place { shard: Shard::from_index(7).unwrap(), key: "0".repeat(16) };
        Session {
            id: SessionId { place, suffix: [1; 16] },
            user_id: user_id.to_owned(),
            key: DeviceKey::from_stored([9; 32]),
            created_at: Timestamp::from_ms(1_775_390_400_123),
            revocation: None,
        }
    }

    #[test]
    fn an_active_session_fits_into_redis_compact_hash() {
        for user_id in ["0193e3a6-0b5c-7cc0-9d3c-8b0a5a1f2e3d", "1bz0123456789abcdef", "user-123"] {
            let bytes = Active::of(&session(user_id)).encode();
            assert!(bytes.len() <= 64, "{user_id}: {}", bytes.len());
            let read = Active::decode_bytes(&bytes).unwrap().into_session(session(user_id).id);
            assert_eq!(read, session(user_id));
        }
    }

    #[test]
    fn a_uuid_in_another_spelling_comes_back_as_it_was() {
        for user_id in ["0193E3A6-0B5C-7CC0-9D3C-8B0A5A1F2E3D", "0193e3a60b5c7cc09d3c8b0a5a1f2e3d"] {
            let bytes = Active::of(&session(user_id)).encode();
            assert_eq!(
                Active::decode_bytes(&bytes).unwrap().into_session(session(user_id).id).user_id,
                user_id
            );
        }
    }

    #[test]
    fn records_of_this_release_are_read_by_the_next() {
        let golden = "0109090909090909090909090909090909090909090909090909090909090909\
                      09fbbc8eecd53301087573\
                      65722d313233";
        let encoded = data_encoding::HEXLOWER.encode(&Active::of(&session("user-123")).encode());
        assert_eq!(encoded, golden.replace(char::is_whitespace, ""));
    }
}
