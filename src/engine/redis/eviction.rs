//! Whether a Redis may throw our keys away when its memory is full: `maxmemory-policy`. With anything but `noeviction`
//! a session, or worse, a revoke, may be gone without anybody having said so. It is an operator's setting, which he
//! may change at any time, so it is looked at now and then; a wrong one is told, and stops nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use redis::{FromRedisValue, RedisResult, Value, cmd, from_redis_value};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Call, Servers, Way, durable::Answers};
use crate::base::Unavailable;

/// How often to look.
const INTERVAL: Duration = Duration::from_secs(5);
/// How soon to look again after a look that saw nothing.
const RETRY: Duration = Duration::from_secs(1);

/// Nothing is ever evicted.
const GOOD: &str = "noeviction";
/// The server's user may read neither `CONFIG` nor `INFO`.
const UNKNOWN: &str = "unknown";

/// Watches one Redis.
pub struct EvictionWatch {
    servers: Arc<Servers>,
    dependency: &'static str,
    /// The policy as it was seen last.
    seen: Mutex<Option<String>>,
}

impl EvictionWatch {
    /// Of `servers`. `dependency` is what warnings call this Redis: `store`, `gateway`.
    #[must_use]
    pub const fn new(servers: Arc<Servers>, dependency: &'static str) -> Self {
        Self { servers, dependency, seen: Mutex::new(None) }
    }

    /// What an operator should know; nothing while all is well, or while nobody has looked yet.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let policy = seen.as_deref().filter(|policy| ![GOOD, UNKNOWN].contains(policy))?;
        Some(format!("{}: Redis may evict sessions, maxmemory-policy is {policy}", self.dependency))
    }

    /// Looks until `stop`.
    pub async fn watch_until(&self, stop: CancellationToken) {
        loop {
            let pause = match self.policy().await {
                Ok(policy) => {
                    self.note(policy);
                    INTERVAL
                }
                // Whoever needs that Redis will say that it is away.
                Err(_) => RETRY,
            };
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Remembers `policy`, and tells the log where it is news.
    fn note(&self, policy: String) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let dependency = self.dependency;
        if seen.as_ref() == Some(&policy) {
            return;
        }
        match policy.as_str() {
            GOOD if seen.is_some() => tracing::info!(dependency, "maxmemory-policy is noeviction now"),
            GOOD => {}
            UNKNOWN => {
                tracing::info!(
                    dependency,
                    "maxmemory-policy cannot be read: make sure that it is noeviction"
                );
            }
            policy => tracing::warn!(
                dependency,
                policy,
                "Redis may evict sessions and revokes: set maxmemory-policy to noeviction"
            ),
        }
        *seen = Some(policy);
    }

    /// Of several servers the worst: one that is known to be wrong, else one that nobody knows.
    async fn policy(&self) -> Result<String, Unavailable> {
        let mut policies = Vec::new();
        for server in self.servers.members().await?.servers {
            // Asked both ways, since hosted servers forbid `CONFIG`, and careful operators `INFO`.
            let (mut info, mut config) = (cmd("INFO"), cmd("CONFIG"));
            info.arg("memory");
            config.arg("GET").arg("maxmemory-policy");
            let both = [info, config].map(|command| Call::command("", command));
            let answers = self.servers.read_at(&server, Way::Slow, both.into()).await?;
            policies.push(policy_of(answers));
        }
        let worst = policies.into_iter().max_by_key(|policy| match policy.as_str() {
            GOOD => 0,
            UNKNOWN => 1,
            _ => 2,
        });
        Ok(worst.unwrap_or_else(|| UNKNOWN.to_owned()))
    }
}

/// What one server says.
fn policy_of(answers: Answers) -> String {
    let mut answers = answers.into_iter();
    let (info, config) = (answers.next(), answers.next());
    let policy = read::<String>(info).as_deref().and_then(policy_in);
    // One pair of name and value.
    let configured = || read::<HashMap<String, String>>(config).and_then(|pair| pair.into_values().next());
    policy.or_else(configured).unwrap_or_else(|| UNKNOWN.to_owned())
}

fn read<T: FromRedisValue>(answer: Option<RedisResult<Value>>) -> Option<T> {
    from_redis_value(answer?.ok()?).ok()
}

fn policy_in(info: &str) -> Option<String> {
    info.lines()
        .find_map(|line| line.strip_prefix("maxmemory_policy:"))
        .map(|policy| policy.trim().to_owned())
}
