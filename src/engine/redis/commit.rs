//! A [`Commit`] in the words of `commit.lua`, and its answer.

use std::{sync::LazyLock, time::Duration};

use redis::{ParsingError, RedisError, RedisResult, Value, from_redis_value};

use super::{Call, Script, keys::KeyNames};
use crate::engine::{Check, CheckId, Collection, Commit, Entry, Item, Refusal, Untold, Verdict, Write};

/// The one script behind every commit.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));

/// Redis cannot count to the end of time; this is 139 years.
const LONGEST_EXPIRY_MS: u128 = 1 << 42;

/// `commit` in the script's words, with the commands that tell its announcements, if there are any.
pub(super) fn call(names: &KeyNames, commit: &Commit, tell: Vec<Vec<Vec<u8>>>) -> Call {
    let mut steps = Steps::of(names, commit);
    for words in tell {
        steps.args.extend([b"t".to_vec(), words.len().to_string().into_bytes()]);
        steps.args.extend(words);
    }
    for announcement in commit.announcements() {
        steps.args.extend([b"o".to_vec(), announcement.clone()]);
    }
    Call::script(&SCRIPT, steps.keys, steps.args).marked(names.mark(commit.shard()))
}

/// What the script is called with.
struct Steps<'a> {
    names: &'a KeyNames,
    /// The outbox, then the collections, each once.
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
}

impl<'a> Steps<'a> {
    fn of(names: &'a KeyNames, commit: &Commit) -> Self {
        let mut call = Self { names, keys: vec![names.outbox(commit.shard()).into()], args: Vec::new() };
        for check in commit.checks() {
            match check {
                Check::Absent(item) => call.on_item("a", item),
                Check::Equals(item, value) => {
                    call.on_item("e", item);
                    call.args.push(value.clone());
                }
                Check::CountBelow(collection, bound) => {
                    call.on_collection("n", collection, bound.to_string());
                }
            }
        }
        for write in commit.writes() {
            match write {
                Write::Put(item, value) => {
                    call.on_item("p", item);
                    call.args.push(value.clone());
                }
                Write::Delete(item) => call.on_item("d", item),
                Write::Expire(..) => {}
            }
        }
        // Deadlines come last: Redis would forget one set on a collection that has no items yet.
        for write in commit.writes() {
            match write {
                Write::Expire(collection, after) => call.on_collection("x", collection, milliseconds(*after)),
                Write::Put(..) | Write::Delete(..) => {}
            }
        }
        call
    }

    fn on_item(&mut self, step: &str, item: &Item) {
        let key = self.key(&item.collection);
        self.args.extend([step.into(), key.into(), item.name.clone()]);
    }

    fn on_collection(&mut self, step: &str, collection: &Collection, operand: String) {
        let key = self.key(collection);
        self.args.extend([step.into(), key.into(), operand.into()]);
    }

    /// The place of the collection's key among the keys, as Lua counts.
    fn key(&mut self, collection: &Collection) -> String {
        let key = self.names.collection(collection).into_bytes();
        let at = self.keys.iter().position(|known| *known == key).unwrap_or_else(|| {
            self.keys.push(key);
            self.keys.len() - 1
        });
        (at + 1).to_string()
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

fn milliseconds(after: Duration) -> String {
    after.as_millis().clamp(1, LONGEST_EXPIRY_MS).to_string()
}
