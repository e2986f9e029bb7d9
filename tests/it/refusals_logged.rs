//! Every login that is refused leaves one line in the log: which challenge, why, in which request; and nothing secret.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Answer, Device, Listener, Operator,
    actors::{CONFIRM, SEND, challenge_of, wrong},
    eventually,
    process::Service,
};

const EMAIL: &str = "pilot@example.com";

struct Stage {
    service: Service,
    told: Vec<(Answer, Option<String>)>,
}

impl Stage {
    async fn challenge(&self) -> (String, String) {
        let sent = self.service.wire.post(Listener::Public, SEND, &json!({ "email": EMAIL })).await;
        let challenge = challenge_of(&sent);
        let code = self.service.code_for(&challenge).await;
        (challenge, code)
    }

    /// Confirms, and expects a line about `logged`.
    async fn refused(&mut self, challenge: &str, code: &str, device: &Device, logged: Option<&str>) {
        let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": device.key() });
        let answer = self.service.wire.post(Listener::Public, CONFIRM, &body).await;
        assert!(answer.status >= 400, "{answer:?}");
        self.told.push((answer, logged.map(str::to_owned)));
    }

    fn lines(&self) -> Vec<Value> {
        self.service.records().into_iter().filter(|line| line["message"] == "login refused").collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refused_login_is_a_line_in_the_log() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data").display().to_string();
    let service = Service::start(&[("DATA_DIR", &data), ("CODE_RESEND_COOLDOWN", "1ms")]).await;
    let mut stage = Stage { service, told: Vec::new() };
    let (first, code) = stage.challenge().await;
    let (owner, other) = (Device::new(), Device::new());
    stage.refused(&first, &wrong(&code), &owner, Some(&first)).await;
    let confirm = json!({ "challenge_id": first, "code": code, "client_public_key": owner.key() });
    stage.service.wire.post(Listener::Public, CONFIRM, &confirm).await.ok();
    stage.refused(&first, &code, &other, Some(&first)).await;
    let (second, code) = stage.challenge().await;
    for _ in 0..6 {
        stage.refused(&second, &wrong(&code), &owner, Some(&second)).await;
    }
    let (third, code) = stage.challenge().await;
    Operator::new(&stage.service.wire).block_email(EMAIL).await.ok();
    stage.refused(&third, &code, &owner, Some(&third)).await;
    stage.refused("hunter2", &code, &owner, None).await;

    let lines = eventually("all are in the log", async || {
        Some(stage.lines()).filter(|lines| lines.len() >= stage.told.len())
    })
    .await;
    let told = |(answer, logged): &(Answer, Option<String>)| json!({ "outcome": answer.code(), "challenge_id": logged, "request_id": answer.header("x-request-id") });
    let said: Vec<Value> = stage.told.iter().map(told).collect();
    let logged: Vec<Value> = lines
        .iter()
        .map(|line| json!({ "outcome": line["outcome"], "challenge_id": line["challenge_id"], "request_id": line["request_id"] }))
        .collect();
    assert_eq!(logged, said, "one line each, in their order");
    for outcome in [
        "invalid_code",
        "challenge_already_used",
        "too_many_attempts",
        "blocked_by_policy",
        "challenge_not_found",
    ] {
        assert!(logged.iter().any(|line| line["outcome"] == outcome), "{outcome}: {logged:#?}");
    }
    let text = lines.iter().map(Value::to_string).collect::<String>();
    for secret in [EMAIL, "hunter2", &owner.key(), "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let coded = |line: &Value| line.as_object().unwrap().contains_key("code");
    assert!(!lines.iter().any(coded), "{text}");
}
