//! A user with 100,000 sessions: listed whole and in order, in little memory.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{crowd::Crowd, process::Service, redis::RedisServer};

const MANY: u64 = 100_000;

/// One of so many is revoked.
const REVOKED: u64 = 10;

const CROWD: Crowd = Crowd { sessions: MANY, revoked: REVOKED };

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
    // This is about memory: on a busy machine, too.
    let settings = [("REDIS_ADDR", addr.as_str()), ("REDIS_OPERATION_TIMEOUT", "10s")];
    let (service, user) = CROWD.service(&settings, dir.path()).await;
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
    let (service, user) = CROWD.service(&[("DATA_DIR", &data)], dir.path()).await;
    let needed = list(&service, &user).await;
    // The file is read into the cache, which has a bound of its own.
    eprintln!("a list of {MANY} sessions from the embedded store needed {needed} kB");
    assert!(needed < 64_000, "{needed} kB");
    let again = list(&service, &user).await;
    assert!(again < 64_000, "{again} kB");
}
