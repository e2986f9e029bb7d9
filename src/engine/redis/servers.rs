//! The servers that together are one Redis: one of them, or a cluster. A call goes to the server that has its key, and
//! follows where the cluster sends it, all within the operation timeout.

use std::{sync::Arc, time::Duration};

use redis::{FromRedisValue, RedisError, RedisResult, Value, cmd, from_redis_value};
use tokio::time::Instant;

use super::{
    Settings, Way,
    call::Call,
    cluster::Cluster,
    durable::Answers,
    node::{How, Node},
    settings::Mode,
    slots::slot_of,
    told::told,
    topology::failed,
};
use crate::base::Unavailable;

/// How long one who asks whether all is well waits for the last server of a cluster: supervisors wait a second.
const LONGEST_LOOK: Duration = Duration::from_millis(800);

/// One Redis, however many servers it has.
pub struct Servers {
    dependency: &'static str,
    patience: Duration,
    routes: Routes,
}

enum Routes {
    /// One server that has every key.
    One(Arc<Node>),
    /// Many, each with some.
    Many(Cluster),
}

impl Servers {
    /// Starts connecting in the background: the caller must be inside a Tokio runtime. `dependency` is what errors
    /// call this Redis: `store`, `gateway`.
    #[must_use]
    pub fn open(settings: &Settings, dependency: &'static str) -> Self {
        let patience = settings.operation_timeout();
        let settings = Arc::new(settings.clone());
        let one = |node: Node| {
            node.warm(Way::Fast);
            Routes::One(Arc::new(node))
        };
        let routes = match (settings.mode(), settings.places().first()) {
            (Mode::Standalone, Some(place)) => one(Node::at(&settings, place.clone(), dependency)),
            (Mode::Cluster, _) => Routes::Many(Cluster::open(settings, dependency)),
            // No address lists no place at all.
            (Mode::Sentinel, _) | (Mode::Standalone, None) => one(Node::master(&settings, dependency)),
        };
        Self { dependency, patience, routes }
    }

    /// The answer to `call`, which changes nothing: it is sent once more where the connection broke.
    pub async fn read<T: FromRedisValue>(&self, way: Way, call: Call) -> Result<T, Unavailable> {
        let answer = self.call(How::Read(way), &Arc::new(call), self.deadline()).await;
        self.said(answer.and_then(|value| Ok(from_redis_value(value)?)))
    }

    /// The answers to `calls`, which change nothing.
    pub async fn read_all<T: FromRedisValue>(
        &self,
        way: Way,
        calls: Vec<Call>,
    ) -> Result<Vec<T>, Unavailable> {
        let answers = self.calls(How::Read(way), calls).await;
        self.said(answers.into_iter().map(|answer| Ok(from_redis_value(answer?)?)).collect())
    }

    /// The answers to `calls`, which change nothing, as far as there are any: a server of a cluster that is away does
    /// not hide what the others say. An error where no server answers.
    pub async fn read_what_answers<T: FromRedisValue>(
        &self,
        way: Way,
        calls: Vec<Call>,
    ) -> Result<Vec<Option<T>>, Unavailable> {
        let mut answers = self.calls(How::Read(way), calls).await;
        if answers.iter().all(Result::is_err)
            && let Some(Err(error)) = answers.pop()
        {
            return Err(self.unavailable(&error));
        }
        Ok(answers.into_iter().map(|answer| from_redis_value(answer.ok()?).ok()).collect())
    }

    /// The answer to `call`, which Redis may hold back for as long as `wait`: `XREAD BLOCK`.
    pub async fn block<T: FromRedisValue>(&self, call: Call, wait: Duration) -> Result<T, Unavailable> {
        let until = self.deadline() + wait;
        let answer = self.call(How::Read(Way::Blocking), &Arc::new(call), until).await;
        self.said(answer.and_then(|value| Ok(from_redis_value(value)?)))
    }

    /// The answer to `call`, which runs at most once, when enough replicas have what it read and wrote. An error may
    /// mean that it was done on the master only.
    pub async fn write<T: FromRedisValue>(&self, call: Call) -> Result<T, Unavailable> {
        let answer = self.call(How::Write, &Arc::new(call), self.deadline()).await;
        self.said(answer.and_then(|value| Ok(from_redis_value(value)?)))
    }

    /// Makes all of `calls`, in any order; as [`Self::write`].
    pub async fn write_all(&self, calls: Vec<Call>) -> Result<(), Unavailable> {
        let mut answers = self.calls(How::Write, calls).await.into_iter();
        self.said(answers.try_for_each(|answer| answer.map(drop)))
    }

    /// Makes all of `first`, in any order, and after them `then`; as [`Self::write`].
    pub async fn write_in_order(&self, mut first: Vec<Call>, then: Call) -> Result<(), Unavailable> {
        match &self.routes {
            // In one go: one connection keeps them in order.
            Routes::One(_) => {
                first.push(then);
                self.write_all(first).await
            }
            Routes::Many(_) => {
                self.write_all(first).await?;
                self.write::<Value>(then).await.map(drop)
            }
        }
    }

    /// The servers that have keys now.
    pub(super) async fn members(&self) -> Result<Vec<Arc<Node>>, Unavailable> {
        match &self.routes {
            Routes::One(node) => Ok(vec![Arc::clone(node)]),
            Routes::Many(cluster) => self.said(cluster.servers(self.deadline()).await),
        }
    }

    /// The server that has `key` now.
    pub(super) async fn server_of(&self, key: &str) -> Result<Arc<Node>, Unavailable> {
        match &self.routes {
            Routes::One(node) => Ok(Arc::clone(node)),
            Routes::Many(cluster) => {
                self.said(cluster.server_of(slot_of(key.as_bytes()), self.deadline()).await)
            }
        }
    }

    /// Whether its servers share the keys out among them.
    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self.routes, Routes::Many(_))
    }

    /// The answers of one server to `calls`, which change nothing.
    pub(super) async fn read_at(
        &self,
        server: &Node,
        way: Way,
        calls: Vec<Call>,
    ) -> Result<Answers, Unavailable> {
        let calls: Vec<Arc<Call>> = calls.into_iter().map(Arc::new).collect();
        self.said(server.calls(How::Read(way), &calls, self.deadline()).await)
    }

    /// Whether it answers; of a cluster, whether any server serves that has slots. The rest is a warning: the users of
    /// the others are served, and another replica of this service would meet the same cluster.
    pub async fn ready(&self) -> Result<Vec<String>, Unavailable> {
        let until = Instant::now() + self.patience.min(LONGEST_LOOK);
        match &self.routes {
            Routes::One(node) => {
                let ping = Arc::new(Call::command("", cmd("PING")));
                self.said(node.call(How::Read(Way::Fast), &ping, false, until).await.map(|_pong| Vec::new()))
            }
            Routes::Many(cluster) => {
                let (silent, all) = self.said(cluster.silent(until).await)?;
                let warning = format!("{}: {silent} of {all} Redis masters do not serve", self.dependency);
                Ok((silent > 0).then_some(warning).into_iter().collect())
            }
        }
    }

    /// `cause`, as the caller is to see it.
    pub(super) fn unavailable(&self, cause: &RedisError) -> Unavailable {
        Unavailable::new(self.dependency, told(cause))
    }

    fn said<T>(&self, answer: RedisResult<T>) -> Result<T, Unavailable> {
        answer.map_err(|error| self.unavailable(&error))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    async fn call(&self, how: How, call: &Arc<Call>, until: Instant) -> RedisResult<Value> {
        match &self.routes {
            Routes::One(node) => node.call(how, call, false, until).await,
            Routes::Many(cluster) => cluster.call(how, call, until).await,
        }
    }

    /// One answer a call; those to one server in one go.
    async fn calls(&self, how: How, calls: Vec<Call>) -> Answers {
        let until = self.deadline();
        let calls: Vec<Arc<Call>> = calls.into_iter().map(Arc::new).collect();
        match &self.routes {
            Routes::One(node) => together(node, how, &calls, until).await,
            Routes::Many(cluster) => cluster.calls(how, &calls, until).await,
        }
    }
}

/// The answers of one server: where it gives none, each call has its error.
pub(super) async fn together(node: &Node, how: How, calls: &[Arc<Call>], until: Instant) -> Answers {
    let answers = match calls {
        [] => return Vec::new(),
        [call] => return vec![node.call(how, call, false, until).await],
        calls => node.calls(how, calls, until).await,
    };
    match answers {
        Ok(mut answers) => {
            answers.resize_with(calls.len(), || Err(failed("an answer is missing")));
            answers
        }
        Err(error) => calls.iter().map(|_| Err(error.clone())).collect(),
    }
}
