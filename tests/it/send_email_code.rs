//! `sendEmailCode`: who gets a mail, what is in it, and what the caller learns.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{
    App, Listener, Setup, Store,
    actors::{SEND, challenge_of},
};

async fn a_challenge_id_is_opaque_short_and_url_safe(store: Store) {
    let app = App::start(store).await;
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let id = app.visitor("pilot@example.com").challenge().await;
        assert!((26..=64).contains(&id.len()), "{id}");
        assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)), "{id}");
        assert!(seen.insert(id.clone()), "{id} came twice");
    }
}

async fn the_mail_carries_six_digits_their_end_and_the_challenge_as_its_key(store: Store) {
    let app = App::start(store).await;
    let challenge = app.visitor("pilot@example.com").challenge().await;
    let letters = app.mail.letters();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].challenge_id, challenge);
    assert_eq!(letters[0].idempotency_key, challenge);
    assert_eq!(letters[0].email, "pilot@example.com");
    assert_eq!(letters[0].code.len(), 6);
    assert!(letters[0].code.bytes().all(|byte| byte.is_ascii_digit()));
    app.clock.advance_s(300);
    assert_eq!(letters[0].expires_at, app.clock.rfc3339());
}

async fn codes_are_as_long_as_the_setting_says(store: Store) {
    let app = Setup::on(store).set("CODE_LENGTH", "10").start().await;
    let pilot = app.visitor("pilot@example.com");
    for _ in 0..5 {
        pilot.log_in().await;
        assert_eq!(pilot.newest_code().len(), 10);
    }
}

async fn every_login_draws_a_code_of_its_own(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    for _ in 0..12 {
        pilot.log_in().await;
    }
    let codes: BTreeSet<String> = pilot.codes().into_iter().collect();
    assert!(codes.len() >= 10, "{} different codes in 12 mails", codes.len());
}

async fn an_address_is_used_in_its_normal_form_everywhere(store: Store) {
    let app = App::start(store).await;
    let first = app.visitor("  Pilot+Tag@EXAMPLE.com ").challenge().await;
    let second = app.visitor("pilot+tag@example.com").challenge().await;
    assert_ne!(first, second);
    let letters = app.mail.letters();
    assert_eq!(letters.len(), 1, "one address, one cooldown");
    assert_eq!(letters[0].email, "pilot+tag@example.com");
    let visitor = app.visitor("PILOT+TAG@example.com");
    let session = visitor.confirm(&first, &letters[0].code, &crate::harness::Device::new()).await;
    let user = app.operator().user_of(&crate::harness::actors::session_of(&session)).await;
    let other = app.visitor("pilot+tag@EXAMPLE.COM");
    other.send().await.ok();
    let again = app.visitor("pilot+tag@example.com").log_in().await;
    assert_eq!(app.operator().user_of(&again).await, user);
}

async fn an_address_of_254_bytes_is_taken_and_one_of_255_is_not(store: Store) {
    let app = App::start(store).await;
    let domain = format!("{}.{}.{}.com", "b".repeat(63), "c".repeat(63), "d".repeat(57));
    let longest = format!("{}@{domain}", "a".repeat(64));
    assert_eq!(longest.len(), 254);
    app.visitor(&longest).send().await.ok();
    let longer = format!("{}@{domain}x", "a".repeat(64));
    app.visitor(&longer).send().await.refused(400, "invalid_request");
}

async fn what_is_no_address_is_refused_and_not_repeated(store: Store) {
    let app = App::start(store).await;
    for text in [
        "",
        " ",
        "pilot",
        "@example.com",
        "pilot@",
        "a@b@c",
        "a b@example.com",
        "a..hunter2@example.com",
        "a@-example.com",
        "a@exa_mple.com",
        "a@example..com",
        "a@example.com.",
        "Pilot <a@example.com>",
        "a@exam\u{0}ple.com",
        "ä@example.com",
        "a@bücher.example",
        "a@example.com\r\nbcc: b@example.com",
    ] {
        let answer = app.visitor(text).send().await;
        answer.refused(400, "invalid_request");
        let repeats = text.len() > 3 && answer.text.contains(text);
        assert!(!repeats, "{}", answer.text);
    }
    assert_eq!(app.mail.letters(), []);
}

async fn a_body_that_is_not_exactly_the_contracts_is_refused(store: Store) {
    let app = App::start(store).await;
    for body in [
        "",
        "null",
        "{}",
        "[]",
        r#""pilot@example.com""#,
        r#"["pilot@example.com"]"#,
        r#"{"email":null}"#,
        r#"{"email":7}"#,
        r#"{"email":["pilot@example.com"]}"#,
        r#"{"Email":"pilot@example.com"}"#,
        r#"{"email":"pilot@example.com","locale":"en"}"#,
        r#"{"email":"pilot@example.com","email":"pilot@example.com"}"#,
        r#"{"email":"pilot@example.com"} x"#,
        r#"{"email":"pilot@example.com""#,
        r#"{"email":"pilot@example.com",}"#,
    ] {
        let answer = app.post_text(Listener::Public, SEND, body).await;
        answer.refused(400, "invalid_request");
        assert!(!answer.text.contains("pilot"), "{}", answer.text);
    }
    let bytes = b"{\"email\":\"\xff@example.com\"}".to_vec();
    app.post_text(Listener::Public, SEND, bytes).await.refused(400, "invalid_request");
    assert_eq!(app.mail.letters(), []);
}

async fn known_unknown_and_blocked_addresses_get_the_same_answer(store: Store) {
    let app = App::start(store).await;
    app.visitor("known@example.com").log_in().await;
    app.operator().block_email("blocked@example.com").await.ok();
    let mut shapes = BTreeSet::new();
    for email in ["known@example.com", "unknown@example.com", "blocked@example.com"] {
        for _ in 0..3 {
            let answer = app.visitor(email).send().await;
            let id = challenge_of(&answer);
            let mut names: Vec<&str> =
                answer.headers.keys().map(reqwest::header::HeaderName::as_str).collect();
            names.sort_unstable();
            shapes.insert((answer.status, id.len(), answer.text.replace(&id, ""), format!("{names:?}")));
        }
    }
    assert_eq!(shapes.len(), 1, "{shapes:?}");
}

async fn a_blocked_address_gets_no_mail(store: Store) {
    let app = App::start(store).await;
    app.operator().block_email("blocked@example.com").await.ok();
    let challenge = app.visitor("blocked@example.com").challenge().await;
    assert_eq!(app.mail.received().len(), 0);
    // Nor does any code work, and nothing tells that none was mailed.
    let device = crate::harness::Device::new();
    let visitor = app.visitor("blocked@example.com");
    for _ in 0..5 {
        visitor.confirm(&challenge, "123456", &device).await.refused(400, "invalid_code");
    }
    visitor.confirm(&challenge, "123456", &device).await.refused(429, "too_many_attempts");
}

async fn a_json_body_may_name_its_charset(store: Store) {
    let app = App::start(store).await;
    let request = app.request(Listener::Public, "POST", SEND);
    let request = request.header("content-type", "Application/JSON; charset=utf-8");
    let body = json!({ "email": "pilot@example.com" }).to_string();
    challenge_of(&app.call(Listener::Public, request.body(body)).await);
}

on_every_store! {
    a_challenge_id_is_opaque_short_and_url_safe,
    the_mail_carries_six_digits_their_end_and_the_challenge_as_its_key,
    codes_are_as_long_as_the_setting_says,
    every_login_draws_a_code_of_its_own,
    an_address_is_used_in_its_normal_form_everywhere,
    an_address_of_254_bytes_is_taken_and_one_of_255_is_not,
    what_is_no_address_is_refused_and_not_repeated,
    a_body_that_is_not_exactly_the_contracts_is_refused,
    known_unknown_and_blocked_addresses_get_the_same_answer,
    a_blocked_address_gets_no_mail,
    a_json_body_may_name_its_charset,
}
