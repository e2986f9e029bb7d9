//! What can keep an operation on sessions from its result.

use crate::base::Unavailable;

/// Each is something the caller can act on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such session, or it was revoked so long ago that it has been forgotten.
    #[error("session not found")]
    SessionNotFound,
    /// The user service does not know this user.
    #[error("subject not found")]
    SubjectNotFound,
    /// Something did not answer; the call may be repeated. Changes may have been made already.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
