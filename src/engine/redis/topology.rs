//! Opens connections: to a server, or to the one that the sentinels call the master.

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use futures_util::{future::select_ok, pending, poll};
use redis::{
    AsyncConnectionConfig, ConnectionAddr, PushInfo, PushKind, RedisConnectionInfo, RedisError, RedisResult,
    aio::MultiplexedConnection,
    io::tcp::{
        TcpSettings,
        socket2::{SockRef, TcpKeepalive},
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream, lookup_host},
    task::yield_now,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{Settings, sentinel::Sentinels, settings::Role};

/// After how long an idle connection is probed by the kernel, and how often then.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How many calls may wait to be written. More wait for their turn, which costs each of them more.
const QUEUE: usize = 1024;

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
    pub(super) async fn dial(&self, closed: CancellationToken) -> RedisResult<Dialed> {
        match self {
            Self::Server(settings, place) => dial(settings, place, Role::Server, closed).await,
            Self::Master(sentinels) => sentinels.dial(closed).await,
        }
    }
}

/// A new connection, and what works it: nothing where the library does that itself.
pub(super) struct Dialed {
    pub(super) wire: MultiplexedConnection,
    pub(super) work: Option<AbortOnDropHandle<()>>,
}

/// A new connection to the server at `place`, see [`Topology::dial`].
pub(super) async fn dial(
    settings: &Settings,
    place: &ConnectionAddr,
    role: Role,
    closed: CancellationToken,
) -> RedisResult<Dialed> {
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
        .set_pipeline_buffer_size(QUEUE)
        .set_push_sender(on_push);
    let info = client.get_connection_info();
    match info.addr() {
        ConnectionAddr::Tcp(host, port) => {
            over(reach(host, *port).await?, info.redis_settings(), config).await
        }
        ConnectionAddr::Unix(path) => {
            over(UnixStream::connect(path).await?, info.redis_settings(), config).await
        }
        // TLS is the library's to speak, in a task of its own making.
        ConnectionAddr::TcpTls { .. } | _ => {
            let wire = client.get_multiplexed_async_connection_with_config(&config).await?;
            Ok(Dialed { wire, work: None })
        }
    }
}

/// A connection to a server by this name.
async fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = first_to_answer(lookup_host((host, port)).await?).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&keepalive())?;
    Ok(stream)
}

/// All are asked at once: one that is silent must not use up the time of the others.
async fn first_to_answer(addresses: impl Iterator<Item = SocketAddr>) -> io::Result<TcpStream> {
    let attempts: Vec<_> = addresses.map(|address| Box::pin(TcpStream::connect(address))).collect();
    if attempts.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    select_ok(attempts).await.map(|(stream, _others)| stream)
}

/// Speaks Redis over `stream`.
async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    login: &RedisConnectionInfo,
    config: AsyncConnectionConfig,
) -> RedisResult<Dialed> {
    let (wire, work) = MultiplexedConnection::new_with_config(login, stream, config).await?;
    Ok(Dialed { wire, work: Some(AbortOnDropHandle::new(tokio::spawn(unhurried(work)))) })
}

/// Works a connection. Woken, because there is a call to write or an answer to read, it first lets everybody go on who can:
/// their calls then go out with this one, in one write, and Redis answers them in one. Idle, that costs nothing.
async fn unhurried(work: impl Future<Output = ()>) {
    let mut work = pin!(work);
    while poll!(work.as_mut()).is_pending() {
        pending!();
        yield_now().await;
    }
}

/// What [`reach`] sets, for connections that the library makes: those over TLS.
pub(super) fn tcp_settings() -> TcpSettings {
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive())
}

fn keepalive() -> TcpKeepalive {
    TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE)
}

/// An error of ours that counts as a connection's.
pub(super) fn failed(cause: &str) -> RedisError {
    io::Error::new(io::ErrorKind::NotConnected, cause).into()
}

#[cfg(test)]
mod tests {
    use tokio::{
        net::{TcpListener, TcpSocket},
        time::timeout,
    };

    use super::*;

    #[tokio::test]
    async fn a_silent_address_does_not_hold_the_others_up() {
        let silent = TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = silent.listen(1).unwrap();
        let silent = listener.local_addr().unwrap();
        // Nobody accepts here: once as many wait as may, nobody is answered any more.
        let mut waiting = Vec::new();
        while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(silent)).await {
            waiting.push(stream.unwrap());
        }
        let answering = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addresses = [silent, answering.local_addr().unwrap()];
        let stream = timeout(Duration::from_secs(20), first_to_answer(addresses.into_iter())).await;
        assert_eq!(stream.unwrap().unwrap().peer_addr().unwrap(), addresses[1]);
        assert!(first_to_answer(std::iter::empty()).await.is_err());
    }
}
