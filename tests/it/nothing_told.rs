//! Whole journeys, errors and outages included, with every voice at its loudest: nothing that is secret or personal is in
//! the log, in spans, in metrics, in answers that refuse, or on standard error, in any form.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use data_encoding::{HEXLOWER, HEXUPPER};
use serde_json::{Value, json};

use crate::harness::{
    Answer, Device, Listener,
    actors::{CONFIRM, INTERNAL, SEND, challenge_of, reason, session_of, text, wrong},
    eventually,
    otlp::Receiver,
    process::Service,
    redis::RedisServer,
    upstream::Answer as Reply,
    upstreams::{MailService, UserService},
};

const CODE_SECRET: &str = "hunter2-code-secret-of-more-than-32-bytes";
const PREVIOUS: &str = "hunter2-previous-secret-of-more-than-32";
const TOKEN: &str = "hunter2-internal-token";
const PASSWORD: &str = "hunter2-redis-password";

/// All that was told, by who told it.
type Told = Vec<(&'static str, Vec<u8>)>;

/// `secret` as careless code might print it.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let decimals: Vec<String> = secret.iter().map(u8::to_string).collect();
    let mut forms = vec![secret.to_vec(), decimals.join(", ").into_bytes(), decimals.join(",").into_bytes()];
    forms.extend([HEXLOWER.encode(secret), HEXUPPER.encode(secret)].map(String::into_bytes));
    for base64 in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
        forms.push(base64.encode(secret).into_bytes());
    }
    forms
}

/// Who told `secret`, if anybody did.
fn teller(told: &Told, secret: &[u8]) -> Option<&'static str> {
    let forms = forms(secret);
    let tells = |text: &[u8]| forms.iter().any(|form| text.windows(form.len()).any(|part| part == form));
    told.iter().find(|(_, text)| tells(text)).map(|(who, _)| *who)
}

struct Stage {
    service: Service,
    redis: RedisServer,
    mail: MailService,
    users: UserService,
    collector: Receiver,
    told: Told,
    secrets: Vec<(String, Vec<u8>)>,
}

impl Stage {
    async fn start() -> Self {
        let redis = RedisServer::start();
        set_password(&redis, PASSWORD);
        let (mail, users, collector) =
            (MailService::start().await, UserService::start().await, Receiver::start().await);
        let (addr, mail_url, users_url, collector_url) =
            (redis.addr(), mail.url(), users.url(), collector.url());
        let service = Service::start(&[
            ("REDIS_ADDR", &addr),
            ("REDIS_USERNAME", "service"),
            ("REDIS_PASSWORD", PASSWORD),
            ("CODE_SECRET", CODE_SECRET),
            ("CODE_SECRET_PREVIOUS", PREVIOUS),
            ("CODE_LENGTH", "10"),
            ("INTERNAL_AUTH_TOKENS", TOKEN),
            ("USER_SERVICE_MODE", "rest"),
            ("USER_SERVICE_BASE_URL", &users_url),
            ("MAIL_SERVICE_MODE", "rest"),
            ("MAIL_SERVICE_BASE_URL", &mail_url),
            // Everybody, at full volume.
            ("RUST_LOG", "trace,authsession=trace"),
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ("OTEL_METRICS_EXPORTER", "otlp"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector_url),
        ])
        .await;
        let known = [CODE_SECRET, PREVIOUS, TOKEN, PASSWORD];
        let secrets = known.map(|secret| (secret.to_owned(), secret.as_bytes().to_vec())).to_vec();
        Self { service, redis, mail, users, collector, told: Vec::new(), secrets }
    }

    fn keep_secret(&mut self, what: &str, secret: impl AsRef<[u8]>) {
        self.secrets.push((what.to_owned(), secret.as_ref().to_vec()));
    }

    /// Posts, and remembers what a refusal says.
    async fn post(&mut self, listener: Listener, path: &str, body: &Value) -> Answer {
        let request = self.service.wire.request(listener, "POST", path).json(body).bearer_auth(TOKEN);
        let answer = self.service.wire.call(listener, request).await;
        if answer.status >= 400 {
            let heads = format!("{:?} {}", answer.headers, answer.text);
            self.told.push(("a refusal", heads.into_bytes()));
        }
        answer
    }

    async fn confirm(&mut self, challenge: &str, code: &str, device: &Device) -> Answer {
        let proof = device.proof(challenge);
        for (what, secret) in [("a key", device.key()), ("a signature", proof.clone())] {
            self.keep_secret(what, STANDARD.decode(&secret).unwrap());
        }
        let body = json!({
            "challenge_id": challenge, "code": code, "client_public_key": device.key(), "client_key_signature": proof,
        });
        self.post(Listener::Public, CONFIRM, &body).await
    }

    /// A login with all that can go wrong in it; the session's id.
    async fn journey(&mut self) -> String {
        let email = "Hunter2.Pilot@Example.com";
        self.keep_secret("an address", email);
        self.keep_secret("an address", email.to_lowercase());
        self.keep_secret("an address", "hunter2.pilot");
        let send = json!({ "email": email });
        for fault in [Reply::Json(500, json!({ "echo": email })), Reply::Close] {
            self.mail.always(fault);
            self.post(Listener::Public, SEND, &send).await.unavailable();
        }
        self.mail.recover();
        let challenge = challenge_of(&self.post(Listener::Public, SEND, &send).await);
        for letter in self.mail.received() {
            self.keep_secret("a code", letter.json()["code"].as_str().unwrap());
        }
        let code = self.mail.code_for(&email.to_lowercase()).unwrap();
        let device = Device::new();
        self.keep_secret("a wrong code", wrong(&code));
        self.confirm(&challenge, &wrong(&code), &device).await.refused(400, "invalid_code");
        for fault in [Reply::Json(500, json!({ "echo": email })), Reply::Raw(200, "text/plain", email.into())]
        {
            self.users.always(fault);
            self.confirm(&challenge, &code, &device).await.unavailable();
        }
        self.users.recover();
        let session = session_of(&self.confirm(&challenge, &code, &device).await);
        self.confirm(&challenge, &code, &Device::new()).await.refused(409, "challenge_already_used");
        self.malformed(&code, &device).await;
        session
    }

    /// Secrets where they do not belong.
    async fn malformed(&mut self, code: &str, device: &Device) {
        let secret = "hunter2.pilot@example.com";
        for body in [
            json!({ "email": [secret] }),
            json!({ secret: secret, "email": "x" }),
            json!({ "email": secret, (device.key()): code }),
            json!({ "challenge_id": code, "code": secret, "client_public_key": device.key() }),
            json!({ "challenge_id": secret, "code": code, "client_public_key": format!("{}=", device.key()) }),
        ] {
            for path in [SEND, CONFIRM] {
                assert_eq!(self.post(Listener::Public, path, &body).await.status, 400);
            }
        }
        let block = json!({ "email": secret, "reason_code": "r", "actor": { "type": "t" }, "more": secret });
        self.post(Listener::Internal, &format!("{INTERNAL}/user-blocks"), &block)
            .await
            .refused(400, "invalid_request");
    }

    async fn end_of(&mut self, session: &str) {
        let path = format!("{INTERNAL}/sessions/{session}");
        let request = self.service.wire.request(Listener::Internal, "GET", &path).bearer_auth(TOKEN);
        let answer = self.service.wire.call(Listener::Internal, request).await;
        let user = text(&answer.ok()["session"], "user_id");
        self.service.wire.get(Listener::Internal, &path).await.refused(401, "unauthorized");
        self.post(Listener::Internal, &format!("{path}/revoke"), &reason()).await.ok();
        self.post(Listener::Internal, &format!("{INTERNAL}/users/{user}/sessions/revoke-all"), &reason())
            .await
            .ok();
        let mut block = reason();
        block["email"] = json!("hunter2.pilot@example.com");
        self.post(Listener::Internal, &format!("{INTERNAL}/user-blocks"), &block).await.ok();
        self.post(Listener::Public, SEND, &json!({ "email": "hunter2.pilot@example.com" })).await.ok();
        let metrics = self.service.wire.request(Listener::Internal, "GET", "/metrics").bearer_auth(TOKEN);
        let metrics = self.service.wire.call(Listener::Internal, metrics).await;
        self.told.push(("/metrics", metrics.text.into_bytes()));
        // Redis no longer takes the password.
        set_password(&self.redis, "another");
        let _: i64 = self.redis.run(&["CLIENT", "KILL", "USER", "service"]);
        self.post(Listener::Internal, &format!("{path}/revoke"), &reason()).await.unavailable();
    }

    /// Ends the process; everything that anybody was told.
    async fn told(mut self) -> (Told, Vec<(String, Vec<u8>)>) {
        self.service.terminate();
        self.service.ended().await;
        eventually("spans are at the collector", async || (!self.collector.spans().is_empty()).then_some(()))
            .await;
        self.told.push(("standard error", self.service.errors().into_bytes()));
        self.told.extend(self.service.lines().into_iter().map(|line| ("the log", line.into_bytes())));
        for received in self.collector.received() {
            self.told.push(("spans and metrics", received.body));
        }
        (self.told, self.secrets)
    }
}

fn set_password(redis: &RedisServer, password: &str) {
    let password = format!(">{password}");
    let _: String =
        redis.run(&["ACL", "SETUSER", "service", "on", "resetpass", &password, "~*", "&*", "+@all"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_a_secret_however_loud_the_service_is() {
    let mut stage = Stage::start().await;
    let session = stage.journey().await;
    stage.end_of(&session).await;
    let (told, secrets) = stage.told().await;
    for who in ["the log", "spans and metrics", "/metrics", "a refusal"] {
        assert!(told.iter().any(|(teller, text)| *teller == who && text.len() > 20), "{who} said nothing");
    }
    let all = |word: &str| {
        told.iter().filter(|(_, text)| text.windows(word.len()).any(|at| at == word.as_bytes())).count()
    };
    assert!(all("confirm_email_code") > 5 && all("TRACE") > 5 && all("hyper") > 0, "at their loudest");
    assert!(secrets.len() > 15, "{}", secrets.len());
    for (what, secret) in &secrets {
        assert_eq!(teller(&told, secret), None, "{what} was told: {}", String::from_utf8_lossy(secret));
    }
    // The search finds what it looks for: an id that may be told, and other forms of it.
    assert_eq!(teller(&told, b"login code sent"), Some("the log"));
    for form in forms(b"hunter2") {
        assert_eq!(teller(&vec![("it", [b"xx", &form[..], b"yy"].concat())], b"hunter2"), Some("it"));
    }
}
