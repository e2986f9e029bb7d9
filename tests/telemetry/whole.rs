//! The whole service, from the client's request to the services that it calls.

use std::net::{IpAddr, Ipv4Addr};

use authsession::{app, base::World, config::Config, http::Peer, telemetry::prepare};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use opentelemetry::global;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::subscriber::set_default;

use super::{
    kit::{PARENT, Paper, TRACE, run, settings},
    upstreams::{MailService, UserService},
};

/// Asks for a code with this `traceparent`, and answers with what the user and mail services got as theirs.
async fn send(traceparent: Option<&str>) -> Vec<String> {
    let (users, mail) = (UserService::start().await, MailService::start().await);
    let data = tempfile::tempdir().unwrap();
    let variables = [
        ("AUTHSESSION_DATA_DIR", data.path().display().to_string()),
        ("AUTHSESSION_USER_SERVICE_MODE", "rest".to_owned()),
        ("AUTHSESSION_USER_SERVICE_BASE_URL", users.url()),
        ("AUTHSESSION_MAIL_SERVICE_MODE", "rest".to_owned()),
        ("AUTHSESSION_MAIL_SERVICE_BASE_URL", mail.url()),
    ];
    let config = Config::read(variables.map(|(name, value)| (name.to_owned(), value))).unwrap();
    let service = app::build(&config, &World::system()).unwrap();
    let mut request = Request::post("/api/v1/public/auth/send-email-code")
        .header("content-type", "application/json")
        .header("x-request-id", "request-7");
    if let Some(header) = traceparent {
        request = request.header("traceparent", header);
    }
    let request = request.body(Body::from(r#"{"email":"pilot@example.com"}"#)).unwrap();
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let response = service.public.answer(request, Peer::direct(peer)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let received = [users.received(), mail.received()].concat();
    received.iter().map(|request| request.header("traceparent").to_owned()).collect()
}

#[test]
fn the_callers_trace_goes_through_the_service_without_an_exporter() {
    let paper = Paper::default();
    let (telemetry, subscriber) = prepare(&settings(&[("RUST_LOG", "debug")]), paper.writer()).unwrap();
    global::set_text_map_propagator(TraceContextPropagator::new());
    let guard = set_default(subscriber);
    let header = format!("00-{TRACE}-{PARENT}-01");
    assert_eq!(run(send(Some(&header))), [header.clone(), header]);
    let lines = paper.lines();
    let mut ours = lines.iter().filter(|line| line["request_id"] == "request-7").peekable();
    assert!(ours.peek().is_some(), "{lines:?}");
    assert!(ours.all(|line| line["trace_id"] == TRACE && line["operation"] == "send_email_code"));
    assert_eq!(run(send(None)), ["", ""]);
    drop(guard);
    telemetry.shutdown();
    assert!(!paper.text().contains("pilot@"), "no address in the log");
}
