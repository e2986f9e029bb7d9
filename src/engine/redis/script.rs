//! Lua scripts. Called by their hash; a server that does not know the hash (it was restarted, or flushed) gets the
//! source. Never `SCRIPT LOAD`: on a cluster that waits for every node, the frozen ones too.

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind};

use super::Args;

/// A script and its hash.
pub struct Script {
    source: &'static str,
    hash: String,
}

impl Script {
    /// The script with this source.
    #[must_use]
    pub fn new(source: &'static str) -> Self {
        Self { source, hash: redis::Script::new(source).get_hash().to_owned() }
    }

    /// The call that a server can serve which has run the script before.
    pub(super) fn by_hash(&self, keys: &Args, args: &Args) -> Cmd {
        call("EVALSHA", &self.hash, keys, args)
    }

    /// The call that every server can serve.
    pub(super) fn by_source(&self, keys: &Args, args: &Args) -> Cmd {
        call("EVAL", self.source, keys, args)
    }
}

fn call(verb: &str, script: &str, keys: &Args, args: &Args) -> Cmd {
    let words = 3 + keys.len() + args.len();
    // And four for the number of keys.
    let bytes = verb.len() + script.len() + keys.bytes() + args.bytes() + 4;
    let mut command = Cmd::with_capacity(words, bytes);
    command.arg(verb).arg(script).arg(keys.len()).arg(keys).arg(args);
    command
}

/// Whether the server did not run the script because it does not know the hash.
pub(super) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
