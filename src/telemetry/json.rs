//! Log lines as JSON, one object a line: `timestamp`, `level`, `target`, `message` and the event's own fields, then
//! the fields of the spans around it (the innermost wins), then `trace_id` and `span_id`. A name comes once a line.

use std::{error::Error, fmt, io::Write, sync::OnceLock};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::Value;
use tracing::{
    Event, Subscriber,
    dispatcher::WeakDispatch,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::Context,
    registry::LookupSpan,
};

use super::ids::{self, Ids};

/// Writes each event as one line.
pub(super) struct JsonLines<W> {
    writer: W,
    /// Ourselves, as others see us: trace ids are asked for through it.
    dispatch: OnceLock<WeakDispatch>,
}

/// The fields of a span, kept with it.
#[derive(Default)]
struct SpanFields(Vec<(&'static str, Value)>);

impl<W> JsonLines<W> {
    /// To whatever `writer` makes.
    pub(super) fn new(writer: W) -> Self {
        Self { writer, dispatch: OnceLock::new() }
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_register_dispatch(&self, dispatch: &tracing::Dispatch) {
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = SpanFields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<SpanFields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Vec::with_capacity(256);
        let dispatch = self.dispatch.get().and_then(WeakDispatch::upgrade);
        let ids = dispatch.and_then(|dispatch| ids::of_event(event, &context, &dispatch));
        // Neither can be helped: there is no log to write to but this one.
        if write_line(&mut line, event, &context, ids).is_ok() {
            line.push(b'\n');
            let _ = self.writer.make_writer_for(event.metadata()).write_all(&line);
        }
    }
}

fn write_line<S>(
    line: &mut Vec<u8>,
    event: &Event<'_>,
    context: &Context<'_, S>,
    ids: Option<Ids>,
) -> Result<(), serde_json::Error>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
{
    let mut timestamp = String::with_capacity(32);
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let metadata = event.metadata();
    let mut serializer = serde_json::Serializer::new(line);
    let mut fields = Fields { map: serializer.serialize_map(None)?, seen: Vec::new(), outcome: Ok(()) };
    fields.add("timestamp", &timestamp);
    fields.add("level", metadata.level().as_str());
    fields.add("target", metadata.target());
    event.record(&mut fields);
    for span in context.event_scope(event).into_iter().flatten() {
        if let Some(SpanFields(list)) = span.extensions().get() {
            for (name, value) in list {
                fields.add(name, value);
            }
        }
    }
    if let Some(ids) = ids {
        fields.add("trace_id", &ids.trace.to_string());
        fields.add("span_id", &ids.span.to_string());
    }
    fields.outcome.and_then(|()| fields.map.end())
}

/// One line's object. The first value of a name stays.
struct Fields<M: SerializeMap> {
    map: M,
    seen: Vec<&'static str>,
    outcome: Result<(), M::Error>,
}

impl<M: SerializeMap> Fields<M> {
    fn add(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) {
        if self.outcome.is_ok() && !self.seen.contains(&name) {
            self.seen.push(name);
            self.outcome = self.map.serialize_entry(name, value);
        }
    }
}

/// A field's name, without the mark of Rust's raw identifiers.
fn name_of(field: &Field) -> &'static str {
    let name = field.name();
    name.strip_prefix("r#").unwrap_or(name)
}

impl<M: SerializeMap> Visit for Fields<M> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(name_of(field), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(name_of(field), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(name_of(field), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(name_of(field), &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(name_of(field), value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(name_of(field), &value.to_string());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(name_of(field), &AsText(value));
    }
}

impl SpanFields {
    fn set(&mut self, field: &Field, value: Value) {
        let name = name_of(field);
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value));
    }
}

impl Visit for SpanFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}").into());
    }
}

/// What a value prints, as a JSON string.
struct AsText<'a>(&'a dyn fmt::Debug);

impl Serialize for AsText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}
