//! `listUserSessions`: all of a user's sessions, newest first.

use serde_json::json;

use crate::harness::{App, Store};

async fn sessions_are_listed_newest_first_revoked_ones_among_them(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let mut opened = Vec::new();
    for _ in 0..7 {
        opened.push(pilot.log_in().await);
        app.clock.advance_s(1);
    }
    app.operator().revoke(&opened[1]).await.ok();
    app.operator().revoke(&opened[4]).await.ok();
    let user = app.operator().user_of(&opened[0]).await;
    let newest_first: Vec<String> = opened.iter().rev().cloned().collect();
    assert_eq!(app.operator().listed(&user).await, newest_first);
    let body = app.operator().list(&user).await.ok();
    let statuses: Vec<&str> =
        body["sessions"].as_array().unwrap().iter().map(|one| one["status"].as_str().unwrap()).collect();
    let (on, off) = ("active", "revoked");
    assert_eq!(statuses, [on, on, off, on, on, off, on]);
}

async fn each_entry_is_what_get_session_tells(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (first, second) = (pilot.log_in().await, pilot.log_in().await);
    app.operator().revoke(&first).await.ok();
    let user = app.operator().user_of(&second).await;
    let body = app.operator().list(&user).await.ok();
    assert_eq!(body.as_object().unwrap().len(), 1);
    for entry in body["sessions"].as_array().unwrap() {
        let id = entry["device_session_id"].as_str().unwrap();
        assert_eq!(*entry, app.operator().session(id).await);
    }
}

async fn an_unknown_user_has_an_empty_list(store: Store) {
    let app = App::start(store).await;
    for user in ["user-123", "nobody", "%C3%A4", "a%20b"] {
        assert_eq!(app.operator().list(user).await.ok(), json!({ "sessions": [] }));
    }
}

async fn a_user_id_has_1_to_256_characters(store: Store) {
    let app = App::start(store).await;
    app.operator().list(&"u".repeat(256)).await.ok();
    app.operator().list(&"u".repeat(257)).await.refused(400, "invalid_request");
}

async fn a_list_holds_only_the_users_own_sessions(store: Store) {
    let app = App::start(store).await;
    let mine = app.visitor("pilot@example.com").log_in().await;
    app.visitor("other@example.com").log_in().await;
    let user = app.operator().user_of(&mine).await;
    assert_eq!(app.operator().listed(&user).await, [mine]);
}

async fn a_long_list_is_whole(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let mut opened = Vec::new();
    for _ in 0..150 {
        opened.push(pilot.log_in().await);
        app.clock.advance_s(1);
    }
    opened.reverse();
    let user = app.operator().user_of(&opened[0]).await;
    assert_eq!(app.operator().listed(&user).await, opened);
}

on_every_store! {
    sessions_are_listed_newest_first_revoked_ones_among_them,
    each_entry_is_what_get_session_tells,
    an_unknown_user_has_an_empty_list,
    a_user_id_has_1_to_256_characters,
    a_list_holds_only_the_users_own_sessions,
    a_long_list_is_whole,
}
