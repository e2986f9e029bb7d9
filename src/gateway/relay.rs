//! Carries announcements from the outboxes to the gateway's Redis, at least once and in order.
//!
//! A change and its announcement are one commit, so nothing is changed that is not announced. An outbox is drained in
//! three steps: read its first entries, [`RedisGateway::apply`] them, trim them off. Every step may be repeated, by
//! any replica, at any time, since applying is safe to repeat and to delay:
//!
//! - an active session's cache record is written only where there is none, a revoked one's always. So an `active`,
//!   however late, overwrites nothing;
//! - an `active` event is skipped if its outbox has already been relayed beyond it. So no `active` event follows its
//!   session's `revoked` one.
//!
//! Where the gateway reads the store's own Redis, most changes are told in their commits, and never come here: see
//! [`Untold::Nothing`].
//!
//! The request that made a change drains its outbox before it answers. The sweeper looks at all outboxes and drains
//! what a crash, or a gateway store that was away, has left.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use opentelemetry::{global, metrics::Gauge};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};
use tracing::warn;

use super::{GatewayRecord, RedisGateway};
use crate::{
    base::Unavailable,
    engine::{Engine, Entry, Outbox, Position, Shard, Untold},
    http::{Stop, Task},
    session::Publisher,
};

/// How many entries are read, applied and trimmed at once.
const BATCH: usize = 128;

/// How often the sweeper looks: well within the repair interval of 1 s that the contract promises.
const SWEEP: Duration = Duration::from_millis(400);

/// How many outboxes the sweeper drains at a time.
const SWEEP_WIDTH: usize = 8;

/// An announcement, rendered.
pub(super) struct Projected {
    pub(super) position: Position,
    pub(super) record: GatewayRecord,
}

/// Entries that the gateway knows and the outbox still has. Nobody else drains it meanwhile.
struct Told {
    through: Position,
    turn: OwnedMutexGuard<()>,
}

/// The way from the outboxes to the gateway's Redis.
pub struct Relay {
    engine: Arc<dyn Engine>,
    gateway: RedisGateway,
    /// One drain an outbox at a time in this process. Others may drain it too: this saves work, not correctness.
    turns: Vec<Arc<Mutex<()>>>,
    patience: Duration,
    /// How many outboxes the last look found with entries: what the gateway does not know yet.
    backlog: Gauge<u64>,
}

impl Relay {
    /// From `engine`'s outboxes to `gateway`. A caller waits `patience` at most for his change to be published.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, gateway: RedisGateway, patience: Duration) -> Arc<Self> {
        let turns = Shard::all().map(|_| Arc::default()).collect();
        let backlog = global::meter("authsession")
            .u64_gauge("authsession.gateway.backlog")
            .with_description("Outboxes with changes that have not reached the gateway yet")
            .build();
        Arc::new(Self { engine, gateway, turns, patience, backlog })
    }

    /// The task that drains what nobody else has.
    #[must_use]
    pub fn sweeper(self: &Arc<Self>) -> Task {
        let relay = self.clone();
        Task::new("gateway.sweeper", |stop| async move { relay.sweep_until(stop).await })
    }

    async fn sweep_until(&self, stop: Stop) {
        let mut failing = None;
        while stop.run_until_cancelled(tokio::time::sleep(SWEEP)).await.is_some() {
            let cause = self.sweep().await.err().map(|error| error.source.to_string());
            // Once for a cause, not with every look: the gateway's store may be away for hours.
            if let Some(cause) = cause.as_ref().filter(|_| cause != failing) {
                warn!(cause, "the gateway's view falls behind");
            }
            failing = cause;
        }
    }

    async fn sweep(&self) -> Result<(), Unavailable> {
        let waiting = self.engine.backlog().await?;
        self.backlog.record(waiting.len() as u64, &[]);
        let drains = stream::iter(waiting).map(|outbox| self.empty(outbox)).buffer_unordered(SWEEP_WIDTH);
        drains.fold(Ok(()), async |all, one| one.and(all)).await
    }

    async fn empty(&self, outbox: Outbox) -> Result<(), Unavailable> {
        match self.tell(outbox, Untold::Unknown).await? {
            Some(Told { through, turn: _turn }) => self.engine.trim(outbox, through).await,
            None => Ok(()),
        }
    }

    /// Makes all that is in `outbox` known to the gateway, and says what of it is still to be trimmed. `untold` spares the
    /// first look.
    async fn tell(&self, outbox: Outbox, untold: Untold) -> Result<Option<Told>, Unavailable> {
        let turn = self.turns.get(usize::from(outbox.0)).map(Arc::clone).unwrap_or_default();
        let (turn, mut entries) = match (Arc::clone(&turn).try_lock_owned(), untold) {
            (Ok(turn), Untold::These(entries)) => (turn, entries),
            (Ok(turn), Untold::Nothing | Untold::Unknown) => {
                (turn, self.engine.pending(outbox, BATCH).await?)
            }
            // Whoever has the turn is likely to tell these, too.
            (Err(_), _) => (turn.lock_owned().await, self.engine.pending(outbox, BATCH).await?),
        };
        while let Some(through) = entries.last().map(|entry| entry.position) {
            let more = entries.len() >= BATCH;
            self.gateway.apply(outbox, &project(outbox, entries)?).await?;
            if !more {
                return Ok(Some(Told { through, turn }));
            }
            self.engine.trim(outbox, through).await?;
            entries = self.engine.pending(outbox, BATCH).await?;
        }
        Ok(None)
    }

    /// For nobody need wait for it. Where it fails the entries are told once more, by the sweeper, who says why.
    fn trim_later(&self, outbox: Outbox, Told { through, turn }: Told) {
        let engine = Arc::clone(&self.engine);
        tokio::spawn(async move {
            let _ = engine.trim(outbox, through).await;
            drop(turn);
        });
    }
}

#[async_trait]
impl Publisher for Relay {
    async fn publish(&self, shard: Shard, untold: Untold) -> Result<(), Unavailable> {
        if untold == Untold::Nothing {
            return Ok(());
        }
        let outbox = self.engine.outbox_of(shard);
        match timeout(self.patience, self.tell(outbox, untold)).await {
            Ok(told) => {
                if let Some(told) = told? {
                    self.trim_later(outbox, told);
                }
                Ok(())
            }
            Err(_) => Err(Unavailable::new("gateway", "publishing took too long")),
        }
    }
}

/// An entry that cannot be read, of a later release or damaged, stops its outbox: to pass it over could leave a revoked
/// session active at the gateway behind a 200. The log says where it lies.
fn project(outbox: Outbox, entries: Vec<Entry>) -> Result<Vec<Projected>, Unavailable> {
    let project = |Entry { position, announcement }: Entry| match GatewayRecord::render(&announcement) {
        Ok(record) => Ok(Projected { position, record }),
        Err(error) => {
            let Outbox(number) = outbox;
            Err(Unavailable::new("store", format!("{} {number} at {position}", error.source)))
        }
    };
    entries.into_iter().map(project).collect()
}
