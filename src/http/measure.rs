//! How long every operation takes and how it ends, as OpenTelemetry's conventions for HTTP servers name it.

use std::{sync::OnceLock, time::Duration};

use axum::http::{Method, StatusCode};
use opentelemetry::{
    KeyValue, global,
    metrics::{BoundHistogram, Counter, Histogram, Meter},
};

use super::{Problem, Route, problem::ProblemCode};

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
        Self::on(&global::meter("authsession"))
    }

    fn on(meter: &Meter) -> Self {
        let histogram = meter
            .f64_histogram("http.server.request.duration")
            .with_unit("s")
            .with_description("Duration of HTTP server requests.")
            .with_boundaries(BUCKETS.to_vec())
            .build();
        Self(histogram)
    }

    /// Those of one operation.
    pub(super) fn of(&self, route: Route) -> OfOperation {
        OfOperation { all: self.0.clone(), route, usual: OnceLock::new() }
    }
}

/// How long one operation's requests take.
pub(super) struct OfOperation {
    all: Histogram<f64>,
    route: Route,
    /// Where requests are counted that went well: most do, and to look it up for each would cost more than to count them.
    usual: OnceLock<BoundHistogram<f64>>,
}

impl OfOperation {
    pub(super) fn record(&self, end: &End) {
        let seconds = end.took.as_secs_f64();
        if end.is_usual_of(self.route) {
            self.usual.get_or_init(|| self.all.bind(&end.labels(self.route))).record(seconds);
        } else {
            self.all.record(seconds, &end.labels(self.route));
        }
    }
}

impl End {
    fn is_usual_of(&self, route: Route) -> bool {
        self.method == route.method && self.status == StatusCode::OK.as_u16() && self.code.is_none()
    }

    /// Only static texts and numbers: nothing a caller sends becomes a label.
    fn labels(&self, route: Route) -> Vec<KeyValue> {
        let mut labels = vec![
            KeyValue::new("http.request.method", self.method),
            KeyValue::new("http.route", route.path),
            KeyValue::new("authsession.operation", route.operation),
            KeyValue::new("http.response.status_code", i64::from(self.status)),
        ];
        labels.extend(self.code.map(|ProblemCode(code)| KeyValue::new("error.type", code)));
        labels
    }
}

/// Requests that were answered before any operation saw them, and so have no duration and no operation.
#[derive(Clone)]
pub(super) struct Refusals(Counter<u64>);

impl Refusals {
    pub(super) fn new() -> Self {
        Self::on(&global::meter("authsession"))
    }

    fn on(meter: &Meter) -> Self {
        let counter = meter
            .u64_counter("authsession.http.refused")
            .with_description("HTTP requests refused before any operation saw them.")
            .build();
        Self(counter)
    }

    pub(super) fn count(&self, problem: &Problem) {
        self.0.add(1, &[KeyValue::new("error.type", problem.code())]);
    }
}

/// The method as a label: those that exist, and one word for all that callers make up.
pub(super) fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::metrics::SdkMeterProvider;
    use prometheus::{Registry, TextEncoder};

    use super::*;

    #[test]
    fn an_operation_is_counted_by_status_and_code() {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build().unwrap();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let route = Route { method: "GET", path: "/a/{b}", operation: "read_a" };
        let durations = Durations::on(&provider.meter("test")).of(route);
        let took = Duration::from_millis(2);
        for (status, code) in [(200, None), (200, None), (404, Some(ProblemCode("not_found")))] {
            durations.record(&End { method: "GET", status, code, took });
        }
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let counts: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("http_server_request_duration_seconds_count"))
            .collect();
        let [fine, missing] = counts.as_slice() else { panic!("{text}") };
        for label in
            ["http_route=\"/a/{b}\"", "authsession_operation=\"read_a\"", "http_request_method=\"GET\""]
        {
            assert!(fine.contains(label) && missing.contains(label), "{label}: {counts:?}");
        }
        assert!(fine.contains("http_response_status_code=\"200\"") && fine.ends_with(" 2"), "{fine}");
        assert!(missing.contains("error_type=\"not_found\"") && missing.ends_with(" 1"), "{missing}");
    }

    #[test]
    fn what_no_operation_saw_is_counted_by_code() {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build().unwrap();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let refusals = Refusals::on(&provider.meter("test"));
        for problem in [Problem::busy(), Problem::busy(), Problem::invalid_request("x")] {
            refusals.count(&problem);
        }
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let counted = |code: &str, count: &str| {
            let label = format!("error_type=\"{code}\"");
            let ours =
                |line: &str| line.starts_with("authsession_http_refused_total{") && line.contains(&label);
            text.lines().any(|line| ours(line) && line.ends_with(count))
        };
        assert!(counted("service_unavailable", " 2") && counted("invalid_request", " 1"), "{text}");
    }

    #[test]
    fn a_made_up_method_is_no_label() {
        assert_eq!(method_label(&Method::HEAD), "HEAD");
        assert_eq!(method_label(&Method::from_bytes(b"BREW").unwrap()), "_OTHER");
    }
}
