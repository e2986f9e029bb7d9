//! What is thrown away: collections past their deadline, and announcements that were delivered or are too many. Runs
//! on the writer's thread, a bounded amount of work at a time.

use std::ops::ControlFlow;

use redb::{ReadableTable, ReadableTableMetadata, StorageError};

use super::tables::{Tables, behind, deadline_key, deadline_of, key_of, keys_of, raise_floor};
use crate::{
    base::Timestamp,
    engine::{Collection, Position, Shard},
};

/// Sets the deadline of `collection`, which has items.
pub(super) fn set_deadline(
    tables: &mut Tables<'_>,
    collection: &Collection,
    due: Timestamp,
) -> Result<(), StorageError> {
    let before = deadline_of(&tables.items, collection)?;
    tables.items.insert(deadline_key(collection), due.as_ms().to_be_bytes().as_slice())?;
    // A look that comes earlier finds the later deadline. Most are put off again and again, and looked at once.
    if before.is_none_or(|before| due < before) {
        tables.due.insert((due.as_ms(), collection.shard.index(), collection.name.as_str()), ())?;
    }
    Ok(())
}

/// Takes the deadline of `collection` away: an empty one has none, as a Redis key that is gone has none.
pub(super) fn forget_deadline(tables: &mut Tables<'_>, collection: &Collection) -> Result<(), StorageError> {
    tables.items.remove(deadline_key(collection)).map(drop)
}

/// A collection to look at, and when that was due. The longest overdue comes first.
pub(super) fn first_due(
    due: &impl ReadableTable<(u64, u16, &'static str), ()>,
    now: Timestamp,
) -> Result<Option<(Timestamp, Collection)>, StorageError> {
    let Some(entry) = due.range(..(now.as_ms().saturating_add(1), 0, ""))?.next() else { return Ok(None) };
    let (key, ()) = entry.map(|(key, value)| (key, value.value()))?;
    let (at, shard, name) = key.value();
    Ok(Shard::from_index(shard).map(|shard| (Timestamp::from_ms(at), Collection::new(shard, name))))
}

/// Removes items of collections past their deadline, at most `budget` of them. `Continue` if there is more to do.
pub(super) fn purge(
    tables: &mut Tables<'_>,
    now: Timestamp,
    budget: usize,
) -> Result<ControlFlow<()>, StorageError> {
    let mut left = budget;
    while let Some((at, collection)) = first_due(&tables.due, now)? {
        if left == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        let (shard, name) = (collection.shard.index(), collection.name.as_str());
        let mut done = 1;
        match deadline_of(&tables.items, &collection)? {
            Some(later) if later > now => {
                tables.due.insert((later.as_ms(), shard, name), ())?;
            }
            Some(_) => {
                let names = first_names(tables, &collection, left)?;
                for item in &names {
                    tables.items.remove((shard, name, item.as_slice()))?;
                }
                if names.len() == left {
                    return Ok(ControlFlow::Continue(()));
                }
                forget_deadline(tables, &collection)?;
                done += names.len();
            }
            // It was emptied meanwhile.
            None => {}
        }
        tables.due.remove((at.as_ms(), shard, name))?;
        left = left.saturating_sub(done);
    }
    Ok(ControlFlow::Break(()))
}

fn first_names(
    tables: &Tables<'_>,
    collection: &Collection,
    limit: usize,
) -> Result<Vec<Vec<u8>>, StorageError> {
    let behind = behind(collection);
    let entries = tables.items.range(keys_of(collection, &[], &behind))?.take(limit);
    entries.map(|entry| entry.map(|(key, _)| key.value().2.to_vec())).collect()
}

/// Forgets announcements up to and including `through`. Whether there were any.
pub(super) fn trim(tables: &mut Tables<'_>, through: Position) -> Result<bool, StorageError> {
    let mut last = None;
    for forgotten in tables.outbox.extract_from_if(..=key_of(through), |_, _| true)? {
        last = Some(forgotten?.0.value());
    }
    let Some(last) = last else { return Ok(false) };
    raise_floor(&mut tables.marks, last)?;
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
    raise_floor(&mut tables.marks, last)?;
    Ok(true)
}
