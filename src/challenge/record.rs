//! How challenges and addresses are stored.

use serde::{Deserialize, Serialize};

use super::model::{Address, Challenge, Lane, LaneState, Mail, MailedCode, Used};
use crate::{
    base::{DeviceKey, Timestamp},
    engine::record::Record,
};

#[derive(Serialize, Deserialize)]
pub(super) struct ChallengeRecord {
    email: String,
    usual_lane: bool,
    mail: [u8; 16],
    hash: [u8; 32],
    expires_at: Timestamp,
    wrong_codes: u32,
    used: Option<([u8; 32], String)>,
}

impl Record for ChallengeRecord {
    const VERSION: u8 = 1;
}

#[derive(Serialize, Deserialize)]
pub(super) struct AddressRecord {
    networks: Vec<([u8; 8], Timestamp)>,
    usual: LaneRecord,
    other: LaneRecord,
    /// When nothing in it matters any more.
    expires_at: Timestamp,
}

impl Record for AddressRecord {
    const VERSION: u8 = 1;
}

#[derive(Serialize, Deserialize)]
struct LaneRecord {
    wrong_codes: Vec<Timestamp>,
    mail: Option<MailRecord>,
}

#[derive(Serialize, Deserialize)]
struct MailRecord {
    mail: [u8; 16],
    hash: [u8; 32],
    sent_at: Timestamp,
    expires_at: Timestamp,
    delivered: bool,
}

/// That a mailed code has logged somebody in.
#[derive(Serialize, Deserialize)]
pub(super) struct UsedMark {
    /// Until when somebody may ask.
    pub(super) expires_at: Timestamp,
}

impl Record for UsedMark {
    const VERSION: u8 = 1;
}

impl From<&Challenge> for ChallengeRecord {
    fn from(challenge: &Challenge) -> Self {
        Self {
            email: challenge.email.clone(),
            usual_lane: challenge.lane == Lane::Usual,
            mail: challenge.code.mail,
            hash: challenge.code.hash,
            expires_at: challenge.expires_at,
            wrong_codes: challenge.wrong_codes,
            used: challenge.used.as_ref().map(|used| (*used.key.as_bytes(), used.user_id.clone())),
        }
    }
}

impl From<ChallengeRecord> for Challenge {
    fn from(record: ChallengeRecord) -> Self {
        let used = |(key, user_id)| Used { key: DeviceKey::from_stored(key), user_id };
        Self {
            email: record.email,
            lane: if record.usual_lane { Lane::Usual } else { Lane::Other },
            code: MailedCode { mail: record.mail, hash: record.hash },
            expires_at: record.expires_at,
            wrong_codes: record.wrong_codes,
            used: record.used.map(used),
        }
    }
}

impl AddressRecord {
    pub(super) fn of(address: &Address, expires_at: Timestamp) -> Self {
        Self {
            networks: address.networks.clone(),
            usual: LaneRecord::from(&address.usual),
            other: LaneRecord::from(&address.other),
            expires_at,
        }
    }

    /// What it holds, as long as it matters.
    pub(super) fn into_address(self, now: Timestamp) -> Address {
        if self.expires_at <= now {
            return Address::default();
        }
        Address { networks: self.networks, usual: self.usual.into(), other: self.other.into() }
    }
}

impl From<&LaneState> for LaneRecord {
    fn from(lane: &LaneState) -> Self {
        let mail = |mail: &Mail| MailRecord {
            mail: mail.code.mail,
            hash: mail.code.hash,
            sent_at: mail.sent_at,
            expires_at: mail.expires_at,
            delivered: mail.delivered,
        };
        Self { wrong_codes: lane.wrong_codes.clone(), mail: lane.mail.as_ref().map(mail) }
    }
}

impl From<LaneRecord> for LaneState {
    fn from(record: LaneRecord) -> Self {
        let mail = |mail: MailRecord| Mail {
            code: MailedCode { mail: mail.mail, hash: mail.hash },
            sent_at: mail.sent_at,
            expires_at: mail.expires_at,
            delivered: mail.delivered,
        };
        Self { wrong_codes: record.wrong_codes, mail: record.mail.map(mail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_as_they_were() {
        let at = Timestamp::from_ms(1_775_390_400_000);
        let code = MailedCode { mail: [3; 16], hash: [4; 32] };
        let challenge = Challenge {
            email: "pilot@example.com".into(),
            lane: Lane::Usual,
            code: code.clone(),
            expires_at: at,
            wrong_codes: 4,
            used: Some(Used { key: DeviceKey::from_stored([5; 32]), user_id: "user-123".into() }),
        };
        let bytes = ChallengeRecord::from(&challenge).encode();
        assert_eq!(Challenge::from(ChallengeRecord::decode_bytes(&bytes).unwrap()), challenge);

        let mail = Mail { code, sent_at: at, expires_at: at, delivered: true };
        let usual = LaneState { wrong_codes: vec![at], mail: Some(mail) };
        let address = Address { networks: vec![([6; 8], at)], usual, other: LaneState::default() };
        let bytes = AddressRecord::of(&address, Timestamp::from_ms(at.as_ms() + 1)).encode();
        let read = |now| AddressRecord::decode_bytes(&bytes).unwrap().into_address(now);
        assert_eq!(read(at), address);
        assert_eq!(read(Timestamp::from_ms(at.as_ms() + 1)), Address::default(), "expired");
    }
}
