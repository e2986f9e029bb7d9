//! One connection and the task that keeps it: it connects, notices that a connection has died, gone silent or leads
//! to a server that takes no writes, and replaces it. Callers never connect themselves.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ServerErrorKind,
    aio::MultiplexedConnection, from_redis_value,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    told::told,
    topology::{Dialed, Topology},
};

/// How long a connection may be idle before it is asked whether it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// After a failed attempt, calls fail at once for so long; then the next one makes the keeper try again.
const PAUSE: Duration = Duration::from_millis(50);
/// How often the keeper tries while nobody calls.
const RETRY: Duration = Duration::from_millis(500);

/// What callers can do now.
#[derive(Clone)]
pub(super) enum Link {
    /// Use this connection.
    Up(Connection),
    /// Wait: a connection is being made, or will be as soon as somebody wants one.
    Soon,
    /// Give up: an attempt has just failed.
    Down(RedisError),
}

/// What is asked of a connection.
#[derive(Clone, Copy)]
pub(super) enum Request<'a> {
    /// One command.
    One(&'a Cmd),
    /// Several, in one go.
    Many(&'a Pipeline),
}

/// A connection that many callers share.
#[derive(Clone)]
pub(super) struct Connection {
    wire: MultiplexedConnection,
    health: Arc<Health>,
}

struct Health {
    /// Cancelled when it must not be used any more.
    gone: CancellationToken,
    /// Why, if the server itself said so.
    refusal: OnceLock<RedisError>,
    waiting: AtomicUsize,
    born: Instant,
    /// Milliseconds from `born` to the last answer.
    answered: AtomicU64,
    #[expect(dead_code, reason = "ends with the connection")]
    work: Option<AbortOnDropHandle<()>>,
}

impl Connection {
    fn new(Dialed { wire, work }: Dialed, gone: CancellationToken) -> Self {
        let (refusal, waiting, answered) = (OnceLock::new(), AtomicUsize::new(0), AtomicU64::new(0));
        let health = Health { gone, refusal, waiting, born: Instant::now(), answered, work };
        Self { wire, health: Arc::new(health) }
    }

    /// Whether it must not be used any more.
    pub(super) fn is_gone(&self) -> bool {
        self.health.gone.is_cancelled()
    }

    /// Sends `request` and waits for the answer, no longer than `until`. A connection that fails, that refuses to
    /// serve us, or on which nothing at all was heard meanwhile is replaced for those who come after.
    pub(super) async fn ask<T: FromRedisValue>(
        &mut self,
        request: Request<'_>,
        until: Instant,
    ) -> RedisResult<T> {
        let begun = self.health.age();
        let _waiting = Waiting::on(&self.health);
        let wire = &mut self.wire;
        let answer = timeout_at(until, async {
            match request {
                // As `query_async` does it, without a box for the future of every call.
                Request::One(command) => {
                    let answer = wire.send_packed_command(command).await?;
                    Ok(from_redis_value(answer.extract_error()?)?)
                }
                Request::Many(pipeline) => pipeline.query_async(wire).await,
            }
        });
        match answer.await {
            Ok(Ok(answer)) => {
                self.health.answered.store(self.health.age(), Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => {
                self.judge(&error);
                Err(error)
            }
            Err(_late) => {
                if self.health.answered.load(Relaxed) <= begun {
                    self.health.gone.cancel();
                }
                Err(io::Error::from(io::ErrorKind::TimedOut).into())
            }
        }
    }

    /// Gives the connection up if `error`, an answer that came over it, says that it is of no use.
    pub(super) fn judge(&self, error: &RedisError) {
        if error.is_unrecoverable_error() || error.is_io_error() {
            self.health.gone.cancel();
        } else if is_refusal(error) {
            self.health.refusal.get_or_init(|| error.clone());
            self.health.gone.cancel();
        } else {
            self.health.answered.store(self.health.age(), Relaxed);
        }
    }

    /// How long until it is time for a heartbeat, provided that nothing is heard meanwhile. A connection on which
    /// somebody waits needs none: the caller will notice.
    fn until_heartbeat(&self) -> Duration {
        let silent = self.health.age().saturating_sub(self.health.answered.load(Relaxed));
        match self.health.waiting.load(Relaxed) {
            0 => HEARTBEAT.saturating_sub(Duration::from_millis(silent)),
            _ => HEARTBEAT,
        }
    }
}

impl Health {
    /// In milliseconds. The connection itself is the first answer.
    fn age(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Counts a caller as long as it waits, also when it gives up.
struct Waiting<'a>(&'a Health);

impl<'a> Waiting<'a> {
    fn on(health: &'a Health) -> Self {
        health.waiting.fetch_add(1, Relaxed);
        Self(health)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// Whether the server says that it serves no writes now: after a failover the same address may lead to a replica.
fn is_refusal(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown
        )
    )
}

/// Keeps one connection.
pub(super) struct Keeper {
    /// Where connections come from.
    pub(super) topology: Topology,
    /// How long connecting, or an answer to a heartbeat, may take.
    pub(super) patience: Duration,
    /// Whose connection it is, for the log.
    pub(super) dependency: &'static str,
    /// Tells callers.
    pub(super) link: watch::Sender<Link>,
    /// Callers tell that they wait.
    pub(super) wanted: Arc<Notify>,
}

impl Keeper {
    /// Works until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled_owned(self.keep()).await;
    }

    async fn keep(self) {
        let mut failures = 0_u32;
        loop {
            match self.connect().await {
                Ok(mut connection) => {
                    if failures > 1 {
                        tracing::info!(dependency = self.dependency, "Redis is back");
                    }
                    failures = 0;
                    self.link.send_replace(Link::Up(connection.clone()));
                    self.watch_over(&mut connection).await;
                    tracing::warn!(dependency = self.dependency, "a Redis connection failed, making another");
                    self.link.send_replace(Link::Soon);
                    if let Some(refusal) = connection.health.refusal.get() {
                        self.rest(refusal).await;
                    }
                }
                Err(error) => {
                    failures = failures.saturating_add(1);
                    // One failure may be bad luck: a server that was closing all its connections.
                    if failures > 1 {
                        self.wait_out(failures, &error).await;
                    }
                }
            }
        }
    }

    /// Lets calls fail, until one of them or the time asks for another attempt.
    async fn wait_out(&self, failures: u32, error: &RedisError) {
        if failures == 2 {
            tracing::warn!(dependency = self.dependency, error = told(error), "Redis is away");
        }
        self.rest(error).await;
        drop(timeout(RETRY, self.wanted.notified()).await);
    }

    async fn connect(&self) -> RedisResult<Connection> {
        let gone = CancellationToken::new();
        let until = Instant::now() + self.patience;
        let Ok(dialed) = timeout_at(until, self.topology.dial(gone.clone())).await else {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        };
        let mut connection = Connection::new(dialed?, gone);
        // A server that is still loading its data lets us in and then serves nothing.
        connection.ask::<()>(Request::One(&redis::cmd("PING")), until).await?;
        Ok(connection)
    }

    /// Lets calls fail at once for a moment: a server that is away is not asked by every one of them.
    async fn rest(&self, cause: &RedisError) {
        self.link.send_replace(Link::Down(cause.clone()));
        sleep(PAUSE).await;
        self.link.send_replace(Link::Soon);
    }

    /// Returns when `connection` must be replaced.
    async fn watch_over(&self, connection: &mut Connection) {
        let ping = redis::cmd("PING");
        while !connection.is_gone() {
            let wait = connection.until_heartbeat();
            if wait.is_zero() {
                let until = Instant::now() + self.patience.min(HEARTBEAT);
                // How it ended is written in the connection's health.
                drop(connection.ask::<()>(Request::One(&ping), until).await);
            } else {
                drop(timeout(wait, connection.health.gone.cancelled()).await);
            }
        }
    }
}
