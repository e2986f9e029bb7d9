//! The line that every request walks, also one that no operation takes: request id, span, token, body, handler,
//! headers, measure. Whatever happens on it, the answer has our shape.

use std::{panic::AssertUnwindSafe, sync::Arc};

use axum::{
    body::Body,
    extract::Request,
    handler::Handler,
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS},
    },
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt as _, StreamExt, future::BoxFuture};
use opentelemetry::{
    Context, global,
    propagation::Extractor,
    trace::{FutureExt as _, TraceContextExt},
};
use tokio::time::{Instant, timeout};
use tracing::{Instrument, Span, debug, field::Empty, info_span, warn};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{
    Edge, Peer, Problem, Route, body,
    capacity::{Capacity, Place},
    client_address,
    guard::Guard,
    measure::{End, OfOperation, method_label},
    problem::ProblemCode,
    request_id,
    routes::Kind,
};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A handler at the end of the line. It is a handler itself and no middleware: a request takes no detour through boxed
/// services on its way.
#[derive(Clone)]
pub(super) struct Walk<H> {
    pub(super) operation: Arc<Operation>,
    pub(super) handler: H,
}

impl<T: 'static, S: Send + 'static, H: Handler<T, S>> Handler<T, S> for Walk<H> {
    type Future = BoxFuture<'static, Response>;

    fn call(self, request: Request, state: S) -> Self::Future {
        let Self { operation, handler } = self;
        Box::pin(async move { operation.walk(request, |request| handler.call(request, state)).await })
    }
}

/// One operation, and what its requests meet before and after its handler.
pub(super) struct Operation {
    edge: Arc<Edge>,
    route: Route,
    kind: Kind,
    gate: Gate,
    durations: OfOperation,
}

/// Who may come in, and how many at once.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) guard: Arc<Guard>,
    pub(super) capacity: Arc<Capacity>,
}

impl Operation {
    pub(super) fn new(edge: Arc<Edge>, route: Route, kind: Kind, gate: Gate) -> Arc<Self> {
        let durations = edge.durations.of(route);
        Arc::new(Self { edge, route, kind, gate, durations })
    }

    /// Walks the line for one request.
    async fn walk<A>(&self, request: Request, handler: impl FnOnce(Request) -> A) -> Response
    where
        A: Future<Output = Response> + Send + 'static,
    {
        let started = Instant::now();
        let request_id = request_id::choose(request.headers(), &self.edge.request_ids);
        let method = method_label(request.method());
        let caller = caller(request.headers());
        let span = self.span(caller.as_ref(), method, &request_id);
        let answered = async {
            let mut response = self.answer(request, handler).await;
            response.headers_mut().insert(request_id::HEADER, request_id);
            protect(response.headers_mut());
            self.finish(method, started, &response);
            response
        }
        .instrument(span);
        match caller {
            Some(caller) => answered.with_context(caller).await,
            None => answered.await,
        }
    }

    /// The request's span. Its parent is the caller's, where the caller names one.
    fn span(&self, caller: Option<&Context>, method: &'static str, request_id: &HeaderValue) -> Span {
        let span = info_span!(
            "request",
            otel.name = self.route.operation,
            otel.kind = "server",
            otel.status_code = Empty,
            operation = self.route.operation,
            request_id = request_id.to_str().unwrap_or_default(),
            http.request.method = method,
            http.route = self.route.path,
            http.response.status_code = Empty,
            error.type = Empty,
        );
        if let Some(caller) = caller {
            // Fails where spans are not exported, which is no fault.
            let _ = span.set_parent(caller.clone());
        }
        span
    }

    /// The answer, also where the handler panics or takes too long.
    async fn answer<A>(&self, request: Request, handler: impl FnOnce(Request) -> A) -> Response
    where
        A: Future<Output = Response> + Send + 'static,
    {
        let work = AssertUnwindSafe(self.handle(request, handler)).catch_unwind();
        match timeout(self.edge.request_timeout, work).await {
            Ok(Ok(answer)) => answer.into_response(),
            Ok(Err(_panic)) => Problem::panicked().into_response(),
            Err(_elapsed) => {
                warn!("no answer within the request timeout");
                Problem::busy().into_response()
            }
        }
    }

    async fn handle<A>(
        &self,
        request: Request,
        handler: impl FnOnce(Request) -> A,
    ) -> Result<Response, Problem>
    where
        A: Future<Output = Response> + Send + 'static,
    {
        self.gate.guard.admit(request.headers())?;
        let (mut parts, body) = request.into_parts();
        if let Some(peer) = parts.extensions.remove::<Peer>() {
            parts.extensions.insert(client_address::find(peer, &parts.headers, &self.edge.proxies));
        }
        let bytes = body::read(body, self.edge.body_timeout).await?;
        // Only from here on, so that clients who are slow to send take no place of those who are not.
        let place = self.gate.capacity.enter().ok_or_else(Problem::busy)?;
        // A drain waits for the answer from here on; not for a client that still sends.
        let _in_flight = self.edge.in_flight.token();
        let answer = handler(Request::from_parts(parts, Body::from(bytes)));
        match self.kind {
            Kind::Read => {
                let answer = answer.await;
                drop(place);
                Ok(answer)
            }
            Kind::Change => {
                let answer = answer.with_current_context().instrument(Span::current());
                let change = self.edge.in_flight.track_future(async move {
                    let answer = answer.await;
                    drop(place);
                    answer
                });
                // Fails only with a panic, or when the runtime is being torn down and nobody listens any more.
                tokio::spawn(change).await.map_err(|_| Problem::panicked())
            }
            Kind::Stream => Ok(self.ended_by_the_drain(answer.await, place)),
        }
    }

    fn ended_by_the_drain(&self, answer: Response, place: Place) -> Response {
        let closing = self.edge.closing.clone().cancelled_owned();
        answer.map(|body| {
            let pieces = body.into_data_stream().take_until(closing);
            // One that goes on and on keeps its place.
            Body::from_stream(pieces.inspect(move |_| _ = &place))
        })
    }

    fn finish(&self, method: &'static str, started: Instant, response: &Response) {
        let status = response.status().as_u16();
        let code = response.extensions().get::<ProblemCode>().copied();
        let span = Span::current();
        span.record("http.response.status_code", status);
        if let Some(ProblemCode(code)) = code {
            span.record("error.type", code);
        }
        if response.status().is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
        let took = started.elapsed();
        debug!(status, took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX), "answered");
        self.durations.record(&End { method, status, code, took });
    }
}

/// What keeps caches and browsers from making more of an answer than it is: it is not kept, not guessed at, and runs,
/// loads and frames nothing.
pub(super) fn protect(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let nothing = "default-src 'none'; frame-ancestors 'none'";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(nothing));
}

/// Where the caller is in a trace, if it says so. It travels with the request, to the log and to the services that we
/// call, whether or not spans are exported.
fn caller(headers: &HeaderMap) -> Option<Context> {
    if !headers.contains_key(TRACEPARENT) {
        return None;
    }
    let context = global::get_text_map_propagator(|propagator| propagator.extract(&Carrier(headers)));
    context.has_active_span().then_some(context)
}

/// Headers as the propagator reads them.
struct Carrier<'a>(&'a HeaderMap);

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{
        body::{Bytes, to_bytes},
        http::StatusCode,
    };
    use futures_util::stream;

    use super::*;
    use crate::{
        base::{World, settings::Reader},
        http::{Probe, Routes, Settings, Surface},
    };

    fn surface(routes: Routes) -> (Arc<Edge>, Surface) {
        with(routes, Duration::from_millis(20))
    }

    fn with(routes: Routes, request_timeout: Duration) -> (Arc<Edge>, Surface) {
        let settings = Settings::read(&mut Reader::default());
        let mut edge = Edge::new(&settings, &World::system());
        edge.request_timeout = request_timeout;
        edge.body_timeout = Duration::from_millis(10);
        edge.most_at_once = 2;
        let edge = Arc::new(edge);
        let probe: Probe = Arc::new(|| async { Ok(vec![]) }.boxed());
        let surface = edge.public(routes, probe);
        (edge, surface)
    }

    async fn ask(surface: &Surface, method: &str, path: &str, body: Body) -> Response {
        let request = Request::builder().method(method).uri(path).body(body).unwrap();
        surface.answer(request, Peer::direct([127, 0, 0, 1].into())).await.unwrap()
    }

    #[tokio::test]
    async fn who_takes_too_long_is_answered_with_503_and_a_change_still_goes_on() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let tell = Arc::new(std::sync::Mutex::new(Some(tell)));
        let forever = || std::future::pending::<()>();
        let slow = async move || {
            tokio::time::sleep(Duration::from_millis(60)).await;
            let _ = tell.lock().unwrap().take().unwrap().send(());
        };
        let (_, surface) = surface(
            Routes::default().get("/forever", "forever", forever).post("/slow", "slow", slow).with_state(()),
        );
        for (method, path) in [("GET", "/forever"), ("POST", "/slow")] {
            let answer = ask(&surface, method, path, Body::empty()).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(answer.extensions().get(), Some(&ProblemCode("service_unavailable")));
        }
        told.await.unwrap();
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for_whatever_was_asked() {
        let change = async || -> StatusCode { panic!("not reached") };
        let routes = Routes::default().post("/change", "change", change).with_state(());
        let (_, surface) = with(routes, Duration::from_mins(1));
        for (method, path) in [("POST", "/change"), ("POST", "/nowhere"), ("GET", "/healthz")] {
            let body = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
            let answer = ask(&surface, method, path, body).await;
            assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT, "{path}");
            assert_eq!(answer.extensions().get(), Some(&ProblemCode("request_timeout")));
        }
    }

    #[tokio::test]
    async fn more_than_can_be_worked_on_at_once_are_refused_at_once_but_for_health() {
        let go_on = Arc::new(tokio::sync::Notify::new());
        let (begun, mut begins) = tokio::sync::mpsc::unbounded_channel();
        let waits = {
            let go_on = go_on.clone();
            async move || {
                let go_on = go_on.notified();
                begun.send(()).unwrap();
                go_on.await;
            }
        };
        let ticks = async || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let routes = Routes::default().post("/wait", "wait", waits).stream("/ticks", "ticks", ticks);
        let (edge, surface) = with(routes.with_state(()), Duration::from_mins(1));
        let other = edge.public(Routes::default(), Arc::new(|| async { Ok(vec![]) }.boxed()));
        let surface = Arc::new(surface);
        let endless = ask(&surface, "GET", "/ticks", Body::empty()).await;
        let asking = surface.clone();
        let waiting = tokio::spawn(async move { ask(&asking, "POST", "/wait", Body::empty()).await });
        begins.recv().await.unwrap();
        for path in ["/wait", "/ticks", "/nowhere"] {
            let answer = ask(&surface, "POST", path, Body::empty()).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
            assert_eq!(answer.headers()["retry-after"], "1");
        }
        assert_eq!(ask(&surface, "GET", "/healthz", Body::empty()).await.status(), StatusCode::OK);
        let elsewhere = ask(&other, "GET", "/nowhere", Body::empty()).await;
        assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND, "another listener has room of its own");
        go_on.notify_waiters();
        assert_eq!(waiting.await.unwrap().status(), StatusCode::OK);
        drop(endless);
        for _ in 0..10 {
            let answer = ask(&surface, "GET", "/nowhere", Body::empty()).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "every place is free again");
        }
    }

    #[tokio::test]
    async fn a_stream_outlives_the_timeout_and_ends_when_connections_are_closed() {
        let ticks = async || Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
        let (edge, surface) = surface(Routes::default().stream("/ticks", "ticks", ticks).with_state(()));
        let answer = ask(&surface, "GET", "/ticks", Body::empty()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let mut body = Box::pin(to_bytes(answer.into_body(), usize::MAX));
        assert!(timeout(Duration::from_millis(60), &mut body).await.is_err());
        edge.closing.cancel();
        assert!(body.await.unwrap().is_empty());
    }
}
