//! Guessing at one challenge: five wrong codes close it, however they arrive.

use futures_util::future::join_all;

use crate::harness::{
    App, Device, Setup, Store,
    actors::{session_of, wrong},
};

async fn a_fifth_wrong_code_closes_the_challenge(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    pilot.guess_wrong(&challenge, &code, 5).await;
    for code in [wrong(&code), code] {
        let answer = pilot.confirm(&challenge, &code, &Device::new()).await;
        answer.refused(429, "too_many_attempts");
    }
}

async fn four_wrong_codes_leave_the_challenge_open(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    pilot.guess_wrong(&challenge, &code, 4).await;
    session_of(&pilot.confirm(&challenge, &code, &Device::new()).await);
}

async fn the_number_of_tries_is_a_setting(store: Store) {
    let app = Setup::on(store).set("CODE_MAX_ATTEMPTS", "2").start().await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    pilot.guess_wrong(&challenge, &code, 2).await;
    pilot.confirm(&challenge, &code, &Device::new()).await.refused(429, "too_many_attempts");
}

async fn a_closed_challenge_leaves_the_others_of_its_mail_open(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (first, code) = pilot.code().await;
    pilot.guess_wrong(&first, &code, 5).await;
    let second = pilot.challenge().await;
    assert_eq!(pilot.codes().len(), 1, "still inside the cooldown");
    session_of(&pilot.confirm(&second, &code, &Device::new()).await);
}

async fn of_64_parallel_wrong_codes_exactly_5_are_compared(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    let guess = wrong(&code);
    let device = Device::new();
    let answers = join_all((0..64).map(|_| pilot.confirm(&challenge, &guess, &device))).await;
    let count = |status: u16, code: &str| {
        answers.iter().filter(|answer| answer.status == status && answer.code() == code).count()
    };
    assert_eq!((count(400, "invalid_code"), count(429, "too_many_attempts")), (5, 59));
    pilot.confirm(&challenge, &code, &device).await.refused(429, "too_many_attempts");
}

async fn a_right_code_among_parallel_wrong_ones_never_passes_the_cap(store: Store) {
    let app = App::start(store).await;
    for round in 0..4 {
        let email = format!("pilot{round}@example.com");
        let pilot = app.visitor(&email);
        let (challenge, code) = pilot.code().await;
        let (guess, device) = (wrong(&code), Device::new());
        let tries = (0..32).map(|at| if at == 16 { &code } else { &guess });
        let answers = join_all(tries.map(|code| pilot.confirm(&challenge, code, &device))).await;
        let wrong = answers.iter().filter(|answer| answer.code() == "invalid_code").count();
        let won = answers.iter().filter(|answer| answer.status == 200).count();
        assert!(won <= 1, "{won}");
        // Once the right code has used the challenge, wrong ones are answered without being counted.
        assert!(won == 1 || wrong == 5, "{wrong} wrong codes compared, none right");
    }
}

on_every_store! {
    a_fifth_wrong_code_closes_the_challenge,
    four_wrong_codes_leave_the_challenge_open,
    the_number_of_tries_is_a_setting,
    a_closed_challenge_leaves_the_others_of_its_mail_open,
    of_64_parallel_wrong_codes_exactly_5_are_compared,
    a_right_code_among_parallel_wrong_ones_never_passes_the_cap,
}
