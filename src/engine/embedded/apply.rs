//! What one commit does to the tables. Runs on the writer's thread.

use redb::StorageError;

use super::{
    housekeeping::{forget_deadline, set_deadline},
    tables::{Tables, count_of, item_key, key_of, value_of},
};
use crate::{
    base::Timestamp,
    engine::{Check, CheckId, Commit, Position, Refusal, Verdict, Write},
};

/// Checks `commit` and, if every check holds, applies it. `end` is the last position given out so far.
pub(super) fn apply(
    tables: &mut Tables<'_>,
    commit: &Commit,
    now: Timestamp,
    end: &mut Position,
) -> Result<Verdict, StorageError> {
    for (at, check) in commit.checks().iter().enumerate() {
        if let Err(found) = holds(tables, check)? {
            return Ok(Verdict::Refused(Refusal { check: CheckId(at), found }));
        }
    }
    write(tables, commit, now, end)?;
    Ok(Verdict::Done)
}

/// What `commit` does once it has been checked.
pub(super) fn write(
    tables: &mut Tables<'_>,
    commit: &Commit,
    now: Timestamp,
    end: &mut Position,
) -> Result<(), StorageError> {
    for write in commit.writes() {
        match write {
            Write::Put(item, value) => drop(tables.items.insert(item_key(item), value.as_slice())?),
            Write::Delete(item) => {
                drop(tables.items.remove(item_key(item))?);
                if count_of(&tables.items, &item.collection, 1)? == 0 {
                    forget_deadline(tables, &item.collection)?;
                }
            }
            Write::Expire(..) => {}
        }
    }
    // Deadlines come last, so that it does not matter where in a commit they were asked for.
    for write in commit.writes() {
        match write {
            Write::Expire(collection, after) => {
                if count_of(&tables.items, collection, 1)? > 0 {
                    set_deadline(tables, collection, now.after(*after))?;
                }
            }
            Write::Put(..) | Write::Delete(..) => {}
        }
    }
    for announcement in commit.announcements() {
        *end = next(*end, now);
        tables.outbox.insert(key_of(*end), announcement.as_slice())?;
    }
    Ok(())
}

/// Whether `check` holds; if not, what was found instead.
fn holds(tables: &Tables<'_>, check: &Check) -> Result<Result<(), Option<Vec<u8>>>, StorageError> {
    Ok(match check {
        Check::Absent(item) => match value_of(&tables.items, item)? {
            Some(found) => Err(Some(found)),
            None => Ok(()),
        },
        Check::Equals(item, expected) => {
            let found = value_of(&tables.items, item)?;
            if found.as_ref() == Some(expected) { Ok(()) } else { Err(found) }
        }
        Check::CountBelow(collection, bound) => {
            if count_of(&tables.items, collection, *bound)? < *bound {
                Ok(())
            } else {
                Err(None)
            }
        }
    })
}

/// The first position after `end` that is not before `now`: it grows though the clock goes back.
fn next(end: Position, now: Timestamp) -> Position {
    if now.as_ms() > end.ms {
        Position { ms: now.as_ms(), sequence: 0 }
    } else {
        Position { ms: end.ms, sequence: end.sequence + 1 }
    }
}
