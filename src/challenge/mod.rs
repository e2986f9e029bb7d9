//! Login by e-mail code: a code is mailed, and whoever brings it back gets a session for his key.
//!
//! This folder owns challenges and what is remembered of addresses: counts of wrong codes, cooldowns, usual networks.
//! Start with `send_email_code` and `confirm_email_code`, the two operations; `model` holds the rules, pure.

mod code;
mod confirm_email_code;
mod error;
mod http;
mod model;
mod pace;
mod record;
mod send_email_code;
mod settings;
mod store;
mod ticks;

use std::{net::IpAddr, sync::Arc, time::Duration};

pub use code::Code;
pub use confirm_email_code::Request as ConfirmRequest;
pub use error::Error;
pub use settings::Settings;

use crate::{
    base::{Secret, Unavailable, World},
    engine::{Engine, Keys, Names, Place},
    http::Part,
    mail::Mail,
    session::Sessions,
    users::Users,
};
use pace::Pace;
use store::Store;

/// Everything that can be done with challenges.
pub struct Challenges {
    store: Store,
    keys: Arc<Keys>,
    users: Arc<dyn Users>,
    mail: Arc<dyn Mail>,
    sessions: Arc<Sessions>,
    world: World,
    settings: Settings,
    pace: Pace,
    /// Longer than a delivery can take: after that a mail that is still on its way was left behind by a crash.
    delivery_patience: Duration,
}

/// What challenges need of the rest of the service.
pub struct Dependencies {
    /// Where challenges are stored.
    pub engine: Arc<dyn Engine>,
    /// Secrets that the store keeps.
    pub keys: Arc<Keys>,
    /// Who may log in.
    pub users: Arc<dyn Users>,
    /// How codes are delivered.
    pub mail: Arc<dyn Mail>,
    /// The deadline of a delivery.
    pub mail_timeout: Duration,
    /// What a login ends in.
    pub sessions: Arc<Sessions>,
    /// Time and randomness.
    pub world: World,
}

impl Challenges {
    /// Over these dependencies.
    #[must_use]
    pub fn new(dependencies: Dependencies, settings: Settings) -> Arc<Self> {
        const MARGIN: Duration = Duration::from_millis(250);
        let Dependencies { engine, keys, users, mail, mail_timeout, sessions, world } = dependencies;
        Arc::new(Self {
            keys,
            store: Store { engine },
            users,
            mail,
            sessions,
            world,
            settings,
            // Unknown until the first delivery: a tenth of what it may take.
            pace: Pace::new(mail_timeout / 10),
            delivery_patience: mail_timeout + MARGIN,
        })
    }

    /// The operations for client apps.
    #[must_use]
    pub fn part(self: &Arc<Self>) -> Part {
        Part { public: http::routes(self.clone()), ..Part::default() }
    }

    /// The secret behind the hashes of codes: the configured one, or the one that the store keeps.
    async fn code_secret(&self) -> Result<&Secret, Unavailable> {
        match &self.settings.code_secret {
            Some(secret) => Ok(secret),
            None => self.keys.code_secret().await,
        }
    }
}

/// The network that `client` is in, as an address at `place` remembers it: a keyed hash, so that the store does not
/// tell where somebody lives.
fn network(names: &Names, place: &Place, client: IpAddr) -> [u8; 8] {
    let hash = names.derive("network", &[place.key.as_bytes(), &model::network_of(client)]);
    *hash.first_chunk().unwrap_or(&[0; 8])
}
