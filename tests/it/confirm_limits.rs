//! How many sessions one user may have, under both policies.

use futures_util::future::join_all;

use crate::harness::{Answer, App, Device, Setup, Store, actors::session_of};

async fn limited(store: Store, limit: &str, policy: &str) -> App {
    let setup = Setup::on(store).set("MAX_SESSIONS_PER_USER", limit).set("SESSION_LIMIT_POLICY", policy);
    setup.set("CODE_RESEND_COOLDOWN", "1s").start().await
}

/// Twelve codes of their own, confirmed at once.
async fn twelve_at_once(app: &App) -> Vec<Answer> {
    let pilot = app.visitor("pilot@example.com");
    let mut waiting = Vec::new();
    for _ in 0..12 {
        waiting.push(pilot.code().await);
        app.clock.advance_s(1);
    }
    let devices: Vec<Device> = waiting.iter().map(|_| Device::new()).collect();
    let confirms = waiting.iter().zip(&devices);
    join_all(confirms.map(|((challenge, code), device)| pilot.confirm(challenge, code, device))).await
}

async fn active(app: &App, user: &str) -> Vec<String> {
    let mut active = Vec::new();
    for session in app.operator().listed(user).await {
        if app.operator().status_of(&session).await == "active" {
            active.push(session);
        }
    }
    active
}

async fn at_the_limit_a_login_is_refused_and_costs_neither_code_nor_try(store: Store) {
    let app = limited(store, "2", "reject").await;
    let pilot = app.visitor("pilot@example.com");
    let (first, _second) = (pilot.log_in().await, pilot.log_in().await);
    let (challenge, code) = pilot.code().await;
    let device = Device::new();
    for _ in 0..7 {
        pilot.confirm(&challenge, &code, &device).await.refused(409, "session_limit_exceeded");
    }
    app.operator().revoke(&first).await.ok();
    session_of(&pilot.confirm(&challenge, &code, &device).await);
    app.visitor("other@example.com").log_in().await;
}

async fn reject_is_the_default_policy_and_no_limit_the_default(store: Store) {
    let app = Setup::on(store).set("MAX_SESSIONS_PER_USER", "1").start().await;
    let pilot = app.visitor("pilot@example.com");
    pilot.log_in().await;
    let (challenge, code) = pilot.code().await;
    let answer = pilot.confirm(&challenge, &code, &Device::new()).await;
    answer.refused(409, "session_limit_exceeded");
    let app = App::start(store).await;
    for _ in 0..25 {
        app.visitor("pilot@example.com").log_in().await;
    }
}

async fn a_replay_at_the_limit_still_gives_its_own_session(store: Store) {
    let app = limited(store, "1", "reject").await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    let device = Device::new();
    let session = session_of(&pilot.confirm(&challenge, &code, &device).await);
    assert_eq!(session_of(&pilot.confirm(&challenge, &code, &device).await), session);
}

async fn of_parallel_logins_only_as_many_as_the_limit_are_let_in(store: Store) {
    let app = limited(store, "3", "reject").await;
    let answers = twelve_at_once(&app).await;
    let (opened, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((opened.len(), refused.len()), (3, 9));
    for answer in refused {
        answer.refused(409, "session_limit_exceeded");
    }
}

async fn revoke_oldest_makes_room_and_says_why(store: Store) {
    let app = limited(store, "2", "revoke_oldest").await;
    let pilot = app.visitor("pilot@example.com");
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(pilot.log_in().await);
        app.clock.advance_s(5);
    }
    let user = app.operator().user_of(&sessions[0]).await;
    assert_eq!(active(&app, &user).await, [sessions[3].clone(), sessions[2].clone()]);
    for session in &sessions[..2] {
        app.gateway().was_told(session, "revoked").await;
        let session = app.operator().session(session).await;
        assert_eq!(session["revoke_reason_code"], "session_limit");
        assert_eq!(session["revoke_actor_type"], "system");
        assert!(session.get("revoke_actor_id").is_none(), "{session}");
    }
}

async fn revoke_oldest_keeps_the_limit_under_parallel_logins(store: Store) {
    let app = limited(store, "3", "revoke_oldest").await;
    let answers = twelve_at_once(&app).await;
    let opened: Vec<String> = answers.iter().map(session_of).collect();
    let user = app.operator().user_of(&opened[0]).await;
    assert_eq!(active(&app, &user).await.len(), 3);
    assert_eq!(app.operator().listed(&user).await.len(), 12);
}

on_every_store! {
    at_the_limit_a_login_is_refused_and_costs_neither_code_nor_try,
    reject_is_the_default_policy_and_no_limit_the_default,
    a_replay_at_the_limit_still_gives_its_own_session,
    of_parallel_logins_only_as_many_as_the_limit_are_let_in,
    revoke_oldest_makes_room_and_says_why,
    revoke_oldest_keeps_the_limit_under_parallel_logins,
}
