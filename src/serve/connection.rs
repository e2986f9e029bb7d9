//! One connection: HTTP/1.1 or HTTP/2 in clear text, whichever the client speaks first.

use std::{
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{net::TcpStream, select, time::sleep};
use tracing::debug;

use crate::http::{Stop, Surface};

/// How long a client may take to send its first request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may be kept alive without another request's head: longer than the minute for which load
/// balancers usually keep theirs, so that it is they who close an idle one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// The most that a request's head may take. The largest that anybody sends is a bearer token and some trace state.
const HEAD_BYTES: usize = 64 * 1024;

/// An HTTP/2 client that does not answer a ping within this time is gone.
const PING_EVERY: Duration = Duration::from_secs(30);

/// How connections are spoken with.
pub(super) struct Protocol(Builder<TokioExecutor>);

impl Protocol {
    pub(super) fn new() -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        builder.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT).max_buf_size(HEAD_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_EVERY)
            .max_concurrent_streams(200);
        Self(builder)
    }

    /// Answers the requests of one connection until it ends; after `closing` is told, only the one it is in.
    pub(super) async fn converse(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        surface: Arc<Surface>,
        closing: Stop,
    ) {
        // Here is the place for TLS: a handshake between the accepted connection and the first byte of HTTP, under
        // `HEAD_TIMEOUT`.
        // Answers are small and wait for nothing. Fails where the client is gone already, as the next line notices.
        let _ = stream.set_nodelay(true);
        let asked = AtomicBool::new(false);
        let asked = &asked;
        let service = service_fn(move |request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            surface.answer(request, peer)
        });
        let mut connection = pin!(self.0.serve_connection(TokioIo::new(stream), service));
        let mut first_request = pin!(sleep(HEAD_TIMEOUT));
        let (mut waiting, mut open) = (true, true);
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
                // hyper's own head timeout starts only once it knows which HTTP the client speaks.
                () = first_request.as_mut(), if waiting => {
                    waiting = false;
                    if !asked.load(Ordering::Relaxed) {
                        return;
                    }
                }
            }
        }
    }
}
