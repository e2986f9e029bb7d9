//! Reading, listing and revoking.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Path, State},
    response::IntoResponse,
};
use redis::AsyncCommands;
use serde::Deserialize;

use super::{Reference, json};

/// The letters of an id that say whose it is, and under which key it lies.
const OWNER: usize = 19;

/// The same bytes from memory.
pub(super) async fn bare(
    State(reference): State<Arc<Reference>>,
    Path(_): Path<String>,
) -> impl IntoResponse {
    json(reference.body.clone())
}

/// The same bytes from a field of a hash.
pub(super) async fn read(
    State(reference): State<Arc<Reference>>,
    Path(id): Path<String>,
) -> impl IntoResponse {
    let (owner, suffix) = id.split_at(OWNER);
    let body: Vec<u8> =
        reference.redis().hget(format!("reference:a:{owner}"), suffix).await.expect("a session");
    json(body)
}

/// The same bytes from all fields of a hash.
pub(super) async fn list(
    State(reference): State<Arc<Reference>>,
    Path(id): Path<String>,
) -> impl IntoResponse {
    let sessions: Vec<(String, String)> =
        reference.redis().hgetall(format!("reference:a:{id}")).await.expect("sessions");
    let mut body = String::from(r#"{"sessions":["#);
    for (at, (_, session)) in sessions.iter().enumerate() {
        if at > 0 {
            body.push(',');
        }
        body.push_str(session);
    }
    body.push_str("]}");
    json(body)
}

#[derive(Deserialize)]
pub(super) struct Revoke {
    reason_code: String,
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

/// A read, then a script of five writes and an event.
pub(super) async fn revoke(
    State(reference): State<Arc<Reference>>,
    Path(id): Path<String>,
    Json(Revoke { reason_code, actor }): Json<Revoke>,
) -> impl IntoResponse {
    let mut redis = reference.redis();
    let (owner, suffix) = id.split_at(OWNER);
    let active = format!("reference:a:{owner}");
    let record: Vec<u8> = redis.hget(&active, suffix).await.expect("a session");
    let revoked =
        [record.as_slice(), reason_code.as_bytes(), actor.kind.as_bytes(), actor.id.as_bytes()].concat();
    let mut call = reference.scripts.revoke.key(active);
    call.key(format!("reference:r:{owner}")).key(format!("gateway:session:{id}"));
    call.key("reference:pos").key("gateway:session_events");
    call.arg(suffix).arg(record).arg(revoked).arg(&id).arg(owner);
    let done: u8 = call.invoke_async(&mut redis).await.expect("a Redis that answers");
    assert_eq!(done, 1, "a session that was not there");
    json(format!(r#"{{"outcome":"revoked","device_session_id":"{id}","affected_session_count":1}}"#))
}
