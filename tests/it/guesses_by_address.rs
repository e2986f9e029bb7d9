//! Guessing at one address: wrong codes are counted across challenges and codes, lengthen the cooldown, and in the
//! end close the address for a while.

use std::time::Duration;

use futures_util::future::join_all;

use crate::harness::{
    App, Device, Setup, Store, Visitor,
    actors::{session_of, wrong},
};

/// Spends `count` wrong codes, a fresh challenge for every five.
async fn spend(visitor: &Visitor<'_>, count: usize) {
    let mut left = count;
    while left > 0 {
        let (challenge, code) = visitor.code().await;
        let now = left.min(5);
        visitor.guess_wrong(&challenge, &code, now).await;
        left -= now;
    }
}

/// How long from now until a send mails again, in whole seconds; the clock moves that far.
async fn cooldown(app: &App, visitor: &Visitor<'_>) -> u64 {
    let before = visitor.codes().len();
    for seconds in 0..4000 {
        if seconds % 30 == 0 {
            visitor.send().await;
            if visitor.codes().len() > before {
                return seconds;
            }
        }
        app.clock.advance_s(1);
    }
    panic!("no mail in more than an hour");
}

async fn the_cooldown_doubles_from_10_wrong_codes_per_further_5(store: Store) {
    // A long-lived code, so that no cooldown outlives it before 9 minutes.
    let app = Setup::on(store).set("CODE_TTL", "10m").start().await;
    for (failures, expected) in [(0, 60), (9, 60), (10, 120), (14, 120), (15, 240), (19, 240), (20, 480)] {
        let visitor = app.visitor(&format!("after{failures}@example.com"));
        visitor.send().await.ok();
        spend(&visitor, failures).await;
        assert_eq!(cooldown(&app, &visitor).await, expected, "after {failures} wrong codes");
    }
}

async fn the_cooldown_never_exceeds_an_hour(store: Store) {
    let app = App::start(store).await;
    let visitor = app.visitor("pilot@example.com");
    visitor.send().await.ok();
    spend(&visitor, 60).await;
    app.clock.advance_s(300);
    let answer = visitor.send().await;
    answer.refused(429, "rate_limited");
    assert_eq!(answer.retry_after(), Some(3300));
    app.clock.advance_s(3299);
    visitor.send().await.refused(429, "rate_limited");
    app.clock.advance_s(1);
    visitor.send().await.ok();
    assert_eq!(visitor.codes().len(), 2);
}

async fn a_lengthened_cooldown_that_outlives_the_code_answers_429(store: Store) {
    let app = App::start(store).await;
    let visitor = app.visitor("pilot@example.com");
    visitor.send().await.ok();
    spend(&visitor, 20).await;
    app.clock.advance_s(299);
    visitor.send().await.ok();
    app.clock.advance_s(1);
    let answer = visitor.send().await;
    answer.refused(429, "rate_limited");
    assert_eq!(answer.retry_after(), Some(180));
}

async fn a_hundred_wrong_codes_close_the_address_for_right_ones_too(store: Store) {
    let app = App::start(store).await;
    let visitor = app.visitor("pilot@example.com");
    spend(&visitor, 99).await;
    let (challenge, code) = visitor.code().await;
    visitor.guess_wrong(&challenge, &code, 1).await;
    for code in [&code, &wrong(&code)] {
        visitor.confirm(&challenge, code, &Device::new()).await.refused(429, "rate_limited");
    }
    // Send goes on as ever, so it tells nothing; and other addresses are as open as before.
    visitor.send().await.ok();
    app.visitor("other@example.com").log_in().await;
}

async fn the_window_moves_on(store: Store) {
    let app = Setup::on(store).set("ADDRESS_MAX_FAILURES", "20").start().await;
    let visitor = app.visitor("pilot@example.com");
    spend(&visitor, 20).await;
    app.clock.advance(Duration::from_hours(23));
    let (challenge, code) = visitor.code().await;
    visitor.confirm(&challenge, &code, &Device::new()).await.refused(429, "rate_limited");
    app.clock.advance(Duration::from_hours(1) + Duration::from_secs(1));
    let (challenge, code) = visitor.code().await;
    session_of(&visitor.confirm(&challenge, &code, &Device::new()).await);
}

async fn the_cap_is_a_setting(store: Store) {
    let app = Setup::on(store).set("ADDRESS_MAX_FAILURES", "3").start().await;
    let visitor = app.visitor("pilot@example.com");
    let (challenge, code) = visitor.code().await;
    visitor.guess_wrong(&challenge, &code, 3).await;
    visitor.confirm(&challenge, &code, &Device::new()).await.refused(429, "rate_limited");
}

async fn a_new_code_does_not_reset_the_count(store: Store) {
    let app = Setup::on(store).set("ADDRESS_MAX_FAILURES", "6").start().await;
    let visitor = app.visitor("pilot@example.com");
    for _ in 0..3 {
        let (challenge, code) = visitor.code().await;
        visitor.guess_wrong(&challenge, &code, 2).await;
        app.clock.advance_s(60);
    }
    assert_eq!(visitor.codes().len(), 3);
    let (challenge, code) = visitor.code().await;
    visitor.confirm(&challenge, &code, &Device::new()).await.refused(429, "rate_limited");
}

async fn a_success_resets_the_count(store: Store) {
    let app = Setup::on(store).set("ADDRESS_MAX_FAILURES", "6").start().await;
    let visitor = app.visitor("pilot@example.com");
    for _ in 0..4 {
        let (challenge, code) = visitor.code().await;
        visitor.guess_wrong(&challenge, &code, 4).await;
        session_of(&visitor.confirm(&challenge, &code, &Device::new()).await);
    }
}

async fn codes_of_the_wrong_form_and_on_dead_challenges_are_not_counted(store: Store) {
    let app = Setup::on(store).set("ADDRESS_MAX_FAILURES", "2").start().await;
    let visitor = app.visitor("pilot@example.com");
    let (expired, old) = visitor.code().await;
    app.clock.advance_s(300);
    let (challenge, code) = visitor.code().await;
    for _ in 0..4 {
        visitor.confirm(&expired, &wrong(&old), &Device::new()).await.refused(410, "challenge_expired");
        visitor.confirm(&challenge, "12345", &Device::new()).await.refused(400, "invalid_request");
    }
    visitor.guess_wrong(&challenge, &code, 1).await;
    session_of(&visitor.confirm(&challenge, &code, &Device::new()).await);
}

async fn parallel_guesses_cannot_exceed_the_cap(store: Store) {
    let app = Setup::on(store).set("ADDRESS_MAX_FAILURES", "12").start().await;
    let visitor = app.visitor("pilot@example.com");
    let (first, code) = visitor.code().await;
    let mut challenges = vec![first];
    for _ in 0..15 {
        challenges.push(visitor.challenge().await);
    }
    let (guess, device) = (wrong(&code), Device::new());
    let tries = (0..64).map(|at| visitor.confirm(&challenges[at % 16], &guess, &device));
    let answers = join_all(tries).await;
    let count = |status: u16, code: &str| {
        answers.iter().filter(|answer| answer.status == status && answer.code() == code).count()
    };
    assert_eq!((count(400, "invalid_code"), count(429, "rate_limited")), (12, 52));
}

on_every_store! {
    the_cooldown_doubles_from_10_wrong_codes_per_further_5,
    the_cooldown_never_exceeds_an_hour,
    a_lengthened_cooldown_that_outlives_the_code_answers_429,
    a_hundred_wrong_codes_close_the_address_for_right_ones_too,
    the_window_moves_on,
    the_cap_is_a_setting,
    a_new_code_does_not_reset_the_count,
    a_success_resets_the_count,
    codes_of_the_wrong_form_and_on_dead_challenges_are_not_counted,
    parallel_guesses_cannot_exceed_the_cap,
}
