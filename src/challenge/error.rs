//! What can keep a login from its result.

use std::time::Duration;

use crate::base::Unavailable;

/// Each is something the caller can act on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The signature is not the key's over this challenge, or there is none though one is demanded.
    #[error("the client key signature is missing or wrong")]
    InvalidKeySignature,
    /// There is no such challenge, or it has been forgotten.
    #[error("challenge not found")]
    ChallengeNotFound,
    /// The code's time is over.
    #[error("challenge expired")]
    ChallengeExpired,
    /// The challenge was closed by wrong codes.
    #[error("too many wrong codes for this challenge")]
    TooManyAttempts,
    /// The address has had too many wrong codes, or its cooldown outlives its code.
    #[error("too many requests for this address")]
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The code is wrong.
    #[error("wrong code")]
    InvalidCode,
    /// The code has logged somebody else in, or the session it opened has ended.
    #[error("challenge already used")]
    ChallengeAlreadyUsed,
    /// The code is right, but the user or address is blocked.
    #[error("blocked by policy")]
    BlockedByPolicy,
    /// The user has as many sessions as he may have.
    #[error("session limit exceeded")]
    SessionLimitExceeded,
    /// Something did not answer; the call may be repeated.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl Error {
    /// Whether somebody has judged: not where something did not answer.
    #[must_use]
    pub const fn is_verdict(&self) -> bool {
        !matches!(self, Self::Unavailable(_))
    }
}
