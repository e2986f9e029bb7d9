//! One bound socket and the connections that come in through it.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, lookup_host},
    select,
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::warn;

use super::{
    BindError,
    connection::Reception,
    crowd::{Crowd, Pulse, Room},
    limits::Limits,
    settings::Entrance,
    tls::Tls,
};
use crate::http::{ListenAddress, Stop, Surface, Task};

/// How long to wait after the system could not hand out a connection: most likely it has run out of descriptors.
const AFTER_A_FAILURE: Duration = Duration::from_millis(100);

/// Between two warnings of the same flood.
const BETWEEN_WARNINGS: Duration = Duration::from_mins(1);

/// Between two looks for those who hold most requests.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

pub(super) struct Listener {
    name: &'static str,
    socket: TcpListener,
    addr: SocketAddr,
    reception: Arc<Reception>,
    pub(super) limits: Limits,
}

/// What a listener is and where.
pub(super) struct Place<'a> {
    pub(super) name: &'static str,
    pub(super) variable: &'static str,
    pub(super) address: &'a ListenAddress,
    pub(super) entrance: &'a Entrance,
}

impl Listener {
    pub(super) async fn bind(place: Place<'_>, surface: Surface, limits: Limits) -> Result<Self, BindError> {
        let Place { name, variable, address, entrance } = place;
        let failed = |source| BindError { variable, address: address.to_string(), source };
        let tls = entrance.tls.clone().map(|files| Tls::open(name, files)).transpose();
        let tls = tls.map_err(|fault| failed(fault.into()))?;
        let socket = open(address).await.map_err(|error| failed(error.into()))?;
        let addr = socket.local_addr().map_err(|error| failed(error.into()))?;
        let reception = Arc::new(Reception::new(surface, tls, entrance.announcing.clone()));
        Ok(Self { name, socket, addr, reception, limits })
    }

    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What goes on beside the connections.
    pub(super) fn task(&self) -> Option<Task> {
        self.reception.tls.as_ref().map(Tls::watcher)
    }

    /// Serves until `closing` is told, then until the last connection has ended.
    pub(super) async fn serve(self, closing: Stop) {
        let (room, mut crowd) = (Room::new(self.limits), Crowd::new(self.limits));
        let mut connections = JoinSet::new();
        let (mut waiting, mut failing) = (None, false);
        let (mut alarm, mut look) = (Pace::of(BETWEEN_WARNINGS), Pace::of(BETWEEN_LOOKS));
        loop {
            if waiting.is_some() && connections.len() >= self.limits.connections {
                // Once for each newcomer: those who were cut off may take a moment to be gone, and their sockets with them.
                if crowd.len() == connections.len() {
                    self.displace(&mut crowd, &mut alarm);
                }
            } else if let Some((stream, peer)) = waiting.take() {
                let pulse = Pulse::new(&room);
                let handle = connections.spawn(self.meet(stream, peer, &pulse, &closing));
                crowd.join(handle, pulse);
            }
            let accepted = select! {
                biased;
                () = closing.cancelled() => break,
                Some(ended) = connections.join_next_with_id() => {
                    crowd.left(ended.map_or_else(|error| error.id(), |(id, ())| id));
                    continue;
                }
                () = room.full.notified() => {
                    if look.is_due() {
                        crowd.displace_the_greedy();
                    }
                    if alarm.is_due() {
                        warn!(listener = self.name, most = self.limits.requests, "too many requests at once are refused");
                    }
                    continue;
                }
                // Everybody's request is on its way: whoever waits takes the place of the first that is done.
                () = sleep(AFTER_A_FAILURE), if waiting.is_some() => continue,
                accepted = self.socket.accept(), if waiting.is_none() => accepted,
            };
            match accepted {
                Ok(newcomer) => (waiting, failing) = (Some(newcomer), false),
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

    fn displace(&self, crowd: &mut Crowd, alarm: &mut Pace) {
        if alarm.is_due() {
            let most = self.limits.connections;
            warn!(listener = self.name, most, "too many connections at once: the silent ones are cut off");
        }
        crowd.displace_the_silent();
    }

    fn meet(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        pulse: &Arc<Pulse>,
        closing: &Stop,
    ) -> impl Future<Output = ()> + Send + use<> {
        // A token of its own: connections that share one would share its lock.
        let (pulse, closing) = (pulse.clone(), closing.child_token());
        let reception = self.reception.clone();
        async move { reception.meet(stream, peer.ip(), pulse, closing).await }
    }
}

/// Lets something happen now and then only: whoever floods a listener must not flood the log, nor keep it busy.
struct Pace {
    every: Duration,
    last: Option<Instant>,
}

impl Pace {
    fn of(every: Duration) -> Self {
        Self { every, last: None }
    }

    fn is_due(&mut self) -> bool {
        let due = self.last.is_none_or(|last| last.elapsed() >= self.every);
        if due {
            self.last = Some(Instant::now());
        }
        due
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
