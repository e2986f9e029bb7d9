//! What happened: the calls as the clients saw them, what a gateway saw, and what is there in the end. Nothing here
//! judges; `checker` does.

use std::collections::{BTreeMap, BTreeSet};

/// Microseconds since the history began. One clock for everybody, so of two calls of which one returned before the
/// other was made, it is known which came first.
pub type Moment = u64;

/// Everything that the checker looks at.
#[derive(Clone, Default, Debug)]
pub struct Evidence {
    pub calls: Vec<Call>,
    pub truth: Truth,
    pub gateway: Seen,
}

/// One call, from when it was sent until an answer was there or the client gave up.
#[derive(Clone, Debug)]
pub struct Call {
    pub process: usize,
    pub act: Act,
    pub invoked: Moment,
    pub returned: Moment,
    /// The clock on the wall when it returned, in milliseconds since the epoch: events carry that clock's time.
    pub wall_ms: u64,
    pub outcome: Outcome,
}

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Act {
    Send { email: String },
    Confirm(Attempt),
    Revoke { session: String, reason: String },
    RevokeAll { email: String, user: String, reason: String },
    Block { email: String, user: Option<String>, reason: String },
    Get { session: String },
    List { email: String, user: String },
}

/// A code handed in.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Attempt {
    pub email: String,
    pub challenge: String,
    pub code: String,
    /// Every key is used with one challenge only.
    pub key: String,
}

/// How a call ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// 200: it holds from now on.
    Acknowledged(Said),
    /// Refused by a rule of the contract: this call has changed nothing, and never will.
    Refused(u16, String),
    /// 503, no answer, or half of one: it may have happened, may happen yet, or never.
    Unknown(String),
}

/// What a 200 said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    Challenge(String),
    Session(String),
    /// Whether this call revoked it, or an earlier one had.
    Revoked {
        by_this_call: bool,
    },
    /// The sessions that this call revoked.
    Ended(Vec<String>),
    Status(Status),
    Listed(BTreeMap<String, Status>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    Active,
    Revoked,
}

impl Status {
    pub fn parse(text: &str) -> Self {
        match text {
            "active" => Self::Active,
            "revoked" => Self::Revoked,
            other => panic!("a status that is none: {other}"),
        }
    }
}

/// What the internal API says in the end.
#[derive(Clone, Default, Debug)]
pub struct Truth {
    /// Every session that any client, list, record or event has named: as `getSession` shows it.
    pub sessions: BTreeMap<String, Kept>,
    /// For each user, what `listUserSessions` shows.
    pub lists: BTreeMap<String, BTreeMap<String, Status>>,
    /// Sessions of which the processes say different things.
    pub disputed: BTreeSet<String>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    pub user: String,
    pub key: String,
    pub status: Status,
    pub reason: Option<String>,
}

/// What a gateway saw.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    /// Whether there are records; without a Redis there are events only.
    pub has_records: bool,
    /// The records in the end.
    pub records: BTreeMap<String, Status>,
    /// The stream in the end, oldest first.
    pub events: Vec<Event>,
    /// When a record that said `active` was last asked for.
    pub last_active: BTreeMap<String, Moment>,
    /// The events as a follower read them; begun anew whenever he was told that his cursor had expired.
    pub followed: Vec<Vec<Event>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Milliseconds of its place in the stream.
    pub ms: u64,
    pub session: String,
    pub status: Status,
}
