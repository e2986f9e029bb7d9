//! What is asked of Redis: a command or a script, and the slot that says which server of a cluster it is for.

use redis::Cmd;

use super::{Args, Script, slots::slot_of};

/// Something to ask of the server that has a certain key.
pub struct Call {
    /// The slot of its keys: there is only one, or it could not run in a cluster.
    pub(super) slot: u16,
    pub(super) what: What,
    /// A write that changes nothing, in the same slot: `WAIT` waits for the last write of its connection, and what
    /// this call reads, or finds in its way, may be somebody else's.
    pub(super) mark: Option<Cmd>,
}

/// What to do.
pub(super) enum What {
    /// A command.
    Command(Cmd),
    /// A script.
    Script(ScriptCall),
}

/// A script with what it is given.
pub(super) struct ScriptCall {
    script: &'static Script,
    keys: Args,
    args: Args,
}

impl Call {
    /// `command`, for the server that has `key`.
    #[must_use]
    pub fn command(key: impl AsRef<[u8]>, command: Cmd) -> Self {
        Self { slot: slot_of(key.as_ref()), what: What::Command(command), mark: None }
    }

    /// `script`, for the server that has its first key.
    #[must_use]
    pub fn script(script: &'static Script, keys: Args, args: Args) -> Self {
        let slot = keys.iter().next().map_or(0, slot_of);
        Self { slot, what: What::Script(ScriptCall { script, keys, args }), mark: None }
    }

    /// With a write that changes nothing, for calls that may themselves write nothing.
    #[must_use]
    pub fn marked(mut self, mark: Cmd) -> Self {
        self.mark = Some(mark);
        self
    }
}

impl ScriptCall {
    /// The command that a server can serve which has run the script before.
    pub(super) fn by_hash(&self) -> Cmd {
        self.script.by_hash(&self.keys, &self.args)
    }

    /// The command that every server can serve.
    pub(super) fn by_source(&self) -> Cmd {
        self.script.by_source(&self.keys, &self.args)
    }
}
