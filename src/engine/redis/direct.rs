//! Announcements that are told by the store's own Redis: those who are to know read it, too.
//!
//! Then telling is a script beside the outbox, and no relay to another server. Where nothing need wait for replicas, the
//! commit that announces tells in the same breath, right after its writes: no outbox entry, nothing to trim. It does so
//! only while the shard's outbox is empty, so that nothing overtakes an older announcement, and falls back to the outbox
//! where a command fails. What lies in the outbox is told by [`call`], which takes it out at once.

use std::sync::LazyLock;

use super::{Call, Script};
use crate::engine::Entry;

/// Tells what lies in an outbox.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("tell.lua")));

/// More than this many announcements are not told by the commit itself: a script must not hold Redis up for long.
const MOST: usize = 8;

/// A command, as words.
type Command = Vec<Vec<u8>>;

/// Turns announcements into the commands that tell them.
pub trait Direct: Send + Sync {
    /// The commands for `announcement`, each a list of words; nothing where it cannot be read. All their keys lie in this
    /// Redis, and running them again does no harm.
    fn commands(&self, announcement: &[u8]) -> Option<Vec<Command>>;
}

/// The commands that tell all of `announcements` in their commit; none where they are to lie in the outbox.
pub(super) fn commands(direct: Option<&dyn Direct>, announcements: &[Vec<u8>]) -> Vec<Command> {
    let Some(direct) = direct.filter(|_| announcements.len() <= MOST) else { return Vec::new() };
    let all: Option<Vec<_>> =
        announcements.iter().map(|announcement| direct.commands(announcement)).collect();
    all.unwrap_or_default().into_iter().flatten().collect()
}

/// Tells `entries` of the outbox called `key`; nothing where one of them cannot be read.
pub(super) fn call(direct: &dyn Direct, key: &str, entries: &[Entry]) -> Option<Call> {
    let mut args = Vec::new();
    for Entry { position, announcement } in entries {
        let commands = direct.commands(announcement)?;
        args.extend([position.to_string().into_bytes(), commands.len().to_string().into_bytes()]);
        for words in commands {
            args.push(words.len().to_string().into_bytes());
            args.extend(words);
        }
    }
    Some(Call::script(&SCRIPT, vec![key.as_bytes().to_vec()], args))
}
