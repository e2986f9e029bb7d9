//! Device sessions: a user's right to act from one device, until it is revoked.
//!
//! This folder owns the truth about sessions. Nobody else writes it, so nobody can change a session and forget to
//! tell the gateway: every change is announced in its own commit, and [`Publisher`] is asked to carry it out before
//! the caller gets his answer. Start with [`Sessions`]; each operation has a file of its name.

mod block_user;
mod census;
mod error;
mod get_session;
mod http;
mod job;
mod list_user_sessions;
mod model;
mod open;
mod pages;
mod record;
mod revoke_all_user_sessions;
mod revoke_device_session;
mod settings;
mod store;
mod unfinished;
mod walk;

use std::sync::Arc;

use async_trait::async_trait;

pub use census::{Census, Roll, RollPage};
pub use error::Error;
pub use list_user_sessions::Listing;
pub use model::{Revocation, Session, SessionId};
pub use open::{Opening, Request as OpenRequest};
pub use record::{Announced, Announcement};
pub use settings::{LimitPolicy, Settings};
pub use store::Flag;

use crate::{
    base::{Timestamp, Unavailable, World},
    engine::{Engine, Keys, Shard, Untold},
    http::{Part, Task},
    users::Users,
};
use job::UnderWay;
use store::Store;

/// Carries announced changes to the gateway.
#[async_trait]
pub trait Publisher: Send + Sync + 'static {
    /// `Ok` once everything that was announced in `shard` before this call is in effect at the gateway. After an
    /// `Err` it will be in effect some time later. `untold` is what the caller's own commit left to tell, where it has
    /// just made one.
    async fn publish(&self, shard: Shard, untold: Untold) -> Result<(), Unavailable>;
}

/// What sessions need of the rest of the service.
pub struct Dependencies {
    /// Where sessions are stored.
    pub engine: Arc<dyn Engine>,
    /// Secrets that the store keeps.
    pub keys: Arc<Keys>,
    /// Who exists, and who is blocked.
    pub users: Arc<dyn Users>,
    /// Who tells the gateway.
    pub publisher: Arc<dyn Publisher>,
    /// Time and randomness.
    pub world: World,
}

/// Everything that can be done with sessions.
pub struct Sessions {
    store: Store,
    keys: Arc<Keys>,
    users: Arc<dyn Users>,
    publisher: Arc<dyn Publisher>,
    world: World,
    settings: Settings,
    under_way: UnderWay,
}

impl Sessions {
    /// Over these dependencies.
    #[must_use]
    pub fn new(dependencies: Dependencies, settings: Settings) -> Arc<Self> {
        let Dependencies { engine, keys, users, publisher, world } = dependencies;
        let store = Store { engine, retention: settings.revoked_retention };
        let under_way = UnderWay::default();
        Arc::new(Self { store, keys, users, publisher, world, settings, under_way })
    }

    /// The operations for gateways and admin services, and the task that finishes what a crash left.
    #[must_use]
    pub fn part(self: &Arc<Self>) -> Part {
        let sessions = self.clone();
        Part {
            internal: http::routes(self.clone()),
            tasks: vec![Task::new("session.unfinished", |stop| async move {
                sessions.finish_unfinished(stop).await;
            })],
            ..Part::default()
        }
    }

    fn now(&self) -> Timestamp {
        self.world.now()
    }
}
