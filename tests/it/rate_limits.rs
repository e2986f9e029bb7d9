//! Rate limits by client address: the first of a minute pass at once, the others wait.

use crate::harness::{App, Device, Setup, Store};

async fn limited(store: Store) -> App {
    let setup = Setup::on(store).behind_a_proxy();
    setup.set("RATE_LIMIT_SEND_PER_MINUTE", "3").set("RATE_LIMIT_CONFIRM_PER_MINUTE", "2").start().await
}

async fn sends_beyond_the_limit_wait_for_the_next_minute(store: Store) {
    let app = limited(store).await;
    let here = |at: usize| app.visitor(&format!("pilot{at}@example.com")).from("203.0.113.9");
    for at in 0..3 {
        here(at).send().await.ok();
    }
    app.clock.advance_s(20);
    let answer = here(3).send().await;
    answer.refused(429, "rate_limited");
    assert_eq!(answer.retry_after(), Some(40));
    assert_eq!(app.mail.letters().len(), 3);
    app.clock.advance_s(40);
    for at in 3..6 {
        here(at).send().await.ok();
    }
    here(6).send().await.refused(429, "rate_limited");
}

async fn another_client_has_a_limit_of_his_own(store: Store) {
    let app = limited(store).await;
    let pilot = app.visitor("pilot@example.com");
    for _ in 0..3 {
        pilot.from("203.0.113.9").send().await.ok();
    }
    pilot.from("203.0.113.9").send().await.refused(429, "rate_limited");
    pilot.from("203.0.113.10").send().await.ok();
}

async fn confirms_are_counted_apart_and_a_refused_one_is_no_guess(store: Store) {
    let app = limited(store).await;
    let pilot = app.visitor("pilot@example.com").from("203.0.113.9");
    let (challenge, code) = pilot.code().await;
    pilot.guess_wrong(&challenge, &code, 2).await;
    for _ in 0..8 {
        let answer = pilot.confirm(&challenge, &code, &Device::new()).await;
        answer.refused(429, "rate_limited");
        assert!((1..=60).contains(&answer.retry_after().expect("a time to wait")));
    }
    pilot.send().await.ok();
    app.clock.advance_s(60);
    pilot.confirm(&challenge, &code, &Device::new()).await.ok();
}

async fn the_limits_of_the_contract_hold_by_default(store: Store) {
    let setup = Setup::on(store).unset("RATE_LIMIT_SEND_PER_MINUTE").unset("RATE_LIMIT_CONFIRM_PER_MINUTE");
    let app = setup.start().await;
    let pilot = app.visitor("pilot@example.com");
    for _ in 0..30 {
        pilot.send().await.ok();
    }
    pilot.send().await.refused(429, "rate_limited");
    let nobodys = "0000000000000000000000000000";
    for _ in 0..60 {
        let answer = pilot.confirm(nobodys, "123456", &Device::new()).await;
        answer.refused(404, "challenge_not_found");
    }
    pilot.confirm(nobodys, "123456", &Device::new()).await.refused(429, "rate_limited");
}

async fn the_internal_listener_has_no_limit(store: Store) {
    let app = limited(store).await;
    for _ in 0..80 {
        app.operator().list("nobody").await.ok();
    }
}

on_every_store! {
    sends_beyond_the_limit_wait_for_the_next_minute,
    another_client_has_a_limit_of_his_own,
    confirms_are_counted_apart_and_a_refused_one_is_no_guess,
    the_limits_of_the_contract_hold_by_default,
    the_internal_listener_has_no_limit,
}
