//! A walk through the names of collections, in the order in which they lie in the file. It jumps from one to the next
//! and reads no items.

use redb::ReadOnlyTable;

use super::tables::{ItemKey, Key, behind};
use crate::{
    base::Unavailable,
    engine::{Collection, Collections, Cursor, Shard},
};

/// Where a page starts.
pub(super) struct Start<'a> {
    shard: u16,
    /// The last collection of the page before.
    after: Option<&'a str>,
}

impl<'a> Start<'a> {
    /// Where `cursor` says; at the first shard without one.
    pub(super) fn at(cursor: Option<&'a Cursor>) -> Result<Self, Unavailable> {
        let Some(Cursor(bytes)) = cursor else { return Ok(Self { shard: 0, after: None }) };
        let parts = bytes.split_first_chunk::<2>().and_then(|(shard, name)| {
            Some(Self { shard: u16::from_be_bytes(*shard), after: Some(std::str::from_utf8(name).ok()?) })
        });
        parts.ok_or_else(|| Unavailable::new("store", "a cursor of another store"))
    }
}

/// A page of the walk for names that start with `prefix`.
pub(super) fn collections(
    items: &ReadOnlyTable<ItemKey, &'static [u8]>,
    prefix: &str,
    start: &Start<'_>,
    limit: usize,
) -> Result<Collections, redb::Error> {
    let mut page = Collections::default();
    let mut after = start.after.map(str::to_owned);
    for shard in (start.shard..Shard::COUNT).filter_map(Shard::from_index) {
        while let Some(collection) = next(items, shard, prefix, after.as_deref())? {
            if page.found.len() == limit {
                page.next = page.found.last().map(cursor);
                return Ok(page);
            }
            after = Some(collection.name.clone());
            page.found.push(collection);
        }
        after = None;
    }
    Ok(page)
}

/// The first collection of `shard` behind `after` whose name starts with `prefix`.
fn next(
    items: &ReadOnlyTable<ItemKey, &'static [u8]>,
    shard: Shard,
    prefix: &str,
    after: Option<&str>,
) -> Result<Option<Collection>, redb::Error> {
    let name = after.map_or_else(|| prefix.to_owned(), |name| behind(&Collection::new(shard, name)));
    let from = (shard.index(), name.as_str(), [].as_slice());
    let Some(entry) = items.range::<Key<'_>>(from..)?.next() else { return Ok(None) };
    let (key, _) = entry?;
    let (found_in, name, _) = key.value();
    let ours = found_in == shard.index() && name.starts_with(prefix);
    Ok(ours.then(|| Collection::new(shard, name)))
}

fn cursor(last: &Collection) -> Cursor {
    Cursor([&last.shard.index().to_be_bytes()[..], last.name.as_bytes()].concat())
}
