//! `followSessionEvents`: the same changes as Server-Sent Events, for gateways without Redis.

use serde_json::json;

use crate::harness::{App, Device, Feed, Setup, Store, eventually, feed::Block};

async fn an_event_carries_the_gateways_record_and_a_cursor(store: Store) {
    let app = App::start(store).await;
    let mut feed = Feed::open(&app, None).await;
    let device = Device::new();
    let session = app.visitor("pilot@example.com").log_in_with(&device).await;
    let user = app.operator().user_of(&session).await;
    let opened = feed.event().await;
    assert_eq!(opened.kind, "session");
    assert!(!opened.id.is_empty());
    let mut record = json!({
        "device_session_id": session,
        "user_id": user,
        "client_public_key": device.key(),
        "status": "active",
    });
    assert_eq!(opened.data, record);
    app.clock.advance_s(4);
    app.operator().revoke(&session).await.ok();
    let revoked = feed.event().await;
    record["status"] = json!("revoked");
    record["revoked_at_ms"] = json!(app.clock.ms());
    assert_eq!(revoked.data, record);
    assert_ne!(revoked.id, opened.id);
}

async fn without_a_cursor_the_feed_starts_now(store: Store) {
    let app = App::start(store).await;
    let before = app.visitor("pilot@example.com").log_in().await;
    app.gateway().hears(&before, "active").await;
    let mut feed = Feed::open(&app, None).await;
    let after = app.visitor("pilot@example.com").log_in().await;
    assert_eq!(feed.event().await.data["device_session_id"], after);
}

async fn after_a_cursor_nothing_is_missed_and_nothing_repeated(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let mut sessions = Vec::new();
    for _ in 0..6 {
        sessions.push(pilot.log_in().await);
    }
    let events = Feed::open(&app, Some("0")).await.until(&sessions[5], "active").await;
    let told: Vec<&str> =
        events.iter().map(|event| event.data["device_session_id"].as_str().unwrap()).collect();
    assert_eq!(told, sessions);
    for (at, event) in events.iter().enumerate().take(5) {
        let rest = Feed::open(&app, Some(&event.id)).await.until(&sessions[5], "active").await;
        assert_eq!(rest, events[at + 1..]);
    }
}

async fn two_readers_see_the_same(store: Store) {
    let app = App::start(store).await;
    let (mut one, mut two) = (Feed::open(&app, None).await, Feed::open(&app, None).await);
    let pilot = app.visitor("pilot@example.com");
    let mut last = String::new();
    for _ in 0..5 {
        last = pilot.log_in().await;
    }
    app.operator().revoke(&last).await.ok();
    assert_eq!(one.until(&last, "revoked").await, two.until(&last, "revoked").await);
}

async fn a_revoke_is_in_the_feed_once_it_is_answered(store: Store) {
    let app = App::start(store).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    app.operator().revoke(&session).await.ok();
    // A login afterwards comes after it: so it was there.
    let marker = app.visitor("other@example.com").log_in().await;
    let events = Feed::open(&app, Some("0")).await.until(&marker, "active").await;
    let mut said = events.iter().filter(|event| event.data["device_session_id"] == session);
    assert_eq!(said.next_back().unwrap().data["status"], "revoked");
}

async fn a_malformed_cursor_is_refused(store: Store) {
    let app = App::start(store).await;
    app.visitor("pilot@example.com").log_in().await;
    for cursor in ["x", "-1", "1-2-3", "1.5", "$", "0x10", "99999999999999999999999-0", "1-", "+"] {
        Feed::refused(&app, cursor).await.refused(400, "invalid_request");
    }
}

async fn a_cursor_older_than_what_is_kept_has_expired(store: Store) {
    let app = Setup::on(store).set("GATEWAY_SESSION_EVENTS_MAX_LEN", "1").start().await;
    let pilot = app.visitor("pilot@example.com");
    let mut feed = Feed::open(&app, None).await;
    pilot.log_in().await;
    let cursor = feed.event().await.id;
    for _ in 0..220 {
        pilot.log_in().await;
    }
    eventually("the oldest events are forgotten", async || {
        let request =
            app.request(crate::harness::Listener::Internal, "GET", "/api/v1/internal/session-events");
        let response = request.header("last-event-id", &cursor).send().await.unwrap();
        (response.status() == 410).then_some(())
    })
    .await;
    Feed::refused(&app, &cursor).await.refused(410, "cursor_expired");
    // From the oldest kept it still goes on.
    let last = pilot.log_in().await;
    Feed::open(&app, Some("0")).await.until(&last, "active").await;
}

async fn a_cursor_that_no_event_has_reached_has_expired(store: Store) {
    let app = App::start(store).await;
    app.visitor("pilot@example.com").log_in().await;
    let end = u64::MAX;
    for cursor in
        [format!("{end}-{end}"), format!("{end}-0"), format!("{end}"), format!("4000000000000-{end}")]
    {
        Feed::refused(&app, &cursor).await.refused(410, "cursor_expired");
    }
}

async fn a_quiet_feed_is_kept_alive_by_comments(store: Store) {
    let app = App::start(store).await;
    let mut feed = Feed::open(&app, None).await;
    assert_eq!(feed.block().await, Block::Comment);
    let session = app.visitor("pilot@example.com").log_in().await;
    assert_eq!(feed.event().await.data["device_session_id"], session);
}

async fn a_draining_service_ends_its_feeds(store: Store) {
    let app = App::start(store).await;
    let feed = Feed::open(&app, None).await;
    app.drain();
    assert!(feed.ends().await);
}

on_every_store! {
    an_event_carries_the_gateways_record_and_a_cursor,
    without_a_cursor_the_feed_starts_now,
    after_a_cursor_nothing_is_missed_and_nothing_repeated,
    two_readers_see_the_same,
    a_revoke_is_in_the_feed_once_it_is_answered,
    a_malformed_cursor_is_refused,
    a_cursor_older_than_what_is_kept_has_expired,
    a_cursor_that_no_event_has_reached_has_expired,
    a_quiet_feed_is_kept_alive_by_comments,
    a_draining_service_ends_its_feeds,
}
