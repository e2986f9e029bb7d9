//! Announcements that are told in the very commit that makes them.
//!
//! Where those who are to know read this very Redis, and nothing need wait for replicas, the commit's script runs the
//! commands that tell them right after its writes: no outbox entry, nothing to relay, nothing to trim. It does so only
//! while the shard's outbox is empty, so that nothing overtakes an older announcement, and falls back to the outbox where
//! a command fails. The relay is there for all that was not told so.

use super::Args;

/// Turns announcements into the commands that tell them.
pub trait Direct: Send + Sync {
    /// The commands for `announcement`, nothing where it cannot be read. All their keys lie in this
    /// Redis, and running them again does no harm.
    fn commands(&self, announcement: &[u8]) -> Option<Vec<Args>>;
}

/// More than this many announcements are left to the relay: a script must not hold Redis up for long.
const MOST: usize = 8;

/// The commands that tell all of `announcements`; none where they are left to the relay.
pub(super) fn commands(direct: Option<&dyn Direct>, announcements: &[Vec<u8>]) -> Vec<Args> {
    let Some(direct) = direct.filter(|_| announcements.len() <= MOST) else { return Vec::new() };
    let all: Option<Vec<_>> =
        announcements.iter().map(|announcement| direct.commands(announcement)).collect();
    all.unwrap_or_default().into_iter().flatten().collect()
}
