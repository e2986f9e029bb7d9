//! Log lines as JSON, one object a line: `timestamp`, `level`, `target`, `message` and the event's own fields, then
//! the fields of the spans around it (the innermost wins), then `trace_id` and `span_id`. A name comes once a line.
//! Fields of spans whose names start with `otel.` are words to the exporter, and not logged.

use std::{
    error::Error,
    fmt::{self, Write as _},
    io::Write as _,
    ops::Range,
    sync::OnceLock,
};

use serde::{Serialize, Serializer, ser::SerializeMap};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use tracing::{
    Event, Subscriber,
    dispatcher::WeakDispatch,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, fmt::MakeWriter, layer::Context, registry::LookupSpan};

use super::ids::{self, Ids};
use crate::base::{Clock, SystemClock, Timestamp};

/// Writes each event as one line.
pub(super) struct JsonLines<W> {
    writer: W,
    /// Ourselves, as others see us: trace ids are asked for through it.
    dispatch: OnceLock<WeakDispatch>,
}

/// As many bytes hold most lines, and as many fields are in them.
const LINE: usize = 512;
const FIELDS: usize = 16;

/// As many bytes hold the texts of most spans.
const SPAN_TEXTS: usize = 160;

/// The fields of a span, kept with it. All texts lie in one, since every request has such a span.
struct SpanFields {
    list: Vec<(&'static str, Kept)>,
    texts: String,
}

enum Kept {
    Text(Range<usize>),
    Natural(u64),
    Integer(i64),
    Fraction(f64),
    Truth(bool),
}

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
        let list = Vec::with_capacity(attributes.fields().len());
        let mut fields = SpanFields { list, texts: String::with_capacity(SPAN_TEXTS) };
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
        let mut line = Vec::with_capacity(LINE);
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
    let metadata = event.metadata();
    let mut serializer = serde_json::Serializer::new(line);
    let mut fields =
        Fields { map: serializer.serialize_map(None)?, seen: Vec::with_capacity(FIELDS), outcome: Ok(()) };
    fields.add("timestamp", &timestamp(SystemClock.now()));
    fields.add("level", metadata.level().as_str());
    fields.add("target", metadata.target());
    event.record(&mut fields);
    for span in context.event_scope(event).into_iter().flatten() {
        if let Some(of_span) = span.extensions().get::<SpanFields>() {
            of_span.add_to(&mut fields);
        }
    }
    if let Some(ids) = ids {
        fields.add("trace_id", &ids.trace.to_string());
        fields.add("span_id", &ids.span.to_string());
    }
    fields.outcome.and_then(|()| fields.map.end())
}

/// RFC 3339 with all three digits of milliseconds, so that lines sort as text.
fn timestamp(now: Timestamp) -> String {
    const FORM: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(now.as_ms()) * 1_000_000)
        .ok()
        .and_then(|time| time.format(FORM).ok())
        .unwrap_or_default()
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
    fn set(&mut self, field: &Field, value: Kept) {
        let name = name_of(field);
        if !name.starts_with("otel.") {
            self.list.retain(|(known, _)| *known != name);
            self.list.push((name, value));
        }
    }

    fn add_to<M: SerializeMap>(&self, fields: &mut Fields<M>) {
        for (name, value) in &self.list {
            match value {
                Kept::Text(range) => fields.add(name, self.texts.get(range.clone()).unwrap_or_default()),
                Kept::Natural(value) => fields.add(name, value),
                Kept::Integer(value) => fields.add(name, value),
                Kept::Fraction(value) => fields.add(name, value),
                Kept::Truth(value) => fields.add(name, value),
            }
        }
    }
}

impl Visit for SpanFields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, Kept::Fraction(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, Kept::Integer(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, Kept::Natural(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, Kept::Truth(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let start = self.texts.len();
        self.texts.push_str(value);
        self.set(field, Kept::Text(start..self.texts.len()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let start = self.texts.len();
        // Cannot fail: a string grows as needed, and a value that cannot print itself leaves what it has printed.
        let _ = write!(self.texts, "{value:?}");
        self.set(field, Kept::Text(start..self.texts.len()));
    }
}

/// What a value prints, as a JSON string.
struct AsText<'a>(&'a dyn fmt::Debug);

impl Serialize for AsText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}
