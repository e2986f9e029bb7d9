//! What is thrown away: collections past their deadline, and announcements that were delivered or are too many. Runs
//! on the writer's thread, a bounded amount of work at a time.

use std::ops::ControlFlow;

use redb::{ReadableTable, ReadableTableMetadata, StorageError};

use super::tables::{FLOOR, PositionKey, Tables, behind, count_of, key_of, keys_of, mark, position_of};
use crate::{
    base::Timestamp,
    engine::{Collection, Position, Shard},
};

/// Sets the deadline of `collection`. An empty one has none, as a Redis key that is gone has none.
pub(super) fn set_deadline(
    tables: &mut Tables<'_>,
    collection: &Collection,
    due: Timestamp,
) -> Result<(), StorageError> {
    forget_deadline(tables, collection)?;
    if count_of(&tables.items, collection, 1)? > 0 {
        let (shard, name) = (collection.shard.index(), collection.name.as_str());
        tables.deadlines.insert((shard, name), due.as_ms())?;
        tables.due.insert((due.as_ms(), shard, name), ())?;
    }
    Ok(())
}

/// Takes the deadline of `collection` away.
pub(super) fn forget_deadline(tables: &mut Tables<'_>, collection: &Collection) -> Result<(), StorageError> {
    let (shard, name) = (collection.shard.index(), collection.name.as_str());
    let due = tables.deadlines.remove((shard, name))?.map(|due| due.value());
    if let Some(due) = due {
        tables.due.remove((due, shard, name))?;
    }
    Ok(())
}

/// A collection whose deadline has passed, the longest overdue first.
pub(super) fn first_due(
    due: &impl ReadableTable<(u64, u16, &'static str), ()>,
    now: Timestamp,
) -> Result<Option<Collection>, StorageError> {
    let Some(entry) = due.range(..(now.as_ms().saturating_add(1), 0, ""))?.next() else { return Ok(None) };
    let (key, ()) = entry.map(|(key, value)| (key, value.value()))?;
    let (_, shard, name) = key.value();
    Ok(Shard::from_index(shard).map(|shard| Collection::new(shard, name)))
}

/// Removes items of collections past their deadline, at most `budget` of them. `Continue` if there is more to do.
pub(super) fn purge(
    tables: &mut Tables<'_>,
    now: Timestamp,
    budget: usize,
) -> Result<ControlFlow<()>, StorageError> {
    let mut left = budget;
    while let Some(collection) = first_due(&tables.due, now)? {
        if left == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        let names = first_names(tables, &collection, left)?;
        for name in &names {
            tables.items.remove((collection.shard.index(), collection.name.as_str(), name.as_slice()))?;
        }
        if names.len() < left {
            forget_deadline(tables, &collection)?;
        }
        left -= names.len();
    }
    Ok(ControlFlow::Break(()))
}

fn first_names(
    tables: &Tables<'_>,
    collection: &Collection,
    limit: usize,
) -> Result<Vec<Vec<u8>>, StorageError> {
    let behind = behind(collection);
    let entries = tables.items.range(keys_of(collection, &behind))?.take(limit);
    entries.map(|entry| entry.map(|(key, _)| key.value().2.to_vec())).collect()
}

/// Forgets announcements up to and including `through`. Whether there were any.
pub(super) fn trim(tables: &mut Tables<'_>, through: Position) -> Result<bool, StorageError> {
    let mut last = None;
    for forgotten in tables.outbox.extract_from_if(..=key_of(through), |_, _| true)? {
        last = Some(forgotten?.0.value());
    }
    let Some(last) = last else { return Ok(false) };
    raise_floor(tables, last)?;
    Ok(true)
}

/// Forgets all but the newest `keep` announcements. Whether it forgot any.
pub(super) fn retain(tables: &mut Tables<'_>, keep: u64) -> Result<bool, StorageError> {
    let surplus = tables.outbox.len()?.saturating_sub(keep);
    let mut last = None;
    for _ in 0..surplus {
        let Some((position, _)) = tables.outbox.pop_first()? else { break };
        last = Some(position.value());
    }
    let Some(last) = last else { return Ok(false) };
    raise_floor(tables, last)?;
    Ok(true)
}

fn raise_floor(tables: &mut Tables<'_>, last: PositionKey) -> Result<(), StorageError> {
    if position_of(last) > mark(&tables.marks, FLOOR)? {
        tables.marks.insert(FLOOR, last)?;
    }
    Ok(())
}
