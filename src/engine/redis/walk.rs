//! A walk through the names of collections, which is a walk through all keys of the servers: `SCAN`.
//!
//! A cursor of `SCAN` is a place in the memory of one server process. In another (after a restart or a failover) it
//! means nothing and would leave keys out. And in a cluster keys move from servers that the walk has yet to see to those
//! that it has seen. So ours does not count servers but shards: a shard is done when one process has had it whole, from
//! before its first page until after its last. Whatever changes hands meanwhile stays to be done, by whoever has it then.

use std::{collections::BTreeSet, sync::Arc};

use redis::{FromRedisValue, Value, cmd, from_redis_value};

use super::{Call, Servers, Way, keys::KeyNames, node::Node, slots::Own};
use crate::{
    base::Unavailable,
    engine::{Collections, Cursor, Shard},
};

/// What `SCAN` gives first, and takes to begin with.
const START: &str = "0";

/// Numbers of shards.
type Shards = BTreeSet<u16>;

/// Where a walk is.
#[derive(PartialEq, Eq, Debug)]
struct Place {
    /// The shards that are done.
    done: Shards,
    /// The server that is being walked through; none between two of them.
    at: Option<At>,
}

/// Where a walk is in one server.
#[derive(PartialEq, Eq, Debug)]
struct At {
    /// The process that gave the cursor.
    process: String,
    cursor: String,
    /// The shards that it has had from the start.
    open: Shards,
}

/// A page of the walk for names that start with `prefix`.
pub(super) async fn collections(
    servers: &Servers,
    names: &KeyNames,
    prefix: &str,
    (from, limit): (Option<&Cursor>, usize),
) -> Result<Collections, Unavailable> {
    let place = match from {
        Some(cursor) => {
            Place::parse(cursor).ok_or_else(|| Unavailable::new("store", "a cursor of another store"))?
        }
        None => Place { done: Shards::new(), at: None },
    };
    let Some(shard) = place.next_shard() else { return Ok(Collections::default()) };
    let server = servers.server_of(&names.outbox(shard)).await?;
    let asked = Asked { servers, server: &server };
    let Place { mut done, at } = place;
    let mut at = match at {
        Some(at) => at,
        None => asked.begin(&done).await?,
    };
    let page = asked.scan(&names.pattern(prefix), &at.cursor, limit).await?;
    if page.process != at.process {
        tracing::warn!("the store's Redis has restarted, failed over or moved keys: a server is walked anew");
        return Ok(Collections { found: Vec::new(), next: Some(Place { done, at: None }.cursor()) });
    }
    at.open.retain(|shard| page.whole.contains(shard));
    let keys = page.keys.iter().filter_map(|key| names.parse(key));
    // What lies about of other shards is not theirs to name.
    let found = keys.filter(|collection| at.open.contains(&collection.shard.index())).collect();
    at.cursor = page.next;
    if at.cursor == START {
        done.append(&mut at.open);
    }
    let next = Place { done, at: (!at.open.is_empty()).then_some(at) };
    Ok(Collections { found, next: next.next_shard().map(|_| next.cursor()) })
}

impl Place {
    /// A shard that is on the server whose turn it is; nothing when all are done.
    fn next_shard(&self) -> Option<Shard> {
        let open = self.at.as_ref().and_then(|at| at.open.first().copied());
        let left = || (0..Shard::COUNT).find(|shard| !self.done.contains(shard));
        open.or_else(left).and_then(Shard::from_index)
    }

    fn cursor(&self) -> Cursor {
        let done = print(&self.done);
        let text = match &self.at {
            Some(At { process, cursor, open }) => format!("{done}:{process}:{cursor}:{}", print(open)),
            None => format!("{done}:"),
        };
        Cursor(text.into_bytes())
    }

    fn parse(Cursor(bytes): &Cursor) -> Option<Self> {
        let parts: Vec<&str> = std::str::from_utf8(bytes).ok()?.split(':').collect();
        let (done, at) = match parts[..] {
            [done, ""] => (done, None),
            [done, process, cursor, open] => {
                let open = read(open).filter(|open| !open.is_empty())?;
                (done, Some(At { process: process.to_owned(), cursor: cursor.to_owned(), open }))
            }
            _ => return None,
        };
        Some(Self { done: read(done)?, at })
    }
}

/// `shards` as ranges: `0-340,345,700-1023`.
fn print(shards: &Shards) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for shard in shards {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *shard => *last = *shard,
            Some(_) | None => ranges.push((*shard, *shard)),
        }
    }
    let text = |(first, last)| if first == last { format!("{first}") } else { format!("{first}-{last}") };
    ranges.into_iter().map(text).collect::<Vec<_>>().join(",")
}

fn read(text: &str) -> Option<Shards> {
    let mut shards = Shards::new();
    for range in text.split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        if first > last || last >= Shard::COUNT {
            return None;
        }
        shards.extend(first..=last);
    }
    Some(shards)
}

/// One server of many.
struct Asked<'a> {
    servers: &'a Servers,
    server: &'a Arc<Node>,
}

struct Scanned {
    /// The server process that answered.
    process: String,
    next: String,
    keys: Vec<String>,
    /// The shards that it had whole, all the time since it was last asked.
    whole: Shards,
}

impl Asked<'_> {
    /// The start of a walk through this server, for the shards that are not done.
    async fn begin(&self, done: &Shards) -> Result<At, Unavailable> {
        let [info, nodes] = self.answers([command("INFO", &["server"]), self.whose()]).await?;
        let (process, whole) = (self.process(info)?, self.whole(nodes)?);
        let open: Shards = whole.difference(done).copied().collect();
        if open.is_empty() {
            return Err(Unavailable::new(
                "store",
                "a slot of the cluster is being moved: no server has it whole",
            ));
        }
        Ok(At { process, cursor: START.to_owned(), open })
    }

    /// All in one go, so that all is of the same process. Who has the shards is asked last: it must have had them all
    /// through the scan.
    async fn scan(&self, pattern: &str, cursor: &str, limit: usize) -> Result<Scanned, Unavailable> {
        let count = limit.max(1).to_string();
        let scan = command("SCAN", &[cursor, "MATCH", pattern, "COUNT", &count]);
        let [info, keys, nodes] = self.answers([command("INFO", &["server"]), scan, self.whose()]).await?;
        let (next, keys): (String, Vec<Vec<u8>>) = self.read(keys)?;
        // A key that is no text is none of ours.
        let keys = keys.into_iter().filter_map(|key| String::from_utf8(key).ok()).collect();
        Ok(Scanned { process: self.process(info)?, next, keys, whole: self.whole(nodes)? })
    }

    fn process(&self, info: Value) -> Result<String, Unavailable> {
        let info: String = self.read(info)?;
        let process = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        Ok(process.ok_or_else(|| Unavailable::new("store", "INFO names no run_id"))?.to_owned())
    }

    /// Asks what the server has; a lone one has everything.
    fn whose(&self) -> Call {
        if self.servers.is_cluster() { command("CLUSTER", &["NODES"]) } else { command("PING", &[]) }
    }

    fn whole(&self, answer: Value) -> Result<Shards, Unavailable> {
        if !self.servers.is_cluster() {
            return Ok((0..Shard::COUNT).collect());
        }
        let own = Own::read(&self.read::<String>(answer)?);
        Ok(Shard::all().filter(|shard| own.has_whole(shard.tag())).map(Shard::index).collect())
    }

    async fn answers<const N: usize>(&self, calls: [Call; N]) -> Result<[Value; N], Unavailable> {
        let answers = self.servers.read_at(self.server, Way::Slow, calls.into()).await?;
        let values: Result<Vec<Value>, _> = answers.into_iter().collect();
        let values = values.map_err(|error| self.servers.unavailable(&error))?;
        values.try_into().map_err(|_| Unavailable::new("store", "an answer is missing"))
    }

    fn read<T: FromRedisValue>(&self, value: Value) -> Result<T, Unavailable> {
        from_redis_value(value).map_err(|error| self.servers.unavailable(&error.into()))
    }
}

fn command(verb: &str, arguments: &[&str]) -> Call {
    let mut command = cmd(verb);
    for argument in arguments {
        command.arg(*argument);
    }
    Call::command("", command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_printed() {
        let at =
            At { process: "p".to_owned(), cursor: "7".to_owned(), open: (342..=682).chain([1023]).collect() };
        for (place, text) in [
            (Place { done: (0..=340).chain([700]).collect(), at: None }, "0-340,700:"),
            (Place { done: Shards::new(), at: None }, ":"),
            (Place { done: Shards::new(), at: Some(at) }, ":p:7:342-682,1023"),
        ] {
            assert_eq!(place.cursor(), Cursor(text.into()));
            assert_eq!(Place::parse(&place.cursor()), Some(place));
        }
        for wrong in ["", "x", "0", "1-:", "5-3:", "0-1024:", "0:p", "0:p:7", "0:p:7:", "0:p:7:1:1", "-1:"] {
            assert_eq!(Place::parse(&Cursor(wrong.into())), None, "{wrong}");
        }
    }

    #[test]
    fn the_walk_goes_on_with_what_is_open_and_then_with_what_is_left() {
        let place = |text: &str| Place::parse(&Cursor(text.into())).unwrap().next_shard().map(Shard::index);
        assert_eq!(place(":"), Some(0));
        assert_eq!(place("0-9:p:0:20-30"), Some(20));
        assert_eq!(place("0-9,11-1023:"), Some(10));
        assert_eq!(place("0-1023:"), None);
    }
}
