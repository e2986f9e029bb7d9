//! Fake user and mail services, on real sockets and in step with contract section 6. Both are an [`Upstream`] too:
//! `users.next(Answer::Hang)`, `mail.always(Answer::Json(503, json!({})))`, `mail.received()`.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::upstream::{Answer, Received, Upstream};

/// A user service with a directory in memory: any address that is not blocked may become a user.
pub struct UserService {
    upstream: Upstream,
    directory: Arc<Mutex<Directory>>,
}

#[derive(Default)]
struct Directory {
    ids: BTreeMap<String, String>,
    blocked: BTreeSet<String>,
}

impl UserService {
    /// An empty directory.
    pub async fn start() -> Self {
        let directory = Arc::<Mutex<Directory>>::default();
        let shared = Arc::clone(&directory);
        let upstream = Upstream::start(move |request| shared.lock().unwrap().answer(request)).await;
        Self { upstream, directory }
    }

    /// The id of the user who has `email`, created where there is none.
    pub fn add(&self, email: &str) -> String {
        self.directory.lock().unwrap().add(email).0
    }

    /// The id of the user who has `email`.
    pub fn id_of(&self, email: &str) -> Option<String> {
        self.directory.lock().unwrap().ids.get(email).cloned()
    }

    /// Blocks `email` without the service's knowing.
    pub fn block(&self, email: &str) {
        self.directory.lock().unwrap().blocked.insert(email.to_owned());
    }
}

impl Deref for UserService {
    type Target = Upstream;

    fn deref(&self) -> &Upstream {
        &self.upstream
    }
}

impl Directory {
    fn add(&mut self, email: &str) -> (String, bool) {
        if let Some(id) = self.ids.get(email) {
            return (id.clone(), false);
        }
        let id = format!("user-{}", self.ids.len() + 1);
        self.ids.insert(email.to_owned(), id.clone());
        (id, true)
    }

    fn answer(&mut self, request: &Received) -> Answer {
        let body = request.json();
        let email = body["email"].as_str().unwrap_or_default();
        match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/api/v1/internal/users/resolve") => self.resolve(email),
            ("POST", "/api/v1/internal/users/ensure") => self.ensure(email),
            ("POST", "/api/v1/internal/user-blocks") => self.block(&body),
            ("GET", path) => match path.strip_prefix("/api/v1/internal/users/") {
                Some(id) if self.ids.values().any(|known| known == id) => {
                    Answer::Json(200, json!({ "user_id": id }))
                }
                _ => not_found(),
            },
            _ => not_found(),
        }
    }

    fn resolve(&self, email: &str) -> Answer {
        let body = if self.blocked.contains(email) {
            json!({ "kind": "blocked", "block_reason_code": "policy" })
        } else if let Some(id) = self.ids.get(email) {
            json!({ "kind": "existing", "user_id": id })
        } else {
            json!({ "kind": "creatable" })
        };
        Answer::Json(200, body)
    }

    fn ensure(&mut self, email: &str) -> Answer {
        if self.blocked.contains(email) {
            return Answer::Json(200, json!({ "outcome": "blocked", "block_reason_code": "policy" }));
        }
        let (id, created) = self.add(email);
        let outcome = if created { "created" } else { "existing" };
        Answer::Json(200, json!({ "outcome": outcome, "user_id": id }))
    }

    fn block(&mut self, body: &Value) -> Answer {
        let email = match (body["user_id"].as_str(), body["email"].as_str()) {
            (Some(id), None) => {
                let found = self.ids.iter().find(|(_, known)| *known == id);
                let Some((email, _)) = found else { return not_found() };
                email.clone()
            }
            (None, Some(email)) => email.to_owned(),
            _ => return Answer::Json(400, json!({ "error": { "code": "invalid_request" } })),
        };
        let id = self.ids.get(&email).cloned();
        let outcome = if self.blocked.insert(email) { "blocked" } else { "already_blocked" };
        let body = match id {
            Some(id) => json!({ "outcome": outcome, "user_id": id }),
            None => json!({ "outcome": outcome }),
        };
        Answer::Json(200, body)
    }
}

/// A mail service that keeps what it is given.
pub struct MailService {
    upstream: Upstream,
    mailbox: Arc<Mutex<Vec<Letter>>>,
}

/// One delivery that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The `Idempotency-Key` header.
    pub idempotency_key: String,
    /// Of the challenge that it is for.
    pub challenge_id: String,
    /// Where to.
    pub email: String,
    /// The code.
    pub code: String,
    /// RFC 3339.
    pub expires_at: String,
}

impl MailService {
    /// An empty mailbox. A delivery that is repeated with its key is taken once.
    pub async fn start() -> Self {
        let mailbox = Arc::<Mutex<Vec<Letter>>>::default();
        let shared = Arc::clone(&mailbox);
        let upstream = Upstream::start(move |request| take(request, &mut shared.lock().unwrap())).await;
        Self { upstream, mailbox }
    }

    /// Every delivery taken so far, oldest first.
    pub fn letters(&self) -> Vec<Letter> {
        self.mailbox.lock().unwrap().clone()
    }

    /// The code last mailed to `email`.
    pub fn code_for(&self, email: &str) -> Option<String> {
        let mailbox = self.mailbox.lock().unwrap();
        mailbox.iter().rfind(|letter| letter.email == email).map(|letter| letter.code.clone())
    }

    /// The code that was mailed for this challenge.
    pub fn code_of(&self, challenge: &str) -> Option<String> {
        let mailbox = self.mailbox.lock().unwrap();
        mailbox.iter().rfind(|letter| letter.challenge_id == challenge).map(|letter| letter.code.clone())
    }

    /// How many deliveries `email` has had.
    pub fn count_for(&self, email: &str) -> usize {
        self.mailbox.lock().unwrap().iter().filter(|letter| letter.email == email).count()
    }
}

impl Deref for MailService {
    type Target = Upstream;

    fn deref(&self) -> &Upstream {
        &self.upstream
    }
}

fn take(request: &Received, mailbox: &mut Vec<Letter>) -> Answer {
    if request.method != "POST" || request.path != "/api/v1/internal/login-code-deliveries" {
        return not_found();
    }
    let body = request.json();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let letter = Letter {
        idempotency_key: request.header("idempotency-key").to_owned(),
        challenge_id: text("challenge_id"),
        email: text("email"),
        code: text("code"),
        expires_at: text("expires_at"),
    };
    if !mailbox.iter().any(|known| known.idempotency_key == letter.idempotency_key) {
        mailbox.push(letter);
    }
    Answer::Json(200, json!({ "outcome": "sent" }))
}

fn not_found() -> Answer {
    Answer::Json(404, json!({ "error": { "code": "subject_not_found", "message": "not found" } }))
}
