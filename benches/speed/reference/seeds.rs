//! What the references find in their Redis.

use redis::pipe;

use super::login::id;
use crate::{
    load::{Batch, Step},
    party::Party,
    people::{self, device, fresh},
    store::Store,
};

/// So many sessions, each of its own user; their ids.
pub(crate) fn sessions(party: &Party, count: usize) -> Vec<String> {
    let mut pipeline = pipe();
    let ids: Vec<String> = (0..count).map(|_| id(fresh()).chars().rev().collect()).collect();
    for id in &ids {
        let (owner, suffix) = id.split_at(19);
        pipeline.hset(format!("reference:a:{owner}"), suffix, [7; 60].as_slice()).ignore();
    }
    store(party).seed(&pipeline);
    ids
}

/// So many challenges, and what confirms them.
pub(crate) fn confirms(party: &Party, count: usize) -> Vec<Step> {
    let mut pipeline = pipe();
    let ids: Vec<String> = (0..count).map(|_| id(fresh()).chars().rev().collect()).collect();
    for id in &ids {
        let record = [b"123456".as_slice(), &[7; 90]].concat();
        pipeline.hset(format!("reference:c:{id}"), "c", record).ignore();
    }
    store(party).seed(&pipeline);
    let confirm = |(number, id): (usize, &String)| Step::Call(people::confirm(id, "123456", device(number)));
    ids.iter().enumerate().map(confirm).collect()
}

/// What the service answered to `batch`, so that a reference finds each session's bytes where it looks.
pub(crate) fn copy_reads(to: &Store, batch: &Batch) {
    let mut pipeline = pipe();
    for (path, body) in batch.steps.iter().map(answer_of) {
        let (owner, suffix) = path[5].split_at(19);
        pipeline.hset(format!("reference:a:{owner}"), suffix, body).ignore();
    }
    to.seed(&pipeline);
}

/// The same for lists: a hash a user, a field a session, in the order of the answer.
pub(crate) fn copy_lists(to: &Store, batch: &Batch) {
    let mut pipeline = pipe();
    for (path, body) in batch.steps.iter().map(answer_of) {
        let list =
            body.strip_prefix(r#"{"sessions":["#).and_then(|rest| rest.strip_suffix("]}")).expect("a list");
        for (number, session) in list.split_inclusive('}').enumerate() {
            let field = format!("{number:0>26}");
            pipeline
                .hset(format!("reference:a:{}", path[5]), field, session.trim_start_matches(','))
                .ignore();
        }
    }
    to.seed(&pipeline);
}

/// The words of the path that a step reads, and the answer.
fn answer_of(step: &Step) -> (Vec<&str>, &str) {
    let Step::Call(people::Call { bytes, expected: people::Expected::Exactly(body), .. }) = step else {
        panic!("a read has one answer")
    };
    let path = std::str::from_utf8(bytes).expect("text").split(' ').nth(1).expect("a path");
    (path.split('/').collect(), std::str::from_utf8(body).expect("text"))
}

fn store(party: &Party) -> &Store {
    party.store.as_ref().expect("a reference with a Redis")
}
