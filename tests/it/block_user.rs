//! `blockUser`: somebody is kept from logging in, and loses what sessions he has.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{
    App, Device, Setup, Store,
    actors::{session_of, with_reason, wrong},
};

use super::{
    revoke_all_user_sessions::affected,
    revoke_device_session::{bad_reasons, longest_reason},
};

async fn blocking_an_address_revokes_the_sessions_of_who_has_it(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let active = BTreeSet::from([pilot.log_in().await, pilot.log_in().await]);
    let bystander = app.visitor("other@example.com").log_in().await;
    let body = app.operator().block_email("pilot@example.com").await.ok();
    assert_eq!(body.as_object().unwrap().len(), 5);
    assert_eq!((&body["outcome"], &body["subject_kind"]), (&json!("blocked"), &json!("email")));
    assert_eq!(body["subject_value"], "pilot@example.com");
    assert_eq!(affected(&body), active);
    for session in &active {
        app.gateway().was_told(session, "revoked").await;
        let session = app.operator().session(session).await;
        assert_eq!(session["revoke_reason_code"], "policy_blocked");
        assert_eq!(session["revoke_actor_type"], "admin");
        assert_eq!(session["revoke_actor_id"], "admin-7");
    }
    assert_eq!(app.operator().status_of(&bystander).await, "active");
}

async fn blocking_a_user_revokes_his_sessions_and_blocks_his_address(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let session = pilot.log_in().await;
    let user = app.operator().user_of(&session).await;
    let (challenge, code) = pilot.code().await;
    let body = app.operator().block_user(&user).await.ok();
    assert_eq!(
        body,
        json!({
            "outcome": "blocked",
            "subject_kind": "user_id",
            "subject_value": user,
            "affected_session_count": 1,
            "affected_device_session_ids": [session],
        })
    );
    pilot.confirm(&challenge, &code, &Device::new()).await.refused(403, "blocked_by_policy");
    app.clock.advance_s(3600);
    let mails = pilot.codes().len();
    pilot.send().await.ok();
    assert_eq!(pilot.codes().len(), mails, "no mail to a blocked user");
}

async fn an_address_that_nobody_has_yet_can_be_blocked(store: Store) {
    let app = App::start(store).await;
    let body = app.operator().block_email("  Pilot@EXAMPLE.com ").await.ok();
    assert_eq!(
        body,
        json!({
            "outcome": "blocked",
            "subject_kind": "email",
            "subject_value": "pilot@example.com",
            "affected_session_count": 0,
            "affected_device_session_ids": [],
        })
    );
    app.visitor("pilot@example.com").send().await.ok();
    assert_eq!(app.mail.letters(), []);
}

async fn a_block_shows_only_on_a_right_code(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    app.operator().block_email("pilot@example.com").await.ok();
    pilot.confirm(&challenge, &wrong(&code), &Device::new()).await.refused(400, "invalid_code");
    let device = Device::new();
    for _ in 0..2 {
        pilot.confirm(&challenge, &code, &device).await.refused(403, "blocked_by_policy");
    }
}

async fn a_repeat_is_already_blocked_and_finishes_what_was_left(store: Store) {
    let app = Setup::on(store).rest_users().start().await;
    let pilot = app.visitor("pilot@example.com");
    let session = pilot.log_in().await;
    // The user service knows of the block, but the sessions were never revoked: a crash in between.
    app.users.block("pilot@example.com");
    let body = app.operator().block_email("pilot@example.com").await.ok();
    assert_eq!(body["outcome"], "already_blocked");
    assert_eq!(affected(&body), BTreeSet::from([session.clone()]));
    app.gateway().was_told(&session, "revoked").await;
    let again = app.operator().block_email("pilot@example.com").await.ok();
    assert_eq!(again["outcome"], "already_blocked");
    assert_eq!(affected(&again), BTreeSet::new());
}

async fn blocking_twice_is_already_blocked_by_either_name(store: Store) {
    let app = App::start(store).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    let user = app.operator().user_of(&session).await;
    assert_eq!(app.operator().block_user(&user).await.ok()["outcome"], "blocked");
    for answer in
        [app.operator().block_user(&user).await, app.operator().block_email("pilot@example.com").await]
    {
        let body = answer.ok();
        assert_eq!(body["outcome"], "already_blocked");
        assert_eq!(affected(&body), BTreeSet::new());
    }
}

async fn an_unknown_user_is_not_found(store: Store) {
    let app = App::start(store).await;
    for user in ["user-123", "nobody", "ä", &"u".repeat(256)] {
        app.operator().block_user(user).await.refused(404, "subject_not_found");
    }
}

async fn exactly_one_subject_is_named_and_named_well(store: Store) {
    let app = App::start(store).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    let user = app.operator().user_of(&session).await;
    let mut both = with_reason("user_id", &user);
    both["email"] = json!("pilot@example.com");
    let mut neither = both.clone();
    neither.as_object_mut().unwrap().retain(|field, _| field != "user_id" && field != "email");
    let mut null_beside = with_reason("email", "pilot@example.com");
    null_beside["user_id"] = json!(null);
    let mut bad = vec![both, neither, null_beside];
    bad.extend(["", " ", "pilot", "a@b@c"].map(|email| with_reason("email", email)));
    bad.extend(["", &"u".repeat(257)].map(|user| with_reason("user_id", user)));
    bad.extend(bad_reasons(&with_reason("user_id", &user)));
    bad.extend(bad_reasons(&with_reason("email", "pilot@example.com")));
    for body in bad {
        let answer = app.operator().block(&body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_request"), "{body}");
    }
    assert_eq!(app.operator().status_of(&session).await, "active");
    let mut longest = longest_reason();
    longest["user_id"] = json!(user);
    assert_eq!(app.operator().block(&longest).await.ok()["affected_session_count"], 1);
}

async fn a_replay_of_a_confirm_does_not_outlive_the_block(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let device = Device::new();
    let (challenge, code) = pilot.code().await;
    let session = session_of(&pilot.confirm(&challenge, &code, &device).await);
    app.operator().block_email(pilot.email()).await.ok();
    let replay = pilot.confirm(&challenge, &code, &device).await;
    replay.refused(409, "challenge_already_used");
    assert_eq!(app.operator().status_of(&session).await, "revoked");
}

on_every_store! {
    blocking_an_address_revokes_the_sessions_of_who_has_it,
    blocking_a_user_revokes_his_sessions_and_blocks_his_address,
    an_address_that_nobody_has_yet_can_be_blocked,
    a_block_shows_only_on_a_right_code,
    a_repeat_is_already_blocked_and_finishes_what_was_left,
    blocking_twice_is_already_blocked_by_either_name,
    an_unknown_user_is_not_found,
    exactly_one_subject_is_named_and_named_well,
    a_replay_of_a_confirm_does_not_outlive_the_block,
}
