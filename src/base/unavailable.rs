//! The one infrastructure error: something this service depends on did not answer, or answered nonsense.

use std::error::Error;

/// A dependency (store, gateway store, user service, mail service) could not do its part. The caller may repeat
/// the request. The cause is for the log only.
#[derive(Debug, thiserror::Error)]
#[error("{dependency} is unavailable")]
pub struct Unavailable {
    /// Which dependency: `store`, `gateway`, `users` or `mail`.
    pub dependency: &'static str,
    /// What went wrong, for the log.
    pub source: Box<dyn Error + Send + Sync>,
}

impl Unavailable {
    /// `dependency` failed because of `cause`: an error, or a sentence that says what was wrong.
    pub fn new(dependency: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { dependency, source: cause.into() }
    }
}

/// An error and its causes on one line, for the log.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| (*error).source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
