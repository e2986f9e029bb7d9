//! What every request meets on both listeners, whatever it asks for.

use serde_json::json;

use crate::harness::{
    App, Listener, Store,
    actors::{CONFIRM, INTERNAL, SEND, reason},
};

const BOTH: [Listener; 2] = [Listener::Public, Listener::Internal];

async fn a_path_that_leads_nowhere_is_not_found(store: Store) {
    let app = App::start(store).await;
    for listener in BOTH {
        for path in
            ["/", "/api", "/api/v1/public/auth", "/api/v2/internal/sessions/x", "/healthz/", "//healthz"]
        {
            app.get(listener, path).await.refused(404, "not_found");
            app.post(listener, path, &json!({})).await.refused(404, "not_found");
        }
    }
}

async fn a_path_of_one_listener_is_not_found_on_the_other(store: Store) {
    let app = App::start(store).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    for path in ["/sessions/x", &format!("/sessions/{session}"), "/users/u/sessions", "/session-events"] {
        app.get(Listener::Public, &format!("{INTERNAL}{path}")).await.refused(404, "not_found");
    }
    app.get(Listener::Public, "/metrics").await.refused(404, "not_found");
    for path in ["/sessions/x/revoke", "/users/u/sessions/revoke-all", "/user-blocks"] {
        app.post(Listener::Public, &format!("{INTERNAL}{path}"), &reason()).await.refused(404, "not_found");
    }
    for path in [SEND, CONFIRM] {
        app.post(Listener::Internal, path, &json!({})).await.refused(404, "not_found");
    }
}

async fn a_wrong_method_is_told_the_right_one(store: Store) {
    let app = App::start(store).await;
    let session = format!("{INTERNAL}/sessions/x");
    let revoke = format!("{session}/revoke");
    let feed = format!("{INTERNAL}/session-events");
    for (listener, path, allow) in [
        (Listener::Public, SEND, "POST"),
        (Listener::Public, CONFIRM, "POST"),
        (Listener::Public, "/healthz", "GET"),
        (Listener::Internal, &session, "GET"),
        (Listener::Internal, &revoke, "POST"),
        (Listener::Internal, &feed, "GET"),
        (Listener::Internal, "/metrics", "GET"),
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"].into_iter().filter(|method| *method != allow)
        {
            let answer = app.call(listener, app.request(listener, method, path)).await;
            answer.refused(405, "method_not_allowed");
            let allowed: Vec<&str> =
                answer.header("allow").expect("Allow").split(',').map(str::trim).collect();
            assert!(allowed.contains(&allow) && !allowed.contains(&method), "{method} {path}: {allowed:?}");
        }
    }
}

async fn only_json_is_read(store: Store) {
    let app = App::start(store).await;
    let body = json!({ "email": "pilot@example.com" }).to_string();
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "application/json-seq", ""]
    {
        let request = app.request(Listener::Public, "POST", SEND).header("content-type", kind);
        let answer = app.call(Listener::Public, request.body(body.clone())).await;
        answer.refused(415, "unsupported_media_type");
    }
    let request = app.request(Listener::Public, "POST", SEND).body(body);
    app.call(Listener::Public, request).await.refused(415, "unsupported_media_type");
    let request = app.request(Listener::Internal, "POST", &format!("{INTERNAL}/user-blocks"));
    app.call(Listener::Internal, request.body("x")).await.refused(415, "unsupported_media_type");
    assert_eq!(app.mail.letters(), []);
}

async fn a_body_of_16_kib_is_read_and_a_longer_one_is_not(store: Store) {
    let app = App::start(store).await;
    let body = |length: usize| {
        let start = r#"{"email":"pilot@example.com""#;
        format!("{start}{}}}", " ".repeat(length - start.len() - 1))
    };
    app.post_text(Listener::Public, SEND, body(16 * 1024)).await.ok();
    for length in [16 * 1024 + 1, 100_000] {
        let answer = app.post_text(Listener::Public, SEND, body(length)).await;
        answer.refused(413, "request_too_large");
        let path = format!("{INTERNAL}/user-blocks");
        app.post_text(Listener::Internal, &path, body(length)).await.refused(413, "request_too_large");
    }
}

async fn every_answer_has_a_request_id_of_its_own(store: Store) {
    let app = App::start(store).await;
    let mut seen = std::collections::BTreeSet::new();
    for path in ["/healthz", "/readyz", "/nowhere", "/healthz"] {
        let answer = app.get(Listener::Public, path).await;
        assert!(seen.insert(answer.header("x-request-id").unwrap().to_owned()));
    }
}

async fn a_callers_request_id_is_echoed_when_it_is_plain(store: Store) {
    let app = App::start(store).await;
    let longest = "x".repeat(128);
    for listener in BOTH {
        for id in ["7", "a-b_c.d~!{}", &longest] {
            let request = app.request(listener, "GET", "/nowhere").header("x-request-id", id);
            assert_eq!(app.call(listener, request).await.header("x-request-id"), Some(id));
        }
        for id in ["", "a b", "a\tb", &"x".repeat(129)] {
            let request = app.request(listener, "GET", "/healthz").header("x-request-id", id);
            let answer = app.call(listener, request).await;
            assert_ne!(answer.header("x-request-id"), Some(id));
        }
        let bytes = reqwest::header::HeaderValue::from_bytes(b"\xff\xfe").unwrap();
        let request = app.request(listener, "GET", "/healthz").header("x-request-id", bytes);
        app.call(listener, request).await.ok();
    }
}

async fn answers_are_not_kept_in_caches(store: Store) {
    let app = App::start(store).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    for answer in [app.operator().get(&session).await, app.visitor("pilot@example.com").send().await] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

on_every_store! {
    a_path_that_leads_nowhere_is_not_found,
    a_path_of_one_listener_is_not_found_on_the_other,
    a_wrong_method_is_told_the_right_one,
    only_json_is_read,
    a_body_of_16_kib_is_read_and_a_longer_one_is_not,
    every_answer_has_a_request_id_of_its_own,
    a_callers_request_id_is_echoed_when_it_is_plain,
    answers_are_not_kept_in_caches,
}
