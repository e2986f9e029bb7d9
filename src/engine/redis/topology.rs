//! Opens connections: to a server, or to the one that the sentinels call the master.

use std::{
    fmt::Write as _,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, ConnectionAddr, PushInfo, PushKind, RedisError, RedisResult, Value,
    aio::MultiplexedConnection,
    cmd,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Settings, address::sibling, settings::Role};

/// After how long an idle connection is probed by the kernel, and how often then.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Opens connections to the server that takes writes now.
#[derive(Clone)]
pub(super) struct Topology {
    settings: Arc<Settings>,
    target: Target,
}

#[derive(Clone)]
enum Target {
    /// This server.
    Server(ConnectionAddr),
    /// Whomever the sentinels name. The number is that of the sentinel which answered last.
    Master(Arc<AtomicUsize>),
}

impl Topology {
    /// The server at `place`.
    pub(super) const fn server(settings: Arc<Settings>, place: ConnectionAddr) -> Self {
        Self { settings, target: Target::Server(place) }
    }

    /// The master of the sentinels at the places of `settings`.
    pub(super) fn master(settings: Arc<Settings>) -> Self {
        Self { settings, target: Target::Master(Arc::default()) }
    }

    /// A new connection, logged in. `closed` is cancelled as soon as the other side closes it. Sets no deadline.
    pub(super) async fn dial(&self, closed: CancellationToken) -> RedisResult<MultiplexedConnection> {
        match &self.target {
            Target::Server(place) => dial(&self.settings, place, Role::Server, closed).await,
            Target::Master(last) => {
                let place = self.ask_sentinels(last).await?;
                let mut connection = dial(&self.settings, &place, Role::Server, closed).await?;
                // In the middle of a failover sentinels still name the old master, or already the new one.
                let role: Vec<Value> = cmd("ROLE").query_async(&mut connection).await?;
                match role.first() {
                    Some(Value::BulkString(role)) if role == b"master" => Ok(connection),
                    Some(_) | None => Err(failed("the master that the sentinels name is a replica")),
                }
            }
        }
    }

    /// Where the master is, from the first sentinel that knows, beginning with the one that knew last.
    async fn ask_sentinels(&self, last: &AtomicUsize) -> RedisResult<ConnectionAddr> {
        let sentinels = self.settings.places();
        // One that is frozen must leave time for the others, and for the master.
        let share = u32::try_from(sentinels.len()).unwrap_or(u32::MAX).saturating_add(1);
        let patience = self.settings.operation_timeout() / share;
        let begin = last.load(Relaxed);
        let mut causes = String::new();
        for (at, sentinel) in sentinels.iter().enumerate().cycle().skip(begin).take(sentinels.len()) {
            let cause = match timeout(patience, self.ask_sentinel(sentinel)).await {
                Ok(Ok(Some(place))) => {
                    last.store(at, Relaxed);
                    return Ok(place);
                }
                Ok(Ok(None)) => "it knows no such master".to_owned(),
                Ok(Err(error)) => error.to_string(),
                Err(late) => late.to_string(),
            };
            // Writing to a string cannot fail.
            let _ = write!(causes, "; {sentinel}: {cause}");
        }
        Err(failed(&format!("no sentinel names the master{causes}")))
    }

    async fn ask_sentinel(&self, sentinel: &ConnectionAddr) -> RedisResult<Option<ConnectionAddr>> {
        let closed = CancellationToken::new();
        let mut connection = dial(&self.settings, sentinel, Role::Sentinel, closed).await?;
        let mut ask = cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(self.settings.sentinel_master());
        let named: Option<(String, u16)> = ask.query_async(&mut connection).await?;
        Ok(named.map(|(host, port)| sibling(sentinel, &host, port)))
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
