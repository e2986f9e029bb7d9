//! The device's key: which encodings are keys, and the proof that the caller holds the private one.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::harness::{
    App, Device, Listener, Setup, Store,
    actors::{CONFIRM, session_of, wrong},
};

/// The points of small order and their other encodings, a coordinate above the prime, and bytes that are no point.
const BAD: [&str; 12] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0200000000000000000000000000000000000000000000000000000000000000",
];

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

async fn an_unusable_key_is_refused_and_costs_neither_code_nor_try(store: Store) {
    let app = Setup::on(store).set("CODE_MAX_ATTEMPTS", "1").start().await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    let good = Device::new().key();
    let mut keys: Vec<String> = BAD.iter().map(|bad| STANDARD.encode(hex(bad))).collect();
    keys.extend([
        String::new(),
        good.replace('=', ""),
        format!("{good}\n"),
        format!(" {good}"),
        STANDARD.encode([7; 31]),
        STANDARD.encode([7; 33]),
        "not base64 at all, not even nearly, no no no".to_owned(),
        format!("-_{}", &good[2..]),
        "x".repeat(4000),
    ]);
    for key in keys {
        for code in [&code, &wrong(&code)] {
            let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": key });
            let answer = app.post(Listener::Public, CONFIRM, &body).await;
            answer.refused(400, "invalid_client_public_key");
        }
    }
    session_of(&pilot.confirm(&challenge, &code, &Device::new()).await);
}

async fn a_right_proof_is_taken_though_none_is_demanded(store: Store) {
    let app = App::start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let device = Device::new();
    let (challenge, code) = pilot.code().await;
    session_of(&pilot.prove(&challenge, &code, &device, &device.proof(&challenge)).await);
}

async fn a_bad_proof_is_refused_though_none_is_demanded(store: Store) {
    let app = Setup::on(store).set("CODE_MAX_ATTEMPTS", "1").start().await;
    let pilot = app.visitor("pilot@example.com");
    let device = Device::new();
    let (challenge, code) = pilot.code().await;
    let other = pilot.challenge().await;
    let right = device.proof(&challenge);
    for proof in [
        String::new(),
        "AAAA".to_owned(),
        STANDARD.encode([0; 64]),
        right.replace('=', ""),
        format!("{right} "),
        device.proof(&other),
        Device::new().proof(&challenge),
        device.sign(&format!("authsession/confirm/v1\n{challenge}\n{}\n", device.key())),
        device.sign(&format!("authsession/confirm/v2\n{challenge}\n{}", device.key())),
        device.sign(&challenge),
        malleable(&right),
    ] {
        let answer = pilot.prove(&challenge, &code, &device, &proof).await;
        answer.refused(400, "invalid_client_key_signature");
    }
    // Neither the code nor the one try was used up.
    session_of(&pilot.prove(&challenge, &code, &device, &right).await);
}

/// The same signature with the group's order added to its scalar: what a lax verifier would take for another one.
fn malleable(signature: &str) -> String {
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut bytes = STANDARD.decode(signature).unwrap();
    let mut carry = 0;
    for (byte, add) in bytes[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    STANDARD.encode(bytes)
}

async fn a_demanded_proof_must_be_there_and_right(store: Store) {
    let app = Setup::on(store).set("REQUIRE_KEY_PROOF", "true").start().await;
    let pilot = app.visitor("pilot@example.com");
    let device = Device::new();
    let (challenge, code) = pilot.code().await;
    let missing = pilot.confirm(&challenge, &code, &device).await;
    missing.refused(400, "invalid_client_key_signature");
    let strange = Device::new().proof(&challenge);
    pilot.prove(&challenge, &code, &device, &strange).await.refused(400, "invalid_client_key_signature");
    session_of(&pilot.prove(&challenge, &code, &device, &device.proof(&challenge)).await);
}

async fn a_key_error_comes_before_an_unknown_challenge(store: Store) {
    let app = Setup::on(store).set("REQUIRE_KEY_PROOF", "true").start().await;
    let pilot = app.visitor("pilot@example.com");
    let nobodys = "0000000000000000000000000000";
    let answer = pilot.confirm(nobodys, "123456", &Device::new()).await;
    answer.refused(400, "invalid_client_key_signature");
}

async fn one_key_may_hold_several_sessions(store: Store) {
    let app = App::start(store).await;
    let device = Device::new();
    let first = app.visitor("pilot@example.com").log_in_with(&device).await;
    let second = app.visitor("pilot@example.com").log_in_with(&device).await;
    let other = app.visitor("other@example.com").log_in_with(&device).await;
    assert!(first != second && first != other && second != other);
    for session in [first, second, other] {
        assert_eq!(app.operator().session(&session).await["client_public_key"], device.key());
    }
}

on_every_store! {
    an_unusable_key_is_refused_and_costs_neither_code_nor_try,
    a_right_proof_is_taken_though_none_is_demanded,
    a_bad_proof_is_refused_though_none_is_demanded,
    a_demanded_proof_must_be_there_and_right,
    a_key_error_comes_before_an_unknown_challenge,
    one_key_may_hold_several_sessions,
}
