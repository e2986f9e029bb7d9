//! The people who use the service.

use authsession::base::{Randomness, SystemRandomness};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use super::{Answer, Listener, Wire, upstreams::MailService};

/// Where a login starts.
pub const SEND: &str = "/api/v1/public/auth/send-email-code";
/// Where a login ends.
pub const CONFIRM: &str = "/api/v1/public/auth/confirm-email-code";
/// Where sessions are read and revoked.
pub const INTERNAL: &str = "/api/v1/internal";

/// A phone or laptop with its own key.
#[derive(Clone)]
pub struct Device(SigningKey);

impl Device {
    /// With a fresh key.
    pub fn new() -> Self {
        let mut seed = [0; 32];
        SystemRandomness.fill(&mut seed);
        Self(SigningKey::from_bytes(&seed))
    }

    /// The public key as the contract writes it.
    pub fn key(&self) -> String {
        STANDARD.encode(self.0.verifying_key().as_bytes())
    }

    /// The signature that proves the private key.
    pub fn proof(&self, challenge: &str) -> String {
        self.sign(&format!("authsession/confirm/v1\n{challenge}\n{}", self.key()))
    }

    /// A signature over any text.
    pub fn sign(&self, text: &str) -> String {
        STANDARD.encode(self.0.sign(text.as_bytes()).to_bytes())
    }
}

/// Somebody who logs in with one address, from one place.
#[derive(Clone)]
pub struct Visitor<'a> {
    wire: &'a Wire,
    mail: &'a MailService,
    email: String,
    from: Option<String>,
}

impl<'a> Visitor<'a> {
    /// Somebody with this address, and with a mailbox.
    pub fn new(wire: &'a Wire, mail: &'a MailService, email: &str) -> Self {
        Self { wire, mail, email: email.to_owned(), from: None }
    }

    /// The same person behind a proxy that says `X-Forwarded-For: <from>`.
    pub fn from(&self, from: &str) -> Self {
        Self { from: Some(from.to_owned()), ..self.clone() }
    }

    /// Asks for a code.
    pub async fn send(&self) -> Answer {
        self.post(SEND, &json!({ "email": self.email })).await
    }

    /// Asks for a code, gets a challenge.
    pub async fn challenge(&self) -> String {
        challenge_of(&self.send().await)
    }

    /// Asks for a code, gets a challenge, and reads the newest code in the mailbox.
    pub async fn code(&self) -> (String, String) {
        let challenge = self.challenge().await;
        (challenge, self.newest_code())
    }

    /// Hands in a code with a device's key.
    pub async fn confirm(&self, challenge: &str, code: &str, device: &Device) -> Answer {
        let key = device.key();
        let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": key });
        self.post(CONFIRM, &body).await
    }

    /// Hands in a code, and `signature` as proof of the key.
    pub async fn prove(&self, challenge: &str, code: &str, device: &Device, signature: &str) -> Answer {
        let body = json!({
            "challenge_id": challenge,
            "code": code,
            "client_public_key": device.key(),
            "client_key_signature": signature,
        });
        self.post(CONFIRM, &body).await
    }

    /// Hands in `times` wrong codes, each of which must be answered `invalid_code`.
    pub async fn guess_wrong(&self, challenge: &str, right: &str, times: usize) {
        for _ in 0..times {
            self.confirm(challenge, &wrong(right), &Device::new()).await.refused(400, "invalid_code");
        }
    }

    /// The whole login with a fresh device: the session's id.
    pub async fn log_in(&self) -> String {
        self.log_in_with(&Device::new()).await
    }

    /// The whole login: the session's id.
    pub async fn log_in_with(&self, device: &Device) -> String {
        let (challenge, code) = self.code().await;
        session_of(&self.confirm(&challenge, &code, device).await)
    }

    /// Every code that was mailed to this address, oldest first.
    pub fn codes(&self) -> Vec<String> {
        let letters = self.mail.letters().into_iter();
        letters.filter(|letter| letter.email == self.email).map(|letter| letter.code).collect()
    }

    /// The code in the newest mail.
    #[track_caller]
    pub fn newest_code(&self) -> String {
        self.codes().pop().expect("a mail")
    }

    /// The address as it was given.
    pub fn email(&self) -> &str {
        &self.email
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        let mut request = self.wire.request(Listener::Public, "POST", path).json(body);
        if let Some(from) = &self.from {
            request = request.header("x-forwarded-for", from);
        }
        self.wire.call(Listener::Public, request).await
    }
}

/// An admin or a service behind the internal listener.
pub struct Operator<'a> {
    wire: &'a Wire,
}

impl<'a> Operator<'a> {
    /// Asks the service at the other end of `wire`.
    pub fn new(wire: &'a Wire) -> Self {
        Self { wire }
    }

    /// Reads one session.
    pub async fn get(&self, session: &str) -> Answer {
        self.wire.get(Listener::Internal, &format!("{INTERNAL}/sessions/{session}")).await
    }

    /// The session itself.
    pub async fn session(&self, session: &str) -> Value {
        self.get(session).await.ok()["session"].clone()
    }

    /// Lists a user's sessions.
    pub async fn list(&self, user: &str) -> Answer {
        self.wire.get(Listener::Internal, &format!("{INTERNAL}/users/{user}/sessions")).await
    }

    /// The ids in that list.
    pub async fn listed(&self, user: &str) -> Vec<String> {
        let body = self.list(user).await.ok();
        let id = |session: &Value| text(session, "device_session_id");
        body["sessions"].as_array().unwrap().iter().map(id).collect()
    }

    /// Whose session it is.
    pub async fn user_of(&self, session: &str) -> String {
        text(&self.session(session).await, "user_id")
    }

    /// `active` or `revoked`.
    pub async fn status_of(&self, session: &str) -> String {
        text(&self.session(session).await, "status")
    }

    /// Revokes one session, with a plain reason.
    pub async fn revoke(&self, session: &str) -> Answer {
        self.revoke_as(session, &reason()).await
    }

    /// Revokes one session with this body.
    pub async fn revoke_as(&self, session: &str, body: &Value) -> Answer {
        self.post(&format!("/sessions/{session}/revoke"), body).await
    }

    /// Revokes all of a user's sessions, with a plain reason.
    pub async fn revoke_all(&self, user: &str) -> Answer {
        self.revoke_all_as(user, &reason()).await
    }

    /// Revokes all of a user's sessions with this body.
    pub async fn revoke_all_as(&self, user: &str, body: &Value) -> Answer {
        self.post(&format!("/users/{user}/sessions/revoke-all"), body).await
    }

    /// Blocks an address, with a plain reason.
    pub async fn block_email(&self, email: &str) -> Answer {
        self.block(&with_reason("email", email)).await
    }

    /// Blocks a user, with a plain reason.
    pub async fn block_user(&self, user: &str) -> Answer {
        self.block(&with_reason("user_id", user)).await
    }

    /// Blocks with this body.
    pub async fn block(&self, body: &Value) -> Answer {
        self.post("/user-blocks", body).await
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.wire.post(Listener::Internal, &format!("{INTERNAL}{path}"), body).await
    }
}

/// A reason and an actor, as every mutation wants them.
pub fn reason() -> Value {
    json!({ "reason_code": "admin_revoke", "actor": { "type": "admin", "id": "admin-1" } })
}

/// The same with one more field.
pub fn with_reason(field: &str, value: &str) -> Value {
    let mut body = json!({ "reason_code": "policy_blocked", "actor": { "type": "admin", "id": "admin-7" } });
    body[field] = json!(value);
    body
}

/// A code that is not `right`, of the same length.
pub fn wrong(right: &str) -> String {
    right.chars().map(|digit| char::from(b'0' + (digit as u8 - b'0' + 1) % 10)).collect()
}

/// The challenge in a send's answer, which holds nothing else.
#[track_caller]
pub fn challenge_of(answer: &Answer) -> String {
    only_field(answer, "challenge_id")
}

/// The session in a confirm's answer, which holds nothing else.
#[track_caller]
pub fn session_of(answer: &Answer) -> String {
    only_field(answer, "device_session_id")
}

/// A text field.
#[track_caller]
pub fn text(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_else(|| panic!("no text {field} in {value}")).to_owned()
}

#[track_caller]
fn only_field(answer: &Answer, field: &str) -> String {
    let body = answer.ok();
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(1), "{body}");
    text(&body, field)
}
