//! How long every operation takes and how it ends, as OpenTelemetry's conventions for HTTP servers name it.

use std::time::Duration;

use axum::http::Method;
use opentelemetry::{KeyValue, global, metrics::Histogram};

use super::{Route, problem::ProblemCode};

/// In seconds. The convention's buckets, and finer ones below: most answers take less than their first.
const BUCKETS: [f64; 17] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// One request's end.
pub(super) struct End {
    pub(super) method: &'static str,
    pub(super) status: u16,
    pub(super) code: Option<ProblemCode>,
    pub(super) took: Duration,
}

/// The instrument. Made once, after telemetry has installed its meter provider.
pub(super) struct Durations(Histogram<f64>);

impl Durations {
    pub(super) fn new() -> Self {
        let histogram = global::meter("authsession")
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .with_description("Duration of HTTP server requests.")
            .with_boundaries(BUCKETS.to_vec())
            .build();
        Self(histogram)
    }

    /// Only static texts and numbers go in, so this allocates nothing, and nothing a caller sends becomes a label.
    pub(super) fn record(&self, route: Route, end: &End) {
        let common = [
            KeyValue::new("http.request.method", end.method),
            KeyValue::new("http.route", route.path),
            KeyValue::new("authsession.operation", route.operation),
            KeyValue::new("http.response.status_code", i64::from(end.status)),
        ];
        let seconds = end.took.as_secs_f64();
        match end.code {
            None => self.0.record(seconds, &common),
            Some(ProblemCode(code)) => {
                let [method, path, operation, status] = common;
                let error = KeyValue::new("error.type", code);
                self.0.record(seconds, &[method, path, operation, status, error]);
            }
        }
    }
}

/// The method as a label: those that exist, and one word for all that callers make up.
pub(super) fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}
