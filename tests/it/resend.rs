//! The resend rule: at most one mail per address and cooldown, and nobody is locked out by it.

use crate::harness::{App, Device, Setup, Store, actors::session_of};

async fn a_send_inside_the_cooldown_gives_a_new_challenge_and_no_mail(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let first = pilot.challenge().await;
    app.clock.advance_s(59);
    let second = pilot.challenge().await;
    assert_ne!(first, second);
    assert_eq!(pilot.codes().len(), 1);
}

async fn the_code_already_mailed_confirms_either_challenge(store: Store) {
    let app = App::start(store).await;
    for (email, newer) in [("first@example.com", false), ("second@example.com", true)] {
        let visitor = app.visitor(email);
        let (older, code) = visitor.code().await;
        let later = visitor.challenge().await;
        let challenge = if newer { later } else { older };
        session_of(&visitor.confirm(&challenge, &code, &Device::new()).await);
    }
}

async fn a_strangers_send_does_not_lock_the_owner_out(store: Store) {
    let app = App::start(store).await;
    let stranger = app.visitor("pilot@example.com");
    stranger.send().await.ok();
    app.clock.advance_s(10);
    let owner = app.visitor("pilot@example.com");
    let challenge = owner.challenge().await;
    session_of(&owner.confirm(&challenge, &owner.newest_code(), &Device::new()).await);
}

async fn after_the_cooldown_a_fresh_code_is_mailed(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    pilot.send().await.ok();
    app.clock.advance_s(60);
    let second = pilot.challenge().await;
    assert_eq!(pilot.codes().len(), 2);
    assert_eq!(app.mail.letters()[1].challenge_id, second);
    session_of(&pilot.confirm(&second, &pilot.newest_code(), &Device::new()).await);
}

async fn a_mail_of_its_own_has_a_code_of_its_own(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let mut differ = 0;
    for _ in 0..4 {
        let (first, first_code) = pilot.code().await;
        app.clock.advance_s(60);
        let (_, second_code) = pilot.code().await;
        if first_code != second_code {
            differ += 1;
            pilot.confirm(&first, &second_code, &Device::new()).await.refused(400, "invalid_code");
        }
        app.clock.advance_s(900);
    }
    assert!(differ > 0);
}

async fn a_success_ends_the_cooldown(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    pilot.log_in().await;
    let second = pilot.log_in().await;
    assert_eq!(pilot.codes().len(), 2);
    let user = app.operator().user_of(&second).await;
    assert_eq!(app.operator().listed(&user).await.len(), 2);
}

async fn a_code_logs_in_once(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (first, code) = pilot.code().await;
    let second = pilot.challenge().await;
    let third = pilot.challenge().await;
    let device = Device::new();
    session_of(&pilot.confirm(&second, &code, &device).await);
    pilot.confirm(&first, &code, &device).await.refused(409, "challenge_already_used");
    pilot.confirm(&third, &code, &Device::new()).await.refused(409, "challenge_already_used");
}

async fn addresses_have_cooldowns_of_their_own(store: Store) {
    let app = App::start(store).await;
    app.visitor("one@example.com").send().await.ok();
    app.visitor("two@example.com").send().await.ok();
    assert_eq!(app.mail.letters().len(), 2);
}

async fn parallel_sends_mail_once(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let answers = futures_util::future::join_all((0..32).map(|_| pilot.send())).await;
    // One mails. The others may find its delivery unfinished, which starts no cooldown yet; but none is refused.
    let challenges: std::collections::BTreeSet<String> =
        answers.iter().map(crate::harness::actors::challenge_of).collect();
    assert_eq!(challenges.len(), 32);
    assert_eq!(pilot.codes().len(), 1);
    let device = Device::new();
    let first = challenges.first().unwrap();
    session_of(&pilot.confirm(first, &pilot.newest_code(), &device).await);
}

async fn a_cooldown_that_outlives_the_code_answers_429_with_the_time_to_wait(store: Store) {
    let app = Setup::on(store).set("CODE_RESEND_COOLDOWN", "10m").start().await;
    app.operator().block_email("blocked@example.com").await.ok();
    for email in ["pilot@example.com", "blocked@example.com"] {
        app.visitor(email).send().await.ok();
    }
    app.clock.advance_s(299);
    for email in ["pilot@example.com", "blocked@example.com"] {
        app.visitor(email).send().await.ok();
    }
    app.clock.advance_s(1);
    for email in ["pilot@example.com", "blocked@example.com"] {
        let answer = app.visitor(email).send().await;
        answer.refused(429, "rate_limited");
        assert_eq!(answer.retry_after(), Some(300), "{email}");
    }
    app.clock.advance_s(300);
    app.visitor("pilot@example.com").log_in().await;
    assert_eq!(app.visitor("pilot@example.com").codes().len(), 2);
}

on_every_store! {
    a_send_inside_the_cooldown_gives_a_new_challenge_and_no_mail,
    the_code_already_mailed_confirms_either_challenge,
    a_strangers_send_does_not_lock_the_owner_out,
    after_the_cooldown_a_fresh_code_is_mailed,
    a_mail_of_its_own_has_a_code_of_its_own,
    a_success_ends_the_cooldown,
    a_code_logs_in_once,
    addresses_have_cooldowns_of_their_own,
    parallel_sends_mail_once,
    a_cooldown_that_outlives_the_code_answers_429_with_the_time_to_wait,
}
