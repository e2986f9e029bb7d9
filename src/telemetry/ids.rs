//! Which trace a log line belongs to.
//!
//! Where traces are exported, or the caller sent a trace context, OpenTelemetry knows. Otherwise the ids are made
//! here, when a request logs its first line, and for the log alone: its lines can be found together, a request that
//! logs nothing pays nothing, and no other service is told of a trace that nobody will find.

use opentelemetry::trace::{SpanId, TraceContextExt, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};
use tracing::{Dispatch, Event, Subscriber};
use tracing_opentelemetry::get_otel_context;
use tracing_subscriber::{layer::Context, registry::LookupSpan};

/// The ids of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ids {
    /// The trace.
    pub(super) trace: TraceId,
    /// The span in it; the caller's, where we export none of our own.
    pub(super) span: SpanId,
}

/// The ids of the innermost span around `event` that has any, else the caller's. A line outside of every request has
/// none.
pub(super) fn of_event<S>(event: &Event<'_>, context: &Context<'_, S>, dispatch: &Dispatch) -> Option<Ids>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    let mut outermost = None;
    for span in context.event_scope(event).into_iter().flatten() {
        // No lock on the span's extensions may be held here: this takes one itself.
        let known = get_otel_context(&span.id(), dispatch);
        if let Some(ids) = known.and_then(|context| ids_in(&context)) {
            return Some(ids);
        }
        outermost = Some(span);
    }
    if let Some(ids) = ids_in(&opentelemetry::Context::current()) {
        return Some(ids);
    }
    let span = outermost?;
    let mut extensions = span.extensions_mut();
    if let Some(ids) = extensions.get_mut::<Ids>() {
        return Some(*ids);
    }
    let random = RandomIdGenerator::default();
    let ids = Ids { trace: random.new_trace_id(), span: random.new_span_id() };
    extensions.insert(ids);
    Some(ids)
}

fn ids_in(context: &opentelemetry::Context) -> Option<Ids> {
    let span = context.span();
    let known = span.span_context();
    known.is_valid().then(|| Ids { trace: known.trace_id(), span: known.span_id() })
}
