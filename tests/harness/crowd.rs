//! A user with very many sessions, written straight into the store: to log in so often would take all day.

use std::path::Path;

use authsession::{
    base::World,
    config::Config,
    engine::{Collection, Commit, Engine, Verdict, embedded::Embedded, redis::Redis},
};
use serde_json::json;

use super::{
    Device, Listener, Operator,
    actors::{CONFIRM, SEND, challenge_of, session_of},
    process::Service,
};

/// Where the time of creation stands in an active session's record: behind the form's number and the device key.
const CREATED: usize = 1 + 32;

/// How many there shall be.
#[derive(Clone, Copy)]
pub struct Crowd {
    /// Besides the one that is there.
    pub sessions: u64,
    /// One of so many is revoked; 0: none.
    pub revoked: u64,
}

impl Crowd {
    /// A service whose only user has that many sessions, and the user.
    pub async fn service(self, settings: &[(&str, &str)], data: &Path) -> (Service, String) {
        let mut service = Service::start(settings).await;
        let session = log_in(&service, "pilot@example.com").await;
        let user = Operator::new(&service.wire).user_of(&session).await;
        service.terminate();
        service.ended().await;
        self.join(settings, data).await;
        (Service::start(settings).await, user)
    }

    /// Makes that many more of the one session that the store has.
    pub async fn join(self, settings: &[(&str, &str)], data: &Path) {
        let variables =
            settings.iter().map(|(name, value)| (format!("AUTHSESSION_{name}"), (*value).to_owned()));
        match &Config::read(variables).unwrap().redis {
            Some(redis) => self.multiply(&*Redis::new(redis)).await,
            None => self.multiply(&*Embedded::open(data, World::system()).unwrap()).await,
        }
    }

    /// Each is opened a millisecond after the one before.
    async fn multiply(self, engine: &dyn Engine) {
        let mut found = Vec::new();
        let mut from = None;
        while found.is_empty() {
            let page = engine.collections("a:", from.as_ref(), 1000).await.unwrap();
            found.extend(page.found);
            from = page.next;
        }
        let active = found.remove(0);
        let revoked = Collection::new(active.shard, active.name.replacen("a:", "r:", 1));
        let (_, record) = engine.list(&active, None, 10).await.unwrap().items.remove(0);
        let (first, user) = read_varint(&record[CREATED..]);
        let numbers: Vec<u64> = (1..=self.sessions).collect();
        for chunk in numbers.chunks(1000) {
            let mut commit = Commit::on(active.shard);
            for number in chunk {
                let created = first + number;
                let mut record = [&record[..CREATED], &varint(created), user].concat();
                // Suffixes that are not in the order of time.
                let suffix = (u128::from(*number) << 64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
                if self.revoked > 0 && number % self.revoked == 0 {
                    record.extend([varint(created + 5), b"\x04gone\x06system\x00".to_vec()].concat());
                    record.extend(varint(created + 1_000_000_000_000));
                    commit.put(revoked.item(suffix), record);
                } else {
                    commit.put(active.item(suffix), record);
                }
            }
            assert_eq!(engine.commit(commit).await.unwrap(), Verdict::Done);
        }
    }
}

/// A login with the code from the log: the session's id.
pub async fn log_in(service: &Service, email: &str) -> String {
    let send = service.wire.post(Listener::Public, SEND, &json!({ "email": email })).await;
    let challenge = challenge_of(&send);
    let (code, key) = (service.code_for(&challenge).await, Device::new().key());
    let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": key });
    session_of(&service.wire.post(Listener::Public, CONFIRM, &body).await)
}

/// As postcard writes numbers.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

/// Reads what [`varint`] wrote, and the rest.
fn read_varint(bytes: &[u8]) -> (u64, &[u8]) {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let number = bytes[..end].iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7f));
    (number, &bytes[end..])
}
