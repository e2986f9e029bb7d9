//! Random histories, run on both engines: they must give the same answers. Each is the other's oracle.

use std::time::Duration;

use authsession::engine::{Collection, Commit, Entry, Item, Shard};
use proptest::{collection::vec, option, prelude::*, test_runner::TestRunner};

use crate::fixture::{Fixture, shard};

/// Few names, so that they meet.
const SHARDS: [u16; 2] = [3, 900];
const COLLECTIONS: [&str; 3] = ["a:x", "a:y", "b"];
const NAMES: [&[u8]; 4] = [b"one", b"two", &[0, 255], b"\r\n"];
const VALUES: [&[u8]; 3] = [b"", b"1", &[0, 13, 10, 200]];

#[derive(Clone, Debug)]
enum Step {
    Commit(u16, Vec<Check>, Vec<Write>, Vec<usize>),
    Get(u16, Vec<(usize, usize)>),
    List(u16, usize, usize),
    Count(u16, usize),
    Populated(usize),
    Pending,
    Deliver,
}

#[derive(Clone, Debug)]
enum Check {
    Unchanged(usize, usize, Option<usize>),
    CountBelow(usize, u64),
}

#[derive(Clone, Debug)]
enum Write {
    Put(usize, usize, usize),
    Delete(usize, usize),
    Expire(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (shard, collection, name, value) =
        (0..SHARDS.len(), 0..COLLECTIONS.len(), 0..NAMES.len(), 0..VALUES.len());
    let shard = shard.prop_map(|at| SHARDS[at]);
    let item = (collection.clone(), name.clone());
    let check = prop_oneof![
        3 => (collection.clone(), name.clone(), option::of(value.clone()))
            .prop_map(|(collection, name, read)| Check::Unchanged(collection, name, read)),
        1 => (collection.clone(), 0..5u64).prop_map(|(collection, bound)| Check::CountBelow(collection, bound)),
    ];
    let write = prop_oneof![
        5 => (collection.clone(), name.clone(), value.clone()).prop_map(|(c, n, v)| Write::Put(c, n, v)),
        3 => (collection.clone(), name).prop_map(|(collection, name)| Write::Delete(collection, name)),
        1 => collection.clone().prop_map(Write::Expire),
    ];
    let step = prop_oneof![
        8 => (shard.clone(), vec(check, 0..3), vec(write, 0..4), vec(value, 0..2))
            .prop_map(|(shard, checks, writes, announcements)| Step::Commit(shard, checks, writes, announcements)),
        2 => (shard.clone(), vec(item, 0..4)).prop_map(|(shard, items)| Step::Get(shard, items)),
        2 => (shard.clone(), collection.clone(), 1..4usize).prop_map(|(s, c, limit)| Step::List(s, c, limit)),
        1 => (shard, collection.clone()).prop_map(|(shard, collection)| Step::Count(shard, collection)),
        1 => collection.prop_map(Step::Populated),
        1 => Just(Step::Pending),
        1 => Just(Step::Deliver),
    ];
    vec(step, 1..60)
}

fn the_collection(shard_index: u16, at: usize) -> Collection {
    Collection::new(shard(shard_index), COLLECTIONS[at])
}

fn the_item(shard_index: u16, collection: usize, name: usize) -> Item {
    the_collection(shard_index, collection).item(NAMES[name])
}

/// What `step` answers, in a form that must not depend on the engine.
async fn answer(fixture: &Fixture, step: &Step) -> String {
    let engine = &fixture.engine;
    match step {
        Step::Commit(shard_index, checks, writes, announcements) => {
            let commit = commit(*shard_index, checks, writes, announcements);
            format!("{:?}", engine.commit(commit).await.unwrap())
        }
        Step::Get(shard_index, items) => {
            let items: Vec<Item> = items.iter().map(|&(c, n)| the_item(*shard_index, c, n)).collect();
            format!("{:?}", engine.get(&items).await.unwrap())
        }
        Step::List(shard_index, collection, limit) => {
            format!("{:?}", fixture.items(&the_collection(*shard_index, *collection), *limit).await)
        }
        Step::Count(shard_index, collection) => {
            format!("{:?}", engine.count(&the_collection(*shard_index, *collection)).await.unwrap())
        }
        Step::Populated(collection) => {
            format!("{:?}", engine.populated(COLLECTIONS[*collection]).await.unwrap())
        }
        Step::Pending => format!("{:?}", pending(fixture).await),
        Step::Deliver => {
            let pending = pending(fixture).await;
            for outbox in engine.backlog().await.unwrap() {
                let last: Entry = engine.pending(outbox, 1000).await.unwrap().pop().unwrap();
                engine.trim(outbox, last.position).await.unwrap();
            }
            format!("{pending:?} {:?}", engine.backlog().await.unwrap())
        }
    }
}

fn commit(shard_index: u16, checks: &[Check], writes: &[Write], announcements: &[usize]) -> Commit {
    let mut commit = Commit::on(shard(shard_index));
    if announcements.is_empty() {
        commit.provisional();
    }
    for check in checks {
        match *check {
            Check::Unchanged(collection, name, read) => {
                commit.unchanged(the_item(shard_index, collection, name), read.map(|at| VALUES[at]));
            }
            Check::CountBelow(collection, bound) => {
                commit.count_below(the_collection(shard_index, collection), bound);
            }
        }
    }
    for write in writes {
        match *write {
            Write::Put(collection, name, value) => {
                commit.put(the_item(shard_index, collection, name), VALUES[value].to_vec());
            }
            Write::Delete(collection, name) => commit.delete(the_item(shard_index, collection, name)),
            Write::Expire(collection) => {
                commit.expire(the_collection(shard_index, collection), Duration::from_hours(1));
            }
        }
    }
    for value in announcements {
        commit.announce([shard_index.to_be_bytes().as_slice(), VALUES[*value]].concat());
    }
    commit
}

/// The announcements of each shard in order, wherever the engine keeps them.
async fn pending(fixture: &Fixture) -> Vec<(Shard, Vec<Vec<u8>>)> {
    let mut of_shards = Vec::new();
    for index in SHARDS {
        let outbox = fixture.engine.outbox_of(shard(index));
        let entries = fixture.engine.pending(outbox, 1000).await.unwrap();
        let own = entries.into_iter().map(|entry| entry.announcement);
        of_shards.push((shard(index), own.filter(|told| told.starts_with(&index.to_be_bytes())).collect()));
    }
    of_shards
}

#[test]
fn random_histories_give_the_same_answers_on_both_engines() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(async {
            let (embedded, redis) = (Fixture::embedded(), Fixture::redis());
            for (at, step) in steps.iter().enumerate() {
                let (left, right) = (answer(&embedded, step).await, answer(&redis, step).await);
                prop_assert_eq!(left, right, "step {}: {:?}", at, step);
            }
            Ok(())
        })
    });
    if let Err(difference) = outcome {
        panic!("{difference}");
    }
}
