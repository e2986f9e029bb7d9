//! A lane: one connection to Redis that many callers share, replaced when it fails. Every call ends within the
//! operation timeout, waiting for a connection included, and fails at once while Redis is known to be away.
//!
//! Commands that take long, or block, belong in a lane of their own: on one connection every answer waits for those
//! before it.

use std::{io, sync::Arc, time::Duration};

use redis::{Cmd, FromRedisValue, Pipeline, RedisError, RedisResult, ToRedisArgs, Value};
use tokio::{
    sync::{Notify, watch},
    task::yield_now,
    time::{Instant, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Settings,
    link::{Connection, Keeper, Link, Request},
    script::{Script, is_unknown_script},
    topology::Topology,
};
use crate::base::Unavailable;

/// One shared connection. Clones share it too; it is closed with the last of them.
#[derive(Clone)]
pub struct Lane(Arc<Inner>);

struct Inner {
    dependency: &'static str,
    patience: Duration,
    link: watch::Receiver<Link>,
    wanted: Arc<Notify>,
    _keeper: DropGuard,
}

/// Whether a request may be sent once more when its connection broke and nobody knows whether it arrived.
#[derive(Clone, Copy)]
enum Again {
    Allowed,
    Forbidden,
}

impl Lane {
    /// Starts connecting in the background: the caller must be inside a Tokio runtime. `dependency` is what errors
    /// call this Redis: `store`, `gateway`.
    #[must_use]
    pub fn open(settings: &Settings, dependency: &'static str) -> Self {
        let patience = settings.operation_timeout();
        let (sender, link) = watch::channel(Link::Soon);
        let wanted = Arc::new(Notify::new());
        let topology = Topology::new(settings.clone());
        let keeper = Keeper { topology, patience, dependency, link: sender, wanted: Arc::clone(&wanted) };
        let stop = CancellationToken::new();
        tokio::spawn(keeper.run(stop.clone()));
        Self(Arc::new(Inner { dependency, patience, link, wanted, _keeper: stop.drop_guard() }))
    }

    /// The answer to `command`, which is sent at most once.
    pub async fn run<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Unavailable> {
        self.ask(Request::One(command), Again::Forbidden).await
    }

    /// The answer to `command`, which changes nothing: it is sent once more where the connection broke.
    pub async fn read<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Unavailable> {
        self.ask(Request::One(command), Again::Allowed).await
    }

    /// The answers to `pipeline`, which is sent at most once.
    pub async fn pipe<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Unavailable> {
        self.ask(Request::Many(pipeline), Again::Forbidden).await
    }

    /// The answers to `pipeline`, which changes nothing: it is sent once more where the connection broke.
    pub async fn read_pipe<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, Unavailable> {
        self.ask(Request::Many(pipeline), Again::Allowed).await
    }

    /// The answer to `command`, which Redis may hold back for as long as `wait`: `XREAD BLOCK`.
    pub async fn block<T: FromRedisValue>(&self, command: &Cmd, wait: Duration) -> Result<T, Unavailable> {
        let until = Instant::now() + wait + self.0.patience;
        self.once(Request::One(command), until).await.map_err(|error| self.unavailable(error))
    }

    /// The answer of `script`, which runs at most once.
    pub async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[impl ToRedisArgs],
        args: &[impl ToRedisArgs],
    ) -> Result<T, Unavailable> {
        let until = Instant::now() + self.0.patience;
        let by_hash = script.by_hash(keys, args);
        let answer = match self.once(Request::One(&by_hash), until).await {
            Err(error) if is_unknown_script(&error) => {
                self.once(Request::One(&script.by_source(keys, args)), until).await
            }
            answer => answer,
        };
        answer.map_err(|error| self.unavailable(error))
    }

    /// The answers to the commands of `pipeline`, which is sent at most once, each with its own error.
    pub(super) async fn pipe_each(
        &self,
        mut pipeline: Pipeline,
    ) -> Result<Vec<RedisResult<Value>>, Unavailable> {
        let until = Instant::now() + self.0.patience;
        let each = async {
            let connection = self.connection(until).await?;
            let request = Request::Many(pipeline.ignore_errors());
            let answers: Vec<RedisResult<Value>> = connection.ask(request, until).await?;
            answers
                .iter()
                .filter_map(|answer| answer.as_ref().err())
                .for_each(|error| connection.judge(error));
            Ok(answers)
        };
        each.await.map_err(|error| self.unavailable(error))
    }

    /// How long a call may take.
    pub(super) fn patience(&self) -> Duration {
        self.0.patience
    }

    /// `cause`, as the caller is to see it.
    pub(super) fn unavailable(&self, cause: RedisError) -> Unavailable {
        Unavailable::new(self.0.dependency, cause)
    }

    async fn ask<T: FromRedisValue>(&self, request: Request<'_>, again: Again) -> Result<T, Unavailable> {
        let until = Instant::now() + self.0.patience;
        let answer = match (self.once(request, until).await, again) {
            (Err(error), Again::Allowed) if error.is_connection_dropped() => self.once(request, until).await,
            (answer, Again::Allowed | Again::Forbidden) => answer,
        };
        answer.map_err(|error| self.unavailable(error))
    }

    async fn once<T: FromRedisValue>(&self, request: Request<'_>, until: Instant) -> RedisResult<T> {
        self.connection(until).await?.ask(request, until).await
    }

    async fn connection(&self, until: Instant) -> RedisResult<Connection> {
        if let Link::Up(connection) = &*self.0.link.borrow()
            && !connection.is_gone()
        {
            return Ok(connection.clone());
        }
        timeout_at(until, self.next_connection())
            .await
            .unwrap_or_else(|_late| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
    }

    async fn next_connection(&self) -> RedisResult<Connection> {
        let mut link = self.0.link.clone();
        loop {
            let now = link.borrow_and_update().clone();
            match now {
                Link::Up(connection) if !connection.is_gone() => return Ok(connection),
                Link::Up(_) => {}
                Link::Soon => self.0.wanted.notify_one(),
                Link::Down(cause) => {
                    // Callers that try again and again must leave the keeper room to run.
                    yield_now().await;
                    return Err(cause);
                }
            }
            if link.changed().await.is_err() {
                // Only where the runtime is shutting down, for the keeper lives as long as this lane.
                return Err(io::Error::from(io::ErrorKind::NotConnected).into());
            }
        }
    }
}
