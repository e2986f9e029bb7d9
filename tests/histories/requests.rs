//! Acts as HTTP requests, and what their answers say.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    harness::{
        Listener,
        actors::{CONFIRM, INTERNAL, SEND, text},
    },
    history::{Act, Attempt, Status},
};

/// What a list of sessions says.
pub fn statuses(body: &Value) -> BTreeMap<String, Status> {
    let sessions = body["sessions"].as_array().unwrap().iter();
    sessions
        .map(|session| (text(session, "device_session_id"), Status::parse(&text(session, "status"))))
        .collect()
}

/// Where it goes, and the body of a POST.
pub fn request(act: &Act) -> (Listener, &'static str, String, Value) {
    let because = |reason: &str| json!({ "reason_code": reason, "actor": { "type": "system" } });
    match act {
        Act::Send { email } => (Listener::Public, "POST", SEND.to_owned(), json!({ "email": email })),
        Act::Confirm(Attempt { challenge, code, key, .. }) => {
            let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": key });
            (Listener::Public, "POST", CONFIRM.to_owned(), body)
        }
        Act::Revoke { session, reason } => {
            (Listener::Internal, "POST", format!("{INTERNAL}/sessions/{session}/revoke"), because(reason))
        }
        Act::RevokeAll { user, reason, .. } => (
            Listener::Internal,
            "POST",
            format!("{INTERNAL}/users/{user}/sessions/revoke-all"),
            because(reason),
        ),
        Act::Block { email, user, reason } => {
            let mut body = because(reason);
            match user {
                Some(user) => body["user_id"] = json!(user),
                None => body["email"] = json!(email),
            }
            (Listener::Internal, "POST", format!("{INTERNAL}/user-blocks"), body)
        }
        Act::Get { session } => {
            (Listener::Internal, "GET", format!("{INTERNAL}/sessions/{session}"), Value::Null)
        }
        Act::List { user, .. } => {
            (Listener::Internal, "GET", format!("{INTERNAL}/users/{user}/sessions"), Value::Null)
        }
    }
}
