//! Sending and confirming.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use axum::{Json, extract::State, response::IntoResponse};
use redis::AsyncCommands;
use serde::Deserialize;
use serde_json::json as object;

use super::{Reference, json};

/// As many letters as the service's ids have.
pub(super) fn id(number: u64) -> String {
    format!("{number:0>45}")
}

#[derive(Deserialize)]
pub(super) struct Send {
    email: String,
}

/// A script that notes challenge and address, then a mail.
pub(super) async fn send(
    State(reference): State<Arc<Reference>>,
    Json(Send { email }): Json<Send>,
) -> impl IntoResponse {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Relaxed);
    let (challenge, code) = (id(number), format!("{:06}", number % 1_000_000));
    let mut call = reference.scripts.start.key(format!("reference:c:{challenge}"));
    call.key(format!("reference:l:{email}")).arg([7; 90].as_slice()).arg([7; 90].as_slice());
    let () = call.invoke_async(&mut reference.redis()).await.expect("a Redis that answers");
    let letter = object!({
        "challenge_id": challenge,
        "email": email,
        "code": code,
        "expires_at": "2026-01-01T00:00:00.000Z",
    });
    let post = reference.mail.post(&reference.deliveries).header("idempotency-key", &challenge).json(&letter);
    let answer = post.send().await.expect("a mail service");
    assert!(answer.status().is_success());
    answer.bytes().await.expect("a whole answer");
    json(format!(r#"{{"challenge_id":"{challenge}"}}"#))
}

#[derive(Deserialize)]
pub(super) struct Confirm {
    challenge_id: String,
    code: String,
    client_public_key: String,
}

/// A read, a script that claims the code, a script that opens the session.
pub(super) async fn confirm(
    State(reference): State<Arc<Reference>>,
    Json(Confirm { challenge_id, code, client_public_key }): Json<Confirm>,
) -> impl IntoResponse {
    let mut redis = reference.redis();
    let challenge = format!("reference:c:{challenge_id}");
    let record: Vec<u8> = redis.hget(&challenge, "c").await.expect("a challenge");
    assert!(record.starts_with(code.as_bytes()), "another code");
    let mut claim = reference.scripts.claim.key(&challenge);
    claim.key(format!("reference:l:{challenge_id}")).key(format!("reference:m:{challenge_id}"));
    claim.arg(&record).arg([7; 140].as_slice()).arg([7; 90].as_slice());
    let claimed: u8 = claim.invoke_async(&mut redis).await.expect("a Redis that answers");
    assert_eq!(claimed, 1, "a code that was used");
    let (owner, suffix) = challenge_id.split_at(19);
    let mut open = reference.scripts.open.key(format!("reference:a:{owner}"));
    open.key(format!("gateway:session:{challenge_id}")).key("reference:pos").key("gateway:session_events");
    open.arg(suffix).arg([7; 60].as_slice()).arg(&challenge_id).arg(owner).arg(client_public_key);
    let opened: u8 = open.invoke_async(&mut redis).await.expect("a Redis that answers");
    assert_eq!(opened, 1, "a session that was open");
    json(format!(r#"{{"device_session_id":"{challenge_id}"}}"#))
}
