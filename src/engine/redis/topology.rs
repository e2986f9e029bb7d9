//! Who is asked: the one place that knows how many servers there are and which of them takes writes. Served so far:
//! one standalone server.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, PushKind, RedisResult,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use tokio_util::sync::CancellationToken;

use super::Settings;

/// After how long an idle connection is probed by the kernel, and how often then.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Opens connections to the server that takes writes now.
pub(super) struct Topology {
    settings: Settings,
}

impl Topology {
    /// The server that `settings` name.
    pub(super) const fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// A new connection, logged in. `closed` is cancelled as soon as the other side closes it. Sets no deadline.
    pub(super) async fn dial(&self, closed: CancellationToken) -> RedisResult<MultiplexedConnection> {
        let info = self.settings.connection_info()?;
        // Version 3 of the protocol, because only it reports a closed connection at once.
        let login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        let client = Client::open(info.set_redis_settings(login).set_tcp_settings(tcp))?;
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
}
