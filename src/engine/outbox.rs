//! What changed and must still be told: entries that a commit appends in the same atomic step as its writes.

use std::{fmt, str::FromStr};

use async_trait::async_trait;

use crate::base::Unavailable;

/// One queue of announcements, in the order of their commits. Redis has one a shard, the embedded store one in all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Outbox(pub u16);

/// A place in an outbox or stream. Grows with every entry, also across restarts. Printed as Redis prints stream ids:
/// `milliseconds-sequence`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position {
    /// Milliseconds since the Unix epoch when it was written, or a little later.
    pub ms: u64,
    /// Tells entries of one millisecond apart.
    pub sequence: u64,
}

impl Position {
    /// Before every entry.
    pub const START: Self = Self { ms: 0, sequence: 0 };

    /// After every entry.
    pub const END: Self = Self { ms: u64::MAX, sequence: u64::MAX };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.sequence)
    }
}

/// `ms-sequence`, or `ms` alone for sequence 0; digits only.
impl FromStr for Position {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if digits { text.parse().map_err(|_| ()) } else { Err(()) }
        };
        match text.split_once('-') {
            Some((ms, sequence)) => Ok(Self { ms: number(ms)?, sequence: number(sequence)? }),
            None => Ok(Self { ms: number(text)?, sequence: 0 }),
        }
    }
}

/// One announcement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its place.
    pub position: Position,
    /// What the commit announced.
    pub announcement: Vec<u8>,
}

/// What is left to tell after a commit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Untold {
    /// Nothing: all that was announced in the shard, by this commit and before it, has been told.
    Nothing,
    /// The outbox holds exactly these entries, the commit's own.
    These(Vec<Entry>),
    /// Nobody knows without looking.
    Unknown,
}

/// What a log had after some position.
#[derive(Debug, PartialEq, Eq)]
pub enum History {
    /// The next entries, oldest first; none where there are none yet.
    Entries(Vec<Entry>),
    /// Entries after that position have been forgotten already, or the log never reached it.
    Expired,
}

/// An outbox that is kept for readers instead of being relayed elsewhere: the embedded store's, when there is no
/// gateway store. Announcements are then in the log at the moment their commit is.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// At most `limit` entries after `after`. [`Position::START`] is never expired.
    async fn history(&self, after: Position, limit: usize) -> Result<History, Unavailable>;

    /// The last position given out; [`Position::START`] if there was none.
    async fn end(&self) -> Result<Position, Unavailable>;

    /// Returns once the log has grown past `position`.
    async fn grown(&self, position: Position);

    /// Forgets all but the newest `keep` entries.
    async fn retain(&self, keep: u64) -> Result<(), Unavailable>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_printed() {
        for text in ["0-0", "1775121700000-12"] {
            assert_eq!(text.parse::<Position>().unwrap().to_string(), text);
        }
        assert_eq!("0".parse(), Ok(Position::START));
        for wrong in ["", "-", "1-", "-1", "+1-0", "1-2-3", " 1-0", "1-0x", "99999999999999999999-0"] {
            assert_eq!(wrong.parse::<Position>(), Err(()), "{wrong:?}");
        }
    }
}
