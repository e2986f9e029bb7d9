//! `confirmEmailCode`: what ends in a session, what is refused, and in which order the reasons are given.

use serde_json::json;

use crate::harness::{
    App, Device, Listener, Setup, Store,
    actors::{CONFIRM, session_of, wrong},
};

const NOBODYS: &str = "0000000000000000000000000000";

async fn the_right_code_opens_an_active_session_for_the_devices_key(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let device = Device::new();
    let id = pilot.log_in_with(&device).await;
    assert!((26..=64).contains(&id.len()), "{id}");
    assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)), "{id}");
    let session = app.operator().session(&id).await;
    let user = crate::harness::actors::text(&session, "user_id");
    assert_eq!(
        session,
        json!({
            "device_session_id": id,
            "user_id": user,
            "client_public_key": device.key(),
            "status": "active",
            "created_at": app.clock.rfc3339(),
        })
    );
}

async fn the_same_address_is_the_same_user_and_another_address_another(store: Store) {
    let app = App::start(store).await;
    let first = app.visitor("pilot@example.com").log_in().await;
    let second = app.visitor("pilot@example.com").log_in().await;
    let other = app.visitor("other@example.com").log_in().await;
    assert_ne!(first, second);
    let operator = app.operator();
    assert_eq!(operator.user_of(&first).await, operator.user_of(&second).await);
    assert_ne!(operator.user_of(&first).await, operator.user_of(&other).await);
}

async fn a_challenge_that_nobody_was_given_is_not_found(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let real = pilot.challenge().await;
    let mut flipped = real.clone();
    let last = if flipped.pop() == Some('0') { '1' } else { '0' };
    flipped.push(last);
    let upper = real.to_uppercase();
    for challenge in [NOBODYS, "challenge-123", &flipped, &upper, &real[1..]] {
        let answer = pilot.confirm(challenge, &pilot.newest_code(), &Device::new()).await;
        answer.refused(404, "challenge_not_found");
    }
    // What cannot be an id may be called bad as well.
    for odd in ["", "x", "{0}", "a b", "ä", "a\u{0}", &"x".repeat(10_000)] {
        let answer = pilot.confirm(odd, &pilot.newest_code(), &Device::new()).await;
        assert!(["challenge_not_found", "invalid_request"].contains(&answer.code().as_str()), "{odd:?}");
    }
}

async fn a_code_lives_five_minutes_and_its_challenge_ten_more(store: Store) {
    let app = App::start(store).await;
    let (kept, lost) = (app.visitor("kept@example.com"), app.visitor("lost@example.com"));
    let (in_time, code) = kept.code().await;
    let (late, late_code) = lost.code().await;
    app.clock.advance(std::time::Duration::from_millis(299_999));
    session_of(&kept.confirm(&in_time, &code, &Device::new()).await);
    app.clock.advance(std::time::Duration::from_millis(1));
    lost.confirm(&late, &late_code, &Device::new()).await.refused(410, "challenge_expired");
    app.clock.advance_s(599);
    lost.confirm(&late, &late_code, &Device::new()).await.refused(410, "challenge_expired");
    app.clock.advance_s(2);
    lost.confirm(&late, &late_code, &Device::new()).await.refused(404, "challenge_not_found");
}

async fn a_challenge_made_in_the_cooldown_ends_with_the_mailed_code(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (_, code) = pilot.code().await;
    app.clock.advance_s(50);
    let second = pilot.challenge().await;
    app.clock.advance_s(250);
    pilot.confirm(&second, &code, &Device::new()).await.refused(410, "challenge_expired");
}

async fn the_ttl_setting_is_the_codes_life(store: Store) {
    let app = Setup::on(store).set("CODE_TTL", "90s").start().await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    app.clock.advance_s(90);
    assert_eq!(app.mail.letters()[0].expires_at, app.clock.rfc3339());
    pilot.confirm(&challenge, &code, &Device::new()).await.refused(410, "challenge_expired");
}

async fn a_code_of_the_wrong_form_is_no_guess(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    let spaced = format!(" {code}");
    for form in
        ["", "12345", "1234567", "12345a", "１２３４５６", "+12345", "-12345", "12 456", "0x1234", &spaced]
    {
        let answer = pilot.confirm(&challenge, form, &Device::new()).await;
        answer.refused(400, "invalid_request");
        assert!(form.len() < 5 || !answer.text.contains(form), "{}", answer.text);
    }
    session_of(&pilot.confirm(&challenge, &code, &Device::new()).await);
}

async fn a_body_that_is_not_exactly_the_contracts_is_refused(store: Store) {
    let app = App::start(store).await;
    let key = Device::new().key();
    let good = json!({ "challenge_id": NOBODYS, "code": "123456", "client_public_key": key });
    app.post(Listener::Public, CONFIRM, &good).await.refused(404, "challenge_not_found");
    for (field, value) in [
        ("challenge_id", json!(null)),
        ("challenge_id", json!(7)),
        ("code", json!(123_456)),
        ("code", json!(null)),
        ("client_public_key", json!(null)),
        ("client_public_key", json!({})),
        ("client_key_signature", json!(7)),
        ("device_name", json!("phone")),
        ("Code", json!("123456")),
    ] {
        let mut body = good.clone();
        body[field] = value;
        app.post(Listener::Public, CONFIRM, &body).await.refused(400, "invalid_request");
    }
    for field in ["challenge_id", "code", "client_public_key"] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(field);
        app.post(Listener::Public, CONFIRM, &body).await.refused(400, "invalid_request");
    }
    let twice = good.to_string().replacen('{', r#"{"code":"654321","#, 1);
    app.post_text(Listener::Public, CONFIRM, twice).await.refused(400, "invalid_request");
}

async fn reasons_are_given_in_the_order_of_the_contract(store: Store) {
    let app = Setup::on(store).set("ADDRESS_MAX_FAILURES", "5").start().await;
    let pilot = app.visitor("pilot@example.com");
    let (expired, old_code) = pilot.code().await;
    app.clock.advance_s(300);
    let (closed, code) = pilot.code().await;
    let other = pilot.challenge().await;
    let device = Device::new();
    let send = async |challenge: &str, code: &str, key: &str| {
        let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": key });
        app.post(Listener::Public, CONFIRM, &body).await
    };
    let key = device.key();
    // Body before key, key before an unknown challenge.
    send(NOBODYS, "12345", "no key").await.refused(400, "invalid_request");
    send(NOBODYS, "123456", "no key").await.refused(400, "invalid_client_public_key");
    send(NOBODYS, "123456", &key).await.refused(404, "challenge_not_found");
    // Key before an expired challenge, an expired challenge before a wrong code.
    send(&expired, &old_code, "no key").await.refused(400, "invalid_client_public_key");
    send(&expired, &wrong(&old_code), &key).await.refused(410, "challenge_expired");
    // A closed challenge before the address's cap, the cap before a wrong or right code.
    pilot.guess_wrong(&closed, &code, 5).await;
    send(&closed, &code, "no key").await.refused(400, "invalid_client_public_key");
    send(&closed, &code, &key).await.refused(429, "too_many_attempts");
    send(&other, &wrong(&code), &key).await.refused(429, "rate_limited");
    send(&other, &code, &key).await.refused(429, "rate_limited");
    // An expired challenge before a closed one.
    app.clock.advance_s(300);
    send(&closed, &code, &key).await.refused(410, "challenge_expired");
}

async fn a_wrong_code_comes_before_a_used_one_and_a_used_one_before_a_block(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    let device = Device::new();
    session_of(&pilot.confirm(&challenge, &code, &device).await);
    pilot.confirm(&challenge, &wrong(&code), &device).await.refused(400, "invalid_code");
    app.operator().block_email(pilot.email()).await.ok();
    pilot.confirm(&challenge, &wrong(&code), &device).await.refused(400, "invalid_code");
    pilot.confirm(&challenge, &code, &Device::new()).await.refused(409, "challenge_already_used");
}

async fn no_answer_carries_a_code_a_key_or_an_address(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    let device = Device::new();
    let mut texts = vec![
        pilot.confirm(&challenge, &wrong(&code), &device).await.text,
        pilot.confirm(NOBODYS, &code, &device).await.text,
        pilot.prove(&challenge, &code, &device, "c2lnbmF0dXJl").await.text,
        pilot.confirm(&challenge, &code, &device).await.text,
        pilot.confirm(&challenge, &code, &Device::new()).await.text,
    ];
    app.clock.advance_s(300);
    texts.push(pilot.confirm(&challenge, &code, &device).await.text);
    let guess = wrong(&code);
    for secret in [code.as_str(), guess.as_str(), "pilot", &device.key(), "c2lnbmF0dXJl"] {
        assert!(texts.iter().all(|text| !text.contains(secret)), "{secret} in {texts:?}");
    }
}

on_every_store! {
    the_right_code_opens_an_active_session_for_the_devices_key,
    the_same_address_is_the_same_user_and_another_address_another,
    a_challenge_that_nobody_was_given_is_not_found,
    a_code_lives_five_minutes_and_its_challenge_ten_more,
    a_challenge_made_in_the_cooldown_ends_with_the_mailed_code,
    the_ttl_setting_is_the_codes_life,
    a_code_of_the_wrong_form_is_no_guess,
    a_body_that_is_not_exactly_the_contracts_is_refused,
    reasons_are_given_in_the_order_of_the_contract,
    a_wrong_code_comes_before_a_used_one_and_a_used_one_before_a_block,
    no_answer_carries_a_code_a_key_or_an_address,
}
