//! Real sockets, whole requests.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{body::Body, extract::State, response::Response};
use futures_util::{FutureExt, StreamExt, stream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, Semaphore},
    task::JoinHandle,
};

use super::*;
use crate::{
    app,
    base::{Unavailable, World},
    http::{ClientAddress, Json, Part, Probe, Problem, Routes},
};

/// What the handlers below can be made to do.
#[derive(Clone)]
struct Levers {
    begun: Arc<Semaphore>,
    go_on: Arc<Notify>,
    finished: Arc<AtomicUsize>,
}

impl Levers {
    fn new() -> Self {
        Self { begun: Arc::new(Semaphore::new(0)), go_on: Arc::default(), finished: Arc::default() }
    }

    /// Waits until a handler has begun.
    async fn begun(&self) {
        self.begun.acquire().await.unwrap().forget();
    }
}

async fn slow(State(levers): State<Levers>) -> Json<&'static str> {
    levers.begun.add_permits(1);
    levers.go_on.notified().await;
    levers.finished.fetch_add(1, Ordering::SeqCst);
    Json("done")
}

async fn ticks() -> Response {
    let first = stream::iter([Ok::<_, io::Error>("tick\n")]);
    Response::new(Body::from_stream(first.chain(stream::pending())))
}

async fn client(ClientAddress(address): ClientAddress) -> Json<String> {
    Json(address.to_string())
}

fn routes(levers: &Levers) -> Routes {
    Routes::default()
        .get("/read", "read", slow)
        .post("/change", "change", slow)
        .stream("/ticks", "ticks", ticks)
        .get("/client", "client", client)
        .post("/echo", "echo", |Json(body): Json<BTreeMap<String, String>>| async { Json(body) })
        .get("/panic", "panic", async || -> Json<()> { panic!("hunter2") })
        .post("/panic", "panic_in_a_change", async || -> Json<()> { panic!("hunter2") })
        .get("/limited", "limited", async || -> Problem { Problem::rate_limited(Duration::from_secs(7)) })
        .with_state(levers.clone())
}

struct Service {
    public: SocketAddr,
    internal: SocketAddr,
    stop: Stop,
    running: JoinHandle<Ending>,
    levers: Levers,
}

impl Service {
    async fn start(settings: &[(&str, &str)]) -> Self {
        Self::with(settings, vec![], Arc::new(|| async { Ok(vec![]) }.boxed())).await
    }

    /// With other limits than a service outside of tests has.
    async fn tuned(settings: &[(&str, &str)], tune: impl FnOnce(&mut Limits)) -> Self {
        Self::build(settings, vec![], Arc::new(|| async { Ok(vec![]) }.boxed()), tune).await
    }

    async fn with(settings: &[(&str, &str)], tasks: Vec<Task>, probe: Probe) -> Self {
        Self::build(settings, tasks, probe, |_| {}).await
    }

    async fn build(
        settings: &[(&str, &str)],
        tasks: Vec<Task>,
        probe: Probe,
        tune: impl FnOnce(&mut Limits),
    ) -> Self {
        let levers = Levers::new();
        let ports = [
            ("AUTHSESSION_PUBLIC_HTTP_ADDR", "127.0.0.1:0"),
            ("AUTHSESSION_INTERNAL_HTTP_ADDR", "127.0.0.1:0"),
        ];
        let variables = ports.iter().chain(settings);
        let config =
            Config::read(variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).unwrap();
        let part = Part { public: routes(&levers), internal: routes(&levers), tasks };
        let app = app::assemble(&config, &World::system(), vec![part], &probe);
        app.edge.serve_metrics(|| "some_metric 1\n".to_owned());
        let mut server = Server::bind(app, &config).await.unwrap();
        tune(&mut server.public.limits);
        let (public, internal) = (server.public_addr(), server.internal_addr());
        let stop = Stop::new();
        let running = tokio::spawn(server.run(stop.clone()));
        Self { public, internal, stop, running, levers }
    }

    async fn ask(&self, request: &str) -> Answer {
        ask(self.public, request).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await
    }

    async fn end(self) -> Ending {
        self.stop.cancel();
        self.running.await.unwrap()
    }
}

/// A connection that does nothing is closed after so many milliseconds.
fn impatient(limits: &mut Limits, ms: u64) {
    let soon = Duration::from_millis(ms);
    (limits.head, limits.idle, limits.farewell) = (soon, soon, soon);
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn code(&self) -> String {
        assert_eq!(self.headers["content-type"], "application/json");
        assert!(!self.headers["x-request-id"].is_empty());
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert!(!body["error"]["message"].as_str().unwrap().is_empty());
        body["error"]["code"].as_str().unwrap().to_owned()
    }
}

async fn connect(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn ask(address: SocketAddr, request: &str) -> Answer {
    answer(connect(address, request).await).await
}

/// Reads until the service closes the connection.
async fn answer(mut stream: TcpStream) -> Answer {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Answer { status, headers, body: body.to_owned() }
}

fn post(path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n{headers}\r\n{body}"
    )
}

mod addresses;
mod crowds;
mod drain;
mod http2;
mod shape;
