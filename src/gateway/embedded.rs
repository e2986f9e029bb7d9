//! The projection without a gateway Redis: the embedded store's outbox is itself the stream.
//!
//! An announcement is in the log at the moment its commit is, so nothing need be relayed, and nothing can be late or
//! out of order.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tracing::warn;

use super::{Batch, Feed, GatewayRecord};
use crate::{
    base::Unavailable,
    engine::{Entry, EventLog, History, Position, Shard, Untold},
    http::Task,
    session::Publisher,
};

/// How often the log is cut to its length.
const TRIM: Duration = Duration::from_secs(1);

/// The store's own log, as a gateway sees it.
pub struct LogGateway {
    log: Arc<dyn EventLog>,
    keep: u64,
}

impl LogGateway {
    /// Over `log`, of which about the newest `keep` entries are kept.
    #[must_use]
    pub fn new(log: Arc<dyn EventLog>, keep: u64) -> Arc<Self> {
        Arc::new(Self { log, keep })
    }

    /// The task that keeps the log short.
    #[must_use]
    pub fn trimmer(self: &Arc<Self>) -> Task {
        let gateway = self.clone();
        Task::new("gateway.trimmer", |stop| async move {
            while stop.run_until_cancelled(tokio::time::sleep(TRIM)).await.is_some() {
                if let Err(error) = gateway.log.retain(gateway.keep).await {
                    warn!(cause = %error.source, "the event log stays long for now");
                }
            }
        })
    }
}

#[async_trait]
impl Publisher for LogGateway {
    async fn publish(&self, _shard: Shard, _untold: Untold) -> Result<(), Unavailable> {
        Ok(())
    }
}

#[async_trait]
impl Feed for LogGateway {
    async fn read(&self, after: Position, limit: usize) -> Result<Batch, Unavailable> {
        let render = |entry: Entry| Ok((entry.position, GatewayRecord::render(&entry.announcement)?));
        match self.log.history(after, limit).await? {
            History::Entries(entries) => {
                let through = entries.last().map_or(after, |entry| entry.position);
                Ok(Batch::Events(entries.into_iter().map(render).collect::<Result<_, _>>()?, through))
            }
            History::Expired => Ok(Batch::Expired),
        }
    }

    async fn end(&self) -> Result<Position, Unavailable> {
        self.log.end().await
    }

    async fn grown(&self, position: Position) {
        self.log.grown(position).await;
    }
}
