//! What lies where in the file, and the small steps that writer and readers share.

use std::ops::Range;

use redb::{ReadableTable, StorageError, Table, TableDefinition, TableError, WriteTransaction};

use crate::engine::{Collection, Entry, Item, Position};

/// Shard, collection, item: items of one collection lie together, in the order of their names.
pub(super) type ItemKey = (u16, &'static str, &'static [u8]);
/// Milliseconds and sequence of a [`Position`].
pub(super) type PositionKey = (u64, u64);

/// Every value.
pub(super) const ITEMS: TableDefinition<'_, ItemKey, &[u8]> = TableDefinition::new("items");
/// When a collection may be thrown away, for those that may.
pub(super) const DEADLINES: TableDefinition<'_, (u16, &str), u64> = TableDefinition::new("deadlines");
/// The same in order of time.
pub(super) const DUE: TableDefinition<'_, (u64, u16, &str), ()> = TableDefinition::new("due");
/// Announcements.
pub(super) const OUTBOX: TableDefinition<'_, PositionKey, &[u8]> = TableDefinition::new("outbox");
/// Two positions: [`END`] and [`FLOOR`].
pub(super) const MARKS: TableDefinition<'_, &str, PositionKey> = TableDefinition::new("marks");

/// The last position given out.
pub(super) const END: &str = "end";
/// The last position forgotten.
pub(super) const FLOOR: &str = "floor";

/// All tables of one write transaction.
pub(super) struct Tables<'txn> {
    pub(super) items: Table<'txn, ItemKey, &'static [u8]>,
    pub(super) deadlines: Table<'txn, (u16, &'static str), u64>,
    pub(super) due: Table<'txn, (u64, u16, &'static str), ()>,
    pub(super) outbox: Table<'txn, PositionKey, &'static [u8]>,
    pub(super) marks: Table<'txn, &'static str, PositionKey>,
}

impl<'txn> Tables<'txn> {
    /// Opens them; makes those that are missing.
    pub(super) fn open(transaction: &'txn WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            items: transaction.open_table(ITEMS)?,
            deadlines: transaction.open_table(DEADLINES)?,
            due: transaction.open_table(DUE)?,
            outbox: transaction.open_table(OUTBOX)?,
            marks: transaction.open_table(MARKS)?,
        })
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
    for entry in items.range(keys_of(collection, &behind))? {
        if count == most {
            break;
        }
        entry?;
        count += 1;
    }
    Ok(count)
}

/// The key of `item`.
pub(super) fn item_key(item: &Item) -> (u16, &str, &[u8]) {
    (item.collection.shard.index(), &item.collection.name, &item.name)
}

/// The keys of all items of `collection`; `behind` is the name [`behind`] it.
pub(super) fn keys_of<'k>(collection: &'k Collection, behind: &'k str) -> Range<(u16, &'k str, &'k [u8])> {
    let shard = collection.shard.index();
    (shard, collection.name.as_str(), [].as_slice())..(shard, behind, [].as_slice())
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

/// The mark `name`.
pub(super) fn mark(
    marks: &impl ReadableTable<&'static str, PositionKey>,
    name: &str,
) -> Result<Position, StorageError> {
    Ok(marks.get(name)?.map_or(Position::START, |mark| position_of(mark.value())))
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
