//! Addresses, devices and the requests they make, as bytes that are ready to be sent.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use serde_json::{Value, json};

use crate::harness::{
    Device, Listener,
    actors::{CONFIRM, INTERNAL, SEND, reason},
};

/// Keys of as many devices; made ahead, since making them is no part of what is measured.
static DEVICES: LazyLock<Vec<String>> = LazyLock::new(|| (0..512).map(|_| Device::new().key()).collect());

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A number that this run has not given out before.
pub(crate) fn fresh() -> u64 {
    NEXT.fetch_add(1, Relaxed)
}

/// An address that this run has not used before.
pub(crate) fn address() -> String {
    format!("person-{}@bench.example", fresh())
}

/// A device's public key. Users may have the same: nothing in the service looks one up by its key.
pub(crate) fn device(number: usize) -> &'static str {
    &DEVICES[number % DEVICES.len()]
}

/// What an answer's body must be.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    Exactly(Vec<u8>),
    /// It holds one id, after these letters.
    Id(&'static str),
}

/// One request, and what a right answer to it is.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) listener: Listener,
    pub(crate) bytes: Vec<u8>,
    pub(crate) expected: Expected,
}

impl Expected {
    pub(crate) fn is(&self, body: &[u8]) -> bool {
        match self {
            Self::Exactly(whole) => body == whole,
            Self::Id(before) => body.starts_with(before.as_bytes()) && body.ends_with(b"\"}"),
        }
    }

    /// The id in a right answer.
    pub(crate) fn id(&self, body: &[u8]) -> Option<String> {
        let Self::Id(before) = self else { return None };
        let id = body.strip_prefix(before.as_bytes())?.strip_suffix(b"\"}")?;
        String::from_utf8(id.to_vec()).ok()
    }
}

/// Asks for a code.
pub(crate) fn send(email: &str) -> Call {
    let expected = Expected::Id(r#"{"challenge_id":""#);
    Call { listener: Listener::Public, bytes: post(SEND, &json!({ "email": email })), expected }
}

/// Hands in a code.
pub(crate) fn confirm(challenge: &str, code: &str, device: &str) -> Call {
    let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": device });
    let expected = Expected::Id(r#"{"device_session_id":""#);
    Call { listener: Listener::Public, bytes: post(CONFIRM, &body), expected }
}

/// Ends a session.
pub(crate) fn revoke(session: &str) -> Call {
    let body =
        format!(r#"{{"outcome":"revoked","device_session_id":"{session}","affected_session_count":1}}"#);
    Call {
        listener: Listener::Internal,
        bytes: post(&format!("{INTERNAL}/sessions/{session}/revoke"), &reason()),
        expected: Expected::Exactly(body.into()),
    }
}

/// Reads `path`, which is to answer just this.
pub(crate) fn read(path: &str, body: &str) -> Call {
    Call {
        listener: Listener::Internal,
        bytes: format!("GET {path} HTTP/1.1\r\nhost: bench\r\n\r\n").into(),
        expected: Expected::Exactly(body.into()),
    }
}

fn post(path: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    let head = "host: bench\r\ncontent-type: application/json\r\ncontent-length:";
    format!("POST {path} HTTP/1.1\r\n{head} {length}\r\n\r\n{body}").into()
}
