//! A cluster: which server has which slots, kept up to date, and what to do when a server says that it has not.
//!
//! `survey` keeps the map.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use redis::{ConnectionAddr, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value, cmd};
use tokio::{
    sync::{Notify, watch},
    task::yield_now,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Settings, Way,
    address::{sibling, with_port},
    call::Call,
    durable::Answers,
    node::{How, Node},
    servers::together,
    slots::Slots,
    topology::failed,
};

/// The least time between two looks, and how long a call waits that the cluster cannot serve just now.
pub(super) const PAUSE: Duration = Duration::from_millis(40);
/// How often a call goes where it is sent before it takes a breath: two servers may send it to and fro for a moment.
const HOPS: usize = 3;

/// Errors that say that nothing was done: the cluster is changing, or the server has only just come up or stepped down.
const WAIT_FOR: [ServerErrorKind; 5] = [
    ServerErrorKind::TryAgain,
    ServerErrorKind::ClusterDown,
    ServerErrorKind::ReadOnly,
    ServerErrorKind::MasterDown,
    ServerErrorKind::BusyLoading,
];

/// The servers of a cluster.
pub(super) struct Cluster {
    known: Arc<Known>,
    _survey: DropGuard,
}

pub(super) struct Known {
    pub(super) settings: Arc<Settings>,
    pub(super) dependency: &'static str,
    /// Every server that we have connections to, by place.
    pub(super) nodes: Mutex<HashMap<String, Arc<Node>>>,
    pub(super) map: watch::Sender<Map>,
    /// Calls tell that the map is wrong.
    pub(super) wanted: Notify,
}

#[derive(Clone)]
pub(super) enum Map {
    /// Nobody has been asked yet.
    Soon,
    /// Nobody has ever answered.
    Away(RedisError),
    /// The last answer.
    Is(Arc<Slots>),
}

/// What to do about an answer that is none.
enum Next {
    /// Ask this server, which may have to be told that the slot is on its way.
    Ask(Arc<Node>, bool),
    /// Wait a moment and ask whoever has the slot then.
    Wait,
    /// Give up.
    Fail,
}

impl Cluster {
    /// Starts looking in the background: the caller must be inside a Tokio runtime.
    pub(super) fn open(settings: Arc<Settings>, dependency: &'static str) -> Self {
        let known = Arc::new(Known {
            settings,
            dependency,
            nodes: Mutex::default(),
            map: watch::Sender::new(Map::Soon),
            wanted: Notify::new(),
        });
        let stop = CancellationToken::new();
        let survey = Arc::clone(&known);
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move { survey.keep_surveying().await }));
        Self { known, _survey: stop.drop_guard() }
    }

    /// The answer to `call` of the server that has its slot.
    pub(super) async fn call(&self, how: How, call: &Arc<Call>, until: Instant) -> RedisResult<Value> {
        let node = self.known.node_of(call.slot, until).await?;
        let answer = node.call(how, call, false, until).await;
        match answer {
            Err(error) => self.follow(how, call, (node, error), until).await,
            answer => answer,
        }
    }

    /// How many of the servers that have slots do not serve, and how many there are; an error where none does. Asked
    /// for a key, since a server of a cluster that is down answers a `PING` all the same.
    pub(super) async fn silent(&self, until: Instant) -> RedisResult<(usize, usize)> {
        let key = format!("{}ready", self.known.settings.key_prefix());
        let mut exists = cmd("EXISTS");
        exists.arg(&key);
        let call = Arc::new(Call::command(key, exists));
        let servers = self.servers(until).await?;
        let asked = servers.iter().map(|node| node.call(How::Read(Way::Fast), &call, false, until));
        let answers = join_all(asked).await;
        let is_alive = |answer: &&RedisResult<Value>| answer.as_ref().err().is_none_or(is_redirection);
        let silent = servers.len() - answers.iter().filter(is_alive).count();
        match answers.into_iter().find_map(Result::err) {
            Some(error) if silent == servers.len() => Err(error),
            Some(_) | None => Ok((silent, servers.len())),
        }
    }

    /// The servers that have slots now.
    pub(super) async fn servers(&self, until: Instant) -> RedisResult<Vec<Arc<Node>>> {
        self.known.node_of(0, until).await?;
        match &*self.known.map.borrow() {
            Map::Is(slots) => Ok(slots.servers()),
            Map::Soon | Map::Away(_) => Err(failed("no server of the cluster is known")),
        }
    }

    /// The server that has `slot`.
    pub(super) async fn server_of(&self, slot: u16, until: Instant) -> RedisResult<Arc<Node>> {
        self.known.node_of(slot, until).await
    }

    /// One answer a call, in order; those to one server in one go.
    pub(super) async fn calls(&self, how: How, calls: &[Arc<Call>], until: Instant) -> Answers {
        let mut groups: Vec<(Arc<Node>, Vec<usize>)> = Vec::new();
        let mut answers: Vec<(Option<Arc<Node>>, RedisResult<Value>)> = Vec::with_capacity(calls.len());
        for (at, call) in calls.iter().enumerate() {
            let node = match self.known.node_of(call.slot, until).await {
                Ok(node) => node,
                Err(error) => {
                    answers.push((None, Err(error)));
                    continue;
                }
            };
            answers.push((Some(Arc::clone(&node)), Err(failed("an answer is missing"))));
            match groups.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &node)) {
                Some((_, members)) => members.push(at),
                None => groups.push((node, vec![at])),
            }
        }
        let asked = groups.into_iter().map(async |(node, members)| {
            let group: Vec<Arc<Call>> = members.iter().filter_map(|at| calls.get(*at)).cloned().collect();
            (members, together(&node, how, &group, until).await)
        });
        for (members, group) in join_all(asked).await {
            for (at, answer) in members.into_iter().zip(group) {
                if let Some((_, place)) = answers.get_mut(at) {
                    *place = answer;
                }
            }
        }
        let followed = calls.iter().zip(answers).map(async |(call, answer)| match answer {
            (Some(node), Err(error)) => self.follow(how, call, (node, error), until).await,
            (_, answer) => answer,
        });
        join_all(followed).await
    }

    /// Goes on from a server that gave an error instead of an answer, as long as it is certain that nothing was done.
    async fn follow(
        &self,
        how: How,
        call: &Arc<Call>,
        (mut node, mut error): (Arc<Node>, RedisError),
        until: Instant,
    ) -> RedisResult<Value> {
        for hop in 0_usize.. {
            let next = self.known.next(&node, &error);
            if hop >= HOPS || matches!(next, Next::Wait) {
                let later = Instant::now() + PAUSE;
                if later >= until {
                    break;
                }
                sleep_until(later).await;
            }
            let asking;
            (node, asking) = match next {
                Next::Ask(node, asking) => (node, asking),
                Next::Wait => (self.known.node_of(call.slot, until).await?, false),
                Next::Fail => break,
            };
            error = match node.call(how, call, asking, until).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
        }
        Err(error)
    }
}

/// Whether another server has the slot: whoever knows that takes part in the cluster.
fn is_redirection(error: &RedisError) -> bool {
    let kind = error.kind();
    kind == ErrorKind::Server(ServerErrorKind::Moved) || kind == ErrorKind::Server(ServerErrorKind::Ask)
}

impl Known {
    /// What to do about `error`, the answer of `node`.
    fn next(&self, node: &Node, error: &RedisError) -> Next {
        let target = || {
            let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
            self.neighbour(node, host, port.parse().ok()?)
        };
        let kind = error.kind();
        if kind == ErrorKind::Server(ServerErrorKind::Ask) {
            return target().map_or(Next::Wait, |node| Next::Ask(node, true));
        }
        if kind == ErrorKind::Server(ServerErrorKind::Moved) {
            self.wanted.notify_one();
            return target().map_or(Next::Wait, |node| Next::Ask(node, false));
        }
        if WAIT_FOR.iter().any(|wait| kind == ErrorKind::Server(*wait)) {
            self.wanted.notify_one();
            return Next::Wait;
        }
        if error.is_io_error() {
            self.wanted.notify_one();
        }
        Next::Fail
    }

    /// The server that `node` calls `host` and `port`. No host means the same as its own.
    fn neighbour(&self, node: &Node, host: &str, port: u16) -> Option<Arc<Node>> {
        let place = node.place()?;
        Some(self.node_at(if host.is_empty() { with_port(place, port) } else { sibling(place, host, port) }))
    }

    /// The server at `place`, with the connections that we have to it.
    pub(super) fn node_at(&self, place: ConnectionAddr) -> Arc<Node> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let node = nodes
            .entry(place.to_string())
            .or_insert_with(|| Arc::new(Node::at(&self.settings, place, self.dependency)));
        Arc::clone(node)
    }

    /// The server that has `slot`, waiting for one until `until`.
    async fn node_of(&self, slot: u16, until: Instant) -> RedisResult<Arc<Node>> {
        if let Map::Is(slots) = &*self.map.borrow()
            && let Some(node) = slots.node(slot)
        {
            return Ok(Arc::clone(node));
        }
        let mut map = self.map.subscribe();
        loop {
            self.wanted.notify_one();
            let now = map.borrow_and_update().clone();
            match now {
                Map::Soon => {}
                Map::Away(error) => {
                    // Callers that try again and again must leave the survey room to run.
                    yield_now().await;
                    return Err(error);
                }
                Map::Is(slots) => {
                    if let Some(node) = slots.node(slot) {
                        return Ok(Arc::clone(node));
                    }
                }
            }
            if !matches!(timeout_at(until, map.changed()).await, Ok(Ok(()))) {
                return Err(failed("no server of the cluster has this slot"));
            }
        }
    }
}
