//! The internal operations on sessions: parse, call once, encode.

use std::{fmt::Display, sync::Arc};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize, Serializer};

use super::{Error, Session, SessionId, Sessions, block_user, revoke_device_session};
use crate::{
    base::{Cause, DeviceKey, Email, Timestamp},
    http::{Json, JsonElements, Object, Path, Problem, Routes, json_list, present},
    users::Subject,
};

pub(super) fn routes(sessions: Arc<Sessions>) -> Routes {
    Routes::default()
        .get("/api/v1/internal/sessions/{device_session_id}", "get_session", get_session)
        .get("/api/v1/internal/users/{user_id}/sessions", "list_user_sessions", list_user_sessions)
        .post(
            "/api/v1/internal/sessions/{device_session_id}/revoke",
            "revoke_device_session",
            revoke_device_session,
        )
        .post(
            "/api/v1/internal/users/{user_id}/sessions/revoke-all",
            "revoke_all_user_sessions",
            revoke_all_user_sessions,
        )
        .post("/api/v1/internal/user-blocks", "block_user", block_user)
        .with_state(sessions)
}

async fn get_session(State(sessions): State<Arc<Sessions>>, Path(id): Path) -> Result<Response, Problem> {
    let session = sessions.get_session(&id).await?;
    Ok(Json(GetSessionResponse { session: SessionDto::of(&session) }).into_response())
}

async fn list_user_sessions(
    State(sessions): State<Arc<Sessions>>,
    Path(user_id): Path,
) -> Result<Response, Problem> {
    let user_id = parse_user_id(user_id)?;
    let mut listing = sessions.list_user_sessions(&user_id).await.map_err(Error::from)?;
    // Read before the answer begins, while it can still be an error.
    let first = listing.next().await.map_err(Error::from)?;
    if listing.is_done() {
        let sessions = first.iter().map(SessionDto::of).collect();
        return Ok(Json(ListUserSessionsResponse { sessions }).into_response());
    }
    let rest = stream::try_unfold(listing, async |mut listing| {
        let page = listing.next().await.map_err(|error| error.source)?;
        Ok((!page.is_empty()).then_some((page, listing)))
    });
    let pages = stream::once(async { Ok(first) }).chain(rest);
    let json = pages.map(|page| page.and_then(|page| JsonElements::of(page.iter().map(SessionDto::of))));
    Ok(json_list("sessions", json))
}

async fn revoke_device_session(
    State(sessions): State<Arc<Sessions>>,
    Path(id): Path,
    Json(body): Json<RevokeRequest>,
) -> Result<Response, Problem> {
    let (outcome, affected_session_count) = match sessions.revoke_device_session(&id, body.cause()?).await? {
        revoke_device_session::Outcome::Revoked => ("revoked", 1),
        revoke_device_session::Outcome::AlreadyRevoked => ("already_revoked", 0),
    };
    let answer = RevokeDeviceSessionResponse { outcome, device_session_id: id, affected_session_count };
    Ok(Json(answer).into_response())
}

async fn revoke_all_user_sessions(
    State(sessions): State<Arc<Sessions>>,
    Path(user_id): Path,
    Json(body): Json<RevokeRequest>,
) -> Result<Response, Problem> {
    let user_id = parse_user_id(user_id)?;
    let revoked = sessions.revoke_all_user_sessions(&user_id, body.cause()?).await?;
    let outcome = if revoked.is_empty() { "no_active_sessions" } else { "revoked" };
    Ok(Json(RevokeAllUserSessionsResponse { outcome, user_id, affected: Affected::of(&revoked) })
        .into_response())
}

async fn block_user(
    State(sessions): State<Arc<Sessions>>,
    Json(body): Json<BlockUserRequest>,
) -> Result<Response, Problem> {
    let (subject, cause) = body.parse()?;
    let block_user::Outcome { already_blocked, revoked } = sessions.block_user(&subject, cause).await?;
    let (subject_kind, subject_value) = match subject {
        Subject::UserId(user_id) => ("user_id", user_id),
        Subject::Email(email) => ("email", email.as_str().to_owned()),
    };
    let outcome = if already_blocked { "already_blocked" } else { "blocked" };
    let affected = Affected::of(&revoked);
    Ok(Json(BlockUserResponse { outcome, subject_kind, subject_value, affected }).into_response())
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        use axum::http::StatusCode;
        match error {
            Error::SessionNotFound => {
                Self::new(StatusCode::NOT_FOUND, "session_not_found", "session not found")
            }
            Error::SubjectNotFound => {
                Self::new(StatusCode::NOT_FOUND, "subject_not_found", "subject not found")
            }
            Error::Unavailable(cause) => Self::unavailable(&cause),
        }
    }
}

/// A user id is opaque: 1 to 256 characters, taken as it stands.
fn parse_user_id(user_id: String) -> Result<String, Problem> {
    if (1..=256).contains(&user_id.chars().count()) {
        Ok(user_id)
    } else {
        Err(Problem::invalid_request("user_id must be 1 to 256 characters"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Actor {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "present")]
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevokeRequest {
    reason_code: String,
    actor: Object<Actor>,
}

impl RevokeRequest {
    fn cause(self) -> Result<Cause, Problem> {
        let Object(Actor { kind, id }) = self.actor;
        Cause::parse(self.reason_code, kind, id).map_err(Problem::invalid_request)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockUserRequest {
    #[serde(default, deserialize_with = "present")]
    user_id: Option<String>,
    #[serde(default, deserialize_with = "present")]
    email: Option<String>,
    reason_code: String,
    actor: Object<Actor>,
}

impl BlockUserRequest {
    fn parse(self) -> Result<(Subject, Cause), Problem> {
        let subject = match (self.user_id, self.email) {
            (Some(user_id), None) => Subject::UserId(parse_user_id(user_id)?),
            (None, Some(email)) => Subject::Email(
                Email::parse(&email)
                    .ok_or_else(|| Problem::invalid_request("email must be an e-mail address"))?,
            ),
            (Some(_), Some(_)) | (None, None) => {
                return Err(Problem::invalid_request("exactly one of user_id and email must be given"));
            }
        };
        let cause = RevokeRequest { reason_code: self.reason_code, actor: self.actor }.cause()?;
        Ok((subject, cause))
    }
}

/// What every session has is written as it is read, without texts in between: lists are long.
#[derive(Serialize)]
struct SessionDto<'a> {
    #[serde(serialize_with = "text")]
    device_session_id: &'a SessionId,
    user_id: &'a str,
    #[serde(serialize_with = "text")]
    client_public_key: DeviceKey,
    status: &'static str,
    #[serde(serialize_with = "text")]
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke_reason_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke_actor_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke_actor_id: Option<&'a str>,
}

impl<'a> SessionDto<'a> {
    fn of(session: &'a Session) -> Self {
        let revocation = session.revocation.as_ref();
        let cause = revocation.map(|revocation| &revocation.cause);
        Self {
            device_session_id: &session.id,
            user_id: &session.user_id,
            client_public_key: session.key,
            status: if revocation.is_some() { "revoked" } else { "active" },
            created_at: session.created_at,
            revoked_at: revocation.map(|revocation| revocation.at.to_string()),
            revoke_reason_code: cause.map(|cause| cause.reason_code.as_str()),
            revoke_actor_type: cause.map(|cause| cause.actor_type.as_str()),
            revoke_actor_id: cause.and_then(|cause| cause.actor_id.as_deref()),
        }
    }
}

fn text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[derive(Serialize)]
struct GetSessionResponse<'a> {
    session: SessionDto<'a>,
}

#[derive(Serialize)]
struct ListUserSessionsResponse<'a> {
    sessions: Vec<SessionDto<'a>>,
}

#[derive(Serialize)]
struct RevokeDeviceSessionResponse {
    outcome: &'static str,
    device_session_id: String,
    affected_session_count: u8,
}

#[derive(Serialize)]
struct RevokeAllUserSessionsResponse {
    outcome: &'static str,
    user_id: String,
    #[serde(flatten)]
    affected: Affected,
}

#[derive(Serialize)]
struct BlockUserResponse {
    outcome: &'static str,
    subject_kind: &'static str,
    subject_value: String,
    #[serde(flatten)]
    affected: Affected,
}

#[derive(Serialize)]
struct Affected {
    affected_session_count: usize,
    affected_device_session_ids: Vec<String>,
}

impl Affected {
    fn of(revoked: &[SessionId]) -> Self {
        Self {
            affected_session_count: revoked.len(),
            affected_device_session_ids: revoked.iter().map(ToString::to_string).collect(),
        }
    }
}
