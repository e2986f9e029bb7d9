//! What the service tells about itself: log lines, traces and metrics. Everybody else speaks through `tracing` and
//! OpenTelemetry's global meter and propagator, and knows nothing of this module. Start with [`start`].

mod filter;
mod ids;
mod json;
mod otel;
mod settings;

use std::{
    io::{self, IsTerminal},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_sdk::{metrics::SdkMeterProvider, trace::SdkTracerProvider};
use prometheus::{Registry, TextEncoder};
use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, filter::FilterFn, fmt::MakeWriter, layer::SubscriberExt, registry::LookupSpan,
};

pub use filter::Filter;
pub use settings::{Export, Format, Settings};

use crate::base::use_ring;
use filter::{OURS, is_operation};

/// How long [`Telemetry::shutdown`] may hold up the end of the process.
const LONGEST_FLUSH: Duration = Duration::from_secs(5);

/// Why nothing could be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A process has one log.
    #[error("telemetry was started before")]
    AlreadyStarted,
    /// An exporter could not be made.
    #[error("the OTLP exporter could not be made")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The metrics could not be collected.
    #[error("the metrics could not be set up")]
    Metrics(#[from] opentelemetry_sdk::error::OTelSdkError),
}

/// The running telemetry of this process.
#[derive(Debug)]
pub struct Telemetry {
    tracer: Option<SdkTracerProvider>,
    meter: SdkMeterProvider,
    registry: Registry,
}

/// Starts the log, the traces and the metrics of this process, once. Before this, log lines and metrics are lost.
/// Not to be called on an async thread: an exporter's HTTP client blocks while it is made.
pub fn start(settings: &Settings) -> Result<Telemetry, Error> {
    let (telemetry, subscriber) = prepare(settings, io::stdout)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::AlreadyStarted)?;
    otel::propagate();
    global::set_meter_provider(telemetry.meter.clone());
    if let Some(tracer) = &telemetry.tracer {
        global::set_tracer_provider(tracer.clone());
    }
    Ok(telemetry)
}

/// As [`start`], with the log going to `writer`, and nothing installed yet: the second part is the subscriber that
/// events and spans go through.
pub fn prepare<W>(
    settings: &Settings,
    writer: W,
) -> Result<(Telemetry, impl Subscriber + Send + Sync + use<W>), Error>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    use_ring();
    let registry = Registry::new();
    let traces = settings.traces.as_ref();
    let telemetry = Telemetry {
        tracer: traces.map(|export| otel::tracer_provider(settings, export)).transpose()?,
        meter: otel::meter_provider(settings, &registry)?,
        registry,
    };
    let log = log_layer(settings.format, writer);
    let subscriber =
        tracing_subscriber::registry().with(telemetry.trace_layer()).with(log).with(settings.filter.clone());
    Ok((telemetry, subscriber))
}

impl Telemetry {
    /// The metrics as they are now, in Prometheus's text format.
    #[must_use]
    pub fn metrics(&self) -> String {
        render(&self.registry)
    }

    /// [`Self::metrics`] as a function that may be handed around.
    #[must_use]
    pub fn renderer(&self) -> Arc<dyn Fn() -> String + Send + Sync> {
        let registry = self.registry.clone();
        Arc::new(move || render(&registry))
    }

    /// Sends what has not been sent yet, and ends the exports. Blocks, for a few seconds at most; on an async thread
    /// call it through `spawn_blocking`, or after the runtime has ended.
    pub fn shutdown(self) {
        let (done, ended) = mpsc::channel::<()>();
        // A thread of its own, which is left behind when it takes too long: exporters must not be dropped on an
        // async thread, and the collector may hang.
        let flush = thread::Builder::new().name("telemetry-flush".to_owned()).spawn(move || {
            if let Some(tracer) = self.tracer {
                let _ = tracer.shutdown_with_timeout(LONGEST_FLUSH / 2);
            }
            let _ = self.meter.shutdown_with_timeout(LONGEST_FLUSH / 2);
            drop(done);
        });
        if flush.is_ok() {
            let _ = ended.recv_timeout(LONGEST_FLUSH);
        }
    }

    /// Turns operations' spans into OpenTelemetry's, where they are exported. Without that layer a span costs next to
    /// nothing; the caller's context then travels beside it, as OpenTelemetry's current one.
    fn trace_layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup> + Send + Sync,
    {
        let tracer = self.tracer.as_ref()?.tracer(OURS);
        // Spans only: an event would become part of its span, and the stub mail's carry codes.
        let spans = FilterFn::new(is_operation).with_max_level_hint(LevelFilter::INFO);
        let layer = tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false);
        Some(layer.with_filter(spans))
    }
}

fn log_layer<S, W>(format: Option<Format>, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let terminal = io::stdout().is_terminal();
    match format.unwrap_or(if terminal { Format::Text } else { Format::Json }) {
        Format::Json => json::JsonLines::new(writer).boxed(),
        Format::Text => tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(terminal).boxed(),
    }
}

fn render(registry: &Registry) -> String {
    // An error here means that an instrument has a name or label that Prometheus does not know: a fault of ours.
    TextEncoder::new().encode_to_string(&registry.gather()).unwrap_or_default()
}
