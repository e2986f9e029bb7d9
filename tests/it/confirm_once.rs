//! Confirming is idempotent and opens one session, whatever is repeated or runs at once.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use crate::harness::{App, Device, Setup, Store, actors::session_of};

async fn the_same_confirm_again_gives_the_same_session(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let device = Device::new();
    let (challenge, code) = pilot.code().await;
    let first = session_of(&pilot.confirm(&challenge, &code, &device).await);
    app.clock.advance_s(200);
    for _ in 0..10 {
        assert_eq!(session_of(&pilot.confirm(&challenge, &code, &device).await), first);
    }
    let user = app.operator().user_of(&first).await;
    assert_eq!(app.operator().listed(&user).await, [first]);
}

async fn the_right_code_with_another_key_is_refused(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let device = Device::new();
    let (challenge, code) = pilot.code().await;
    let first = session_of(&pilot.confirm(&challenge, &code, &device).await);
    let other = pilot.confirm(&challenge, &code, &Device::new()).await;
    other.refused(409, "challenge_already_used");
    assert_eq!(session_of(&pilot.confirm(&challenge, &code, &device).await), first);
}

async fn a_replay_after_the_revoke_opens_nothing(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let device = Device::new();
    let (challenge, code) = pilot.code().await;
    let session = session_of(&pilot.confirm(&challenge, &code, &device).await);
    app.operator().revoke(&session).await.ok();
    for _ in 0..3 {
        pilot.confirm(&challenge, &code, &device).await.refused(409, "challenge_already_used");
    }
    let user = app.operator().user_of(&session).await;
    assert_eq!(app.operator().listed(&user).await, [session.as_str()]);
    assert_eq!(app.operator().status_of(&session).await, "revoked");
}

async fn wrong_codes_on_a_used_challenge_are_not_counted(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let device = Device::new();
    let (challenge, code) = pilot.code().await;
    let session = session_of(&pilot.confirm(&challenge, &code, &device).await);
    pilot.guess_wrong(&challenge, &code, 8).await;
    assert_eq!(session_of(&pilot.confirm(&challenge, &code, &device).await), session);
}

async fn parallel_confirms_with_one_key_give_one_session(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let device = Device::new();
    let (challenge, code) = pilot.code().await;
    let answers = join_all((0..48).map(|_| pilot.confirm(&challenge, &code, &device))).await;
    let sessions: BTreeSet<String> = answers.iter().map(session_of).collect();
    assert_eq!(sessions.len(), 1);
    let session = sessions.first().unwrap();
    let user = app.operator().user_of(session).await;
    assert_eq!(app.operator().listed(&user).await, [session.as_str()]);
}

async fn of_parallel_confirms_with_different_keys_exactly_one_wins(store: Store) {
    let app = App::start(store).await;
    for round in 0..4 {
        let email = format!("pilot{round}@example.com");
        let pilot = app.visitor(&email);
        let (challenge, code) = pilot.code().await;
        let devices: Vec<Device> = (0..32).map(|_| Device::new()).collect();
        let answers = join_all(devices.iter().map(|device| pilot.confirm(&challenge, &code, device))).await;
        let won: Vec<usize> = (0..32).filter(|at| answers[*at].status == 200).collect();
        assert_eq!(won.len(), 1);
        for (at, answer) in answers.iter().enumerate().filter(|(at, _)| *at != won[0]) {
            assert_eq!((at, answer.status, answer.code()), (at, 409, "challenge_already_used".into()));
        }
        let session = session_of(&answers[won[0]]);
        let user = app.operator().user_of(&session).await;
        assert_eq!(app.operator().listed(&user).await, [session.as_str()]);
        assert_eq!(app.operator().session(&session).await["client_public_key"], devices[won[0]].key());
    }
}

async fn of_parallel_confirms_of_several_challenges_of_one_mail_exactly_one_wins(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (first, code) = pilot.code().await;
    let mut challenges = vec![first];
    for _ in 0..31 {
        challenges.push(pilot.challenge().await);
    }
    let device = Device::new();
    let answers = join_all(challenges.iter().map(|challenge| pilot.confirm(challenge, &code, &device))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 31));
    for answer in lost {
        answer.refused(409, "challenge_already_used");
    }
    let user = app.operator().user_of(&session_of(won[0])).await;
    assert_eq!(app.operator().listed(&user).await.len(), 1);
}

async fn parallel_first_logins_of_one_address_make_one_user(store: Store) {
    let app = Setup::on(store).set("CODE_RESEND_COOLDOWN", "1ms").start().await;
    let pilot = app.visitor("pilot@example.com");
    let mut pairs = Vec::new();
    for _ in 0..12 {
        app.clock.advance_s(1);
        pairs.push(pilot.code().await);
    }
    let devices: Vec<Device> = pairs.iter().map(|_| Device::new()).collect();
    let confirms = pairs.iter().zip(&devices);
    let answers =
        join_all(confirms.map(|((challenge, code), device)| pilot.confirm(challenge, code, device))).await;
    let sessions: BTreeSet<String> = answers.iter().map(session_of).collect();
    assert_eq!(sessions.len(), 12);
    let mut users = BTreeSet::new();
    for session in &sessions {
        users.insert(app.operator().user_of(session).await);
    }
    assert_eq!(users.len(), 1);
}

on_every_store! {
    the_same_confirm_again_gives_the_same_session,
    the_right_code_with_another_key_is_refused,
    a_replay_after_the_revoke_opens_nothing,
    wrong_codes_on_a_used_challenge_are_not_counted,
    parallel_confirms_with_one_key_give_one_session,
    of_parallel_confirms_with_different_keys_exactly_one_wins,
    of_parallel_confirms_of_several_challenges_of_one_mail_exactly_one_wins,
    parallel_first_logins_of_one_address_make_one_user,
}
