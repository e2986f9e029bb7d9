//! OpenTelemetry's providers: traces where they are exported, metrics always.

use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{ExporterBuildError, MetricExporter, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    propagation::TraceContextPropagator,
    trace::SdkTracerProvider,
};

use super::settings::{Export, Settings};

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
    let mut builder = SdkMeterProvider::builder().with_reader(prometheus).with_resource(resource(settings));
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

/// What every span and metric says about us. `OTEL_RESOURCE_ATTRIBUTES` adds to it.
fn resource(settings: &Settings) -> Resource {
    Resource::builder()
        .with_service_name(settings.service_name.clone())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build()
}
