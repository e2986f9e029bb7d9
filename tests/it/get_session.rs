//! `getSession`: one session as operators see it.

use serde_json::json;

use crate::harness::{App, Device, Listener, Store, actors::text};

async fn an_active_session_has_no_word_of_a_revoke(store: Store) {
    let app = App::start(store).await;
    let device = Device::new();
    let id = app.visitor("pilot@example.com").log_in_with(&device).await;
    let created_at = app.clock.rfc3339();
    assert!(created_at.contains(".12Z"), "milliseconds are kept: {created_at}");
    app.clock.advance_s(5);
    let body = app.operator().get(&id).await.ok();
    let user = text(&body["session"], "user_id");
    let session = json!({
        "device_session_id": id,
        "user_id": user,
        "client_public_key": device.key(),
        "status": "active",
        "created_at": created_at,
    });
    assert_eq!(body, json!({ "session": session }));
}

async fn a_revoked_session_tells_when_why_and_on_whose_word(store: Store) {
    let app = App::start(store).await;
    let device = Device::new();
    let id = app.visitor("pilot@example.com").log_in_with(&device).await;
    let created_at = app.clock.rfc3339();
    app.clock.advance_s(7);
    app.operator().revoke(&id).await.ok();
    let session = app.operator().session(&id).await;
    assert_eq!(
        session,
        json!({
            "device_session_id": id,
            "user_id": session["user_id"],
            "client_public_key": device.key(),
            "status": "revoked",
            "created_at": created_at,
            "revoked_at": app.clock.rfc3339(),
            "revoke_reason_code": "admin_revoke",
            "revoke_actor_type": "admin",
            "revoke_actor_id": "admin-1",
        })
    );
}

async fn an_actor_without_an_id_leaves_the_field_out(store: Store) {
    let app = App::start(store).await;
    let id = app.visitor("pilot@example.com").log_in().await;
    let body = json!({ "reason_code": "logout", "actor": { "type": "system" } });
    app.operator().revoke_as(&id, &body).await.ok();
    let session = app.operator().session(&id).await;
    assert_eq!(session["revoke_actor_type"], "system");
    assert!(session.get("revoke_actor_id").is_none(), "{session}");
}

async fn an_id_that_nobody_was_given_is_not_found(store: Store) {
    let app = App::start(store).await;
    let real = app.visitor("pilot@example.com").log_in().await;
    let mut flipped = real.clone();
    let last = if flipped.pop() == Some('0') { '1' } else { '0' };
    flipped.push(last);
    for id in ["device-session-123", "x", &flipped, &real.to_uppercase(), &real[1..], &format!("{real}0")] {
        app.operator().get(id).await.refused(404, "session_not_found");
    }
    for odd in ["%20", "a%2Fb", "%00", "%C3%A4", &"x".repeat(3000)] {
        let answer = app.operator().get(odd).await;
        assert!(["session_not_found", "invalid_request"].contains(&answer.code().as_str()), "{odd}");
    }
    app.operator().get("%FF").await.refused(400, "invalid_request");
}

async fn a_query_and_a_body_make_no_difference(store: Store) {
    let app = App::start(store).await;
    let id = app.visitor("pilot@example.com").log_in().await;
    let path = format!("/api/v1/internal/sessions/{id}?verbose=1");
    assert_eq!(app.get(Listener::Internal, &path).await.ok()["session"]["device_session_id"], id);
}

on_every_store! {
    an_active_session_has_no_word_of_a_revoke,
    a_revoked_session_tells_when_why_and_on_whose_word,
    an_actor_without_an_id_leaves_the_field_out,
    an_id_that_nobody_was_given_is_not_found,
    a_query_and_a_body_make_no_difference,
}
