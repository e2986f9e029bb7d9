//! The events as a stream that can be read from any kept position: the port behind `followSessionEvents`.

use async_trait::async_trait;

use super::GatewayRecord;
use crate::{base::Unavailable, engine::Position};

/// What came after some position.
#[derive(Debug, PartialEq, Eq)]
pub enum Batch {
    /// The next events, oldest first, and how far the stream has been read with them. None where there are none yet.
    Events(Vec<(Position, GatewayRecord)>, Position),
    /// Events after that position are no longer kept, or the stream never reached it: read the records anew.
    Expired,
}

/// Where the events come from: the gateway's Redis, or the embedded store's own log.
#[async_trait]
pub trait Feed: Send + Sync + 'static {
    /// At most `limit` events after `after`. [`Position::START`] means from the oldest that is kept.
    async fn read(&self, after: Position, limit: usize) -> Result<Batch, Unavailable>;

    /// The position of the newest event; [`Position::START`] if there has been none.
    async fn end(&self) -> Result<Position, Unavailable>;

    /// Returns when there may be events after `position`.
    async fn grown(&self, position: Position);
}
