//! Which slot a key lies in, and who has which slots (Redis cluster specification).

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
};

use redis::{FromRedisValue, RedisResult, Value, from_redis_value};

use super::{node::Node, servers::Members};

const SLOTS: u16 = 16_384;

/// The part of `key` that decides its slot.
#[must_use]
pub fn hash_tag(key: &[u8]) -> &[u8] {
    let tag = || {
        let open = key.iter().position(|byte| *byte == b'{')?;
        let rest = key.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    };
    tag().unwrap_or(key)
}

/// The slot of `key`.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    crc16::State::<crc16::XMODEM>::calculate(hash_tag(key)) % SLOTS
}

/// A row of `CLUSTER SLOTS`: from slot, to slot, and the master's host and port. No host means: the one that was asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) host: Option<String>,
    pub(super) port: u16,
}

/// The rows of an answer to `CLUSTER SLOTS`.
pub(super) fn rows(answer: Value) -> RedisResult<Vec<Row>> {
    let rows: Vec<Vec<Value>> = from_redis_value(answer)?;
    Ok(rows.into_iter().filter_map(row).collect())
}

fn row(parts: Vec<Value>) -> Option<Row> {
    let mut parts = parts.into_iter();
    let (first, last) = (read(parts.next()?)?, read(parts.next()?)?);
    let mut master = read::<Vec<Value>>(parts.next()?)?.into_iter();
    let host: Option<String> = read(master.next()?)?;
    let host = host.filter(|host| !host.is_empty() && host != "?");
    Some(Row { first, last, host, port: read(master.next()?)? })
}

fn read<T: FromRedisValue>(value: Value) -> Option<T> {
    from_redis_value(value).ok()
}

/// Who has which slots.
pub(super) struct Slots {
    /// Sorted; they do not overlap.
    ranges: Vec<Range>,
}

/// From slot to slot.
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) node: Arc<Node>,
}

impl Slots {
    /// Of `ranges`, in any order.
    pub(super) fn new(mut ranges: Vec<Range>) -> Self {
        ranges.sort_by_key(|range| range.first);
        Self { ranges }
    }

    /// The server that has `slot`, if any does.
    pub(super) fn node(&self, slot: u16) -> Option<&Arc<Node>> {
        let at = self.ranges.partition_point(|range| range.last < slot);
        self.ranges.get(at).filter(|range| range.first <= slot).map(|range| &range.node)
    }

    /// The servers that have slots, each once.
    pub(super) fn members(&self) -> Members {
        let mut layout = DefaultHasher::new();
        let mut servers: Vec<Arc<Node>> = Vec::new();
        for Range { first, last, node } in &self.ranges {
            (first, last, node.place().map(ToString::to_string)).hash(&mut layout);
            if !servers.iter().any(|known| Arc::ptr_eq(known, node)) {
                servers.push(Arc::clone(node));
            }
        }
        Members { layout: format!("{:x}", layout.finish()), servers }
    }

    /// Every server that has slots; some more than once.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.ranges.iter().map(|range| &range.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_lie_where_the_specification_says() {
        assert_eq!(slot_of(b"123456789"), 12_739);
        for (key, tag) in [
            ("a{b}c", "b"),
            ("{user1000}.following", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("a{b", "a{b"),
        ] {
            assert_eq!(hash_tag(key.as_bytes()), tag.as_bytes(), "{key}");
        }
    }

    #[test]
    fn rows_are_read_with_and_without_a_host() {
        let text = |text: &str| Value::BulkString(text.into());
        let node = |host: Value| Value::Array(vec![host, Value::Int(7000), text("id"), Value::Array(vec![])]);
        let row = |host| Value::Array(vec![Value::Int(0), Value::Int(99), node(host), node(Value::Nil)]);
        let answer = Value::Array(vec![row(text("10.0.0.1")), row(Value::Nil), row(text(""))]);
        let hosts: Vec<_> = rows(answer).unwrap().into_iter().map(|row| (row.host, row.last)).collect();
        assert_eq!(hosts, [(Some("10.0.0.1".into()), 99), (None, 99), (None, 99)]);
    }
}
