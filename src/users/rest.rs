//! The user service over REST, as `api/user-service.yaml` describes it.
//!
//! All four calls may be repeated: two only read, ensuring a user again finds the same one, and blocking again finds
//! the block. So each is tried once more where that may help, within the same request timeout.

use async_trait::async_trait;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Admission, Block, Standing, Subject, Users};
use crate::{
    base::{Cause, Email, Unavailable},
    http::{
        Endpoint,
        client::{self, Answer},
    },
};

const USERS: [&str; 4] = ["api", "v1", "internal", "users"];
const BLOCKS: [&str; 4] = ["api", "v1", "internal", "user-blocks"];

/// Asks the user service.
pub struct Client {
    http: client::Client,
}

impl Client {
    /// For the service at `endpoint`. Fails only where no HTTP client can be made at all.
    pub fn new(endpoint: &Endpoint) -> Result<Self, Unavailable> {
        Ok(Self { http: client::Client::new("users", endpoint)? })
    }
}

#[derive(Serialize)]
struct EmailRequest<'a> {
    email: &'a str,
}

#[derive(Serialize)]
struct BlockRequest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    reason_code: &'a str,
    actor: Actor<'a>,
}

#[derive(Serialize)]
struct Actor<'a> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Existing,
    Creatable,
    Blocked,
}

#[derive(Deserialize)]
struct Resolved {
    kind: Kind,
    user_id: Option<String>,
    block_reason_code: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ensuring {
    Existing,
    Created,
    Blocked,
}

#[derive(Deserialize)]
struct Ensured {
    outcome: Ensuring,
    user_id: Option<String>,
    block_reason_code: Option<String>,
}

#[derive(Deserialize)]
struct Known {
    user_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Blocking {
    Blocked,
    AlreadyBlocked,
}

#[derive(Deserialize)]
struct BlockDone {
    outcome: Blocking,
    user_id: Option<String>,
}

#[async_trait]
impl Users for Client {
    async fn resolve(&self, email: &Email) -> Result<Standing, Unavailable> {
        let body = EmailRequest { email: email.as_str() };
        let answer = self.http.post(&[&USERS[..], &["resolve"]].concat(), &body).await?;
        let resolved: Resolved = read(&answer)?;
        let user_id = optional_user_id(&answer, resolved.user_id)?;
        match (resolved.kind, user_id, given(resolved.block_reason_code)) {
            (Kind::Existing, Some(_), None) | (Kind::Creatable, None, None) => Ok(Standing::Welcome),
            (Kind::Blocked, _, Some(_)) => Ok(Standing::Blocked),
            (Kind::Existing | Kind::Creatable | Kind::Blocked, _, _) => Err(contradictory(&answer)),
        }
    }

    async fn ensure(&self, email: &Email) -> Result<Admission, Unavailable> {
        let body = EmailRequest { email: email.as_str() };
        let answer = self.http.post(&[&USERS[..], &["ensure"]].concat(), &body).await?;
        let ensured: Ensured = read(&answer)?;
        let user_id = optional_user_id(&answer, ensured.user_id)?;
        match (ensured.outcome, user_id, given(ensured.block_reason_code)) {
            (Ensuring::Existing | Ensuring::Created, Some(user_id), None) => Ok(Admission::Admitted(user_id)),
            (Ensuring::Blocked, _, Some(_)) => Ok(Admission::Blocked),
            (Ensuring::Existing | Ensuring::Created | Ensuring::Blocked, _, _) => Err(contradictory(&answer)),
        }
    }

    async fn exists(&self, user_id: &str) -> Result<bool, Unavailable> {
        if matches!(user_id, "." | "..") {
            return Ok(false); // not a path segment in any spelling, so no service can have a user of this name
        }
        let answer = self.http.get(&[&USERS[..], &[user_id]].concat()).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        let known: Known = read(&answer)?;
        if known.user_id == user_id { Ok(true) } else { Err(contradictory(&answer)) }
    }

    async fn block(&self, subject: &Subject, cause: &Cause) -> Result<Block, Unavailable> {
        let (user_id, email) = match subject {
            Subject::UserId(user_id) => (Some(user_id.as_str()), None),
            Subject::Email(email) => (None, Some(email.as_str())),
        };
        let actor = Actor { r#type: &cause.actor_type, id: cause.actor_id.as_deref() };
        let body = BlockRequest { user_id, email, reason_code: &cause.reason_code, actor };
        let answer = self.http.post(&BLOCKS, &body).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Block::Unknown);
        }
        let done: BlockDone = read(&answer)?;
        let hit = match (user_id, optional_user_id(&answer, done.user_id)?) {
            (Some(asked), Some(told)) if asked != told => return Err(contradictory(&answer)),
            (Some(asked), _) => Some(asked.to_owned()),
            (None, told) => told,
        };
        Ok(match done.outcome {
            Blocking::Blocked => Block::Blocked(hit),
            Blocking::AlreadyBlocked => Block::AlreadyBlocked(hit),
        })
    }
}

/// The body of a 200: another 2xx may say that nothing is settled yet (202), or that something is left out (206).
fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, Unavailable> {
    if answer.status == StatusCode::OK { answer.read() } else { Err(answer.unexpected()) }
}

/// A field that is there and not empty. Some services send `""` or `null` for what they leave out.
fn given(field: Option<String>) -> Option<String> {
    field.filter(|text| !text.is_empty())
}

/// A user id that we can keep: 256 characters at most, none of them a control character.
fn optional_user_id(answer: &Answer, field: Option<String>) -> Result<Option<String>, Unavailable> {
    match given(field) {
        Some(id) if id.chars().count() > 256 || id.chars().any(char::is_control) => {
            Err(answer.nonsense("a user id that is too long or has control characters"))
        }
        fine => Ok(fine),
    }
}

fn contradictory(answer: &Answer) -> Unavailable {
    answer.nonsense("an answer that lacks a field or contradicts itself")
}
