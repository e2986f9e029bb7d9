//! The edge kit: how a capability hangs its operations on the two listeners, and everything a request meets before
//! its handler. Knows no capability. Start with [`Part`]; the line that every request walks is in `operation.rs`.

mod body;
mod capacity;
pub mod client;
mod client_address;
mod cors;
mod edge;
mod endpoint;
mod extract;
mod guard;
mod health;
mod host;
mod json_list;
mod listen_address;
mod measure;
mod operation;
mod problem;
mod rate_limit;
mod request_id;
mod routes;
mod settings;
mod surface;

pub use client_address::{ClientAddress, Peer};
pub use edge::Edge;
pub use endpoint::{Endpoint, EndpointVariables};
pub use extract::{Json, Object, Path, present};
pub use health::Probe;
pub use json_list::{JsonElements, json_list};
pub use listen_address::ListenAddress;
pub use problem::Problem;
pub use rate_limit::RateLimit;
pub use routes::{Route, Routes};
pub use settings::Settings;
pub use surface::{Answer, Surface};

use futures_util::future::BoxFuture;
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
    pub run: Box<dyn FnOnce(Stop) -> BoxFuture<'static, ()> + Send>,
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
