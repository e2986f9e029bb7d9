//! `revokeAllUserSessions`: every session of one user ends.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{App, Setup, Store, actors::reason};

use super::revoke_device_session::{bad_reasons, longest_reason};

/// The ids of an acknowledgement, which must be as many as it counts, each once.
pub(crate) fn affected(body: &Value) -> BTreeSet<String> {
    let listed = body["affected_device_session_ids"].as_array().unwrap();
    let ids: BTreeSet<String> = listed.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), listed.len());
    assert_eq!(body["affected_session_count"], ids.len());
    ids
}

async fn every_active_session_ends_and_is_named(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let mut active = BTreeSet::new();
    for _ in 0..4 {
        active.insert(pilot.log_in().await);
    }
    let revoked = pilot.log_in().await;
    app.operator().revoke(&revoked).await.ok();
    let before = app.operator().session(&revoked).await;
    let bystander = app.visitor("other@example.com").log_in().await;
    let user = app.operator().user_of(&revoked).await;
    app.clock.advance_s(3);
    let body = app.operator().revoke_all(&user).await.ok();
    assert_eq!(body.as_object().unwrap().len(), 4);
    assert_eq!((&body["outcome"], &body["user_id"]), (&json!("revoked"), &json!(user)));
    assert_eq!(affected(&body), active);
    for session in &active {
        let session = app.operator().session(session).await;
        assert_eq!(session["status"], "revoked");
        assert_eq!(session["revoked_at"], app.clock.rfc3339());
        assert_eq!(session["revoke_reason_code"], "admin_revoke");
        assert_eq!(session["revoke_actor_id"], "admin-1");
    }
    assert_eq!(app.operator().session(&revoked).await, before);
    assert_eq!(app.operator().status_of(&bystander).await, "active");
}

async fn a_user_without_active_sessions_gets_an_empty_acknowledgement(store: Store) {
    let app = App::start(store).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    let user = app.operator().user_of(&session).await;
    app.operator().revoke_all(&user).await.ok();
    let nothing = json!({
        "outcome": "no_active_sessions",
        "user_id": user,
        "affected_session_count": 0,
        "affected_device_session_ids": [],
    });
    assert_eq!(app.operator().revoke_all(&user).await.ok(), nothing);
}

async fn an_unknown_user_is_not_found(store: Store) {
    let app = App::start(store).await;
    for user in ["user-123", "nobody", "%C3%A4", &"u".repeat(256)] {
        app.operator().revoke_all(user).await.refused(404, "subject_not_found");
    }
    app.operator().revoke_all(&"u".repeat(257)).await.refused(400, "invalid_request");
}

async fn a_known_user_who_never_logged_in_has_no_active_sessions(store: Store) {
    let app = Setup::on(store).rest_users().start().await;
    let user = app.users.add("pilot@example.com");
    let body = app.operator().revoke_all(&user).await.ok();
    assert_eq!(body["outcome"], "no_active_sessions");
    assert_eq!(affected(&body), BTreeSet::new());
}

async fn more_sessions_than_one_step_takes_all_end(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let mut active = BTreeSet::new();
    for _ in 0..230 {
        active.insert(pilot.log_in().await);
    }
    let user = app.operator().user_of(active.first().unwrap()).await;
    let body = app.operator().revoke_all(&user).await.ok();
    assert_eq!(affected(&body), active);
    let list = app.operator().list(&user).await.ok();
    assert!(list["sessions"].as_array().unwrap().iter().all(|session| session["status"] == "revoked"));
    let gateway = app.gateway();
    for session in active.iter().step_by(23) {
        gateway.was_told(session, "revoked").await;
    }
}

async fn parallel_calls_revoke_each_session_once(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let mut active = BTreeSet::new();
    for _ in 0..20 {
        active.insert(pilot.log_in().await);
    }
    let user = app.operator().user_of(active.first().unwrap()).await;
    let operator = app.operator();
    let answers = join_all((0..8).map(|_| operator.revoke_all(&user))).await;
    let mut counted = 0;
    let mut named = BTreeSet::new();
    for answer in &answers {
        let ids = affected(&answer.ok());
        counted += ids.len();
        named.extend(ids);
    }
    assert_eq!(named, active);
    assert_eq!(counted, 20, "no session is counted by two calls");
}

async fn a_user_can_log_in_again_afterwards(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let first = pilot.log_in().await;
    let user = app.operator().user_of(&first).await;
    app.operator().revoke_all(&user).await.ok();
    let second = pilot.log_in().await;
    assert_eq!(app.operator().status_of(&second).await, "active");
    assert_eq!(app.operator().user_of(&second).await, user);
}

async fn reasons_and_actors_keep_their_bounds(store: Store) {
    let app = App::start(store).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    let user = app.operator().user_of(&session).await;
    for body in bad_reasons(&reason()) {
        let answer = app.operator().revoke_all_as(&user, &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_request"), "{body}");
    }
    assert_eq!(app.operator().status_of(&session).await, "active");
    app.operator().revoke_all_as(&user, &longest_reason()).await.ok();
}

on_every_store! {
    every_active_session_ends_and_is_named,
    a_user_without_active_sessions_gets_an_empty_acknowledgement,
    an_unknown_user_is_not_found,
    a_known_user_who_never_logged_in_has_no_active_sessions,
    more_sessions_than_one_step_takes_all_end,
    parallel_calls_revoke_each_session_once,
    a_user_can_log_in_again_afterwards,
    reasons_and_actors_keep_their_bounds,
}
