//! What every engine must do.

pub(crate) mod commits;
pub(crate) mod expiry;
pub(crate) mod outbox;
pub(crate) mod races;
pub(crate) mod reading;
pub(crate) mod walks;
