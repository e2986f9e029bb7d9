//! `/healthz`, `/readyz` and `/metrics`: what a supervisor asks.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::time::timeout;

use super::{Json, Problem, Routes, Stop};
use crate::base::Unavailable;

/// Whether what the service stands on answers now, and if so, what its operators should know all the same.
pub type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<String>, Unavailable>> + Send + Sync>;

/// Renders the metrics as Prometheus text; set once telemetry can.
pub(super) type Render = Arc<OnceLock<Box<dyn Fn() -> String + Send + Sync>>>;

/// How long the store may take to say that it is there. Supervisors give up after a few seconds themselves.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

impl Health {
    const fn ok(warnings: Vec<String>) -> Json<Self> {
        Json(Self { status: "ok", warnings })
    }
}

#[derive(Clone)]
struct Readiness {
    probe: Probe,
    draining: Stop,
}

/// The two that ask for no token and are on both listeners.
pub(super) fn routes(probe: Probe, draining: Stop) -> Routes {
    Routes::default()
        .get("/healthz", "healthz", healthz)
        .get("/readyz", "readyz", readyz)
        .with_state(Readiness { probe, draining })
}

/// The one for the internal listener.
pub(super) fn metrics_routes(render: Render) -> Routes {
    Routes::default().get("/metrics", "metrics", metrics).with_state(render)
}

/// The process runs: this answer is the proof.
async fn healthz() -> Json<Health> {
    Health::ok(Vec::new())
}

/// New requests are welcome: the store answers, and the service does not drain.
async fn readyz(State(readiness): State<Readiness>) -> Result<Json<Health>, Problem> {
    if readiness.draining.is_cancelled() {
        return Err(Problem::busy());
    }
    let answer = timeout(PROBE_TIMEOUT, (readiness.probe)())
        .await
        .unwrap_or_else(|_| Err(Unavailable::new("store", "no answer in time")));
    answer.map(Health::ok).map_err(|unavailable| Problem::unavailable(&unavailable))
}

async fn metrics(State(render): State<Render>) -> Response {
    let text = render.get().map(|render| render()).unwrap_or_default();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
