//! Whole stories, across operations.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{App, Device, Operator, Setup, Store, actors::session_of};

async fn a_pilot_uses_two_devices_and_loses_one(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (phone, laptop) = (Device::new(), Device::new());
    let on_phone = pilot.log_in_with(&phone).await;
    app.clock.advance_s(2);
    let on_laptop = pilot.log_in_with(&laptop).await;
    let operator = app.operator();
    let user = operator.user_of(&on_phone).await;
    assert_eq!(operator.listed(&user).await, [on_laptop.clone(), on_phone.clone()]);
    let lost = json!({ "reason_code": "device_lost", "actor": { "type": "user", "id": user } });
    operator.revoke_as(&on_phone, &lost).await.ok();
    app.gateway().was_told(&on_phone, "revoked").await;
    app.gateway().was_told(&on_laptop, "active").await;
    let again = pilot.log_in_with(&phone).await;
    assert_ne!(again, on_phone, "a revoked session never comes back");
    assert_eq!(operator.status_of(&on_phone).await, "revoked");
}

async fn an_operator_blocks_a_pilot_for_good(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let sessions = [pilot.log_in().await, pilot.log_in().await];
    let (waiting, code) = pilot.code().await;
    let body = app.operator().block_email("Pilot@Example.com").await.ok();
    assert_eq!(body["affected_session_count"], 2);
    pilot.confirm(&waiting, &code, &Device::new()).await.refused(403, "blocked_by_policy");
    app.clock.advance_s(100_000);
    let mails = pilot.codes().len();
    pilot.send().await.ok();
    assert_eq!(pilot.codes().len(), mails);
    for session in &sessions {
        app.gateway().was_told(session, "revoked").await;
    }
}

async fn a_stranger_who_guesses_learns_nothing_and_locks_nobody_out(store: Store) {
    let app = Setup::on(store).behind_a_proxy().set("ADDRESS_MAX_FAILURES", "20").start().await;
    let owner = app.visitor("pilot@example.com").from("198.51.100.7");
    let stranger = app.visitor("pilot@example.com").from("203.0.113.66");
    owner.log_in().await;
    for _ in 0..4 {
        let (challenge, code) = stranger.code().await;
        stranger.guess_wrong(&challenge, &code, 5).await;
        stranger.confirm(&challenge, &code, &Device::new()).await.refused(429, "too_many_attempts");
    }
    let (challenge, code) = stranger.code().await;
    stranger.confirm(&challenge, &code, &Device::new()).await.refused(429, "rate_limited");
    owner.log_in().await;
}

async fn what_one_instance_said_holds_after_the_next_one_starts(store: Store) {
    let mut app = App::start(store).await;
    let device = Device::new();
    let (kept, ended, challenge, code) = {
        let pilot = app.visitor("pilot@example.com");
        let (kept, ended) = (pilot.log_in().await, pilot.log_in().await);
        app.operator().revoke(&ended).await.ok();
        app.operator().block_email("blocked@example.com").await.ok();
        let (challenge, code) = pilot.code().await;
        pilot.guess_wrong(&challenge, &code, 4).await;
        (kept, ended, challenge, code)
    };
    app.restart().await;
    let pilot = app.visitor("pilot@example.com");
    assert_eq!(app.operator().status_of(&kept).await, "active");
    assert_eq!(app.operator().status_of(&ended).await, "revoked");
    app.gateway().was_told(&ended, "revoked").await;
    let session = session_of(&pilot.confirm(&challenge, &code, &device).await);
    let users = [app.operator().user_of(&kept).await, app.operator().user_of(&session).await];
    assert_eq!(users[0], users[1]);
    let mails = app.mail.letters().len();
    app.visitor("blocked@example.com").send().await.ok();
    assert_eq!(app.mail.letters().len(), mails);
    assert_eq!(session_of(&pilot.confirm(&challenge, &code, &device).await), session);
}

async fn the_feed_tells_the_whole_story_in_order(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (one, two) = (pilot.log_in().await, pilot.log_in().await);
    let user = app.operator().user_of(&one).await;
    app.operator().revoke(&one).await.ok();
    app.operator().revoke_all(&user).await.ok();
    let history = app.gateway().history().await;
    let mut latest = std::collections::BTreeMap::new();
    for record in history {
        let id = record["device_session_id"].as_str().unwrap().to_owned();
        latest.insert(id, record["status"].as_str().unwrap().to_owned());
    }
    let expected = [(one, "revoked".to_owned()), (two, "revoked".to_owned())];
    assert_eq!(latest, expected.into());
}

on_every_store! {
    a_pilot_uses_two_devices_and_loses_one,
    an_operator_blocks_a_pilot_for_good,
    a_stranger_who_guesses_learns_nothing_and_locks_nobody_out,
    what_one_instance_said_holds_after_the_next_one_starts,
    the_feed_tells_the_whole_story_in_order,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_may_start_on_one_replica_and_end_on_another() {
    let app = App::start(Store::Redis).await;
    let replica = app.replica().await;
    let there = crate::harness::Visitor::new(&replica.wire, &app.mail, "pilot@example.com");
    let here = app.visitor("pilot@example.com");
    let device = Device::new();
    let (challenge, code) = here.code().await;
    there.challenge().await;
    assert_eq!(here.codes().len(), 1, "the cooldown is shared");
    let answers = futures_util::future::join_all((0..16).map(|at| {
        let visitor = if at % 2 == 0 { &here } else { &there };
        visitor.confirm(&challenge, &code, &device)
    }))
    .await;
    let sessions: BTreeSet<String> = answers.iter().map(session_of).collect();
    assert_eq!(sessions.len(), 1);
    let session = sessions.first().unwrap();
    Operator::new(&replica.wire).revoke(session).await.ok();
    app.gateway().was_told(session, "revoked").await;
}
