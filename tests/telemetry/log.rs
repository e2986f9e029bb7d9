//! The form of log lines, and what is in the log at all.

use std::io;

use authsession::{mail::stub::Log, telemetry::prepare};
use serde_json::{Value, json};
use tracing::{debug, error, field, info, info_span, subscriber::with_default, trace, warn};

use super::kit::{Paper, deliver, operation, run, settings};

fn logged(variables: &[(&str, &str)], work: impl FnOnce()) -> Paper {
    let paper = Paper::default();
    let (telemetry, subscriber) = prepare(&settings(variables), paper.writer()).unwrap();
    with_default(subscriber, work);
    telemetry.shutdown();
    paper
}

#[test]
fn a_line_is_an_object_with_its_fields_at_the_top() {
    let paper = logged(&[], || {
        let error = io::Error::other("the \"disk\"\nis full");
        warn!(
            target: "authsession::engine",
            attempt = 3_u64,
            left = -1_i64,
            share = 0.5,
            last = true,
            r#type = "redis",
            shape = ?Some(1),
            cause = &error as &dyn std::error::Error,
            "could not {}",
            "write"
        );
    });
    let mut line = paper.lines().remove(0);
    let timestamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
    let form = timestamp.as_str().unwrap().as_bytes();
    assert!(form.len() == 24 && form[10] == b'T' && form[19] == b'.' && form[23] == b'Z', "{timestamp}");
    assert_eq!(
        line,
        json!({
            "level": "WARN", "target": "authsession::engine", "message": "could not write",
            "attempt": 3, "left": -1, "share": 0.5, "last": true, "type": "redis", "shape": "Some(1)",
            "cause": "the \"disk\"\nis full",
        })
    );
    assert_eq!(paper.text().lines().count(), 1);
    assert!(paper.text().starts_with(r#"{"timestamp":""#), "the time first, for readers");
}

#[test]
fn the_fields_of_spans_are_on_every_line_and_the_innermost_wins() {
    let paper = logged(&[], || {
        let outer = info_span!(target: "authsession", "outer", request_id = "r", step = 1, found = field::Empty, otel.kind = "server");
        outer.record("found", 7);
        outer.in_scope(|| {
            info!(target: "authsession", "one");
            info_span!(target: "authsession", "inner", step = 2).in_scope(|| {
                info!(target: "authsession", step = 3, "two");
            });
        });
        outer.record("found", 8);
        outer.in_scope(|| info!(target: "authsession", "three"));
        info!(target: "authsession", "four");
    });
    let of = |line: &Value, name: &str| line[name].clone();
    let lines = paper.lines();
    let seen: Vec<_> =
        lines.iter().map(|line| (of(line, "request_id"), of(line, "step"), of(line, "found"))).collect();
    assert_eq!(
        seen,
        [
            (json!("r"), json!(1), json!(7)),
            (json!("r"), json!(3), json!(7)),
            (json!("r"), json!(1), json!(8)),
            (Value::Null, Value::Null, Value::Null),
        ]
    );
    assert_eq!(paper.text().matches(r#""step":"#).count(), 3, "a name comes once a line");
    assert!(!paper.text().contains("otel.kind"), "that is for the exporter");
}

#[test]
fn what_we_use_is_quiet_and_our_own_lines_begin_at_the_level_that_is_set() {
    let speak = || {
        info!(target: "hyper::client", "quiet");
        warn!(target: "hyper::client", "loud");
        debug!(target: "authsession", "debug");
        trace!(target: "authsession", "trace");
        info!(target: "authsession", "info");
        error!(target: "authsession", "error");
    };
    for (level, messages) in [
        ("", vec!["loud", "info", "error"]),
        ("error", vec!["error"]),
        ("debug", vec!["loud", "debug", "info", "error"]),
        ("off,hyper=info", vec!["quiet", "loud"]),
    ] {
        let lines = logged(&[("RUST_LOG", level)], speak).lines();
        let said: Vec<_> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(said, messages, "{level}");
    }
}

#[test]
fn a_warning_has_its_request_id_where_the_log_begins_at_warnings() {
    let paper = logged(&[("RUST_LOG", "warn")], || {
        run(operation(None, async {
            info!(target: "authsession", "unseen");
            warn!(target: "authsession", "seen");
        }));
    });
    let lines = paper.lines();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["request_id"], "request-1");
}

#[test]
fn the_stub_mails_code_is_a_field_at_the_top() {
    let paper = logged(&[], || run(deliver(&Log)));
    let line = paper.lines().remove(0);
    assert_eq!((&line["level"], &line["message"]), (&json!("INFO"), &json!("login code")));
    assert_eq!((&line["code"], &line["challenge_id"]), (&json!("012345"), &json!("challenge-1")));
    assert!(!paper.text().contains("pilot"));
}

#[test]
fn text_is_for_people() {
    let paper = logged(&[("AUTHSESSION_LOG_FORMAT", "text")], || {
        run(operation(None, async { info!(target: "authsession", answer = 42, "hello") }));
    });
    let text = paper.text();
    assert!(text.contains("INFO") && text.contains("hello") && text.contains("answer=42"), "{text}");
    assert!(text.contains(r#"request_id="request-1""#), "{text}");
}
