//! One server, and our connections to it.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use redis::{ConnectionAddr, RedisResult, Value};
use tokio::time::Instant;

use super::{
    Settings,
    call::Call,
    durable::{Answers, Durable},
    lane::{Again, Lane},
    sentinel::Sentinels,
    topology::{Topology, failed},
};

/// Which of our connections to a server a call goes over: on one connection every answer waits for those before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// What is answered at once.
    Fast,
    /// What takes the server a while.
    Slow,
    /// What the server may hold back.
    Blocking,
}

/// How a call is made.
#[derive(Clone, Copy)]
pub(super) enum How {
    /// It changes nothing: sent once more where the connection broke.
    Read(Way),
    /// Sent at most once, and answered once enough replicas have it.
    Write,
}

/// A server. Each connection is made on first use, and kept up from then on; all are closed with the last owner.
pub(super) struct Node {
    /// Where it is; nothing for a master that sentinels name.
    place: Option<ConnectionAddr>,
    topology: Topology,
    dependency: &'static str,
    patience: Duration,
    replicas: u64,
    lanes: [OnceLock<Lane>; 3],
    durable: OnceLock<Durable>,
}

impl Node {
    /// The server at `place`.
    pub(super) fn at(settings: &Arc<Settings>, place: ConnectionAddr, dependency: &'static str) -> Self {
        let topology = Topology::Server(Arc::clone(settings), place.clone());
        Self::over(settings, topology, Some(place), dependency)
    }

    /// The master that the sentinels of `settings` name.
    pub(super) fn master(settings: &Arc<Settings>, dependency: &'static str) -> Self {
        let topology = Topology::Master(Sentinels::open(Arc::clone(settings)));
        Self::over(settings, topology, None, dependency)
    }

    fn over(
        settings: &Settings,
        topology: Topology,
        place: Option<ConnectionAddr>,
        dependency: &'static str,
    ) -> Self {
        let (patience, replicas) = (settings.operation_timeout(), settings.min_replicas());
        Self {
            place,
            topology,
            dependency,
            patience,
            replicas,
            lanes: Default::default(),
            durable: OnceLock::new(),
        }
    }

    /// Where it is; nothing for a master that sentinels name.
    pub(super) const fn place(&self) -> Option<&ConnectionAddr> {
        self.place.as_ref()
    }

    /// Starts connecting, before anybody asks.
    pub(super) fn warm(&self, way: Way) {
        self.lane(way);
        self.durable();
    }

    /// The answer to `call`. `asking`: it is for a slot that is on its way to this server.
    pub(super) async fn call(
        &self,
        how: How,
        call: &Arc<Call>,
        asking: bool,
        until: Instant,
    ) -> RedisResult<Value> {
        match (how, self.durable()) {
            (How::Read(way), _) => self.lane(way).call(call, Again::Allowed, asking, until).await,
            (How::Write, None) => self.lane(Way::Fast).call(call, Again::Forbidden, asking, until).await,
            (How::Write, Some(durable)) => {
                let mut answers = durable.calls(vec![Arc::clone(call)], asking, until).await?;
                answers.pop().unwrap_or_else(|| Err(failed("an answer is missing")))
            }
        }
    }

    /// The answers to `calls`, in one go and in order, each with its own error.
    pub(super) async fn calls(&self, how: How, calls: &[Arc<Call>], until: Instant) -> RedisResult<Answers> {
        match (how, self.durable()) {
            (How::Read(way), _) => self.lane(way).calls(calls, Again::Allowed, until).await,
            (How::Write, None) => self.lane(Way::Fast).calls(calls, Again::Forbidden, until).await,
            (How::Write, Some(durable)) => durable.calls(calls.to_vec(), false, until).await,
        }
    }

    fn lane(&self, way: Way) -> &Lane {
        let [fast, slow, blocking] = &self.lanes;
        let lane = match way {
            Way::Fast => fast,
            Way::Slow => slow,
            Way::Blocking => blocking,
        };
        lane.get_or_init(|| self.open())
    }

    /// Nothing where no replica has to be waited for.
    fn durable(&self) -> Option<&Durable> {
        (self.replicas > 0).then(|| self.durable.get_or_init(|| Durable::open(self.open(), self.replicas)))
    }

    fn open(&self) -> Lane {
        Lane::open(self.topology.clone(), self.patience, self.dependency)
    }
}
