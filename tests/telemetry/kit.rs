//! What these tests share.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use authsession::{
    base::{BaseUrl, Email, Secret, Timestamp, settings::Reader},
    http::Endpoint,
    mail::{Delivery, Mail, rest::Client},
    telemetry::Settings,
};
use opentelemetry::{
    global,
    propagation::Extractor,
    trace::{FutureExt, TraceContextExt},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde_json::Value;
use tracing::{Instrument, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

pub(crate) const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
pub(crate) const PARENT: &str = "b7ad6b7169203331";

pub(crate) fn settings(variables: &[(&str, &str)]) -> Settings {
    let json = [("AUTHSESSION_LOG_FORMAT", "json")];
    let all = json.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut reader = Reader::new(all);
    let settings = Settings::read(&mut reader);
    reader.finish().unwrap();
    settings
}

/// A log that can be read back.
#[derive(Clone, Default)]
pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(crate) fn writer(&self) -> impl Fn() -> Self + Send + Sync + 'static {
        let paper = self.clone();
        move || paper.clone()
    }
}

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Header(Option<String>);

impl Extractor for Header {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.as_deref().filter(|_| key == "traceparent")
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

/// Runs `work` as the edge runs an operation. The target is the service's own.
pub(crate) async fn operation<T>(flags: Option<&str>, work: impl Future<Output = T>) -> T {
    global::set_text_map_propagator(TraceContextPropagator::new());
    let span = info_span!(
        target: "authsession::http", "request", otel.name = "send_email_code", request_id = "request-1"
    );
    let header = Header(flags.map(|flags| format!("00-{TRACE}-{PARENT}-{flags}")));
    let caller = global::get_text_map_propagator(|propagator| propagator.extract(&header));
    if caller.has_active_span() {
        let _ = span.set_parent(caller.clone());
    }
    work.with_context(caller).instrument(span).await
}

pub(crate) fn mail_client(url: &str) -> Client {
    let base_url = BaseUrl::parse(url).unwrap();
    Client::new(&Endpoint { base_url, request_timeout: Duration::from_secs(10) }).unwrap()
}

pub(crate) async fn deliver(mail: &dyn Mail) {
    let email = Email::parse("pilot@example.com").unwrap();
    let (code, expires_at) = (Secret::new("012345"), Timestamp::from_ms(1_775_390_400_000));
    mail.deliver(&Delivery { challenge_id: "challenge-1".into(), email, code, expires_at }).await.unwrap();
}

/// Runs `work` on one thread, where the thread's own subscriber sees it.
pub(crate) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
