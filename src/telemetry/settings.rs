//! What is told, to whom, and how loudly. The variables are OpenTelemetry's own; those that are not read here
//! (`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`, `OTEL_METRIC_EXPORT_INTERVAL`) its SDK reads itself;
//! so it does with `OTEL_EXPORTER_OTLP_HEADERS`, whose form is checked here and whose secrets are not kept.

use std::time::Duration;

use super::Filter;
use crate::base::{BaseUrl, settings::Reader};

const COLLECTOR: &str = "http://localhost:4318";

/// Settings of the log, the traces and the metrics.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// The name that traces and metrics carry.
    pub service_name: String,
    /// Where traces go, if anywhere.
    pub traces: Option<Export>,
    /// Where metrics go, beside `/metrics`.
    pub metrics: Option<Export>,
    /// Which lines are logged.
    pub filter: Filter,
    /// The form of a line; nothing for text on a terminal and JSON elsewhere.
    pub format: Option<Format>,
}

/// A collector that speaks OTLP over HTTP, in protobuf.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Export {
    /// The whole address, path included.
    pub endpoint: String,
    /// How long one export may take.
    pub timeout: Duration,
}

/// The form of a log line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The names of the variables of one signal, and the path under the common endpoint.
struct Signal {
    exporter: &'static str,
    endpoint: &'static str,
    timeout: &'static str,
    protocol: &'static str,
    path: &'static str,
}

const TRACES: Signal = Signal {
    exporter: "OTEL_TRACES_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    timeout: "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    protocol: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    path: "v1/traces",
};

const METRICS: Signal = Signal {
    exporter: "OTEL_METRICS_EXPORTER",
    endpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    timeout: "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
    protocol: "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    path: "v1/metrics",
};

impl Settings {
    /// Reads `OTEL_*`, `RUST_LOG` and `AUTHSESSION_LOG_FORMAT`.
    pub fn read(reader: &mut Reader) -> Self {
        reader.declare_default("OTEL_EXPORTER_OTLP_ENDPOINT", COLLECTOR);
        let common = reader.optional("OTEL_EXPORTER_OTLP_ENDPOINT", TAKES_URL, url);
        let timeout = timeout(reader, "OTEL_EXPORTER_OTLP_TIMEOUT").unwrap_or(Duration::from_secs(10));
        check_protocol(reader, "OTEL_EXPORTER_OTLP_PROTOCOL");
        reader.optional(
            "OTEL_EXPORTER_OTLP_HEADERS",
            "name=value pairs with commas between them",
            check_pairs,
        );
        let common = common.as_deref().unwrap_or(COLLECTOR);
        let formats = &[("json", Some(Format::Json)), ("text", Some(Format::Text))];
        Self {
            service_name: reader.text_or("OTEL_SERVICE_NAME", "galaxy-authsession"),
            traces: TRACES.read(reader, common, timeout),
            metrics: METRICS.read(reader, common, timeout),
            filter: Filter::read(reader),
            format: reader.choice("AUTHSESSION_LOG_FORMAT", None, formats),
        }
    }
}

impl Signal {
    fn read(&self, reader: &mut Reader, common: &str, common_timeout: Duration) -> Option<Export> {
        let on = reader.choice(self.exporter, false, &[("none", false), ("otlp", true)]);
        let endpoint = reader
            .optional(self.endpoint, TAKES_URL, url)
            .unwrap_or_else(|| format!("{}/{}", common.trim_end_matches('/'), self.path));
        let timeout = timeout(reader, self.timeout).unwrap_or(common_timeout);
        check_protocol(reader, self.protocol);
        on.then_some(Export { endpoint, timeout })
    }
}

const TAKES_URL: &str = "an http:// or https:// address without credentials, query or fragment, such as \
                         http://localhost:4318";

fn url(text: &str) -> Option<String> {
    BaseUrl::parse(text).map(|_| text.to_owned())
}

/// OpenTelemetry counts timeouts in milliseconds.
fn timeout(reader: &mut Reader, name: &'static str) -> Option<Duration> {
    let takes = "a whole number of milliseconds from 1 to 60000";
    let parse = |text: &str| text.parse().ok().filter(|ms| (1..=60_000).contains(ms));
    reader.optional(name, takes, parse).map(Duration::from_millis)
}

fn check_pairs(text: &str) -> Option<()> {
    let named = |pair: &str| pair.split_once('=').is_some_and(|(name, _)| !name.trim().is_empty());
    text.split(',').all(named).then_some(())
}

fn check_protocol(reader: &mut Reader, name: &'static str) {
    reader.choice(name, (), &[("http/protobuf", ())]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> (Settings, Vec<String>) {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut reader = Reader::new(owned);
        let settings = Settings::read(&mut reader);
        (settings, reader.finish().map_or_else(|faults| faults.0, |()| Vec::new()))
    }

    #[test]
    fn by_default_only_the_log_speaks() {
        let (settings, faults) = read(&[]);
        let filter = Filter::read(&mut Reader::new([("RUST_LOG".to_owned(), "info".to_owned())]));
        let service_name = "galaxy-authsession".to_owned();
        let expected = Settings { service_name, traces: None, metrics: None, filter, format: None };
        assert_eq!((settings, faults), (expected, vec![]));
    }

    #[test]
    fn each_signal_has_its_own_collector_or_the_common_one() {
        let (settings, faults) = read(&[
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ("OTEL_METRICS_EXPORTER", "otlp"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector/tenant/"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2000"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://metrics:4318/here"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "500"),
        ]);
        assert_eq!(faults, Vec::<String>::new());
        let traces = Export {
            endpoint: "https://collector/tenant/v1/traces".to_owned(),
            timeout: Duration::from_secs(2),
        };
        let metrics =
            Export { endpoint: "http://metrics:4318/here".to_owned(), timeout: Duration::from_millis(500) };
        assert_eq!((settings.traces, settings.metrics), (Some(traces), Some(metrics)));
        let (settings, _) = read(&[("OTEL_TRACES_EXPORTER", "otlp")]);
        assert_eq!(settings.traces.unwrap().endpoint, "http://localhost:4318/v1/traces");
    }

    #[test]
    fn what_cannot_be_done_is_a_fault() {
        for (name, value) in [
            ("OTEL_TRACES_EXPORTER", "console"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key"),
            ("AUTHSESSION_LOG_FORMAT", "xml"),
            ("RUST_LOG", "inof"),
        ] {
            let (_, faults) = read(&[(name, value)]);
            assert_eq!(faults.len(), 1, "{name}={value}");
            assert!(faults[0].starts_with(&format!("{name} takes ")), "{faults:?}");
        }
    }
}
