//! A walk through the names of collections, which is a walk through all keys of the server: `SCAN`.
//!
//! A cursor of `SCAN` is a place in the memory of one server process. In another (after a restart or a failover) it
//! means nothing and would leave keys out. So ours also says which process gave it, and a walk that meets another one
//! begins again.

use redis::Pipeline;

use super::{keys::KeyNames, lane::Lane};
use crate::{
    base::Unavailable,
    engine::{Collections, Cursor},
};

/// What `SCAN` gives first, and takes to begin with.
const START: &str = "0";

/// A page of the walk for names that start with `prefix`.
pub(super) async fn collections(
    lane: &Lane,
    names: &KeyNames,
    prefix: &str,
    (from, limit): (Option<&Cursor>, usize),
) -> Result<Collections, Unavailable> {
    let pattern = names.pattern(prefix);
    let (process, place) = match from {
        Some(cursor) => {
            parse(cursor).ok_or_else(|| Unavailable::new("store", "a cursor of another store"))?
        }
        None => ("", START),
    };
    let mut page = scan(lane, &pattern, place, limit).await?;
    if place != START && page.process != process {
        tracing::warn!(
            "the store's Redis has restarted or failed over: the walk through its keys begins again"
        );
        page = scan(lane, &pattern, START, limit).await?;
    }
    let found = page.keys.iter().filter_map(|key| names.parse(key)).collect();
    let next = (page.next != START).then(|| Cursor(format!("{}:{}", page.process, page.next).into_bytes()));
    Ok(Collections { found, next })
}

struct Scanned {
    /// The server process that answered.
    process: String,
    next: String,
    keys: Vec<String>,
}

/// The process and its keys in one go, so that both are of the same server.
async fn scan(lane: &Lane, pattern: &str, place: &str, limit: usize) -> Result<Scanned, Unavailable> {
    let mut both = Pipeline::with_capacity(2);
    both.cmd("INFO").arg("server");
    both.cmd("SCAN").arg(place).arg("MATCH").arg(pattern).arg("COUNT").arg(limit.max(1));
    let (info, (next, keys)): (String, (String, Vec<Vec<u8>>)) = lane.read_pipe(&both).await?;
    let process = info.lines().find_map(|line| line.strip_prefix("run_id:"));
    let process = process.ok_or_else(|| Unavailable::new("store", "INFO names no run_id"))?.to_owned();
    // A key that is no text is none of ours.
    let keys = keys.into_iter().filter_map(|key| String::from_utf8(key).ok()).collect();
    Ok(Scanned { process, next, keys })
}

fn parse(Cursor(bytes): &Cursor) -> Option<(&str, &str)> {
    std::str::from_utf8(bytes).ok()?.split_once(':')
}
