//! Spans and metrics at a real collector, and `/metrics`.

use std::time::{Duration, Instant};

use authsession::{
    mail::stub::Log,
    telemetry::{Error, prepare, start},
};
use opentelemetry::{KeyValue, global};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use tokio::runtime::Runtime;
use tracing::{info, subscriber::set_default, warn};

use super::{
    kit::{PARENT, Paper, TRACE, deliver, mail_client, operation, run, settings},
    otlp::{Receiver, hex, text_of},
    upstream::Answer,
    upstreams::MailService,
};

/// A runtime with threads of its own, so that the collector answers while the test blocks.
fn collector() -> (Runtime, Receiver) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let receiver = runtime.block_on(Receiver::start());
    (runtime, receiver)
}

#[test]
fn spans_reach_the_collector_below_the_callers_and_above_those_of_the_services_we_call() {
    let (_runtime, receiver) = collector();
    let paper = Paper::default();
    let variables = settings(&[
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url()),
        ("OTEL_SERVICE_NAME", "auth-test"),
    ]);
    let (telemetry, subscriber) = prepare(&variables, paper.writer()).unwrap();
    let guard = set_default(subscriber);
    let sent = run(async {
        let service = MailService::start().await;
        let client = mail_client(&service.url());
        operation(Some("01"), deliver(&client)).await;
        operation(None, deliver(&Log)).await;
        service.received()[0].header("traceparent").to_owned()
    });
    drop(guard);
    telemetry.shutdown();

    let spans = receiver.spans();
    assert_eq!(spans.len(), 2);
    let (below, fresh) = (&spans[0], &spans[1]);
    assert_eq!(below.name, "send_email_code");
    assert_eq!((hex(&below.trace_id), hex(&below.parent_span_id)), (TRACE.into(), PARENT.into()));
    assert_eq!(sent, format!("00-{TRACE}-{}-01", hex(&below.span_id)));
    assert_eq!(text_of(&below.attributes, "request_id").unwrap(), "request-1");
    assert!(fresh.parent_span_id.is_empty());
    assert_eq!(receiver.service_names(), ["auth-test"]);

    let line = paper.lines().pop().unwrap();
    assert_eq!(line["code"], "012345");
    assert_eq!(
        (&line["trace_id"], &line["span_id"]),
        (&hex(&fresh.trace_id).into(), &hex(&fresh.span_id).into())
    );
    assert!(!format!("{spans:?}").contains("012345"), "the log's code is not in the trace");
}

#[test]
fn started_once_metrics_are_at_the_collector_and_in_prometheus_form() {
    let (_runtime, receiver) = collector();
    let variables = settings(&[
        ("RUST_LOG", "off"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", &format!("{}/own/v1/metrics", receiver.url())),
    ]);
    let telemetry = start(&variables).unwrap();
    assert!(matches!(start(&settings(&[])), Err(Error::AlreadyStarted)));

    let meter = global::meter("authsession");
    let durations = meter
        .f64_histogram("http.server.request.duration")
        .with_unit("s")
        .with_boundaries(vec![0.0005, 0.001])
        .build();
    durations.record(0.0007, &[KeyValue::new("http.route", "/x")]);
    let text = telemetry.metrics();
    for part in [
        r#"http_server_request_duration_seconds_bucket{http_route="/x","#,
        r#"le="0.0005"} 0"#,
        r#"le="0.001"} 1"#,
        r#"service_name="galaxy-authsession""#,
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!((telemetry.renderer())().lines().count(), text.lines().count());
    telemetry.shutdown();

    let metrics = receiver.metrics();
    let sent = metrics.iter().find(|metric| metric.name == "http.server.request.duration").unwrap();
    let Some(Data::Histogram(histogram)) = &sent.data else { panic!("{sent:?}") };
    assert_eq!(histogram.data_points[0].count, 1);
    assert_eq!(receiver.received()[0].path, "/own/v1/metrics");
}

#[test]
fn a_collector_that_hangs_neither_holds_up_requests_nor_the_end() {
    let (_runtime, receiver) = collector();
    receiver.always(Answer::Hang);
    let paper = Paper::default();
    let variables = settings(&[
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &receiver.url()),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "200"),
    ]);
    let (telemetry, subscriber) = prepare(&variables, paper.writer()).unwrap();
    let guard = set_default(subscriber);
    let before = Instant::now();
    run(async {
        for _ in 0..5000 {
            operation(None, async {}).await; // more than the queue holds
        }
    });
    warn!(target: "authsession", "still here");
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    info!(target: "authsession", "done");
    let before = Instant::now();
    telemetry.shutdown();
    assert!(before.elapsed() < Duration::from_secs(6), "{:?}", before.elapsed());
    drop(guard);
}
