//! Which slot a key lies in, and who has which slots (Redis cluster specification).

use std::{ops::RangeInclusive, sync::Arc};

use redis::{FromRedisValue, RedisResult, Value, from_redis_value};

use super::node::Node;

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

    /// The servers that have slots, each once, in a fixed order.
    pub(super) fn servers(&self) -> Vec<Arc<Node>> {
        let mut servers: Vec<Arc<Node>> = Vec::new();
        for node in self.nodes() {
            if !servers.iter().any(|known| Arc::ptr_eq(known, node)) {
                servers.push(Arc::clone(node));
            }
        }
        servers
    }

    /// Every server that has slots; some more than once.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.ranges.iter().map(|range| &range.node)
    }
}

/// The slots that a server itself says it has.
pub(super) struct Own {
    has: Vec<RangeInclusive<u16>>,
    /// On their way to or from another server: their keys are on both.
    moving: Vec<u16>,
}

impl Own {
    /// From its answer to `CLUSTER NODES`. A replica has none, whatever it holds.
    pub(super) fn read(nodes: &str) -> Self {
        let (mut has, mut moving) = (Vec::new(), Vec::new());
        let of_itself = |line: &&str| {
            let flags = line.split(' ').nth(2).unwrap_or_default();
            let is = |flag| flags.split(',').any(|set| set == flag);
            is("myself") && is("master")
        };
        // Behind its name, address, flags, master, ping, pong, epoch and link.
        for slots in nodes.lines().find(of_itself).into_iter().flat_map(|line| line.split(' ').skip(8)) {
            if let Some((slot, _)) = slots.strip_prefix('[').and_then(|slots| slots.split_once('-')) {
                moving.extend(slot.parse::<u16>());
                continue;
            }
            let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
            if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.trim().parse()) {
                has.push(first..=last);
            }
        }
        Self { has, moving }
    }

    /// Whether it has every key that has this tag, and has had since it was given the slot.
    pub(super) fn has_whole(&self, tag: &str) -> bool {
        let slot = slot_of(tag.as_bytes());
        self.has.iter().any(|range| range.contains(&slot)) && !self.moving.contains(&slot)
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

    #[test]
    fn a_server_has_whole_what_is_not_on_its_way() {
        let others =
            "a1 127.0.0.1:1@2 slave b1 0 1 2 connected\nc1 127.0.0.1:3@4 master - 0 1 3 connected 1-16383\n";
        let line = |flags: &str| {
            format!("{others}b1 :0@0 {flags} - 0 0 2 connected 0 12182-12739 [12182->-c1] [9-<-c1]\r\n")
        };
        let own = Own::read(&line("myself,master"));
        // Slots 12182 and 12739 (the specification's example), and 0.
        assert!(own.has_whole("123456789") && !own.has_whole("foo") && !own.has_whole("bar"));
        let replica = Own::read(&line("myself,slave"));
        assert!(!replica.has_whole("123456789"));
    }
}
