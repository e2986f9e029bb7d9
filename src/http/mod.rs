//! The edge kit: how a capability hangs its operations on the two listeners, and everything a request meets before
//! its handler. Knows no capability. Start with [`Part`].

pub mod client;
mod endpoint;
mod extract;
mod problem;
mod routes;

pub use endpoint::{BaseUrl, Endpoint, EndpointVariables};
pub use extract::{Json, Object, Path};
pub use problem::Problem;
pub use routes::{Route, Routes};

use std::pin::Pin;

use tokio_util::sync::CancellationToken;

/// What a capability adds to the service.
#[derive(Default)]
pub struct Part {
    /// Operations for client apps.
    pub public: Routes,
    /// Operations for gateways and admin services.
    pub internal: Routes,
    /// Work that goes on in the background.
    pub tasks: Vec<Task>,
}

/// Told when the service drains.
pub type Stop = CancellationToken;

/// Background work: started by `serve`, ends soon after `Stop` is told. A task that ends before is a fault.
pub struct Task {
    /// For the log.
    pub name: &'static str,
    /// The work.
    pub run: Box<dyn FnOnce(Stop) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>,
}

impl Task {
    /// A task called `name`.
    pub fn new<F>(name: &'static str, run: impl FnOnce(Stop) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { name, run: Box::new(move |stop| Box::pin(run(stop))) }
    }
}
