//! The open file. After a failed write redb refuses everything until the file is opened anew: the writer does that
//! once the cause (a full disk, say) may be gone, while readers get errors.
//!
//! Readers share a snapshot until the writer comes by: to make one takes longer than to read from it.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use redb::{Database, DatabaseError, ReadOnlyTable, ReadTransaction, ReadableDatabase};

use super::tables::{DEADLINES_BEFORE, ITEMS, ItemKey, MARKS, Tables};

const FILE: &str = "authsession.redb";
/// What redb may keep in memory; the operating system caches the file besides.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// Why the embedded store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another process: every process needs a data directory of its own", .0.display())]
    InUse(PathBuf),
    /// The file cannot be used.
    #[error("{} cannot be opened", .0.display())]
    Unusable(PathBuf, #[source] redb::Error),
}

/// The file, open unless the last attempt to open it failed.
pub(super) struct Disk {
    path: PathBuf,
    open: RwLock<Option<Open>>,
}

struct Open {
    /// Of the newest state, if anybody has read since that was written.
    snapshot: RwLock<Option<Arc<Snapshot>>>,
    database: Database,
}

/// The file as it is between two writes.
pub(super) struct Snapshot {
    pub(super) items: ReadOnlyTable<ItemKey, &'static [u8]>,
    pub(super) all: ReadTransaction,
}

impl Disk {
    /// Opens the file in `dir`; makes both where they are missing.
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        let path = dir.join(FILE);
        let unusable = |error: redb::Error| OpenError::Unusable(path.clone(), error);
        prepare(dir, &path).map_err(|error| unusable(error.into()))?;
        let open = match open(&path) {
            Err(redb::Error::DatabaseAlreadyOpen) => return Err(OpenError::InUse(path)),
            other => other.map_err(unusable)?,
        };
        Ok(Self { path, open: RwLock::new(Some(open)) })
    }

    /// Opens the file anew, once the last reader is done with the old one.
    pub(super) fn reopen(&self) -> Result<(), redb::Error> {
        let mut kept = self.open.write().unwrap_or_else(PoisonError::into_inner);
        // First the old one gives up its lock.
        *kept = None;
        *kept = Some(open(&self.path)?);
        Ok(())
    }

    /// What `look` sees in one snapshot.
    pub(super) fn read<T>(
        &self,
        look: impl FnOnce(&Snapshot) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        self.opened(|open| look(&*open.snapshot()?))
    }

    /// Runs `job` on the open database. Whoever reads from then on sees what it wrote.
    pub(super) fn write<T>(
        &self,
        job: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        self.opened(|open| {
            let outcome = job(&open.database);
            open.snapshot.write().unwrap_or_else(PoisonError::into_inner).take();
            outcome
        })
    }

    fn opened<T>(&self, job: impl FnOnce(&Open) -> Result<T, redb::Error>) -> Result<T, redb::Error> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        job(open.as_ref().ok_or(redb::Error::DatabaseClosed)?)
    }
}

impl Open {
    fn snapshot(&self) -> Result<Arc<Snapshot>, redb::Error> {
        if let Some(snapshot) = &*self.snapshot.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(snapshot.clone());
        }
        // Made under the lock: what is written meanwhile takes it away again.
        let mut kept = self.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(snapshot) = &*kept {
            return Ok(snapshot.clone());
        }
        let all = self.database.begin_read()?;
        let snapshot = Arc::new(Snapshot { items: all.open_table(ITEMS)?, all });
        *kept = Some(snapshot.clone());
        Ok(snapshot)
    }
}

fn prepare(dir: &Path, path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        // The directory's entry must be on the disk too, or a power cut takes the whole file away.
        Ok(_) => File::open(dir)?.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// After a crash redb walks the whole file once: 0.3 s for a million items. Its `quick_repair` would make that 0.2 s,
/// for a second sync in every commit (measured: 1.4 times as long). Commits are many, crashes are few.
fn open(path: &Path) -> Result<Open, redb::Error> {
    let create = || -> Result<Database, DatabaseError> {
        Database::builder()
            .set_cache_size(CACHE_BYTES)
            .set_repair_callback(|repair| tracing::info!(progress = repair.progress(), "repairing the store"))
            .create(path)
    };
    let database = create()?;
    let before = database.begin_read()?;
    let deadlines = before.open_table(DEADLINES_BEFORE).ok();
    if deadlines.is_some() || before.open_table(MARKS).is_err() {
        let transaction = database.begin_write()?;
        Tables::open(&transaction)?.take_over(deadlines.as_ref())?;
        transaction.delete_table(DEADLINES_BEFORE)?;
        transaction.commit()?;
    }
    Ok(Open { snapshot: RwLock::new(None), database })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::Timestamp,
        engine::{
            Collection, Shard,
            embedded::tables::{count_of, deadline_of, item_key},
        },
    };

    #[test]
    fn a_file_of_before_keeps_its_deadlines() {
        let dir = tempfile::tempdir().unwrap();
        let collection = Collection::new(Shard::from_index(3).unwrap(), "c:x");
        let item = collection.item("one");
        let file = Database::create(dir.path().join(FILE)).unwrap();
        let transaction = file.begin_write().unwrap();
        Tables::open(&transaction).unwrap().items.insert(item_key(&item), b"1".as_slice()).unwrap();
        transaction.open_table(DEADLINES_BEFORE).unwrap().insert((3, "c:x"), 77).unwrap();
        transaction.commit().unwrap();
        drop(file);
        for _start in 0..2 {
            let disk = Disk::open(dir.path()).unwrap();
            let read =
                |look: fn(&Snapshot, &Collection) -> _| disk.read(|all| look(all, &collection)).unwrap();
            let due = read(|all, collection| Ok(deadline_of(&all.items, collection)?.map(Timestamp::as_ms)));
            assert_eq!(due, Some(77));
            assert_eq!(read(|all, collection| Ok(Some(count_of(&all.items, collection, 9)?))), Some(1));
            assert!(disk.read(|all| Ok(all.all.open_table(DEADLINES_BEFORE)?)).is_err());
        }
    }
}
