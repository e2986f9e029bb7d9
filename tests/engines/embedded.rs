//! What only the embedded store must survive: restarts, kills, a full disk, a clock that goes back.

use std::{
    collections::BTreeSet,
    os::unix::fs::PermissionsExt,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use authsession::{
    base::World,
    engine::{
        Commit, Engine, EventLog, Position,
        embedded::{Embedded, OpenError},
    },
};

use crate::{
    child::Committer,
    fixture::{SetClock, collection, shard, until},
};

const FILE: &str = "authsession.redb";

fn open(dir: &tempfile::TempDir) -> Arc<Embedded> {
    Embedded::open(dir.path(), World::system()).unwrap()
}

async fn put(store: &Embedded, name: &str) {
    let a = collection("a:x");
    let mut commit = Commit::on(a.shard);
    commit.put(a.item(name), b"1".into());
    commit.announce(name.into());
    store.commit(commit).await.unwrap();
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let before = open(&dir);
    for name in ["one", "two"] {
        put(&before, name).await;
    }
    let outbox = before.outbox_of(shard(0));
    let pending = before.pending(outbox, 10).await.unwrap();
    before.trim(outbox, pending[0].position).await.unwrap();
    drop(before);
    let after = open(&dir);
    assert_eq!(after.count(&collection("a:x")).await.unwrap(), 2);
    assert_eq!(after.pending(outbox, 10).await.unwrap(), pending[1..]);
    put(&after, "three").await;
    assert!(after.end().await.unwrap() > pending[1].position);
}

#[tokio::test]
async fn a_deadline_that_was_put_off_comes_when_it_says() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), SetClock::new());
    let store = Embedded::open(dir.path(), clock.world()).unwrap();
    let (a, b) = (collection("a:x"), collection("a:y"));
    for (collection, minutes) in [(&a, 1), (&b, 1), (&a, 60)] {
        let mut commit = Commit::on(collection.shard);
        commit.put(collection.item("one"), b"1".into());
        commit.expire(collection.clone(), Duration::from_mins(minutes));
        store.commit(commit).await.unwrap();
    }
    let count = async |collection| store.count(collection).await.unwrap();
    clock.forward(Duration::from_mins(2));
    // It was looked at before the other one: its name comes first.
    until("the other one is gone", async || count(&b).await == 0).await;
    assert_eq!(count(&a).await, 1);
    clock.forward(Duration::from_hours(1));
    until("its time has come", async || count(&a).await == 0).await;
}

async fn put_provisionally(store: &Embedded) {
    let a = collection("a:x");
    let mut commit = Commit::on(a.shard);
    commit.put(a.item("one"), b"1".into());
    commit.provisional();
    store.commit(commit).await.unwrap();
    assert_eq!(store.count(&a).await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_provisional_lasts_once_the_store_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let before = open(&dir);
    put_provisionally(&before).await;
    drop(before);
    assert_eq!(open(&dir).count(&collection("a:x")).await.unwrap(), 1);
}

#[tokio::test]
async fn what_is_provisional_lasts_a_little_later_though_nothing_follows() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir);
    put_provisionally(&store).await;
    let begun = Instant::now();
    // A copy of the file is what a crash would leave.
    loop {
        let left = tempfile::tempdir().unwrap();
        std::fs::copy(dir.path().join(FILE), left.path().join(FILE)).unwrap();
        if let Ok(after) = Embedded::open(left.path(), World::system())
            && after.count(&collection("a:x")).await.is_ok_and(|count| count == 1)
        {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it is not on the disk");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_second_open_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(&dir);
    let second = Embedded::open(dir.path(), World::system());
    assert!(matches!(second, Err(OpenError::InUse(_))));
    put(&first, "one").await;
    drop(first);
    open(&dir);
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Committer::start(dir.path(), 0, "");
    child.next().unwrap();
    let Err(error) = Embedded::open(dir.path(), World::system()) else { panic!("two processes on one file") };
    assert!(error.to_string().contains("in use by another process"), "{error}");
}

#[tokio::test]
async fn only_the_owner_can_read_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("made/on/demand");
    drop(Embedded::open(&data, World::system()).unwrap());
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join(FILE)), 0o600);
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let Err(error) = Embedded::open(&file, World::system()) else { panic!("a file is no directory") };
    assert!(error.to_string().contains("file"), "{error}");
    std::fs::write(dir.path().join(FILE), "something else").unwrap();
    assert!(matches!(Embedded::open(dir.path(), World::system()), Err(OpenError::Unusable(..))));
}

#[tokio::test]
async fn positions_grow_though_the_clock_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let clock = SetClock::new();
    let mut last = Position::START;
    for _ in 0..3 {
        let store = Embedded::open(dir.path(), clock.world()).unwrap();
        for name in ["one", "two"] {
            put(&store, name).await;
            let end = store.end().await.unwrap();
            assert!(end > last, "{end} after {last}");
            last = end;
        }
        // Not even an empty log forgets how far it was.
        store.trim(store.outbox_of(shard(0)), last).await.unwrap();
        clock.back(Duration::from_mins(1));
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for (round, lines) in [50, 400, 3, 900, 130].into_iter().enumerate() {
        let mut child = Committer::start(dir.path(), round, "");
        for _ in 0..lines {
            acknowledged.insert(child.next().expect("a living child"));
        }
        child.kill();
        acknowledged.extend(std::iter::from_fn(|| child.next()));
        let store = Embedded::open(dir.path(), World::system()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (stored, announced) = runtime.block_on(everything(&store));
        let lost: Vec<_> = acknowledged.difference(&stored).collect();
        assert!(lost.is_empty(), "round {round}: lost {lost:?}");
        assert_eq!(stored, announced, "an item without its announcement, or the reverse");
    }
    eprintln!("a killed process: five times, {} acknowledged, 0 lost", acknowledged.len());
}

/// All items that were put for good, and all announcements. What had been put provisionally before them is there too.
async fn everything(store: &Embedded) -> (BTreeSet<String>, BTreeSet<String>) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let names = async |collection_name| {
        let items = store.list(&collection(collection_name), None, usize::MAX).await.unwrap().items;
        items.into_iter().map(|(name, _)| text(name)).collect::<BTreeSet<String>>()
    };
    let (provisional, stored) = (names("p:x").await, names("a:x").await);
    let gaps: Vec<_> = stored.difference(&provisional).collect();
    assert!(gaps.is_empty(), "what came before {gaps:?} is forgotten");
    let entries = store.pending(store.outbox_of(shard(0)), usize::MAX).await.unwrap();
    (stored, entries.into_iter().map(|entry| text(entry.announcement)).collect())
}

#[test]
fn a_full_disk_is_an_error_until_there_is_room_again() {
    let dir = tempfile::tempdir().unwrap();
    drop(Embedded::open(dir.path(), World::system()).unwrap());
    // The limit on the size of files stands for the end of the disk (in blocks of 512 bytes).
    let mut child = Committer::start(dir.path(), 0, "trap '' XFSZ; ulimit -S -f 4096;");
    let mut acknowledged = BTreeSet::new();
    loop {
        match child.next().expect("a living child") {
            said if said == "unavailable" => break,
            name => drop(acknowledged.insert(name)),
        }
    }
    assert!(!acknowledged.is_empty());
    let pid = child.pid().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(lifted.expect("these tests need prlimit (apt install util-linux)").success());
    let mut after = 0;
    while after < 100 {
        match child.next().expect("a living child") {
            said if said == "unavailable" => {}
            name => {
                acknowledged.insert(name);
                after += 1;
            }
        }
    }
    child.kill();
    let store = Embedded::open(dir.path(), World::system()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (stored, _) = runtime.block_on(everything(&store));
    assert!(acknowledged.is_subset(&stored));
    eprintln!("a full disk: {} acknowledged, 0 lost", acknowledged.len());
}
