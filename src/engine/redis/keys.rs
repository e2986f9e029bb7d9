//! The names of keys: `prefix{TAG}:collection` is a hash, `prefix{TAG}:o` is the shard's outbox, a stream. The braces
//! keep a shard in one slot of a cluster. No collection is called `o`, or `w`, the mark that durable commits leave.

use redis::{Cmd, cmd};

use crate::engine::{Collection, Shard};

/// Makes key names.
pub(super) struct KeyNames {
    prefix: String,
}

impl KeyNames {
    /// All start with `prefix`.
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The hash that has the items of `collection`.
    pub(super) fn collection(&self, collection: &Collection) -> String {
        self.named(collection.shard, &collection.name)
    }

    /// The stream that has the announcements of `shard`.
    pub(super) fn outbox(&self, shard: Shard) -> String {
        self.named(shard, "o")
    }

    /// A write in `shard` that changes nothing, so that a durable call has something to wait for.
    pub(super) fn mark(&self, shard: Shard) -> Cmd {
        let mut mark = cmd("SET");
        mark.arg(self.named(shard, "w")).arg("");
        mark
    }

    fn named(&self, shard: Shard, name: &str) -> String {
        format!("{}{{{}}}:{name}", self.prefix, shard.tag())
    }
}
