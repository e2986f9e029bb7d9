//! Sending codes: a port to the mail service, with two clients, the log (`stub`) and a REST service (`rest`). Start
//! with [`Mail`].

pub mod rest;
mod settings;
pub mod stub;

use async_trait::async_trait;
use serde::Deserialize;

pub use settings::Settings;

use crate::base::{Email, Secret, Timestamp, Unavailable};

/// Hands a code to whoever delivers it.
#[async_trait]
pub trait Mail: Send + Sync + 'static {
    /// `Ok` once the mail service has taken the delivery, or has chosen to suppress it. Tried once more where the
    /// first try got no answer and time is left: the challenge id makes it idempotent.
    async fn deliver(&self, delivery: &Delivery) -> Result<Outcome, Unavailable>;
}

/// What the mail service made of a delivery. Both are fine with us: which one it was, nobody else is to learn.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is on its way.
    Sent,
    /// There is no use in sending it: a mailbox that is full, or has bounced too often.
    Suppressed,
}

/// One code to deliver.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The challenge that asked for it; also the idempotency key.
    pub challenge_id: String,
    /// Where to.
    pub email: Email,
    /// Decimal digits.
    pub code: Secret,
    /// From when on the code no longer works.
    pub expires_at: Timestamp,
}
