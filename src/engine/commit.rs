//! One atomic step: checks, then writes, then announcements, all in one shard.

use std::time::Duration;

use super::{Collection, Item, Shard};

/// What is to happen, all or nothing. Built check by check; each check's handle tells it apart in a [`Refusal`].
#[derive(Clone, Debug)]
pub struct Commit {
    shard: Shard,
    checks: Vec<Check>,
    writes: Vec<Write>,
    announcements: Vec<Vec<u8>>,
    provisional: bool,
}

/// Which check of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckId(pub usize);

/// What must hold for a commit to happen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Check {
    /// The item is not there.
    Absent(Item),
    /// The item is there and has this value.
    Equals(Item, Vec<u8>),
    /// The collection has fewer items than this.
    CountBelow(Collection, u64),
}

/// What a commit changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Write {
    /// The item has this value from now on.
    Put(Item, Vec<u8>),
    /// The item is not there from now on.
    Delete(Item),
    /// The collection may be thrown away this long from now. Only the last such word counts. It is housekeeping: the
    /// store may be early by no more than a clock's drift, and late as it likes.
    Expire(Collection, Duration),
}

/// How a commit ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It happened.
    Done,
    /// A check did not hold, nothing changed.
    Refused(Refusal),
}

/// The first check that did not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Which one.
    pub check: CheckId,
    /// The value of the checked item, where there is one.
    pub found: Option<Vec<u8>>,
}

impl Commit {
    /// Nothing yet, in `shard`.
    #[must_use]
    pub const fn on(shard: Shard) -> Self {
        Self { shard, checks: Vec::new(), writes: Vec::new(), announcements: Vec::new(), provisional: false }
    }

    /// Only if `item` is not there.
    pub fn absent(&mut self, item: Item) -> CheckId {
        self.check(Check::Absent(item))
    }

    /// Only if `item` has the value that was `read`: nothing means that it was not there.
    pub fn unchanged(&mut self, item: Item, read: Option<&[u8]>) -> CheckId {
        self.check(match read {
            Some(value) => Check::Equals(item, value.to_vec()),
            None => Check::Absent(item),
        })
    }

    /// Only if `collection` has fewer than `bound` items.
    pub fn count_below(&mut self, collection: Collection, bound: u64) -> CheckId {
        self.check(Check::CountBelow(collection, bound))
    }

    /// Gives `item` this value.
    pub fn put(&mut self, item: Item, value: Vec<u8>) {
        self.writes.push(Write::Put(item, value));
    }

    /// Takes `item` away.
    pub fn delete(&mut self, item: Item) {
        self.writes.push(Write::Delete(item));
    }

    /// Lets the store throw `collection` away this long from now.
    pub fn expire(&mut self, collection: Collection, after: Duration) {
        self.writes.push(Write::Expire(collection, after));
    }

    /// Appends `entry` to the shard's outbox.
    pub fn announce(&mut self, entry: Vec<u8>) {
        self.announcements.push(entry);
    }

    /// Another commit follows before anything is answered, in whatever shard, and that one shall last. The store may forget
    /// this one until then, together with all that came after it. Not for what announces anything.
    pub const fn provisional(&mut self) {
        self.provisional = true;
    }

    /// See [`Self::provisional`].
    #[must_use]
    pub const fn is_provisional(&self) -> bool {
        self.provisional && self.announcements.is_empty()
    }

    /// The shard that all of it is in.
    #[must_use]
    pub const fn shard(&self) -> Shard {
        self.shard
    }

    /// The checks, in the order of their handles.
    #[must_use]
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The writes, in the order in which they are applied.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// The outbox entries, in order.
    #[must_use]
    pub fn announcements(&self) -> &[Vec<u8>] {
        &self.announcements
    }

    /// The outbox entries alone.
    #[must_use]
    pub fn into_announcements(self) -> Vec<Vec<u8>> {
        self.announcements
    }

    fn check(&mut self, check: Check) -> CheckId {
        self.checks.push(check);
        CheckId(self.checks.len() - 1)
    }
}
