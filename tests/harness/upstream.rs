//! A programmable HTTP/1.1 server on a real loopback socket: what a service we depend on looks like from outside. It
//! answers by its own rules until a test queues another answer, and remembers every request.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// What to answer.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This status and JSON.
    Json(u16, Value),
    /// This status, content type and body.
    Raw(u16, &'static str, Vec<u8>),
    /// A 307 to this address.
    Redirect(String),
    /// Nothing, ever; the connection stays open.
    Hang,
    /// Nothing: the connection is closed.
    Close,
    /// The other answer, this much later.
    After(Duration, Box<Answer>),
    /// Acts on the request by the usual rules, and then gives the other answer instead: a lost or broken reply.
    Instead(Box<Answer>),
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: Method,
    /// The path, still percent-encoded.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Received {
    /// The body as JSON; `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header as text; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

type Rules = dyn Fn(&Received) -> Answer + Send + Sync;

struct Shared {
    rules: Box<Rules>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queued: VecDeque<Answer>,
    standing: Option<Answer>,
    received: Vec<Received>,
    connections: usize,
}

/// The server. It ends when this is dropped.
pub struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl Upstream {
    /// Serves by `rules` on a free port of loopback.
    pub async fn start(rules: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { rules: Box::new(rules), state: Mutex::default() });
        let server = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { addr, shared, server: Mutex::new(Some(server)) }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Gives `answer` to the next request that has no queued answer yet. Queue several for several requests.
    pub fn next(&self, answer: Answer) {
        self.state(|state| state.queued.push_back(answer));
    }

    /// Gives `answer` to every request from now on (queued answers come first).
    pub fn always(&self, answer: Answer) {
        self.state(|state| state.standing = Some(answer));
    }

    /// Goes by the rules again, and forgets queued answers.
    pub fn recover(&self) {
        self.state(|state| {
            state.standing = None;
            state.queued.clear();
        });
    }

    /// Every request so far, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.state(|state| state.received.clone())
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.state(|state| state.received.clear());
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.state(|state| state.connections)
    }

    /// Closes the socket and every connection: callers are refused.
    pub async fn go_down(&self) {
        let server = self.server.lock().unwrap().take();
        if let Some(server) = server {
            server.abort();
            let _ = server.await;
        }
    }

    /// Listens again, on the same port.
    pub async fn come_back(&self) {
        self.go_down().await;
        let listener = TcpListener::bind(self.addr).await.unwrap();
        *self.server.lock().unwrap() = Some(tokio::spawn(accept(listener, Arc::clone(&self.shared))));
    }

    fn state<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.shared.state.lock().unwrap())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(server) = self.server.lock().unwrap().take() {
            server.abort();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new(); // dropped, and so aborted, with this task
    loop {
        let Ok((socket, _)) = listener.accept().await else { return };
        shared.state.lock().unwrap().connections += 1;
        connections.spawn(serve(socket, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(socket: TcpStream, shared: Arc<Shared>) {
    let _ = socket.set_nodelay(true);
    let service = service_fn(|request| answer(request, Arc::clone(&shared)));
    // An error here is a caller that hung up, or `Answer::Close`.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>, Closed> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Closed)?.to_bytes().to_vec();
    let received =
        Received { method: head.method, path: head.uri.path().to_owned(), headers: head.headers, body };
    let programmed = {
        let mut state = shared.state.lock().unwrap();
        state.received.push(received.clone());
        state.queued.pop_front().or_else(|| state.standing.clone())
    };
    let mut answer = programmed.unwrap_or_else(|| (shared.rules)(&received));
    loop {
        answer = match answer {
            Answer::Json(status, body) => {
                return Ok(response(status, "application/json", body.to_string().into_bytes()));
            }
            Answer::Raw(status, content_type, body) => return Ok(response(status, content_type, body)),
            Answer::Redirect(to) => {
                let mut response = response(307, "text/plain", Vec::new());
                response.headers_mut().insert(header::LOCATION, to.parse().unwrap());
                return Ok(response);
            }
            Answer::Hang => match std::future::pending::<Infallible>().await {},
            Answer::Close => return Err(Closed),
            Answer::After(delay, then) => {
                tokio::time::sleep(delay).await;
                *then
            }
            Answer::Instead(then) => {
                (shared.rules)(&received);
                *then
            }
        };
    }
}

fn response(status: u16, content_type: &str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert(header::CONTENT_TYPE, content_type.parse().unwrap());
    response
}

/// Makes the server close the connection without an answer.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("closed on purpose")
    }
}

impl std::error::Error for Closed {}
