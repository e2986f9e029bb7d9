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

    /// A pattern (Redis's `SCAN … MATCH`) for collections of any shard whose names start with `start`.
    pub(super) fn pattern(&self, start: &str) -> String {
        let any_shard = "?".repeat(Shard::all().next().map_or(0, |shard| shard.tag().len()));
        format!("{}{{{any_shard}}}:{}*", escape(&self.prefix), escape(start))
    }

    /// The collection that lies under `key`; nothing where the key is none of ours.
    pub(super) fn parse(&self, key: &str) -> Option<Collection> {
        let (tag, name) = key.strip_prefix(&self.prefix)?.strip_prefix('{')?.split_once("}:")?;
        let (shard, rest) = Shard::split(tag)?;
        rest.is_empty().then(|| Collection::new(shard, name))
    }

    fn named(&self, shard: Shard, name: &str) -> String {
        // In every call, so joined without the machinery of `format!`.
        [&self.prefix, "{", shard.tag(), "}:", name].concat()
    }
}

/// `text` as a pattern that only it matches.
fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut pattern, c| {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
        pattern
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_back_to_its_collection() {
        let names = KeyNames::new("authsession:");
        for shard in Shard::all() {
            let collection = Collection::new(shard, "a:x:y");
            assert_eq!(names.parse(&names.collection(&collection)), Some(collection));
        }
        for stranger in
            ["", "authsession:", "authsession:{1bz:a", "authsession:{!!!}:a", "authsession:{1bzz}:a"]
        {
            assert_eq!(names.parse(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn a_pattern_takes_the_prefix_at_its_word() {
        assert_eq!(KeyNames::new("a*[b]?\\:").pattern("r:"), r"a\*\[b\]\?\\:{???}:r:*");
    }
}
