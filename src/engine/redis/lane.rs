//! A lane: one connection to Redis that many callers share, replaced when it fails. Every call ends within the
//! operation timeout, waiting for a connection included, and fails at once while Redis is known to be away.
//!
//! Commands that take long, or block, belong in a lane of their own: on one connection every answer waits for those
//! before it.

use std::{io, sync::Arc, time::Duration};

use redis::{Cmd, FromRedisValue, Pipeline, RedisResult, Value, cmd};
use tokio::{
    sync::{Notify, watch},
    task::yield_now,
    time::{Instant, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    call::{Call, What},
    link::{Connection, Keeper, Link, Request},
    script::is_unknown_script,
    topology::Topology,
};

/// One shared connection. Clones share it too; it is closed with the last of them.
#[derive(Clone)]
pub(super) struct Lane(Arc<Inner>);

struct Inner {
    patience: Duration,
    link: watch::Receiver<Link>,
    wanted: Arc<Notify>,
    _keeper: DropGuard,
}

/// Whether a request may be sent once more when its connection broke and nobody knows whether it arrived.
#[derive(Clone, Copy)]
pub(super) enum Again {
    Allowed,
    Forbidden,
}

impl Lane {
    /// Starts connecting to `topology` in the background: the caller must be inside a Tokio runtime. `dependency` is
    /// what logs call this Redis: `store`, `gateway`.
    pub(super) fn open(topology: Topology, patience: Duration, dependency: &'static str) -> Self {
        let (sender, link) = watch::channel(Link::Soon);
        let wanted = Arc::new(Notify::new());
        let keeper = Keeper { topology, patience, dependency, link: sender, wanted: Arc::clone(&wanted) };
        let stop = CancellationToken::new();
        tokio::spawn(keeper.run(stop.clone()));
        Self(Arc::new(Inner { patience, link, wanted, _keeper: stop.drop_guard() }))
    }

    /// The answer to `call`. `asking`: it is for a slot that is on its way to this server.
    pub(super) async fn call(
        &self,
        call: &Call,
        again: Again,
        asking: bool,
        until: Instant,
    ) -> RedisResult<Value> {
        match &call.what {
            What::Command(command) => self.send(command, again, asking, until).await,
            What::Script(script) => match self.send(&script.by_hash(), again, asking, until).await {
                Err(error) if is_unknown_script(&error) => {
                    self.send(&script.by_source(), again, asking, until).await
                }
                answer => answer,
            },
        }
    }

    /// The answers to `calls`, in one go, each with its own error.
    pub(super) async fn calls(
        &self,
        calls: &[Arc<Call>],
        again: Again,
        until: Instant,
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        let form = |call: &Arc<Call>| match &call.what {
            What::Command(command) => command.clone(),
            What::Script(script) => script.by_hash(),
        };
        let pipeline = commands(calls.iter().map(form));
        let mut answers = match (self.pipe_each(&pipeline, until).await, again) {
            (Err(error), Again::Allowed) if error.is_connection_dropped() => {
                self.pipe_each(&pipeline, until).await?
            }
            (answers, Again::Allowed | Again::Forbidden) => answers?,
        };
        for (call, answer) in calls.iter().zip(&mut answers) {
            if let What::Script(script) = &call.what
                && answer.as_ref().is_err_and(is_unknown_script)
            {
                *answer = self.send(&script.by_source(), again, false, until).await;
            }
        }
        Ok(answers)
    }

    /// The answers to `commands`, which are sent at most once, each with its own error.
    pub(super) async fn pipe_each(
        &self,
        commands: &Pipeline,
        until: Instant,
    ) -> RedisResult<Vec<RedisResult<Value>>> {
        let mut connection = self.connection(until).await?;
        let answers: Vec<RedisResult<Value>> = connection.ask(Request::Many(commands), until).await?;
        answers.iter().filter_map(|answer| answer.as_ref().err()).for_each(|error| connection.judge(error));
        Ok(answers)
    }

    /// How long a call may take.
    pub(super) fn patience(&self) -> Duration {
        self.0.patience
    }

    async fn send(&self, command: &Cmd, again: Again, asking: bool, until: Instant) -> RedisResult<Value> {
        if asking {
            // Good for the next command of the connection, so both go out together.
            let both = commands([cmd("ASKING"), command.clone()]);
            return self.pipe_each(&both, until).await?.pop().unwrap_or(Ok(Value::Nil));
        }
        match (self.once(Request::One(command), until).await, again) {
            (Err(error), Again::Allowed) if error.is_connection_dropped() => {
                self.once(Request::One(command), until).await
            }
            (answer, Again::Allowed | Again::Forbidden) => answer,
        }
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

/// `all` in one go; an error of one does not hide the answers to the others.
pub(super) fn commands(all: impl IntoIterator<Item = Cmd>) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for command in all {
        pipeline.add_command(command);
    }
    pipeline.ignore_errors();
    pipeline
}
