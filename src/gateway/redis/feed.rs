//! Reads the gateway's stream back, for `followSessionEvents`.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use redis::{
    Cmd, cmd,
    streams::{StreamId, StreamRangeReply, StreamReadReply},
};
use tokio::sync::watch;

use crate::{
    base::Unavailable,
    engine::{
        Position,
        redis::{Call, Servers, Way},
    },
    gateway::{Batch, Feed, GatewayRecord},
    http::{Stop, Task},
};

/// How long one blocking read waits.
const WAIT: Duration = Duration::from_secs(1);

/// How long to leave a stream alone that cannot be read.
const PAUSE: Duration = Duration::from_millis(300);

/// The stream in the gateway's Redis. One blocking read serves all followers of this process.
pub struct StreamFeed {
    servers: Arc<Servers>,
    stream: String,
    newest: watch::Sender<Position>,
}

impl StreamFeed {
    pub(super) fn new(servers: Arc<Servers>, stream: String) -> Arc<Self> {
        Arc::new(Self { servers, stream, newest: watch::Sender::new(Position::START) })
    }

    /// The task that watches the stream grow, as long as somebody follows.
    #[must_use]
    pub fn watcher(self: &Arc<Self>) -> Task {
        let feed = self.clone();
        Task::new("gateway.watcher", |stop| async move { feed.watch_until(stop).await })
    }

    async fn watch_until(&self, stop: Stop) {
        loop {
            let look = async {
                if self.newest.receiver_count() == 0 || self.look().await.is_err() {
                    tokio::time::sleep(PAUSE).await;
                }
            };
            if stop.run_until_cancelled(look).await.is_none() {
                return;
            }
        }
    }

    /// Waits for the stream to grow, and tells the followers.
    async fn look(&self) -> Result<(), Unavailable> {
        let seen = *self.newest.borrow();
        if seen == Position::START {
            let end = self.end().await?;
            if end > seen {
                self.newest.send_replace(end);
                return Ok(());
            }
        }
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(1000).arg("BLOCK").arg(u64::try_from(WAIT.as_millis()).unwrap_or(1000));
        read.arg("STREAMS").arg(&self.stream).arg(seen.to_string());
        let call = Call::command(&self.stream, read);
        let reply: Option<StreamReadReply> = self.servers.block(call, WAIT).await?;
        let ids = reply.into_iter().flat_map(|reply| reply.keys).flat_map(|key| key.ids);
        if let Some(newest) = ids.filter_map(|entry| entry.id.parse().ok()).max() {
            self.newest.send_replace(newest);
        }
        Ok(())
    }
}

impl StreamFeed {
    fn newest_entry(&self) -> Cmd {
        let mut read = cmd("XREVRANGE");
        read.arg(&self.stream).arg("+").arg("-").arg("COUNT").arg(1);
        read
    }
}

#[async_trait]
impl Feed for StreamFeed {
    async fn read(&self, after: Position, limit: usize) -> Result<Batch, Unavailable> {
        let from = if after == Position::START { "-".to_owned() } else { format!("({after}") };
        let mut next = cmd("XRANGE");
        next.arg(&self.stream).arg(from).arg("+").arg("COUNT").arg(limit);
        let mut oldest = cmd("XRANGE");
        oldest.arg(&self.stream).arg("-").arg("+").arg("COUNT").arg(1);
        let reads = [next, oldest, self.newest_entry()].map(|read| Call::command(&self.stream, read));
        let replies: Vec<StreamRangeReply> = self.servers.read_all(Way::Fast, reads.into()).await?;
        let Ok([next, oldest, newest]) = <[StreamRangeReply; 3]>::try_from(replies) else {
            return Err(Unavailable::new("gateway", "three questions and not three answers"));
        };
        let kept = position_of(&oldest)?..=position_of(&newest)?;
        if after != Position::START && !kept.contains(&after) {
            return Ok(Batch::Expired);
        }
        let through = next.ids.last().map_or(Ok(after), position)?;
        let events = next.ids.iter().filter_map(|entry| event(entry).transpose());
        Ok(Batch::Events(events.collect::<Result<_, _>>()?, through))
    }

    async fn end(&self) -> Result<Position, Unavailable> {
        let call = Call::command(&self.stream, self.newest_entry());
        position_of(&self.servers.read(Way::Fast, call).await?)
    }

    async fn grown(&self, position: Position) {
        // The sender lives as long as `self`, so waiting can only end with success.
        let _ = self.newest.subscribe().wait_for(|newest| *newest > position).await;
    }
}

/// The position of the only entry of `reply`; [`Position::START`] where there is none.
fn position_of(reply: &StreamRangeReply) -> Result<Position, Unavailable> {
    reply.ids.first().map_or(Ok(Position::START), position)
}

fn position(entry: &StreamId) -> Result<Position, Unavailable> {
    entry.id.parse().map_err(|()| Unavailable::new("gateway", "a stream id that is none"))
}

/// The event that `entry` is; nothing where somebody else has written it.
fn event(entry: &StreamId) -> Result<Option<(Position, GatewayRecord)>, Unavailable> {
    let record = GatewayRecord::from_fields(|field| entry.get(field));
    Ok(match record {
        Some(record) => Some((position(entry)?, record)),
        None => None,
    })
}
