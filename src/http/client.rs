//! The outgoing side: how the user and mail services are called. One budget of time a call, connections that are
//! used again, no redirects, no proxies, answers of bounded size, and the caller's trace context.

use std::{error::Error, io, time::Duration};

use opentelemetry::{Context, global, propagation::Injector, trace::TraceContextExt};
use reqwest::{
    Method, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use serde::{Deserialize, Serialize};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{Endpoint, Object};
use crate::base::{BaseUrl, Unavailable, use_ring};

/// Answers are a few fields; anything longer is not from the service we meant.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Calls one service. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    dependency: &'static str,
    base: BaseUrl,
    budget: Duration,
    http: reqwest::Client,
}

/// What a service answered, whatever the status.
#[derive(Debug)]
pub struct Answer {
    dependency: &'static str,
    /// The status.
    pub status: StatusCode,
    body: Vec<u8>,
}

/// One request, ready to be sent more than once.
struct Prepared {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Client {
    /// For the service at `endpoint`, called `dependency` in logs. Every call, its retry included, ends within the
    /// endpoint's request timeout.
    pub fn new(dependency: &'static str, endpoint: &Endpoint) -> Result<Self, Unavailable> {
        use_ring();
        let (base, budget) = (endpoint.base_url.clone(), endpoint.request_timeout);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("authsession/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .connect_timeout(budget);
        if !base.is_https() {
            // The system's certificates are needed by https only; a minimal image may have none.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| Unavailable::new(dependency, error))?;
        Ok(Self { dependency, base, budget, http })
    }

    /// Reads `path`, given as segments.
    pub async fn get(&self, path: &[&str]) -> Result<Answer, Unavailable> {
        let url = self.base.join(path);
        self.call(Prepared { method: Method::GET, url, headers: HeaderMap::new(), body: Vec::new() }).await
    }

    /// Posts `body` to `path`, given as segments. The service must take a repetition of the same request for the
    /// same request: one that got no answer, or one that says to try again, is sent once more.
    pub async fn post(&self, path: &[&str], body: &impl Serialize) -> Result<Answer, Unavailable> {
        self.post_with(path, HeaderMap::new(), body).await
    }

    /// As [`Self::post`], with `headers`.
    pub async fn post_with(
        &self,
        path: &[&str],
        mut headers: HeaderMap,
        body: &impl Serialize,
    ) -> Result<Answer, Unavailable> {
        let body = serde_json::to_vec(body).map_err(|error| Unavailable::new(self.dependency, error))?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.call(Prepared { method: Method::POST, url: self.base.join(path), headers, body }).await
    }

    async fn call(&self, mut request: Prepared) -> Result<Answer, Unavailable> {
        request.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        inject_trace_context(&mut request.headers);
        let tries = async {
            match self.send(&request).await {
                Ok(answer) if says_try_again(answer.status) => self.send(&request).await,
                Err(Failure::Connect(_) | Failure::Broken(_)) => self.send(&request).await,
                settled @ (Ok(_) | Err(Failure::Late | Failure::Huge)) => settled,
            }
        };
        tokio::time::timeout(self.budget, tries)
            .await
            .unwrap_or(Err(Failure::Late))
            .map_err(|failure| Unavailable::new(self.dependency, failure))
    }

    async fn send(&self, request: &Prepared) -> Result<Answer, Failure> {
        let mut response = self
            .http
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone())
            .send()
            .await
            .map_err(|error| Failure::of(&error))?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| Failure::of(&error))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(Failure::Huge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { dependency: self.dependency, status: response.status(), body })
    }
}

impl Answer {
    /// The body of a 2xx answer, a JSON object. Fields that `T` does not know are overlooked, so that a service may
    /// add some.
    pub fn read<T: for<'de> Deserialize<'de>>(&self) -> Result<T, Unavailable> {
        if !self.status.is_success() {
            return Err(self.unexpected());
        }
        match serde_json::from_slice::<Object<T>>(&self.body) {
            Ok(Object(body)) => Ok(body),
            // Not the error's own text, which may quote what was sent.
            Err(error) => Err(self.nonsense(&format!(
                "an answer that is not of the agreed form, at line {} column {}",
                error.line(),
                error.column()
            ))),
        }
    }

    /// The error that an answer with this status is.
    #[must_use]
    pub fn unexpected(&self) -> Unavailable {
        self.nonsense(&format!("unexpected status {}", self.status.as_u16()))
    }

    /// The error that this answer is, because of `what` it was.
    #[must_use]
    pub fn nonsense(&self, what: &str) -> Unavailable {
        Unavailable::new(self.dependency, what)
    }
}

/// Whether the same request may do better a moment later.
fn says_try_again(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

/// Why there was no answer, without saying whom or what was asked.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no answer within the request timeout")]
    Late,
    #[error("could not connect: {0}")]
    Connect(String),
    #[error("the connection broke: {0}")]
    Broken(String),
    #[error("the answer was longer than 64 KiB")]
    Huge,
}

impl Failure {
    fn of(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::Late
        } else if error.is_connect() {
            Self::Connect(reason(error))
        } else {
            Self::Broken(reason(error))
        }
    }
}

/// The kind of input-output error below `error`, since the texts above it carry addresses; for TLS, what rustls says.
fn reason(error: &reqwest::Error) -> String {
    let first: &(dyn Error + 'static) = error;
    std::iter::successors(Some(first), |error| (*error).source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .last()
        .map_or_else(
            || "no further cause".to_owned(),
            |error| match error.get_ref() {
                Some(inner) if inner.is::<rustls::Error>() => inner.to_string(),
                Some(_) | None => error.kind().to_string(),
            },
        )
}

/// Adds `traceparent` and `tracestate` where there is a context to pass on: the current span's, where spans are
/// exported, else the caller's.
fn inject_trace_context(headers: &mut HeaderMap) {
    let exported = Some(Span::current().context()).filter(TraceContextExt::has_active_span);
    let context = exported.unwrap_or_else(Context::current);
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut Headers(headers)));
}

struct Headers<'a>(&'a mut HeaderMap);

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
