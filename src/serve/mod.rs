//! The running service: two listeners and the background work, from the bound socket to the last answer. On the first
//! wish to stop everything that was begun is finished, within the shutdown timeout. Start with [`Server`].

mod certificate;
mod connection;
mod crowd;
mod limits;
mod listener;
mod proxy_protocol;
mod settings;
mod tasks;
mod tls;

use std::{error::Error, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    select,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{error, info, warn};

use self::{
    limits::Limits,
    listener::{Listener, Place},
    tasks::Tasks,
};
pub use self::{
    settings::{Entrance, Settings},
    tls::TlsFiles,
};
use crate::{
    app::App,
    config::Config,
    http::{Edge, Stop, Task},
};

/// How long new requests are still taken after `/readyz` has turned, so that whoever balances the load can notice;
/// less where the shutdown timeout is short.
const LONGEST_BEAT: Duration = Duration::from_millis(500);

/// How long a client may take to fetch its answer, or to finish a request that it has not sent whole yet, once all
/// other requests are answered.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// A listener could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({variable})")]
pub struct BindError {
    /// The setting that says where.
    pub variable: &'static str,
    /// Its value.
    pub address: String,
    /// What was in the way: the system, or a certificate.
    pub source: Box<dyn Error + Send + Sync>,
}

/// How a service ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Everything that was begun was finished.
    Drained,
    /// Something was cut off.
    Cut,
    /// Background work had ended by itself, which is a fault.
    TaskEnded,
}

impl Ending {
    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::Cut | Self::TaskEnded => 1,
        }
    }
}

/// A service with its sockets bound: connections queue up from now on.
pub struct Server {
    public: Listener,
    internal: Listener,
    edge: Arc<Edge>,
    tasks: Vec<Task>,
    shutdown_timeout: Duration,
}

impl Server {
    /// Binds both listeners.
    pub async fn bind(app: App, config: &Config) -> Result<Self, BindError> {
        let (http, serve) = (&config.http, &config.serve);
        let limits = Limits::of_system();
        let public = Place {
            name: "public",
            variable: "AUTHSESSION_PUBLIC_HTTP_ADDR",
            address: &http.public,
            entrance: &serve.public,
        };
        let internal = Place {
            name: "internal",
            variable: "AUTHSESSION_INTERNAL_HTTP_ADDR",
            address: &http.internal,
            entrance: &serve.internal,
        };
        let public = Listener::bind(public, app.public, limits).await?;
        let internal = Listener::bind(internal, app.internal, limits).await?;
        let certificates = [&public, &internal].into_iter().filter_map(Listener::task);
        let tasks = app.tasks.into_iter().chain(certificates).collect();
        let shutdown_timeout = http.shutdown_timeout;
        Ok(Self { public, internal, edge: app.edge, tasks, shutdown_timeout })
    }

    /// Where client apps are served.
    #[must_use]
    pub fn public_addr(&self) -> SocketAddr {
        self.public.addr()
    }

    /// Where gateways and admin services are served.
    #[must_use]
    pub fn internal_addr(&self) -> SocketAddr {
        self.internal.addr()
    }

    /// Serves until `stop` is told, then drains. Dropping the future cuts every connection and all background work.
    pub async fn run(self, stop: Stop) -> Ending {
        let mut listeners = JoinSet::new();
        for listener in [self.public, self.internal] {
            let most_connections = listener.limits.connections;
            info!(addr = %listener.addr(), most_connections, "{} listener ready", listener.name());
            listeners.spawn(listener.serve(self.edge.closing.clone()));
        }
        let mut tasks = Tasks::start(self.tasks);
        let wished = select! {
            () = stop.cancelled() => true,
            () = tasks.one_ended() => false,
            _ = listeners.join_next() => {
                error!("a listener ended by itself");
                false
            }
        };
        info!("draining");
        let drain = drain(&self.edge, &mut listeners, &mut tasks, self.shutdown_timeout);
        let drained = timeout(self.shutdown_timeout, drain).await.is_ok();
        // Awaited, so that nothing holds the store any more when this returns.
        listeners.shutdown().await;
        tasks.shutdown().await;
        match (wished, drained) {
            (true, true) => Ending::Drained,
            (true, false) => {
                warn!("the shutdown timeout was too short: unfinished work was cut off");
                Ending::Cut
            }
            (false, _) => Ending::TaskEnded,
        }
    }
}

/// Not ready; then no new connections, and the open ones end after the request they are in; then, when nobody waits
/// for an answer any more, the background work.
async fn drain(edge: &Edge, listeners: &mut JoinSet<()>, tasks: &mut Tasks, within: Duration) {
    edge.draining.cancel();
    sleep(LONGEST_BEAT.min(within / 20)).await;
    edge.closing.cancel();
    edge.in_flight.close();
    let idle = async {
        edge.in_flight.wait().await;
        sleep(LAST_GRACE).await;
    };
    select! {
        () = async { while listeners.join_next().await.is_some() {} } => {}
        () = idle => {}
    }
    // Changes go on without the connection that asked for them.
    edge.in_flight.wait().await;
    tasks.stop().await;
}

#[cfg(test)]
mod tests;
