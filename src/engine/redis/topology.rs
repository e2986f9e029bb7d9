//! Opens connections: to a server, or to the one that the sentinels call the master.

use std::{io, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, ConnectionAddr, PushInfo, PushKind, RedisError, RedisResult,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use tokio_util::sync::CancellationToken;

use super::{Settings, sentinel::Sentinels, settings::Role};

/// After how long an idle connection is probed by the kernel, and how often then.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Opens connections to the server that takes writes now.
#[derive(Clone)]
pub(super) enum Topology {
    /// This server.
    Server(Arc<Settings>, ConnectionAddr),
    /// Whomever the sentinels name.
    Master(Sentinels),
}

impl Topology {
    /// A new connection, logged in. `closed` is cancelled as soon as the other side closes it, or it must not be used
    /// any more. Sets no deadline.
    pub(super) async fn dial(&self, closed: CancellationToken) -> RedisResult<MultiplexedConnection> {
        match self {
            Self::Server(settings, place) => dial(settings, place, Role::Server, closed).await,
            Self::Master(sentinels) => sentinels.dial(closed).await,
        }
    }
}

/// A new connection to the server at `place`, see [`Topology::dial`].
pub(super) async fn dial(
    settings: &Settings,
    place: &ConnectionAddr,
    role: Role,
    closed: CancellationToken,
) -> RedisResult<MultiplexedConnection> {
    let client = settings.client(place.clone(), role)?;
    let on_push = move |push: PushInfo| -> Result<(), ()> {
        if push.kind == PushKind::Disconnection {
            closed.cancel();
        }
        Ok(())
    };
    // Deadlines are the lane's: one over everything that a call does.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_push_sender(on_push);
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// How connections behave below Redis.
pub(super) fn tcp_settings() -> TcpSettings {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive)
}

/// An error of ours that counts as a connection's.
pub(super) fn failed(cause: &str) -> RedisError {
    io::Error::new(io::ErrorKind::NotConnected, cause).into()
}
