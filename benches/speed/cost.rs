//! What one process costs: memory, start, size.

use std::{thread, time::Duration};

use crate::{
    bed::Bed,
    party::Party,
    people::address,
    process::{BINARY, memory},
    report::Fact,
    rounds::Spread,
    store::Store,
    work::{Work, log_in, reads},
};

const MEBIBYTE: f64 = 1024.0 * 1024.0;

pub(crate) async fn measure(bed: &Bed) -> Vec<Fact> {
    let size = std::fs::metadata(BINARY).expect("the binary").len();
    let mut facts = vec![Fact::new("binary", size as f64 / MEBIBYTE, "MiB")];
    let redis = Store::redis();
    facts.extend(on(bed, &redis, ("Redis", Some(15.0), Some(50.0))).await);
    facts.extend(on(bed, &Store::embedded(), ("embedded", None, None)).await);
    facts
}

async fn on(
    bed: &Bed,
    store: &Store,
    (name, memory_target, start_target): (&str, Option<f64>, Option<f64>),
) -> Vec<Fact> {
    let start = start_times(bed, store, bed.some(9, 1));
    let mut party = bed.services(1, store.clone(), &[], Work::Send);
    // Background work is under way by then.
    thread::sleep(Duration::from_millis(bed.some(1500, 1) as u64));
    let idle = resident(&party);
    let batch = reads(&party, bed.samples()).await;
    party.work = Work::Fixed(batch);
    let turn = party.turn(bed.plan(128, Duration::from_secs(3))).await;
    assert_eq!(turn.wrong, 0, "{:?}", turn.story);
    log_in(&party, (0..bed.some(5000, 5)).map(|_| address()).collect()).await;
    vec![
        Fact::new(format!("memory, idle, {name}"), idle, "MiB").at_most(memory_target),
        Fact::new(format!("memory after load (128 at once, 5000 logins), {name}"), resident(&party), "MiB"),
        Fact::new(format!("start to first answer, {name}, empty"), start, "ms").at_most(start_target),
    ]
}

/// The median, in milliseconds, of so many starts.
pub(crate) fn start_times(bed: &Bed, store: &Store, tries: usize) -> f64 {
    let start = |_| {
        let party = bed.services(1, store.clone(), &[], Work::Send);
        let took = party.servers[0].started_in.as_secs_f64() * 1000.0;
        party.servers.into_iter().for_each(crate::process::Process::stop);
        took
    };
    Spread::of((0..tries).map(start)).median
}

fn resident(party: &Party) -> f64 {
    memory(party.servers[0].pid()) as f64 / MEBIBYTE
}
