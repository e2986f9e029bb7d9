//! A walk through the names of collections, which is a walk through all keys of one server after the other: `SCAN`.
//!
//! A cursor of `SCAN` is a place in the memory of one server process. In another (after a restart or a failover) it
//! means nothing and would leave keys out. So ours also says which process gave it, and how the keys were shared out
//! among the servers; a walk that meets something else begins again.

use std::sync::Arc;

use redis::{RedisResult, cmd, from_redis_value};

use super::{Call, Servers, Way, keys::KeyNames, node::Node, servers::Members};
use crate::{
    base::Unavailable,
    engine::{Collections, Cursor},
};

/// What `SCAN` gives first, and takes to begin with.
const START: &str = "0";

/// Where a walk is.
struct Place {
    /// How the keys were shared out.
    layout: String,
    /// Which server's turn it is.
    at: usize,
    /// The process that gave the cursor; none where the server has not been asked yet.
    process: String,
    /// Its cursor.
    cursor: String,
}

/// A page of the walk for names that start with `prefix`.
pub(super) async fn collections(
    servers: &Servers,
    names: &KeyNames,
    prefix: &str,
    (from, limit): (Option<&Cursor>, usize),
) -> Result<Collections, Unavailable> {
    let pattern = names.pattern(prefix);
    let members = servers.members().await?;
    let mut place = match from {
        Some(cursor) => {
            Place::parse(cursor).ok_or_else(|| Unavailable::new("store", "a cursor of another store"))?
        }
        None => Place::start(&members),
    };
    if place.layout != members.layout {
        begin_again();
        place = Place::start(&members);
    }
    let Some(server) = members.servers.get(place.at) else { return Ok(Collections::default()) };
    let mut page = scan(servers, server, &pattern, (&place.cursor, limit)).await?;
    if place.cursor != START && page.process != place.process {
        begin_again();
        place = Place::start(&members);
        let Some(first) = members.servers.first() else { return Ok(Collections::default()) };
        page = scan(servers, first, &pattern, (START, limit)).await?;
    }
    let found = page.keys.iter().filter_map(|key| names.parse(key)).collect();
    Ok(Collections { found, next: place.after(&page, &members) })
}

impl Place {
    fn start(members: &Members) -> Self {
        Self { layout: members.layout.clone(), at: 0, process: String::new(), cursor: START.to_owned() }
    }

    /// Where the walk goes on after `page`; nothing after the last of the last server.
    fn after(self, page: &Scanned, members: &Members) -> Option<Cursor> {
        let done = page.next == START;
        let at = self.at + usize::from(done);
        (at < members.servers.len())
            .then(|| Cursor(format!("{}:{at}:{}:{}", self.layout, page.process, page.next).into_bytes()))
    }

    fn parse(Cursor(bytes): &Cursor) -> Option<Self> {
        let mut parts = std::str::from_utf8(bytes).ok()?.split(':').map(str::to_owned);
        let (layout, at) = (parts.next()?, parts.next()?.parse().ok()?);
        Some(Self { layout, at, process: parts.next()?, cursor: parts.next()? })
    }
}

struct Scanned {
    /// The server process that answered.
    process: String,
    next: String,
    keys: Vec<String>,
}

/// The process and its keys in one go, so that both are of the same server.
async fn scan(
    servers: &Servers,
    server: &Arc<Node>,
    pattern: &str,
    (place, limit): (&str, usize),
) -> Result<Scanned, Unavailable> {
    let (mut info, mut scan) = (cmd("INFO"), cmd("SCAN"));
    info.arg("server");
    scan.arg(place).arg("MATCH").arg(pattern).arg("COUNT").arg(limit.max(1));
    let both = [info, scan].map(|command| Call::command("", command));
    let answers = servers.read_at(server, Way::Slow, both.into()).await?;
    let values = answers.into_iter().collect::<RedisResult<Vec<_>>>();
    let mut values = values.map_err(|error| servers.unavailable(error))?.into_iter();
    let missing = || Unavailable::new("store", "an answer is missing");
    let bad = |error: redis::ParsingError| servers.unavailable(error.into());
    let info: String = from_redis_value(values.next().ok_or_else(missing)?).map_err(bad)?;
    let (next, keys): (String, Vec<Vec<u8>>) =
        from_redis_value(values.next().ok_or_else(missing)?).map_err(bad)?;
    let process = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    let process = process.ok_or_else(|| Unavailable::new("store", "INFO names no run_id"))?.to_owned();
    // A key that is no text is none of ours.
    let keys = keys.into_iter().filter_map(|key| String::from_utf8(key).ok()).collect();
    Ok(Scanned { process, next, keys })
}

fn begin_again() {
    tracing::warn!("the store's Redis has restarted, failed over or moved keys: the walk begins again");
}
