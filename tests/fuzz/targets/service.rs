//! The service as production builds it, but over memory, with a clock that stands still and randomness that comes out
//! the same in every run, so that an input which breaks it once always does.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use authsession::{
    base::{Clock, Randomness, Timestamp, Unavailable, World},
    challenge::{self, Challenges},
    config::Config,
    engine::{Engine, Keys},
    gateway::{self, LogGateway},
    http::{Edge, Part, Peer, Probe, Surface},
    mail::{Delivery, Mail, Outcome},
    session::{self, Sessions},
    users::stub::Directory,
};
use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, header::CONTENT_TYPE},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value, json};

use super::memory::{Content, Memory};

/// Which listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    Public,
    Internal,
}

/// The service.
pub struct Service {
    pub store: Arc<Memory>,
    public: Surface,
    internal: Surface,
    mail: Arc<Mailbox>,
    runtime: tokio::runtime::Runtime,
}

/// What came back: the body of a stream without an end is left out.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

struct StandingClock;

impl Clock for StandingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(1_795_348_800_120)
    }
}

/// `SplitMix64`: well spread, and foreseen by all.
struct Foreseen(AtomicU64);

impl Randomness for Foreseen {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut mixed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Keeps the newest code.
#[derive(Default)]
struct Mailbox(Mutex<String>);

#[async_trait]
impl Mail for Mailbox {
    async fn deliver(&self, delivery: &Delivery) -> Result<Outcome, Unavailable> {
        *self.0.lock().unwrap() = String::from_utf8_lossy(delivery.code.expose()).into_owned();
        Ok(Outcome::Sent)
    }
}

impl Service {
    /// Over this content.
    pub fn over(content: Content) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let settings = [
            ("AUTHSESSION_RATE_LIMIT_SEND_PER_MINUTE", "0"),
            ("AUTHSESSION_RATE_LIMIT_CONFIRM_PER_MINUTE", "0"),
            ("AUTHSESSION_TRUSTED_PROXIES", "127.0.0.0/8"),
        ];
        let config = Config::read(settings.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
        let world = World::new(StandingClock, Foreseen(AtomicU64::new(1)));
        let store = Arc::new(Memory::with(content));
        let engine: Arc<dyn Engine> = store.clone();
        let keys = Arc::new(Keys::new(engine.clone(), world.clone()));
        let users = Arc::new(Directory::new(engine.clone(), keys.clone()));
        let log = LogGateway::new(store.clone(), 1000);
        let sessions = Sessions::new(
            session::Dependencies {
                engine: engine.clone(),
                keys: keys.clone(),
                users: users.clone(),
                publisher: log.clone(),
                world: world.clone(),
            },
            config.session.clone(),
        );
        let mail = Arc::new(Mailbox::default());
        let challenges = Challenges::new(
            challenge::Dependencies {
                engine,
                keys,
                users,
                mail: mail.clone(),
                mail_timeout: Duration::ZERO,
                sessions: sessions.clone(),
                world: world.clone(),
            },
            config.challenge.clone(),
        );
        let (public, internal) = surfaces(
            &config,
            &world,
            vec![challenges.part(), sessions.part(), gateway::part(log, Vec::new())],
        );
        Self { store, public, internal, mail, runtime }
    }

    /// The answer to a request.
    pub fn ask(&self, listener: Listener, request: Request<Body>) -> Answer {
        self.ask_for(Duration::from_mins(1), listener, request).expect("an answer")
    }

    /// The answer to a request, where it comes within `patience`.
    fn ask_for(&self, patience: Duration, listener: Listener, request: Request<Body>) -> Option<Answer> {
        let bodiless = request.method() == Method::HEAD;
        let surface = match listener {
            Listener::Public => &self.public,
            Listener::Internal => &self.internal,
        };
        let answer = async {
            let response = surface.answer(request, Peer::direct([127, 0, 0, 1].into())).await.unwrap();
            let (head, body) = response.into_parts();
            let kind = head.headers.get(CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap());
            let body = if kind == "application/json" && !bodiless {
                let bytes = to_bytes(body, 1 << 20).await.expect("a whole body");
                serde_json::from_slice(&bytes).expect("JSON")
            } else {
                Value::Null
            };
            let answer = Answer { status: head.status.as_u16(), body };
            if !bodiless {
                answer.keeps_the_rules();
            }
            answer
        };
        self.runtime.block_on(async { tokio::time::timeout(patience, answer).await.ok() })
    }

    /// Posts JSON.
    pub fn post(&self, listener: Listener, path: &str, body: &Value) -> Answer {
        self.ask(listener, posted(path, body))
    }

    /// Posts JSON, and does not wait for long: a send may wait for another's mail.
    pub fn post_in_passing(&self, listener: Listener, path: &str, body: &Value) {
        let _ = self.ask_for(Duration::from_millis(15), listener, posted(path, body));
    }

    /// Reads.
    pub fn get(&self, path: &str) -> Answer {
        self.ask(Listener::Internal, Request::get(path).body(Body::empty()).unwrap())
    }

    /// The newest code.
    pub fn code(&self) -> String {
        self.mail.0.lock().unwrap().clone()
    }
}

fn posted(path: &str, body: &Value) -> Request<Body> {
    let request = Request::post(path).header(CONTENT_TYPE, "application/json");
    request.body(Body::from(body.to_string())).unwrap()
}

impl Answer {
    /// Never a fault of ours, and every error in its shape.
    fn keeps_the_rules(&self) {
        let known = [200, 400, 401, 403, 404, 405, 409, 410, 413, 415, 429, 503];
        assert!(known.contains(&self.status), "{self:?}");
        if self.status >= 400 {
            let error = self.body["error"].as_object().unwrap_or_else(|| panic!("{self:?}"));
            assert!(self.body.as_object().unwrap().len() == 1 && error.len() == 2, "{self:?}");
            assert!(error["code"].is_string() && error["message"].is_string(), "{self:?}");
        }
    }

    /// A text field.
    pub fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {self:?}")).to_owned()
    }
}

fn surfaces(config: &Config, world: &World, parts: Vec<Part>) -> (Surface, Surface) {
    let edge = Arc::new(Edge::new(&config.http, world));
    edge.serve_metrics(String::new);
    let probe: Probe = Arc::new(|| Box::pin(async { Ok(Vec::new()) }));
    let (mut public, mut internal) = Default::default();
    for Part { public: more_public, internal: more_internal, .. } in parts {
        (public, internal) = (more_public.merge(public), more_internal.merge(internal));
    }
    (edge.public(public, probe.clone()), edge.internal(internal, probe))
}

pub const SEND: &str = "/api/v1/public/auth/send-email-code";
pub const CONFIRM: &str = "/api/v1/public/auth/confirm-email-code";

/// A store with a bit of everything, and the names of what is in it.
pub struct Inhabited {
    pub content: Content,
    /// Waits for its code.
    pub open: String,
    /// Has been confirmed.
    pub used: String,
    /// The code of the open one, and of the used one.
    pub codes: [String; 2],
    pub active: String,
    pub revoked: String,
    pub user: String,
    pub key: String,
    pub proof: String,
}

impl Inhabited {
    pub fn new() -> Self {
        let service = Service::over(Content::default());
        let send = |email: &str| {
            let answer = service.post(Listener::Public, SEND, &json!({ "email": email }));
            (answer.text("challenge_id"), service.code())
        };
        let signer = SigningKey::from_bytes(&[7; 32]);
        let key = STANDARD.encode(signer.verifying_key().as_bytes());
        let log_in = |(challenge, code): &(String, String)| {
            let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": key });
            service.post(Listener::Public, CONFIRM, &body).text("device_session_id")
        };
        let reason = json!({ "reason_code": "r", "actor": { "type": "admin" } });
        let revoked = log_in(&send("pilot@example.com"));
        let path = format!("/api/v1/internal/sessions/{revoked}/revoke");
        service.post(Listener::Internal, &path, &reason);
        let first = send("pilot@example.com");
        let active = log_in(&first);
        let session = service.get(&format!("/api/v1/internal/sessions/{active}"));
        let open = send("pilot@example.com");
        log_in(&send("blocked@example.com"));
        let block =
            json!({ "email": "blocked@example.com", "reason_code": "r", "actor": { "type": "admin" } });
        service.post(Listener::Internal, "/api/v1/internal/user-blocks", &block);
        let message = format!("authsession/confirm/v1\n{}\n{key}", open.0);
        Self {
            content: service.store.content(),
            user: session.body["session"]["user_id"].as_str().unwrap().to_owned(),
            proof: STANDARD.encode(signer.sign(message.as_bytes()).to_bytes()),
            codes: [open.1, first.1],
            open: open.0,
            used: first.0,
            active,
            revoked,
            key,
        }
    }
}
