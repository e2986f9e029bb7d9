//! What a Redis says that refuses: it quotes what it was sent, and the log must not.

use serde_json::json;

use crate::harness::{
    Device, Listener,
    actors::{CONFIRM, INTERNAL, SEND, challenge_of, reason, session_of},
    eventually,
    process::Service,
    redis::RedisServer,
};

const PASSWORD: &str = "Hunter2SecretPassword";

fn renaming(command: &str) -> RedisServer {
    let server = RedisServer::with(&["--rename-command", command, ""]);
    let password = format!(">{PASSWORD}");
    let _: String = server.run(&["ACL", "SETUSER", "hunter", "on", &password, "~*", "&*", "+@all"]);
    server
}

/// Waits until the log says `what`; all of the log then.
async fn says(service: &Service, what: &str) -> Vec<String> {
    eventually(what, async || {
        let lines = service.lines();
        lines.iter().any(|line| line.contains(what)).then_some(lines)
    })
    .await
}

fn assert_untold(lines: &[String], secret: &str) {
    let telling = lines.iter().find(|line| line.contains(secret));
    assert_eq!(telling, None, "{secret}");
    let longest = lines.iter().map(String::len).max();
    assert!(longest.unwrap() < 4000, "{longest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_know_hello_gets_no_password_into_the_log() {
    for mode in ["standalone", "sentinel", "cluster"] {
        let server = renaming("HELLO");
        let addr = format!("redis://hunter:{PASSWORD}@{}", server.addr());
        let service =
            Service::start(&[("REDIS_MODE", mode), ("REDIS_ADDR", &addr), ("RUST_LOG", "trace")]).await;
        let send = json!({ "email": "pilot@example.com" });
        service.wire.post(Listener::Public, SEND, &send).await.unavailable();
        assert_untold(&says(&service, "service unavailable").await, PASSWORD);
        let lines = says(&service, "unknown command HELLO: is the server older").await;
        assert_untold(&lines, PASSWORD);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_refused_gets_no_record_into_the_log() {
    let (store, gateway) = (RedisServer::start(), renaming("SET"));
    let settings =
        [("REDIS_ADDR", &*store.addr()), ("GATEWAY_REDIS_ADDR", &*gateway.addr()), ("RUST_LOG", "trace")];
    let service = Service::start(&settings).await;
    let send = json!({ "email": "pilot@example.com" });
    let challenge = challenge_of(&service.wire.post(Listener::Public, SEND, &send).await);
    let (code, device) = (service.code_for(&challenge).await, Device::new());
    let confirm = json!({ "challenge_id": challenge, "code": code, "client_public_key": device.key() });
    let session = session_of(&service.wire.post(Listener::Public, CONFIRM, &confirm).await);
    let path = format!("{INTERNAL}/sessions/{session}/revoke");
    service.wire.post(Listener::Internal, &path, &reason()).await.unavailable();
    let lines = says(&service, "service unavailable").await;
    assert_untold(&lines, &device.key());
    assert_untold(&lines, "with args beginning");
    says(&service, "unknown command SET: is the server older").await;
}
