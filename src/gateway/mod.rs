//! What the gateway sees: the projection. A cache record a session and a stream of events in the gateway's Redis, or
//! the same as a feed over HTTP.
//!
//! The projection is rendered from whole sessions and never edited, so publishing again is always safe. This folder
//! writes no truth: it carries out what `session` announced. Start with [`relay`], which says why a revoked session
//! can never look active again, then `feed`.

mod embedded;
mod feed;
mod http;
mod record;
mod redis;
mod relay;
mod reproject;
mod settings;

use std::sync::Arc;

pub use embedded::LogGateway;
pub use feed::{Batch, Feed};
pub use record::GatewayRecord;
pub use redis::{RedisGateway, Words};
pub use relay::Relay;
pub use reproject::{Checkpoint, Ending, Progress, Reprojection};
pub use settings::Settings;

use crate::http::{Part, Task};

/// The feed's operation, over whichever stream there is, with the tasks that fill it.
#[must_use]
pub fn part(feed: Arc<dyn Feed>, tasks: Vec<Task>) -> Part {
    Part { internal: http::routes(feed), tasks, ..Part::default() }
}
