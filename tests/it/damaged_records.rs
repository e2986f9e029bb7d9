//! A stored record that is damaged, or that a later release wrote: whoever needs it is told that the service is
//! unavailable, the log says where it lies, and everybody else goes on.

use serde_json::json;

use crate::harness::{
    Device, Listener,
    actors::{CONFIRM, INTERNAL, SEND, challenge_of, reason, session_of},
    eventually,
    process::Service,
    redis::RedisServer,
};

/// The one key whose name has `part` in it.
fn key_with(redis: &RedisServer, part: &str) -> String {
    let keys: Vec<String> = redis.run(&["KEYS", &format!("*{part}*")]);
    assert_eq!(keys.len(), 1, "{keys:?}");
    keys[0].clone()
}

/// Puts `byte` in the place of the first one of every value under `key`: the number of a record's form.
fn rewrite(redis: &RedisServer, key: &str, byte: u8) {
    let script = "for _, f in ipairs(redis.call('HKEYS', KEYS[1])) do \
                  local v = redis.call('HGET', KEYS[1], f); \
                  redis.call('HSET', KEYS[1], f, string.char(ARGV[1]) .. string.sub(v, 2)) end return 1";
    let _: i64 = redis.run(&["EVAL", script, "1", key, &byte.to_string()]);
}

async fn log_names(service: &Service, key: &str) {
    // authsession:{TAG}:<collection>
    let (_, collection) = key.split_once("}:").unwrap();
    let says = |line: &String| line.contains("unreadable record at") && line.contains(collection);
    eventually("the log names the record", async || service.lines().iter().any(says).then_some(())).await;
}

async fn send(service: &Service, email: &str) -> String {
    challenge_of(&service.wire.post(Listener::Public, SEND, &json!({ "email": email })).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_from_the_future_is_a_503_that_names_it_in_the_log() {
    let redis = RedisServer::start();
    let addr = redis.addr();
    let service = Service::start(&[("REDIS_ADDR", addr.as_str())]).await;
    let confirm = async |challenge: &str, code: &str| {
        let key = Device::new().key();
        let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": key });
        service.wire.post(Listener::Public, CONFIRM, &body).await
    };

    let challenge = send(&service, "pilot@example.com").await;
    let code = service.code_for(&challenge).await;
    let key = key_with(&redis, ":c:");
    for form in [2, 0, 255] {
        rewrite(&redis, &key, form);
        confirm(&challenge, &code).await.unavailable();
    }
    log_names(&service, &key).await;
    rewrite(&redis, &key, 1);
    let session = session_of(&confirm(&challenge, &code).await);

    let key = key_with(&redis, ":a:");
    rewrite(&redis, &key, 2);
    let path = format!("{INTERNAL}/sessions/{session}");
    service.wire.get(Listener::Internal, &path).await.unavailable();
    service.wire.post(Listener::Internal, &format!("{path}/revoke"), &reason()).await.unavailable();
    log_names(&service, &key).await;

    let other = send(&service, "other@example.com").await;
    let code = service.code_for(&other).await;
    session_of(&confirm(&other, &code).await);
    rewrite(&redis, &key, 1);
    service.wire.post(Listener::Internal, &format!("{path}/revoke"), &reason()).await.ok();
}
