//! The one list of parts, and the one place that names concrete engines and clients. Production and tests share
//! [`build`].

use std::sync::Arc;

use crate::{
    base::World,
    config::Config,
    http::{Edge, Part, Probe, Surface, Task},
};

/// The service, built but not yet listening.
pub struct App {
    /// What client apps see.
    pub public: Surface,
    /// What gateways and admin services see.
    pub internal: Surface,
    /// Work that goes on in the background.
    pub tasks: Vec<Task>,
    /// What both surfaces share.
    pub edge: Arc<Edge>,
}

/// The service could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {}

/// Builds the service. Telemetry has started by now, or there will be no metrics.
#[expect(clippy::unused_async, reason = "engines will be opened here")]
pub async fn build(config: &Config, world: World) -> Result<App, BuildError> {
    // MERGE: the engine, the clients, and `let probe = probe(engine)` over `Engine::ready`.
    let probe: Probe = Arc::new(|| Box::pin(async { Ok(()) }));
    // MERGE: each capability's part.
    let parts: Vec<Part> = vec![];
    Ok(assemble(config, world, parts, &probe))
}

pub(crate) fn assemble(config: &Config, world: World, parts: Vec<Part>, probe: &Probe) -> App {
    let edge = Arc::new(Edge::new(&config.http, world));
    let all = parts.into_iter().fold(Part::default(), |all, part| Part {
        public: all.public.merge(part.public),
        internal: all.internal.merge(part.internal),
        tasks: all.tasks.into_iter().chain(part.tasks).collect(),
    });
    App {
        public: edge.public(all.public, probe.clone()),
        internal: edge.internal(all.internal, probe.clone()),
        tasks: all.tasks,
        edge,
    }
}
