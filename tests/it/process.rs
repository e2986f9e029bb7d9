//! The real binary: how it starts, what it logs, how it ends.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Output,
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Device, Feed, Listener, Operator, Visitor,
    actors::{CONFIRM, SEND, challenge_of, session_of},
    process::{Service, run},
    upstream::Answer as Reply,
    upstreams::MailService,
};

fn streams(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().expect("an exit code"), text(&output.stdout), text(&output.stderr))
}

fn temporary() -> (TempDir, String) {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data").display().to_string();
    (dir, data)
}

/// A login with the code from the log.
async fn log_in(service: &Service, email: &str, device: &Device) -> String {
    let send = service.wire.post(Listener::Public, SEND, &json!({ "email": email })).await;
    let challenge = challenge_of(&send);
    let code = service.code_for(&challenge).await;
    let key = device.key();
    let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": key });
    session_of(&service.wire.post(Listener::Public, CONFIRM, &body).await)
}

#[test]
fn bad_settings_end_the_start_with_all_faults_on_standard_error() {
    let (_dir, data) = temporary();
    let bad = [
        ("DATA_DIR", data.as_str()),
        ("CODE_LENGTH", "3"),
        ("CODE_TTL", "1d"),
        ("CODE_TTT", "1m"),
        ("USER_SERVICE_MODE", "rest"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("RUST_LOG", "inof"),
    ];
    for arguments in [&[][..], &["check-config"]] {
        let (code, out, err) = streams(&run(&bad, arguments));
        assert_eq!(code, 2, "{out}{err}");
        for name in [
            "AUTHSESSION_CODE_LENGTH",
            "AUTHSESSION_CODE_TTL",
            "AUTHSESSION_CODE_TTT",
            "AUTHSESSION_USER_SERVICE_BASE_URL",
            "OTEL_TRACES_EXPORTER",
            "RUST_LOG",
        ] {
            assert!(err.contains(name), "{name} in {err}");
        }
        assert!(!out.contains("listener ready"), "{out}");
    }
    assert!(!std::path::Path::new(&data).exists(), "nothing was made");
}

#[test]
fn check_config_says_yes_to_good_settings_and_starts_nothing() {
    let (_dir, data) = temporary();
    let (code, out, err) = streams(&run(&[("DATA_DIR", &data), ("CODE_LENGTH", "8")], &["check-config"]));
    assert_eq!(code, 0, "{out}{err}");
    assert!(!std::path::Path::new(&data).exists(), "nothing was made");
}

#[test]
fn check_config_finds_what_would_stop_the_start_and_shows_no_secret() {
    let (_dir, data) = temporary();
    for (settings, name) in [
        (&[("DATA_DIR", "/dev/null")][..], "AUTHSESSION_DATA_DIR"),
        (&[("DATA_DIR", &data), ("REDIS_MODE", "cluster")], "AUTHSESSION_REDIS_ADDR"),
    ] {
        let (code, out, err) = streams(&run(settings, &["check-config"]));
        assert!(code == 2 && err.starts_with(name) && err.lines().count() == 1, "{out}{err}");
    }
    let secret = "hunter2-hunter2-hunter2-hunter2-";
    let settings = [
        ("DATA_DIR", data.as_str()),
        ("REDIS_USERNAME", secret),
        ("CODE_SECRET", secret),
        ("CODE_SECRET_PREVIOUS", secret),
        ("INTERNAL_AUTH_TOKENS", "token-one"),
    ];
    let (code, out, err) = streams(&run(&settings, &["check-config"]));
    assert!(code == 0 && !out.contains("hunter2") && !out.contains("token-one"), "{out}{err}");
    for variable in ["AUTHSESSION_CODE_SECRET_PREVIOUS is the same", "AUTHSESSION_INTERNAL_AUTH_TOKENS has"] {
        assert!(out.contains(&format!("warning: {variable}")), "{out}");
    }
}

#[test]
fn version_is_told_and_an_unknown_command_is_not_run() {
    let (code, out, _) = streams(&run(&[], &["--version"]));
    assert_eq!((code, out.trim()), (0, concat!("authsession ", env!("CARGO_PKG_VERSION"))));
    let (code, _, err) = streams(&run(&[], &["serve-it-all"]));
    assert_ne!(code, 0);
    assert!(err.contains("check-config") && err.contains("healthcheck"), "{err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn healthcheck_tells_whether_the_service_runs() {
    let (_dir, data) = temporary();
    let mut service = Service::start(&[("DATA_DIR", &data)]).await;
    let port = |url: &str| url.rsplit(':').next().unwrap().to_owned();
    let public = format!("127.0.0.1:{}", port(&service.wire.public));
    let internal = format!("127.0.0.1:{}", port(&service.wire.internal));
    let settings =
        [("DATA_DIR", data.as_str()), ("PUBLIC_HTTP_ADDR", &public), ("INTERNAL_HTTP_ADDR", &internal)];
    let (code, out, err) = streams(&run(&settings, &["healthcheck"]));
    assert_eq!(code, 0, "{out}{err}");
    service.kill();
    let (code, ..) = streams(&run(&settings, &["healthcheck"]));
    assert_eq!(code, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_json_with_ids_and_the_code_and_without_addresses_or_keys() {
    let (_dir, data) = temporary();
    let service = Service::start(&[("DATA_DIR", &data)]).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = service.wire.request(Listener::Public, "POST", SEND);
    let request = request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let request = request.header("x-request-id", "request-7").json(&json!({ "email": "pilot@example.com" }));
    let challenge = challenge_of(&service.wire.call(Listener::Public, request).await);
    let code = service.code_for(&challenge).await;
    let records = service.records();
    let line = records.iter().find(|record| record["challenge_id"] == *challenge).unwrap();
    assert_eq!((&line["level"], &line["code"]), (&json!("INFO"), &json!(code)));
    assert_eq!((&line["trace_id"], &line["request_id"]), (&json!(trace), &json!("request-7")));
    assert!(line["span_id"].as_str().is_some_and(|id| id.len() == 16), "{line}");
    let device = Device::new();
    log_in(&service, "another@example.com", &device).await;
    for record in service.records() {
        assert!(record["message"].is_string() && record["timestamp"].is_string(), "{record}");
    }
    let log = service.lines().join("\n");
    for secret in ["pilot@", "another@", "example.com", &device.key()] {
        assert!(!log.contains(secret), "{secret} in the log");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_without_a_trace_gets_one() {
    let (_dir, data) = temporary();
    let service = Service::start(&[("DATA_DIR", &data)]).await;
    let mut traces = std::collections::BTreeSet::new();
    for email in ["one@example.com", "two@example.com"] {
        let send = service.wire.post(Listener::Public, SEND, &json!({ "email": email })).await;
        let challenge = challenge_of(&send);
        service.code_for(&challenge).await;
        let records = service.records();
        let line = records.iter().find(|record| record["challenge_id"] == *challenge).unwrap();
        let trace = line["trace_id"].as_str().unwrap_or_default().to_owned();
        assert!(trace.len() == 32 && trace.chars().any(|digit| digit != '0'), "{line}");
        assert_eq!(line["request_id"], send.header("x-request-id").unwrap());
        traces.insert(trace);
    }
    assert_eq!(traces.len(), 2);
}

fn warnings(service: &Service) -> Vec<String> {
    let records = service.records().into_iter().filter(|record| record["level"] == "WARN");
    records.map(|record| record["message"].as_str().unwrap().to_lowercase()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_for_production_is_warned_of_at_the_start() {
    let (_dir, data) = temporary();
    let service = Service::start(&[("DATA_DIR", &data), ("INTERNAL_HTTP_ADDR", "0.0.0.0:0")]).await;
    let found = warnings(&service);
    for word in ["mail", "code_secret", "internal"] {
        assert!(found.iter().any(|warning| warning.contains(word)), "{word}: {found:?}");
    }
    drop(service);
    let mail = MailService::start().await;
    let quiet = [
        ("DATA_DIR", data.as_str()),
        ("MAIL_SERVICE_MODE", "rest"),
        ("MAIL_SERVICE_BASE_URL", &mail.url()),
        ("CODE_SECRET", "0123456789abcdef0123456789abcdef"),
        ("INTERNAL_HTTP_ADDR", "0.0.0.0:0"),
        ("INTERNAL_AUTH_TOKENS", "a-token-for-the-internal-listener"),
    ];
    let service = Service::start(&quiet).await;
    assert_eq!(warnings(&service), [""; 0]);
    let log = service.lines().join("\n");
    assert!(!log.contains("0123456789abcdef") && !log.contains("a-token-for"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_operations_by_their_outcome() {
    let (_dir, data) = temporary();
    let service = Service::start(&[("DATA_DIR", &data)]).await;
    log_in(&service, "pilot@example.com", &Device::new()).await;
    Operator::new(&service.wire).get("device-session-123").await.refused(404, "session_not_found");
    let mut bare = TcpStream::connect(service.wire.public.trim_start_matches("http://")).unwrap();
    bare.write_all(b"GET /healthz HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    bare.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let text = service.wire.get(Listener::Internal, "/metrics").await.text;
    for (operation, status) in
        [("send_email_code", "200"), ("confirm_email_code", "200"), ("get_session", "404")]
    {
        let counted = |line: &str| {
            line.contains("_count{")
                && line.contains(&format!("\"{operation}\""))
                && line.contains(&format!("\"{status}\""))
                && line.ends_with(" 1")
        };
        assert!(text.lines().any(counted), "{operation} {status}:\n{text}");
    }
    assert!(text.contains("session_not_found"), "{text}");
    let refused = |line: &str| line.starts_with("authsession_http_refused_total{") && line.ends_with(" 1");
    assert!(text.lines().any(refused), "a request without a Host: {text}");
    assert!(!text.contains("pilot") && !text.contains("device-session-123"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_and_sigint_let_requests_finish_and_end_with_0() {
    for signal in ["TERM", "INT"] {
        let (_dir, data) = temporary();
        let mail = MailService::start().await;
        let mut service = Service::start(&[
            ("DATA_DIR", &data),
            ("MAIL_SERVICE_MODE", "rest"),
            ("MAIL_SERVICE_BASE_URL", &mail.url()),
            ("MAIL_SERVICE_REQUEST_TIMEOUT", "10s"),
        ])
        .await;
        let feed = Feed::open(&service.wire, None).await;
        let taken = Reply::Json(200, json!({ "outcome": "sent" }));
        mail.next(Reply::After(Duration::from_millis(700), Box::new(taken)));
        let body = json!({ "email": "pilot@example.com" });
        let send = service.wire.post(Listener::Public, SEND, &body);
        let drain = async {
            crate::harness::eventually("the mail is under way", async || {
                (!mail.received().is_empty()).then_some(())
            })
            .await;
            service.signal(signal);
        };
        let (answer, ()) = futures_util::future::join(send, drain).await;
        challenge_of(&answer);
        assert!(feed.ends().await, "the feed ends with the drain");
        assert_eq!(service.ended().await.code(), Some(0), "SIG{signal}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_and_the_shutdown_timeout_cut() {
    for (timeout, signals) in [("60s", 2), ("200ms", 1)] {
        let (_dir, data) = temporary();
        let mail = MailService::start().await;
        mail.always(Reply::Hang);
        let mut service = Service::start(&[
            ("DATA_DIR", &data),
            ("MAIL_SERVICE_MODE", "rest"),
            ("MAIL_SERVICE_BASE_URL", &mail.url()),
            ("MAIL_SERVICE_REQUEST_TIMEOUT", "60s"),
            ("SHUTDOWN_TIMEOUT", timeout),
        ])
        .await;
        let request = service.wire.request(Listener::Public, "POST", SEND);
        let hanging = tokio::spawn(request.json(&json!({ "email": "pilot@example.com" })).send());
        crate::harness::eventually("the mail is under way", async || {
            (!mail.received().is_empty()).then_some(())
        })
        .await;
        for at in 0..signals {
            service.terminate();
            if at + 1 < signals {
                crate::harness::eventually("the drain has begun", async || {
                    let drains = |record: &Value| record["message"].as_str().unwrap().contains("drain");
                    service.records().iter().any(drains).then_some(())
                })
                .await;
            }
        }
        service.ended().await;
        drop(hanging);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_everything() {
    let (_dir, data) = temporary();
    let settings = [("DATA_DIR", data.as_str())];
    let mut service = Service::start(&settings).await;
    let kept = log_in(&service, "pilot@example.com", &Device::new()).await;
    let ended = log_in(&service, "pilot@example.com", &Device::new()).await;
    Operator::new(&service.wire).revoke(&ended).await.ok();
    let before = Operator::new(&service.wire).session(&ended).await;
    let send = service.wire.post(Listener::Public, SEND, &json!({ "email": "pilot@example.com" })).await;
    let challenge = challenge_of(&send);
    let code = service.code_for(&challenge).await;
    service.terminate();
    assert!(service.ended().await.success());
    let service = Service::start(&settings).await;
    let operator = Operator::new(&service.wire);
    assert_eq!(operator.status_of(&kept).await, "active");
    assert_eq!(operator.session(&ended).await, before);
    let key = Device::new().key();
    let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": key });
    let session = session_of(&service.wire.post(Listener::Public, CONFIRM, &body).await);
    assert_eq!(operator.user_of(&session).await, operator.user_of(&kept).await);
    let events = Feed::open(&service.wire, Some("0")).await.until(&session, "active").await;
    let told: Vec<&str> =
        events.iter().map(|event| event.data["device_session_id"].as_str().unwrap()).collect();
    assert!(told.starts_with(&[kept.as_str()]) && told.contains(&ended.as_str()), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_the_same_data_is_refused() {
    let (_dir, data) = temporary();
    let service = Service::start(&[("DATA_DIR", &data)]).await;
    let ports = [("PUBLIC_HTTP_ADDR", "127.0.0.1:0"), ("INTERNAL_HTTP_ADDR", "127.0.0.1:0")];
    let (code, out, err) = streams(&run(&[ports[0], ports[1], ("DATA_DIR", &data)], &[]));
    assert_ne!(code, 0, "{out}{err}");
    assert!(err.contains(&data), "the message names the directory: {err}");
    assert!(!out.contains("listener ready"), "{out}");
    log_in(&service, "pilot@example.com", &Device::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_is_taken_ends_the_start() {
    let (_dir, data) = temporary();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let settings =
        [("DATA_DIR", data.as_str()), ("INTERNAL_HTTP_ADDR", "127.0.0.1:0"), ("PUBLIC_HTTP_ADDR", &addr)];
    let (code, out, err) = streams(&run(&settings, &[]));
    assert_ne!(code, 0, "{out}{err}");
    assert!(err.contains(&addr), "the message names the address: {err}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_mail_service_no_code_is_in_the_log() {
    let (_dir, data) = temporary();
    let mail = MailService::start().await;
    let service = Service::start(&[
        ("DATA_DIR", &data),
        ("MAIL_SERVICE_MODE", "rest"),
        ("MAIL_SERVICE_BASE_URL", &mail.url()),
        ("LOG_FORMAT", "json"),
    ])
    .await;
    let pilot = Visitor::new(&service.wire, &mail, "pilot@example.com");
    pilot.log_in().await;
    let code = pilot.newest_code();
    // With real mail the code is nowhere in the log, in no field of no line.
    let leaks = |record: &Value| record.as_object().unwrap().values().any(|value| value == &json!(code));
    assert!(!service.records().iter().any(leaks));
}
