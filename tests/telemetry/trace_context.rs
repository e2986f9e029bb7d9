//! Trace context without an exporter: what comes in goes out, and every request's lines can be found together.

use authsession::telemetry::prepare;
use serde_json::Value;
use tracing::{info, subscriber::set_default};

use super::{
    kit::{PARENT, Paper, TRACE, deliver, mail_client, operation, run, settings},
    upstreams::MailService,
};

/// The lines of two operations, and the `traceparent` that each sent to the mail service.
fn two_operations(flags: Option<&str>) -> (Vec<Value>, Vec<String>) {
    let paper = Paper::default();
    let (telemetry, subscriber) = prepare(&settings(&[]), paper.writer()).unwrap();
    let guard = set_default(subscriber);
    let sent = run(async {
        let service = MailService::start().await;
        let client = mail_client(&service.url());
        for _ in 0..2 {
            let work = async {
                info!(target: "authsession", "before");
                deliver(&client).await;
                info!(target: "authsession", "after");
            };
            operation(flags, work).await;
        }
        service.received().iter().map(|request| request.header("traceparent").to_owned()).collect()
    });
    drop(guard);
    telemetry.shutdown();
    (paper.lines(), sent)
}

#[test]
fn the_callers_context_is_in_the_log_and_goes_out_unchanged() {
    for flags in ["00", "01"] {
        let (lines, sent) = two_operations(Some(flags));
        assert_eq!(lines.len(), 4);
        for line in lines {
            assert_eq!((&line["trace_id"], &line["span_id"]), (&TRACE.into(), &PARENT.into()));
        }
        let header = format!("00-{TRACE}-{PARENT}-{flags}");
        assert_eq!(sent, [header.clone(), header]);
    }
}

#[test]
fn a_request_without_context_gets_a_trace_id_for_its_log_lines_only() {
    let (lines, sent) = two_operations(None);
    let ids: Vec<_> = lines.iter().map(|line| line["trace_id"].as_str().unwrap()).collect();
    assert!(
        ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())),
        "{ids:?}"
    );
    assert_eq!((ids[0], ids[2]), (ids[1], ids[3]), "one trace a request");
    assert_ne!(ids[0], ids[2], "and a new one for the next");
    assert_eq!(lines[0]["span_id"].as_str().unwrap().len(), 16);
    assert_eq!(sent, ["", ""], "a trace that nobody keeps would only mislead the mail service");
}

#[test]
fn a_line_outside_every_request_has_no_trace() {
    let paper = Paper::default();
    let (_telemetry, subscriber) = prepare(&settings(&[]), paper.writer()).unwrap();
    let _guard = set_default(subscriber);
    info!(target: "authsession", "ready");
    assert!(paper.lines()[0].get("trace_id").is_none());
}
