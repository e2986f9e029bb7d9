//! Who may sign in: a port to the user service, with two clients, a directory in our own store (`stub`) and a REST
//! service (`rest`). Start with [`Users`].

mod record;
pub mod rest;
mod settings;
pub mod stub;

use async_trait::async_trait;

pub use settings::Settings;

use crate::base::{Cause, Email, Unavailable};

/// What the user service answers. Every call may be repeated without harm.
#[async_trait]
pub trait Users: Send + Sync + 'static {
    /// Whether a code may be mailed to `email`. Asked on send; creates nothing.
    async fn resolve(&self, email: &Email) -> Result<Standing, Unavailable>;

    /// The user who has `email`, created where there is none. Asked on confirm.
    async fn ensure(&self, email: &Email) -> Result<Admission, Unavailable>;

    /// Whether the user service knows `user_id`.
    async fn exists(&self, user_id: &str) -> Result<bool, Unavailable>;

    /// Keeps `subject` from logging in from now on.
    async fn block(&self, subject: &Subject, cause: &Cause) -> Result<Block, Unavailable>;
}

/// How an address stands with the user service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Somebody has it, or somebody may have it.
    Welcome,
    /// It may not log in.
    Blocked,
}

/// The answer to a login.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Admission {
    /// This user logs in.
    Admitted(String),
    /// Nobody may log in with this address.
    Blocked,
}

/// Whom a block is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The user with this id.
    UserId(String),
    /// Whoever has this address, now or later.
    Email(Email),
}

/// What became of a block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Block {
    /// It holds from now on. The user whom it hits, where there is one.
    Blocked(Option<String>),
    /// It held already.
    AlreadyBlocked(Option<String>),
    /// There is no such user.
    Unknown,
}
