//! The references: axum as it comes, doing for each operation what cannot be left out. One HTTP request, the same bytes
//! in the answer, and the Redis round trips that the operation needs, over one multiplexed connection of the `redis` crate.
//! No checks beyond those, no log, no metrics, no request id, no deadlines, no reconnecting.

mod login;
pub(crate) mod seeds;
mod sessions;

use std::sync::Arc;

use axum::{
    Router,
    http::header::CONTENT_TYPE,
    response::IntoResponse,
    routing::{get, post},
};
use redis::{
    AsyncConnectionConfig, Client, IntoConnectionInfo, Script, aio::MultiplexedConnection,
    io::tcp::TcpSettings,
};
use tokio::net::TcpListener;

use crate::harness::actors::{CONFIRM, INTERNAL, SEND};

/// What the handlers share.
struct Reference {
    /// `None` for the one that asks nothing.
    redis: Option<MultiplexedConnection>,
    /// Where mail is posted.
    mail: reqwest::Client,
    deliveries: String,
    /// What the one that asks nothing answers.
    body: String,
    scripts: Scripts,
}

struct Scripts {
    start: Script,
    claim: Script,
    open: Script,
    revoke: Script,
}

impl Reference {
    fn redis(&self) -> MultiplexedConnection {
        self.redis.clone().expect("a reference with a Redis")
    }
}

/// `name address redis mail body`: serves until it is killed.
pub(crate) fn serve(arguments: &[String]) {
    let [name, addr, redis, mail, body] = arguments else { panic!("a reference wants five arguments") };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let reference = Arc::new(Reference {
            redis: if redis.is_empty() { None } else { Some(connect(redis).await) },
            mail: mail_client(),
            deliveries: format!("{mail}/api/v1/internal/login-code-deliveries"),
            body: body.clone(),
            scripts: Scripts {
                start: Script::new(include_str!("start.lua")),
                claim: Script::new(include_str!("claim.lua")),
                open: Script::new(include_str!("open.lua")),
                revoke: Script::new(include_str!("revoke.lua")),
            },
        });
        let listener = TcpListener::bind(addr).await.expect("a free port");
        axum::serve(listener, router(name).with_state(reference)).await.expect("a server");
    });
}

fn router(name: &str) -> Router<Arc<Reference>> {
    let session = format!("{INTERNAL}/sessions/{{id}}");
    match name {
        "bare" => Router::new().route(&session, get(sessions::bare)),
        "get" => Router::new().route(&session, get(sessions::read)),
        "list" => Router::new().route(&format!("{INTERNAL}/users/{{id}}/sessions"), get(sessions::list)),
        "revoke" => Router::new().route(&format!("{session}/revoke"), post(sessions::revoke)),
        "send" => Router::new().route(SEND, post(login::send)),
        "confirm" => Router::new().route(CONFIRM, post(login::confirm)),
        _ => panic!("no reference is called {name}"),
    }
}

async fn connect(addr: &str) -> MultiplexedConnection {
    let info = format!("redis://{addr}").into_connection_info().expect("an address");
    // The service sets it too; without it small commands wait for one another.
    let client =
        Client::open(info.set_tcp_settings(TcpSettings::default().set_nodelay(true))).expect("a client");
    let config = AsyncConnectionConfig::new();
    client.get_multiplexed_async_connection_with_config(&config).await.expect("a connection")
}

fn mail_client() -> reqwest::Client {
    // Somebody may have installed it before, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

fn json(body: impl IntoResponse) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], body)
}
