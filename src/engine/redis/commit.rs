//! A [`Commit`] in the words of `commit.lua`, and its answer.

use std::{iter, sync::LazyLock, time::Duration};

use redis::{ParsingError, RedisError, RedisResult, Value, from_redis_value};

use super::{Args, Call, Script, keys::KeyNames};
use crate::engine::{Check, CheckId, Collection, Commit, Entry, Item, Refusal, Untold, Verdict, Write};

/// The one script behind every commit.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));

/// Redis cannot count to the end of time; this is 139 years.
const LONGEST_EXPIRY_MS: u64 = 1 << 42;

/// What most commits need, in words and in bytes.
const ROOM: (usize, usize) = (64, 2048);

/// `commit` in the script's words, with the commands that tell its announcements, if there are any.
pub(super) fn call(names: &KeyNames, commit: &Commit, tell: Vec<Args>) -> Call {
    let Steps { collections, mut args } = Steps::of(commit);
    for command in tell {
        args.push("t");
        args.push_number(command.len() as u64);
        args.extend(command.iter());
    }
    for announcement in commit.announcements() {
        args.push("o");
        args.push(announcement);
    }
    let collections = collections.into_iter().map(|collection| names.collection(collection));
    let keys = iter::once(names.outbox(commit.shard())).chain(collections).collect();
    Call::script(&SCRIPT, keys, args)
}

/// What the script is called with.
struct Steps<'c> {
    /// Each once.
    collections: Vec<&'c Collection>,
    args: Args,
}

impl<'c> Steps<'c> {
    fn of(commit: &'c Commit) -> Self {
        let mut steps = Self { collections: Vec::new(), args: Args::with_capacity(ROOM.0, ROOM.1) };
        for check in commit.checks() {
            match check {
                Check::Absent(item) => steps.on_item("a", item),
                Check::Equals(item, value) => {
                    steps.on_item("e", item);
                    steps.args.push(value);
                }
                Check::CountBelow(collection, bound) => {
                    steps.on_collection("n", collection, *bound);
                }
            }
        }
        for write in commit.writes() {
            match write {
                Write::Put(item, value) => {
                    steps.on_item("p", item);
                    steps.args.push(value);
                }
                Write::Delete(item) => steps.on_item("d", item),
                Write::Expire(..) => {}
            }
        }
        // Deadlines come last: Redis would forget one set on a collection that has no items yet. Only the last word is
        // said: a collection that were to live for a moment could be gone before the next word.
        let mut writes = commit.writes();
        while let [write, rest @ ..] = writes {
            writes = rest;
            match write {
                Write::Expire(collection, after) if !rest.iter().any(|later| expires(later, collection)) => {
                    steps.on_collection("x", collection, milliseconds(*after));
                }
                Write::Expire(..) | Write::Put(..) | Write::Delete(..) => {}
            }
        }
        steps
    }

    fn on_item(&mut self, step: &str, item: &'c Item) {
        self.begin(step, &item.collection);
        self.args.push(&item.name);
    }

    fn on_collection(&mut self, step: &str, collection: &'c Collection, operand: u64) {
        self.begin(step, collection);
        self.args.push_number(operand);
    }

    /// The step's letter, and the place of the collection's key among the keys, as Lua counts: the outbox comes first.
    fn begin(&mut self, step: &str, collection: &'c Collection) {
        let known = self.collections.iter().position(|known| *known == collection);
        let at = known.unwrap_or_else(|| {
            self.collections.push(collection);
            self.collections.len() - 1
        });
        self.args.push(step);
        self.args.push_number(at as u64 + 2);
    }
}

/// What the script answered to a commit of so many checks, with these announcements.
pub(super) fn verdict(
    answer: Value,
    checks: usize,
    announcements: Vec<Vec<u8>>,
) -> RedisResult<(Verdict, Untold)> {
    let nonsense = || ParsingError::from("an answer that commit.lua never gives");
    let mut parts = from_redis_value::<Vec<Value>>(answer)?.into_iter();
    match parts.next() {
        // What told nothing has not looked either.
        None if announcements.is_empty() => Ok((Verdict::Done, Untold::Unknown)),
        None => Ok((Verdict::Done, Untold::Nothing)),
        Some(Value::Int(check)) => {
            let known = usize::try_from(check).ok().filter(|check| *check < checks);
            let check = CheckId(known.ok_or_else(nonsense)?);
            let found = from_redis_value(parts.next().ok_or_else(nonsense)?)?;
            Ok((Verdict::Refused(Refusal { check, found }), Untold::Unknown))
        }
        Some(waiting) => {
            let waiting: usize = from_redis_value(waiting)?;
            let entry = |(position, announcement): (Value, Vec<u8>)| {
                let position = from_redis_value::<String>(position)?.parse().map_err(|()| nonsense())?;
                Ok::<_, RedisError>(Entry { position, announcement })
            };
            let entries: Vec<Entry> = parts.zip(announcements).map(entry).collect::<Result<_, _>>()?;
            let only_these = waiting == entries.len();
            Ok((Verdict::Done, if only_these { Untold::These(entries) } else { Untold::Unknown }))
        }
    }
}

fn expires(write: &Write, collection: &Collection) -> bool {
    matches!(write, Write::Expire(expired, _) if expired == collection)
}

fn milliseconds(after: Duration) -> u64 {
    u64::try_from(after.as_millis()).unwrap_or(LONGEST_EXPIRY_MS).clamp(1, LONGEST_EXPIRY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Shard;

    #[test]
    fn only_the_last_word_on_expiry_is_said() {
        let shard = Shard::from_index(0).unwrap();
        let (a, b) = (Collection::new(shard, "a"), Collection::new(shard, "b"));
        let mut commit = Commit::on(shard);
        for (collection, ms) in [(&a, 1), (&b, 2), (&a, 3)] {
            commit.expire(collection.clone(), Duration::from_millis(ms));
        }
        let Steps { args, collections } = Steps::of(&commit);
        let said: Vec<String> = args.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        assert_eq!(said, ["x", "2", "2", "x", "3", "3"]);
        assert_eq!(collections, [&b, &a]);
    }
}
