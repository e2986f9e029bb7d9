//! A user with 100,000 sessions: listed whole and in order, in little memory.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use authsession::{
    base::World,
    config::Config,
    engine::{Collection, Commit, Engine, Verdict, embedded::Embedded, redis::Redis},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Device, Listener, Operator,
    actors::{CONFIRM, SEND, challenge_of, session_of},
    process::Service,
    redis::RedisServer,
};

const MANY: u64 = 100_000;

/// One of so many is revoked.
const REVOKED: u64 = 10;

/// Where the time of creation stands in an active session's record: behind the form's number and the device key.
const CREATED: usize = 1 + 32;

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

/// Makes [`MANY`] more of the one session that the store has, each opened a millisecond after the one before.
async fn multiply(engine: &dyn Engine) {
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
    let numbers: Vec<u64> = (1..=MANY).collect();
    for chunk in numbers.chunks(1000) {
        let mut commit = Commit::on(active.shard);
        for number in chunk {
            let created = first + number;
            let mut record = [&record[..CREATED], &varint(created), user].concat();
            // Suffixes that are not in the order of time.
            let suffix = (u128::from(*number) << 64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
            if number % REVOKED == 0 {
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

/// A service whose only user has that many sessions, and the user.
async fn crowded(settings: &[(&str, &str)], data: &Path) -> (Service, String) {
    let mut service = Service::start(settings).await;
    let email = json!({ "email": "pilot@example.com" });
    let challenge = challenge_of(&service.wire.post(Listener::Public, SEND, &email).await);
    let (code, key) = (service.code_for(&challenge).await, Device::new().key());
    let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": key });
    let session = session_of(&service.wire.post(Listener::Public, CONFIRM, &body).await);
    let user = Operator::new(&service.wire).user_of(&session).await;
    service.terminate();
    service.ended().await;
    let variables = settings.iter().map(|(name, value)| (format!("AUTHSESSION_{name}"), (*value).to_owned()));
    match &Config::read(variables).unwrap().redis {
        Some(redis) => multiply(&*Redis::new(redis)).await,
        None => multiply(&*Embedded::open(data, World::system()).unwrap()).await,
    }
    (Service::start(settings).await, user)
}

/// Lists the user's sessions, checks the list, and tells how many kilobytes the service needed for it.
async fn list(service: &Service, user: &str) -> u64 {
    // Not over the harness's own way, which holds every answer against its schema: that takes half a minute here.
    let url = format!("{}/api/v1/internal/users/{user}/sessions", service.wire.internal);
    let (_, before) = service.memory();
    let answer = service.wire.client.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    let text = answer.text().await.unwrap();
    let (peak, _) = service.memory();
    let body: Value = serde_json::from_str(&text).unwrap();
    let sessions = body["sessions"].as_array().unwrap();
    let expected = usize::try_from(MANY).unwrap() + 1;
    assert_eq!(sessions.len(), expected);
    let ids: BTreeSet<&str> =
        sessions.iter().map(|session| session["device_session_id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), expected, "each once");
    let of = |text: &Value| time_of(text.as_str().unwrap());
    let created: Vec<u64> = sessions.iter().map(|session| of(&session["created_at"])).collect();
    assert!(created.is_sorted_by(|newer, older| newer > older), "newest first");
    let revoked = sessions.iter().filter(|session| session["status"] == "revoked");
    assert!(revoked.clone().all(|session| of(&session["revoked_at"]) == of(&session["created_at"]) + 5));
    assert_eq!(revoked.count() as u64, MANY / REVOKED);
    peak.saturating_sub(before)
}

fn time_of(text: &str) -> u64 {
    let time = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).unwrap();
    u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_sessions_are_listed_in_little_memory_from_redis() {
    let (dir, server) = (TempDir::new().unwrap(), Arc::new(RedisServer::start()));
    let addr = server.addr();
    let settings = [("REDIS_ADDR", addr.as_str())];
    let (service, user) = crowded(&settings, dir.path()).await;
    let needed = list(&service, &user).await;
    eprintln!("a list of {MANY} sessions from Redis needed {needed} kB");
    assert!(needed < 16_000, "{needed} kB");
    let again = list(&service, &user).await;
    assert!(again < 16_000, "{again} kB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_sessions_are_listed_in_little_memory_from_the_embedded_store() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().display().to_string();
    let (service, user) = crowded(&[("DATA_DIR", &data)], dir.path()).await;
    let needed = list(&service, &user).await;
    // The file is read into the cache, which has a bound of its own.
    eprintln!("a list of {MANY} sessions from the embedded store needed {needed} kB");
    assert!(needed < 64_000, "{needed} kB");
    let again = list(&service, &user).await;
    assert!(again < 64_000, "{again} kB");
}
