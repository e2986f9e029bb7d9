//! A [`Commit`] in the words of `commit.lua`, and its answer.

use std::{sync::LazyLock, time::Duration};

use redis::{ParsingError, RedisResult, Value, from_redis_value};

use super::{Call, Script, keys::KeyNames};
use crate::engine::{Check, CheckId, Collection, Commit, Item, Refusal, Verdict, Write};

/// The one script behind every commit.
static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));

/// Redis cannot count to the end of time; this is 139 years.
const LONGEST_EXPIRY_MS: u128 = 1 << 42;

/// `commit` in the script's words.
pub(super) fn call(names: &KeyNames, commit: &Commit) -> Call {
    let steps = Steps::of(names, commit);
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
        for announcement in commit.announcements() {
            call.args.extend([b"o".to_vec(), announcement.clone()]);
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

/// What the script answered.
pub(super) fn verdict(answer: Value, checks: usize) -> RedisResult<Verdict> {
    let parts: Vec<Value> = from_redis_value(answer)?;
    match <[Value; 2]>::try_from(parts) {
        Ok([Value::Int(check), found]) if usize::try_from(check).is_ok_and(|check| check < checks) => {
            let check = CheckId(usize::try_from(check).unwrap_or(usize::MAX));
            Ok(Verdict::Refused(Refusal { check, found: from_redis_value(found)? }))
        }
        Err(parts) if parts.is_empty() => Ok(Verdict::Done),
        Ok(_) | Err(_) => Err(ParsingError::from("an answer that commit.lua never gives").into()),
    }
}

fn milliseconds(after: Duration) -> String {
    after.as_millis().clamp(1, LONGEST_EXPIRY_MS).to_string()
}
