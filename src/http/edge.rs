//! What all operations of one service share, and how operations become the two surfaces.

use std::{sync::Arc, time::Duration};

use axum::{Router, http::HeaderValue};
use ipnet::IpNet;
use tokio_util::task::TaskTracker;

use super::{
    Probe, Problem, Route, Routes, Settings, Stop, Surface,
    capacity::Capacity,
    cors,
    guard::Guard,
    health::{self, Render},
    measure::{Durations, Refusals},
    operation::{Gate, Operation, Walk},
    routes::Kind,
};
use crate::base::{Generator, World};

/// The longest that a request may take from its head to the head of its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to send a request's body, which is 16 KiB at most.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests that one listener works on at once, and so the most that the store and the services behind us ever see of
/// it. Each listener has its own number: a flood of logins holds up no revoke. Health has one, too, so that nobody takes
/// a service that is busy for one that is ill.
const MOST_AT_ONCE: usize = 1024;

/// Where requests go that no operation takes.
const UNMATCHED: Route = Route { method: "*", path: "*", operation: "unmatched" };

/// Shared by every operation of both listeners.
pub struct Edge {
    /// Told when the service begins to drain: it is no longer ready.
    pub draining: Stop,
    /// Told when connections are to be closed: answers without an end are ended.
    pub closing: Stop,
    /// Requests that have not been answered yet, and changes that go on without their client.
    pub in_flight: TaskTracker,
    pub(super) request_ids: Generator,
    pub(super) proxies: Arc<[IpNet]>,
    pub(super) request_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) most_at_once: usize,
    pub(super) durations: Durations,
    refusals: Refusals,
    settings: Settings,
    render: Render,
}

/// `path` with nothing where its parameter stands; nothing where it has none.
fn without_parameter(path: &str) -> Option<String> {
    let (before, rest) = path.split_once('{')?;
    let (_, after) = rest.split_once('}')?;
    Some(format!("{before}{after}"))
}

impl Edge {
    /// The edge of one service. Telemetry has started by now, or there will be no metrics.
    #[must_use]
    pub fn new(settings: &Settings, world: &World) -> Self {
        Self {
            draining: Stop::new(),
            closing: Stop::new(),
            in_flight: TaskTracker::new(),
            request_ids: world.generator(),
            proxies: settings.trusted_proxies.clone(),
            request_timeout: REQUEST_TIMEOUT,
            body_timeout: BODY_TIMEOUT,
            most_at_once: MOST_AT_ONCE,
            durations: Durations::new(),
            refusals: Refusals::new(),
            settings: settings.clone(),
            render: Render::default(),
        }
    }

    /// What client apps see: `routes` and the health operations.
    pub fn public(self: &Arc<Self>, routes: Routes, probe: Probe) -> Surface {
        let origins = self.settings.cors_origins.clone();
        self.surface(routes, health::routes(probe, self.draining.clone()), Guard::Open, &origins)
    }

    /// What gateways and admin services see: `routes`, the health operations and the metrics. Where tokens are set,
    /// only the health operations are open without one.
    pub fn internal(self: &Arc<Self>, routes: Routes, probe: Probe) -> Surface {
        let guarded = routes.merge(health::metrics_routes(self.render.clone()));
        let open = health::routes(probe, self.draining.clone());
        self.surface(guarded, open, Guard::new(&self.settings.internal_tokens), &[])
    }

    /// From now on `GET /metrics` answers what `render` gives. The first call counts.
    pub fn serve_metrics(&self, render: impl Fn() -> String + Send + Sync + 'static) {
        let _ = self.render.set(Box::new(render));
    }

    fn surface(
        self: &Arc<Self>,
        guarded: Routes,
        open: Routes,
        guard: Guard,
        origins: &[HeaderValue],
    ) -> Surface {
        let work = Gate { guard: Arc::new(guard), capacity: Capacity::of(self.most_at_once) };
        let health = Gate { guard: Arc::new(Guard::Open), capacity: Capacity::of(self.most_at_once) };
        let list = [guarded.list(), open.list()].concat();
        let guarded = guarded.into_entries().into_iter().map(|entry| (entry, work.clone()));
        let open = open.into_entries().into_iter().map(|entry| (entry, health.clone()));
        let mut router = Router::new();
        for (entry, gate) in guarded.chain(open) {
            let route = entry.route;
            let operation = Operation::new(self.clone(), route, entry.kind, gate);
            let handler = entry.mount(operation);
            // A parameter that is empty is the operation's to judge, and no path of another.
            if let Some(path) = without_parameter(route.path) {
                router = router.route(&path, handler.clone());
            }
            router = router.route(route.path, handler);
        }
        let operation = Operation::new(self.clone(), UNMATCHED, Kind::Read, work);
        let not_found = Walk { operation: operation.clone(), handler: async || Problem::not_found() };
        let not_allowed = Walk { operation, handler: async || Problem::method_not_allowed() };
        let router = router.fallback(not_found).method_not_allowed_fallback(not_allowed);
        let ids = &self.request_ids;
        Surface::new(cors::open(router, origins, ids), list, self.refusals.clone(), ids.clone())
    }
}
