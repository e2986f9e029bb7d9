//! One bound socket and the connections that come in through it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, lookup_host},
    select,
    task::JoinSet,
    time::sleep,
};
use tracing::warn;

use super::{BindError, connection::Protocol};
use crate::http::{ListenAddress, Stop, Surface};

/// Connections at once. Further ones wait in the system's queue.
const MOST_CONNECTIONS: usize = 10_000;

/// How long to wait after the system could not hand out a connection: most likely it has run out of descriptors.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

pub(super) struct Listener {
    name: &'static str,
    socket: TcpListener,
    addr: SocketAddr,
    surface: Arc<Surface>,
}

impl Listener {
    pub(super) async fn bind(
        name: &'static str,
        variable: &'static str,
        address: &ListenAddress,
        surface: Surface,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError { variable, address: address.to_string(), source };
        let socket = open(address).await.map_err(failed)?;
        let addr = socket.local_addr().map_err(failed)?;
        Ok(Self { name, socket, addr, surface: Arc::new(surface) })
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `closing` is told, then until the last connection has ended.
    pub(super) async fn serve(self, closing: Stop) {
        let protocol = Arc::new(Protocol::new());
        let mut connections = JoinSet::new();
        let mut failing = false;
        loop {
            let accepted = select! {
                biased;
                () = closing.cancelled() => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.socket.accept(), if connections.len() < MOST_CONNECTIONS => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    failing = false;
                    let (protocol, surface) = (protocol.clone(), self.surface.clone());
                    // A token of its own: connections that share one would share its lock.
                    let closing = closing.child_token();
                    connections
                        .spawn(async move { protocol.converse(stream, peer.ip(), surface, closing).await });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if !failing {
                        warn!(listener = self.name, cause = %error, "cannot accept connections");
                    }
                    failing = true;
                    sleep(AFTER_A_FAILURE).await;
                }
            }
        }
        drop(self.socket);
        while connections.join_next().await.is_some() {}
    }
}

/// `:8080` is every interface: of both families, or of IPv4 on a system without IPv6.
async fn open(address: &ListenAddress) -> io::Result<TcpListener> {
    if address.host.is_empty() {
        return match TcpListener::bind(("::", address.port)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
            Err(_) => TcpListener::bind(("0.0.0.0", address.port)).await,
            bound @ Ok(_) => bound,
        };
    }
    let addresses: Vec<SocketAddr> = lookup_host((address.host.as_str(), address.port)).await?.collect();
    TcpListener::bind(addresses.as_slice()).await
}

/// The client was gone before it was served: no fault of the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
