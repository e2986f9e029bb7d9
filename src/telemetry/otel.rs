//! OpenTelemetry's providers: traces where they are exported, metrics always.

use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    metrics::{Aggregation, Instrument, InstrumentKind, PeriodicReader, SdkMeterProvider, Stream},
    propagation::TraceContextPropagator,
    trace::SdkTracerProvider,
};

use super::settings::{Export, Settings};

const SERVICE_NAME: &str = "galaxy-authsession";

/// Upper bounds in seconds. OpenTelemetry's own are made for milliseconds; most of our answers take less than one.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Spans go to the collector in batches, from a thread of their own.
pub(super) fn tracer_provider(
    settings: &Settings,
    export: &Export,
) -> Result<SdkTracerProvider, ExporterBuildError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(&export.endpoint)
        .with_timeout(export.timeout)
        .build()?;
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource(settings)).build())
}

/// Metrics for `/metrics`, through `registry`, and for the collector where there is one.
pub(super) fn meter_provider(
    settings: &Settings,
    registry: &prometheus::Registry,
) -> Result<SdkMeterProvider, super::Error> {
    let prometheus = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build()?;
    let mut builder = SdkMeterProvider::builder()
        .with_reader(prometheus)
        .with_resource(resource(settings))
        .with_view(in_seconds);
    if let Some(export) = &settings.metrics {
        let exporter = MetricExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&export.endpoint)
            .with_timeout(export.timeout)
            .build()?;
        builder = builder.with_reader(PeriodicReader::builder(exporter).build());
    }
    Ok(builder.build())
}

/// Makes the trace context of W3C the one that goes in and out, whether or not traces are exported.
pub(super) fn propagate() {
    global::set_text_map_propagator(TraceContextPropagator::new());
}

/// Gives histograms of durations the buckets above.
fn in_seconds(instrument: &Instrument) -> Option<Stream> {
    let duration = instrument.kind() == InstrumentKind::Histogram && instrument.unit() == "s";
    let boundaries = duration.then(|| SECONDS.to_vec())?;
    let aggregation = Aggregation::ExplicitBucketHistogram { boundaries, record_min_max: true };
    Stream::builder().with_aggregation(aggregation).build().ok()
}

/// What every span and metric says about us. `OTEL_RESOURCE_ATTRIBUTES` adds to it, and may name the service too.
fn resource(settings: &Settings) -> Resource {
    let builder =
        || Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    let detected = builder().build().get(&"service.name".into()).map(|name| name.to_string());
    let name = match (&settings.service_name, detected) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) if !name.starts_with("unknown_service") => name,
        (None, _) => SERVICE_NAME.to_owned(),
    };
    builder().with_service_name(name).build()
}
