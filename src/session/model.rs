//! What a device session is. Pure: no store, no HTTP.

use std::fmt;

use crate::{
    base::{Cause, DeviceKey, Timestamp, id},
    engine::{Names, Place},
};

/// Opaque and URL-safe, 45 characters: the place of its user (19), then 128 bits that only this service can derive
/// from the challenge and the key that the session was opened with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionId {
    /// Where all sessions of the user lie.
    pub(super) place: Place,
    /// Which of them.
    pub(super) suffix: [u8; 16],
}

impl SessionId {
    /// The id of the session that `key` opens with `origin`. The same for the same three, so that opening again finds
    /// what the first try opened.
    pub(super) fn derive(names: &Names, user_id: &str, origin: &[u8], key: &DeviceKey) -> Self {
        let place = names.place("user", user_id);
        Self { suffix: names.derive("session", &[place.key.as_bytes(), origin, key.as_bytes()]), place }
    }

    /// The id that `text` spells; nothing where it can be none of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (place, rest) = Place::split(text)?;
        Some(Self { place, suffix: id::decode(rest)? })
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In one piece: every answer, record and log line has it.
        f.write_str(&[self.place.shard.tag(), &self.place.key, &id::encode(&self.suffix)].concat())
    }
}

/// A user's right to act from one device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is: 1 to 256 characters, as the user service gave it.
    pub user_id: String,
    /// The device.
    pub key: DeviceKey,
    /// When it was opened.
    pub created_at: Timestamp,
    /// Present once it is revoked. Final.
    pub revocation: Option<Revocation>,
}

/// The end of a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revocation {
    /// When.
    pub at: Timestamp,
    /// Why, and on whose word.
    pub cause: Cause,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Shard;

    #[test]
    fn an_id_is_short_url_safe_and_leads_back_to_its_place() {
        let place = Place { shard: Shard::from_index(1023).unwrap(), key: id::encode(&[9; 10]) };
        let session_id = SessionId { place, suffix: [255; 16] };
        let text = session_id.to_string();
        assert_eq!(text.len(), 45);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(SessionId::parse(&text), Some(session_id));
        for wrong in
            ["", "x", &text[1..], &format!("{text}0"), &text.to_uppercase(), &text.replace(&text[..3], "!!!")]
        {
            assert_eq!(SessionId::parse(wrong), None, "{wrong}");
        }
    }
}
