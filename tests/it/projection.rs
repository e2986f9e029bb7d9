//! What the gateway's Redis holds: a key for each session and a stream of changes, exactly as the gateway reads them.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{App, Device, Setup, Store, eventually, redis::RedisServer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_leaves_a_key_and_an_event_by_the_time_it_is_answered() {
    let app = App::start(Store::Redis).await;
    let device = Device::new();
    let session = app.visitor("pilot@example.com").log_in_with(&device).await;
    let user = app.operator().user_of(&session).await;
    let gateway = app.gateway();
    let record = json!({
        "device_session_id": session,
        "user_id": user,
        "client_public_key": device.key(),
        "status": "active",
    });
    assert_eq!(gateway.record(&session), Some(record));
    let stream = gateway.raw_stream();
    assert_eq!(stream.len(), 1);
    let key = device.key();
    let fields: Vec<&str> = stream[0].1.iter().map(String::as_str).collect();
    assert_eq!(
        fields,
        ["device_session_id", &session, "user_id", &user, "client_public_key", &key, "status", "active"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_rewrites_the_key_and_appends_an_event_without_reason_or_actor() {
    let app = App::start(Store::Redis).await;
    let device = Device::new();
    let session = app.visitor("pilot@example.com").log_in_with(&device).await;
    let user = app.operator().user_of(&session).await;
    app.clock.advance_s(9);
    app.operator().revoke(&session).await.ok();
    let gateway = app.gateway();
    let record = json!({
        "device_session_id": session,
        "user_id": user,
        "client_public_key": device.key(),
        "status": "revoked",
        "revoked_at_ms": app.clock.ms(),
    });
    assert_eq!(gateway.record(&session), Some(record));
    let at = app.clock.ms().to_string();
    let key = device.key();
    let mut fields: Vec<&str> =
        vec!["device_session_id", &session, "user_id", &user, "client_public_key", &key];
    fields.extend(["status", "revoked", "revoked_at_ms", &at]);
    let stream = gateway.raw_stream();
    assert_eq!(stream.last().unwrap().1, fields);
    assert_eq!(stream.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_records_fields_stand_in_the_contracts_order() {
    let app = App::start(Store::Redis).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    app.operator().revoke(&session).await.ok();
    let text: String = app.redis().unwrap().run(&["GET", &app.gateway().key(&session)]);
    let places: Vec<usize> =
        ["\"device_session_id\"", "\"user_id\"", "\"client_public_key\"", "\"status\"", "\"revoked_at_ms\""]
            .iter()
            .map(|field| text.find(field).expect(field))
            .collect();
    assert!(places.is_sorted(), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_prefix_and_stream_are_settings() {
    let app = Setup::on(Store::Redis)
        .set("GATEWAY_SESSION_KEY_PREFIX", "elsewhere:k:")
        .set("GATEWAY_SESSION_EVENTS_STREAM", "elsewhere:events")
        .server(&Arc::new(RedisServer::start()))
        .start()
        .await;
    let session = app.visitor("pilot@example.com").log_in().await;
    let redis = app.redis().unwrap();
    assert_eq!(redis.run::<u64>(&["EXISTS", &format!("elsewhere:k:{session}")]), 1);
    assert_eq!(redis.run::<u64>(&["XLEN", "elsewhere:events"]), 1);
    let prefix = app.setting("REDIS_KEY_PREFIX");
    let strangers: Vec<String> = redis.run(&["KEYS", "*"]);
    let ours = |key: &String| key.starts_with(&prefix) || key.starts_with("elsewhere:");
    // The fence of the stream lies in the stream's own slot, and so under its name.
    let fence = |key: &String| key.contains("{elsewhere:events}");
    assert!(strangers.iter().all(|key| ours(key) || fence(key)), "{strangers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_defaults_are_the_owners_names() {
    let app = Setup::on(Store::Redis)
        .unset("GATEWAY_SESSION_KEY_PREFIX")
        .unset("GATEWAY_SESSION_EVENTS_STREAM")
        .unset("REDIS_KEY_PREFIX")
        .server(&Arc::new(RedisServer::start()))
        .start()
        .await;
    let session = app.visitor("pilot@example.com").log_in().await;
    let redis = app.redis().unwrap();
    assert_eq!(redis.run::<u64>(&["EXISTS", &format!("gateway:session:{session}")]), 1);
    assert_eq!(redis.run::<u64>(&["XLEN", "gateway:session_events"]), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_is_kept_near_its_length() {
    let app = Setup::on(Store::Redis).set("GATEWAY_SESSION_EVENTS_MAX_LEN", "10").start().await;
    let pilot = app.visitor("pilot@example.com");
    let mut last = String::new();
    for _ in 0..130 {
        last = pilot.log_in().await;
    }
    let stream = app.gateway().stream();
    // Redis trims whole nodes, of 100 entries at most.
    assert!((10..=110).contains(&stream.len()), "{}", stream.len());
    assert_eq!(stream.last().unwrap().1["device_session_id"], last.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_active_key_never_expires_and_a_revoked_one_may_after_the_retention() {
    let app = App::start(Store::Redis).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    let redis = app.redis().unwrap();
    let ttl = |key: &str| redis.run::<i64>(&["PTTL", key]);
    let key = app.gateway().key(&session);
    assert_eq!(ttl(&key), -1);
    app.operator().revoke(&session).await.ok();
    let left = ttl(&key);
    let retention = i64::try_from(Duration::from_hours(2160).as_millis()).unwrap();
    assert!(left == -1 || (retention - 600_000..=retention + 600_000).contains(&left), "{left}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_redis_of_its_own_holds_the_projection_and_nothing_else() {
    for store in [Store::Embedded, Store::Redis] {
        let gateway = Arc::new(RedisServer::start());
        let app = Setup::on(store).gateway(&gateway).start().await;
        let session = app.visitor("pilot@example.com").log_in().await;
        app.gateway().was_told(&session, "active").await;
        app.operator().revoke(&session).await.ok();
        app.gateway().was_told(&session, "revoked").await;
        let keys: Vec<String> = gateway.run(&["KEYS", "*"]);
        let prefix = app.setting("GATEWAY_SESSION_KEY_PREFIX");
        let events = app.setting("GATEWAY_SESSION_EVENTS_STREAM");
        assert!(keys.contains(&format!("{prefix}{session}")), "{keys:?}");
        assert!(keys.iter().all(|key| key.starts_with(&prefix) || key.contains(&events)), "{keys:?}");
        if let Some(redis) = app.redis() {
            assert_eq!(redis.run::<u64>(&["EXISTS", &events]), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_at_once_never_leave_an_active_record_of_a_revoked_session() {
    let app = App::start(Store::Redis).await;
    let replica = app.replica().await;
    let pilot = app.visitor("pilot@example.com");
    let mut sessions = Vec::new();
    for _ in 0..40 {
        sessions.push(pilot.log_in().await);
    }
    let user = app.operator().user_of(&sessions[0]).await;
    let (here, there) = (app.operator(), crate::harness::Operator::new(&replica.wire));
    let all = async { there.revoke_all(&user).await.ok() };
    let ones = join_all(sessions.iter().map(|session| here.revoke(session)));
    let (ones, _) = futures_util::future::join(ones, all).await;
    for answer in ones {
        answer.ok();
    }
    for session in &sessions {
        app.gateway().was_told(session, "revoked").await;
    }
    let stream = app.gateway().stream();
    for session in &sessions {
        let of = |event: &&serde_json::Map<String, serde_json::Value>| event["device_session_id"] == *session;
        let statuses: Vec<&str> = stream
            .iter()
            .map(|(_, event)| event)
            .filter(of)
            .map(|event| event["status"].as_str().unwrap())
            .collect();
        let first_revoked = statuses.iter().position(|status| *status == "revoked").unwrap();
        assert!(statuses[first_revoked..].iter().all(|status| *status == "revoked"), "{statuses:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_leaves_nothing_waiting_in_the_outboxes() {
    let app = App::start(Store::Redis).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    app.operator().revoke(&session).await.ok();
    let redis = app.redis().unwrap();
    let pattern = format!("{}*:o", app.setting("REDIS_KEY_PREFIX"));
    eventually("the outboxes are trimmed", async || {
        let boxes: Vec<String> = redis.run(&["KEYS", &pattern]);
        boxes.iter().all(|name| redis.run::<u64>(&["XLEN", name]) == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_share_a_gateway_and_neither_loses_an_event() {
    let gateway = Arc::new(RedisServer::start());
    // With the default names, which are the same for both.
    let start = || {
        let names = ["REDIS_KEY_PREFIX", "GATEWAY_SESSION_KEY_PREFIX", "GATEWAY_SESSION_EVENTS_STREAM"];
        let setup = Setup::on(Store::Embedded).gateway(&gateway);
        names.into_iter().fold(setup, Setup::unset).start()
    };
    let (one, two) = (start().await, start().await);
    // What one tells is later than all that the other will.
    one.clock.advance_s(60);
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(one.visitor("pilot@example.com").log_in().await);
        sessions.push(two.visitor("pilot@example.com").log_in().await);
    }
    let events: Vec<(String, Vec<String>)> = gateway.run(&["XRANGE", "gateway:session_events", "-", "+"]);
    let told: Vec<&String> = events.iter().map(|(_, fields)| &fields[1]).collect();
    assert_eq!(told, sessions.iter().collect::<Vec<_>>());
}
