//! The public operations: parse, call once, encode.

use std::sync::Arc;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tracing::info;

use super::{Challenges, Code, Error, confirm_email_code, store::ChallengeId};
use crate::{
    base::{DeviceKey, Email},
    http::{ClientAddress, Json, Problem, RateLimit, Routes, present},
};

/// The capability and its limits per client address.
#[derive(Clone)]
struct Door {
    challenges: Arc<Challenges>,
    sends: Arc<RateLimit>,
    confirms: Arc<RateLimit>,
}

pub(super) fn routes(challenges: Arc<Challenges>) -> Routes {
    let limit = |per_minute| Arc::new(RateLimit::new(challenges.world.clone(), per_minute));
    let sends = limit(challenges.settings.send_per_minute);
    let confirms = limit(challenges.settings.confirm_per_minute);
    Routes::default()
        .post("/api/v1/public/auth/send-email-code", "send_email_code", send_email_code)
        .post("/api/v1/public/auth/confirm-email-code", "confirm_email_code", confirm_email_code)
        .with_state(Door { challenges, sends, confirms })
}

async fn send_email_code(
    State(door): State<Door>,
    ClientAddress(client): ClientAddress,
    Json(body): Json<SendEmailCodeRequest>,
) -> Result<Response, Problem> {
    door.sends.check(client)?;
    let email = Email::parse(&body.email)
        .ok_or_else(|| Problem::invalid_request("email must be an e-mail address of at most 254 bytes"))?;
    let challenge_id = door.challenges.send_email_code(&email, client).await?;
    Ok(Json(SendEmailCodeResponse { challenge_id }).into_response())
}

async fn confirm_email_code(
    State(door): State<Door>,
    ClientAddress(client): ClientAddress,
    Json(body): Json<ConfirmEmailCodeRequest>,
) -> Result<Response, Problem> {
    door.confirms.check(client)?;
    let length = door.challenges.settings.code_length;
    let code = Code::parse(&body.code, length)
        .ok_or_else(|| Problem::invalid_request(format!("code must be {length} decimal digits")))?;
    let key = DeviceKey::parse(&body.client_public_key).ok_or_else(invalid_client_public_key)?;
    let request = confirm_email_code::Request {
        challenge_id: body.challenge_id,
        code,
        key: (key, body.client_public_key),
        key_signature: body.client_key_signature,
        client,
    };
    let confirmed = door.challenges.confirm_email_code(&request).await;
    let device_session_id = confirmed.map_err(|error| refused(&request.challenge_id, error))?;
    Ok(Json(ConfirmEmailCodeResponse { device_session_id }).into_response())
}

/// The answer, and a line in the log that says whose challenge met it (OWASP ASVS 16.3.1). What the limit per client address
/// has turned away before, or what is no confirm by its form, is counted only: whoever sends nonsense quickly would fill the log.
fn refused(challenge_id: &str, error: Error) -> Problem {
    // What is none is logged with its cause already.
    let is_verdict = error.is_verdict();
    let problem = Problem::from(error);
    if is_verdict {
        // What is no id of ours may be anything, such as a secret in the wrong field.
        let challenge_id = Some(challenge_id).filter(|id| ChallengeId::parse(id).is_some());
        info!(challenge_id, outcome = problem.code(), "login refused");
    }
    problem
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::InvalidKeySignature => Self::new(
                StatusCode::BAD_REQUEST,
                "invalid_client_key_signature",
                "client_key_signature must be the key's signature over this challenge",
            ),
            Error::InvalidCode => Self::new(StatusCode::BAD_REQUEST, "invalid_code", "the code is wrong"),
            Error::BlockedByPolicy => {
                Self::new(StatusCode::FORBIDDEN, "blocked_by_policy", "blocked by policy")
            }
            Error::ChallengeNotFound => {
                Self::new(StatusCode::NOT_FOUND, "challenge_not_found", "challenge not found")
            }
            Error::ChallengeAlreadyUsed => {
                Self::new(StatusCode::CONFLICT, "challenge_already_used", "challenge already used")
            }
            Error::SessionLimitExceeded => {
                Self::new(StatusCode::CONFLICT, "session_limit_exceeded", "the user has too many sessions")
            }
            Error::ChallengeExpired => Self::new(StatusCode::GONE, "challenge_expired", "challenge expired"),
            Error::TooManyAttempts => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_attempts",
                "too many wrong codes; ask for a new one",
            ),
            Error::RateLimited { retry_after } => Self::rate_limited(retry_after),
            Error::Unavailable(cause) => Self::unavailable(&cause),
        }
    }
}

fn invalid_client_public_key() -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "invalid_client_public_key",
        "client_public_key must be the standard base64 of a usable 32-byte Ed25519 public key",
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendEmailCodeRequest {
    email: String,
}

#[derive(Serialize)]
struct SendEmailCodeResponse {
    challenge_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfirmEmailCodeRequest {
    challenge_id: String,
    code: String,
    client_public_key: String,
    #[serde(default, deserialize_with = "present")]
    client_key_signature: Option<String>,
}

#[derive(Serialize)]
struct ConfirmEmailCodeResponse {
    device_session_id: String,
}
