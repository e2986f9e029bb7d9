//! One connection, from the accepted socket to its end: perhaps a PROXY header, perhaps TLS, then HTTP/1.1 or HTTP/2,
//! whichever the client speaks first. A client that is slow, silent or greedy loses the connection.

use std::{convert::Infallible, net::IpAddr, pin::pin, sync::Arc};

use hyper::{
    Request, Response,
    body::Incoming,
    header::{HeaderValue, STRICT_TRANSPORT_SECURITY},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use ipnet::IpNet;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    select,
    time::{Instant, sleep_until, timeout_at},
};
use tracing::debug;

use super::{
    crowd::{Answering, Patience, Pulse},
    limits::{
        CONNECTION_WINDOW, HEAD_BYTES, PING_EVERY, RESET_BEFORE_ACCEPTED, RESET_FOR_ERRORS, STREAM_WINDOW,
        STREAMS,
    },
    proxy_protocol::{self, BadHeader},
    tls::Tls,
};
use crate::http::{Answer, Peer, Stop, Surface};

/// Two years: browsers that have been here once come back with TLS.
const ALWAYS_TLS: HeaderValue = HeaderValue::from_static("max-age=63072000");

/// Why a connection did not come to HTTP.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Header(#[from] BadHeader),
    #[error("the TLS handshake failed")]
    Handshake(#[from] std::io::Error),
    #[error("no request within the head timeout")]
    Late(#[from] tokio::time::error::Elapsed),
}

/// How the connections of one listener are met.
pub(super) struct Reception {
    pub(super) surface: Arc<Surface>,
    pub(super) tls: Option<Arc<Tls>>,
    /// Who has to say whom a connection comes from.
    pub(super) announcing: Arc<[IpNet]>,
    http: Builder<TokioExecutor>,
}

impl Reception {
    pub(super) fn new(surface: Surface, tls: Option<Arc<Tls>>, announcing: Arc<[IpNet]>) -> Self {
        let mut http = Builder::new(TokioExecutor::new());
        http.http1()
            // `converse` watches over both HTTPs alike.
            .header_read_timeout(None)
            .max_buf_size(usize::from(HEAD_BYTES));
        http.http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(HEAD_BYTES.into())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_pending_accept_reset_streams(RESET_BEFORE_ACCEPTED)
            .max_local_error_reset_streams(RESET_FOR_ERRORS);
        Self { surface: Arc::new(surface), tls, announcing, http }
    }

    /// Answers the requests of one connection until it ends; after `closing` is told, only those that it is in.
    pub(super) async fn meet(&self, stream: TcpStream, peer: IpAddr, pulse: Arc<Pulse>, closing: Stop) {
        // Answers are small and wait for nothing. Fails where the client is gone already, as the next line notices.
        let _ = stream.set_nodelay(true);
        let begins_by = Instant::now() + pulse.limits().head;
        let met = select! {
            biased;
            met = timeout_at(begins_by, self.greet(stream, peer)) => met.unwrap_or_else(|late| Err(late.into())),
            () = closing.cancelled() => return,
        };
        let guest = |peer| Guest { peer, pulse, begins_by };
        match met {
            Ok((Stream::Clear(stream), peer)) => self.converse(stream, guest(peer), closing).await,
            Ok((Stream::Tls(stream), peer)) => self.converse(*stream, guest(peer), closing).await,
            Err(refusal) => debug!(cause = crate::base::chain(&refusal), "connection refused"),
        }
    }

    /// All that comes before HTTP.
    async fn greet(&self, mut stream: TcpStream, peer: IpAddr) -> Result<(Stream, Peer), Refusal> {
        let mut told = Peer::direct(peer);
        let proxy = peer.to_canonical();
        if self.announcing.iter().any(|network| network.contains(&proxy)) {
            told = proxy_protocol::read(&mut stream, proxy).await?;
        }
        let Some(tls) = &self.tls else { return Ok((Stream::Clear(stream), told)) };
        let stream = tls.acceptor().accept(stream).await?;
        Ok((Stream::Tls(Box::new(stream)), told))
    }

    async fn converse<S>(&self, stream: S, guest: Guest, closing: Stop)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Guest { peer, pulse, begins_by } = guest;
        let service = service_fn(|request| self.answer(request, peer, &pulse));
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let mut watch = pin!(sleep_until(begins_by));
        let (mut open, mut told_to_go) = (true, false);
        loop {
            select! {
                biased;
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        debug!(cause = %error, "connection broke off");
                    }
                    return;
                }
                () = closing.cancelled(), if open => {
                    open = false;
                    connection.as_mut().graceful_shutdown();
                }
                // hyper's own timeouts are for HTTP/1.1 alone, and start only once it knows which HTTP the client speaks.
                () = watch.as_mut() => {
                    let next = match pulse.patience() {
                        Patience::Left(left) => left,
                        Patience::Idle if !told_to_go => {
                            told_to_go = true;
                            connection.as_mut().graceful_shutdown();
                            pulse.limits().farewell
                        }
                        Patience::Idle | Patience::Over => return,
                    };
                    watch.as_mut().reset(Instant::now() + next);
                }
            }
        }
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        pulse: &Arc<Pulse>,
    ) -> impl Future<Output = Result<Response<Answering<Answer>>, Infallible>> + Send + use<> {
        let (visit, welcome) = pulse.request();
        let (surface, secure) = (self.surface.clone(), self.tls.is_some());
        let request = request.map(|body| visit.asking(body));
        async move {
            let mut answer = match surface.refusal(&request, welcome) {
                Some(refusal) => refusal,
                None => surface.answer(request, peer).await?,
            };
            if secure {
                answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, ALWAYS_TLS);
            }
            Ok(answer.map(|body| visit.answering(body)))
        }
    }
}

/// Who a conversation is with.
struct Guest {
    peer: Peer,
    pulse: Arc<Pulse>,
    /// When its first request's head must be here.
    begins_by: Instant,
}

enum Stream {
    Clear(TcpStream),
    /// Boxed for its size: most connections are not of this kind, or are of no other.
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
}
