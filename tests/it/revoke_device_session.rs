//! `revokeDeviceSession`: one session ends, once and for all.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{App, Listener, Store, actors::reason};

/// Bodies that no mutation takes. `full` is one that it does take.
pub(crate) fn bad_reasons(full: &Value) -> Vec<Value> {
    let long = "x".repeat(129);
    let changed = |path: &[&str], value: Value| {
        let mut body = full.clone();
        match path {
            [field] => body[field] = value,
            [outer, inner] => body[outer][inner] = value,
            _ => unreachable!("fields lie one or two deep"),
        }
        body
    };
    let without = |field: &str| {
        let mut body = full.clone();
        body.as_object_mut().unwrap().remove(field);
        body
    };
    let mut bad = vec![without("reason_code"), without("actor"), json!({}), json!([]), json!(null)];
    for text in ["", " ", "\t", "a\nb", "a\u{7f}", "\u{85}", &long] {
        bad.push(changed(&["reason_code"], json!(text)));
        bad.push(changed(&["actor", "type"], json!(text)));
    }
    for id in ["", &"x".repeat(257)] {
        bad.push(changed(&["actor", "id"], json!(id)));
    }
    for value in [json!(null), json!(7), json!(["x"]), json!({ "x": 1 })] {
        bad.push(changed(&["reason_code"], value.clone()));
        bad.push(changed(&["actor", "type"], value));
    }
    for value in [json!(null), json!("admin"), json!(["admin", "1"]), json!({}), json!({ "id": "admin-1" })] {
        bad.push(changed(&["actor"], value));
    }
    bad.push(changed(&["actor", "name"], json!("x")));
    bad.push(changed(&["comment"], json!("x")));
    bad
}

/// The longest reason and actor that every mutation takes, in letters of more than one byte.
pub(crate) fn longest_reason() -> Value {
    let (letters, id) = ("ä".repeat(128), "ö".repeat(256));
    json!({ "reason_code": letters, "actor": { "type": letters, "id": id } })
}

async fn a_revoke_ends_one_session_and_no_other(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (ended, kept) = (pilot.log_in().await, pilot.log_in().await);
    let body = app.operator().revoke(&ended).await.ok();
    assert_eq!(
        body,
        json!({ "outcome": "revoked", "device_session_id": ended, "affected_session_count": 1 })
    );
    assert_eq!(app.operator().status_of(&ended).await, "revoked");
    assert_eq!(app.operator().status_of(&kept).await, "active");
}

async fn revoking_again_changes_nothing_about_the_first_revoke(store: Store) {
    let app = App::start(store).await;
    let id = app.visitor("pilot@example.com").log_in().await;
    app.operator().revoke(&id).await.ok();
    let before = app.operator().session(&id).await;
    app.clock.advance_s(60);
    let other = json!({ "reason_code": "other", "actor": { "type": "service" } });
    let body = app.operator().revoke_as(&id, &other).await.ok();
    assert_eq!(
        body,
        json!({ "outcome": "already_revoked", "device_session_id": id, "affected_session_count": 0 })
    );
    assert_eq!(app.operator().session(&id).await, before);
}

async fn of_parallel_revokes_exactly_one_revokes(store: Store) {
    let app = App::start(store).await;
    let id = app.visitor("pilot@example.com").log_in().await;
    let operator = app.operator();
    let answers = join_all((0..32).map(|_| operator.revoke(&id))).await;
    let outcomes: Vec<Value> = answers.iter().map(|answer| answer.ok()["outcome"].clone()).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "revoked").count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == "already_revoked").count(), 31);
    app.gateway().was_told(&id, "revoked").await;
}

async fn an_unknown_session_is_not_found(store: Store) {
    let app = App::start(store).await;
    app.operator().revoke("device-session-123").await.refused(404, "session_not_found");
    let real = app.visitor("pilot@example.com").log_in().await;
    app.operator().revoke(&format!("{real}0")).await.refused(404, "session_not_found");
    assert_eq!(app.operator().status_of(&real).await, "active");
}

async fn reasons_and_actors_keep_their_bounds(store: Store) {
    let app = App::start(store).await;
    let id = app.visitor("pilot@example.com").log_in().await;
    for body in bad_reasons(&reason()) {
        let answer = app.operator().revoke_as(&id, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_request"), "{body}");
    }
    assert_eq!(app.operator().status_of(&id).await, "active");
    let longest = longest_reason();
    app.operator().revoke_as(&id, &longest).await.ok();
    let session = app.operator().session(&id).await;
    assert_eq!(session["revoke_reason_code"], longest["reason_code"]);
    assert_eq!(session["revoke_actor_type"], longest["actor"]["type"]);
    assert_eq!(session["revoke_actor_id"], longest["actor"]["id"]);
}

async fn reasons_are_kept_as_they_are_given(store: Store) {
    let app = App::start(store).await;
    let id = app.visitor("pilot@example.com").log_in().await;
    let body = json!({ "reason_code": " A \"B\" ", "actor": { "type": " Admin ", "id": " 7 " } });
    app.operator().revoke_as(&id, &body).await.ok();
    let session = app.operator().session(&id).await;
    assert_eq!(session["revoke_reason_code"], " A \"B\" ");
    assert_eq!(session["revoke_actor_type"], " Admin ");
    assert_eq!(session["revoke_actor_id"], " 7 ");
}

async fn a_field_given_twice_is_refused(store: Store) {
    let app = App::start(store).await;
    let id = app.visitor("pilot@example.com").log_in().await;
    let path = format!("/api/v1/internal/sessions/{id}/revoke");
    for body in [
        r#"{"reason_code":"a","reason_code":"a","actor":{"type":"admin"}}"#,
        r#"{"reason_code":"a","actor":{"type":"admin","type":"admin"}}"#,
        r#"{"reason_code":"a","actor":{"type":"admin"},"actor":{"type":"admin"}}"#,
    ] {
        app.post_text(Listener::Internal, &path, body).await.refused(400, "invalid_request");
    }
    assert_eq!(app.operator().status_of(&id).await, "active");
}

on_every_store! {
    a_revoke_ends_one_session_and_no_other,
    revoking_again_changes_nothing_about_the_first_revoke,
    of_parallel_revokes_exactly_one_revokes,
    an_unknown_session_is_not_found,
    reasons_and_actors_keep_their_bounds,
    reasons_are_kept_as_they_are_given,
    a_field_given_twice_is_refused,
}
