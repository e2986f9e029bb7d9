//! What lies where in the file, and the small steps that writer and readers share.

use std::ops::Bound;

use redb::{
    ReadOnlyTable, ReadableTable, StorageError, Table, TableDefinition, TableError, WriteTransaction,
};

use crate::{
    base::Timestamp,
    engine::{Collection, Entry, Item, Position},
};

/// Shard, collection, item: items of one collection lie together, in the order of their names.
pub(super) type ItemKey = (u16, &'static str, &'static [u8]);
/// The same, of some collection.
pub(super) type Key<'k> = (u16, &'k str, &'k [u8]);
/// Milliseconds and sequence of a [`Position`].
pub(super) type PositionKey = (u64, u64);

/// Every value. Under the empty name, which no item has, lies when the collection may be thrown away, if it may:
/// milliseconds in eight bytes. So a deadline is on a page that is written anyway.
pub(super) const ITEMS: TableDefinition<'_, ItemKey, &[u8]> = TableDefinition::new("items");
/// When to look whether a collection may be thrown away: at its deadline or before, and at times that are no deadline
/// any more.
pub(super) const DUE: TableDefinition<'_, (u64, u16, &str), ()> = TableDefinition::new("due");
/// Announcements.
pub(super) const OUTBOX: TableDefinition<'_, PositionKey, &[u8]> = TableDefinition::new("outbox");
/// One position: [`FLOOR`].
pub(super) const MARKS: TableDefinition<'_, &str, PositionKey> = TableDefinition::new("marks");

/// Where files of before have their deadlines.
pub(super) const DEADLINES_BEFORE: TableDefinition<'_, (u16, &str), u64> = TableDefinition::new("deadlines");

/// The last position forgotten.
const FLOOR: &str = "floor";

/// All tables of one write transaction.
pub(super) struct Tables<'txn> {
    pub(super) items: Table<'txn, ItemKey, &'static [u8]>,
    pub(super) due: Table<'txn, (u64, u16, &'static str), ()>,
    pub(super) outbox: Table<'txn, PositionKey, &'static [u8]>,
    pub(super) marks: Table<'txn, &'static str, PositionKey>,
}

impl<'txn> Tables<'txn> {
    /// Opens them; makes those that are missing.
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            items: transaction.open_table(ITEMS)?,
            due: transaction.open_table(DUE)?,
            outbox: transaction.open_table(OUTBOX)?,
            marks: transaction.open_table(MARKS)?,
        })
    }
}

impl Tables<'_> {
    /// Puts `deadlines`, those of a file of before, where they belong. Such a file has looked at them at their very time.
    pub(super) fn take_over(
        mut self,
        deadlines: Option<&ReadOnlyTable<(u16, &'static str), u64>>,
    ) -> Result<(), StorageError> {
        for deadline in deadlines.map(ReadableTable::iter).transpose()?.into_iter().flatten() {
            let (place, due) = deadline?;
            let (shard, name) = place.value();
            self.items.insert((shard, name, [].as_slice()), due.value().to_be_bytes().as_slice())?;
        }
        Ok(())
    }
}

/// The value of `item`.
pub(super) fn value_of(
    items: &impl ReadableTable<ItemKey, &'static [u8]>,
    item: &Item,
) -> Result<Option<Vec<u8>>, StorageError> {
    Ok(items.get(item_key(item))?.map(|value| value.value().to_vec()))
}

/// How many items `collection` has, counted up to `most`. Reads no values.
pub(super) fn count_of(
    items: &impl ReadableTable<ItemKey, &'static [u8]>,
    collection: &Collection,
    most: u64,
) -> Result<u64, StorageError> {
    let mut count = 0;
    let behind = behind(collection);
    for entry in items.range::<Key<'_>>(keys_of(collection, &[], &behind))? {
        if count == most {
            break;
        }
        entry?;
        count += 1;
    }
    Ok(count)
}

/// The key of `item`.
pub(super) fn item_key(item: &Item) -> Key<'_> {
    (item.collection.shard.index(), &item.collection.name, &item.name)
}

/// Where the deadline of `collection` lies.
pub(super) fn deadline_key(collection: &Collection) -> Key<'_> {
    (collection.shard.index(), &collection.name, &[])
}

/// The deadline of `collection`.
pub(super) fn deadline_of(
    items: &impl ReadableTable<ItemKey, &'static [u8]>,
    collection: &Collection,
) -> Result<Option<Timestamp>, StorageError> {
    let stored = items.get(deadline_key(collection))?;
    let ms = stored.and_then(|ms| ms.value().try_into().ok()).map(u64::from_be_bytes);
    Ok(ms.map(Timestamp::from_ms))
}

/// The keys of the items of `collection` behind the one called `after`: of all, where that is empty. `behind` is the name
/// [`behind`] it.
pub(super) fn keys_of<'k>(
    collection: &'k Collection,
    after: &'k [u8],
    behind: &'k str,
) -> (Bound<Key<'k>>, Bound<Key<'k>>) {
    let shard = collection.shard.index();
    (Bound::Excluded((shard, &collection.name, after)), Bound::Excluded((shard, behind, &[])))
}

/// The first collection name after that of `collection`, whether or not there is one.
pub(super) fn behind(collection: &Collection) -> String {
    format!("{}\0", collection.name)
}

/// A position as it is stored.
pub(super) const fn key_of(position: Position) -> (u64, u64) {
    (position.ms, position.sequence)
}

/// A stored position.
pub(super) const fn position_of((ms, sequence): (u64, u64)) -> Position {
    Position { ms, sequence }
}

/// The last position forgotten.
pub(super) fn floor(marks: &impl ReadableTable<&'static str, PositionKey>) -> Result<Position, StorageError> {
    Ok(marks.get(FLOOR)?.map_or(Position::START, |mark| position_of(mark.value())))
}

/// Notes the last position forgotten: all that is forgotten lies above what was before.
pub(super) fn raise_floor(
    marks: &mut Table<'_, &'static str, PositionKey>,
    last: PositionKey,
) -> Result<(), StorageError> {
    marks.insert(FLOOR, last).map(drop)
}

/// The last position given out: of the newest announcement, or of the last forgotten where none is left.
pub(super) fn end(
    outbox: &impl ReadableTable<PositionKey, &'static [u8]>,
    marks: &impl ReadableTable<&'static str, PositionKey>,
) -> Result<Position, StorageError> {
    match outbox.last()? {
        Some((last, _)) => Ok(position_of(last.value())),
        None => floor(marks),
    }
}

/// At most `limit` entries from `from` on; `from` itself is included.
pub(super) fn entries(
    outbox: &impl ReadableTable<PositionKey, &'static [u8]>,
    from: (u64, u64),
    limit: usize,
) -> Result<Vec<Entry>, StorageError> {
    let mut entries = Vec::new();
    for entry in outbox.range(from..)?.take(limit) {
        let (position, announcement) = entry?;
        entries.push(Entry {
            position: position_of(position.value()),
            announcement: announcement.value().to_vec(),
        });
    }
    Ok(entries)
}
