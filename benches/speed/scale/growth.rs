//! How the time of an operation grows with the number of sessions: of one user, and in all.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;

use super::fill::Filler;
use crate::{
    bed::Bed,
    harness::actors::{INTERNAL, reason},
    load::Batch,
    party::{Party, Shared},
    report::{short, table::Table},
    rounds::Spread,
    work::{Work, reads_of, wire},
};

/// How often each size takes its turn.
const ROUNDS: usize = 5;

/// Sessions that are read in turn, at each size.
const SAMPLES: usize = 1000;

/// One operation at several sizes.
#[derive(Serialize)]
pub(crate) struct Series {
    what: String,
    unit: &'static str,
    /// How many sessions, and the median.
    points: Vec<(usize, f64)>,
}

impl Series {
    pub(crate) fn table(all: &[Self], head: &str) -> String {
        let sizes: Vec<String> = all
            .first()
            .map(|it| it.points.iter().map(|(size, _)| size.to_string()).collect())
            .unwrap_or_default();
        let mut columns = vec![head];
        columns.extend(sizes.iter().map(String::as_str));
        columns.push("last by first");
        let mut table = Table::new(&columns);
        for Self { what, unit, points } in all {
            let first = points.first().map_or(f64::NAN, |(_, value)| *value);
            let last = points.last().map_or(f64::NAN, |(_, value)| *value);
            let values = points.iter().map(|(_, value)| short(*value));
            let growth = format!("{:.2}", last / first);
            table.row([format!("{what}, {unit}")].into_iter().chain(values).chain([growth]));
        }
        table.to_string()
    }
}

/// Some of `ids`, from all over.
pub(crate) async fn sample(party: &Party, ids: &[String]) -> Shared {
    let step = ids.len().div_ceil(SAMPLES);
    let paths = ids.iter().step_by(step).map(|session| format!("{INTERNAL}/sessions/{session}")).collect();
    reads_of(party, paths).await
}

/// GET at each size, in turns: the median time of one at a time, how many a second 32 at once get, and the work of one.
pub(crate) async fn reading(
    (bed, name): (&Bed, &str),
    sizes: &mut [(usize, &mut Party, Shared)],
) -> Vec<Series> {
    let mut times = vec![Vec::new(); sizes.len()];
    let mut rates = vec![Vec::new(); sizes.len()];
    let mut work = vec![Vec::new(); sizes.len()];
    for round in 0..bed.some(ROUNDS, 1) {
        for place in 0..sizes.len() {
            let place = if round % 2 == 0 { place } else { sizes.len() - 1 - place };
            let (_, party, batch) = &mut sizes[place];
            party.work = Work::Fixed(batch.clone());
            let alone = party.turn(bed.plan(1, Duration::from_millis(400))).await;
            let together = party.turn(bed.plan(32, Duration::from_millis(400))).await;
            assert_eq!(alone.wrong + together.wrong, 0, "{:?}{:?}", alone.story, together.story);
            times[place].push(alone.p50_us);
            rates[place].push(together.per_second);
            // Seconds for a thousand are milliseconds for one.
            work[place].push((together.server_cpu + together.redis_cpu) * 1000.0);
        }
    }
    let series = |what: &str, unit, values: &[Vec<f64>]| {
        let medians = values.iter().map(|values| Spread::of(values.iter().copied()).median);
        let points = sizes.iter().map(|(size, ..)| *size).zip(medians).collect();
        Series { what: format!("{what}, {name}"), unit, points }
    };
    vec![
        series("GET one at a time", "µs", &times),
        series("GET 32 at once", "a second", &rates),
        series("CPU of one of these", "µs", &work),
    ]
}

/// A user, and his sessions.
pub(crate) type Owner = (String, Vec<String>);

/// Users with so many sessions, the last of each size the one to be read.
pub(crate) async fn owners(filler: &Filler, sizes: &[usize]) -> Vec<Vec<Owner>> {
    let mut all = Vec::new();
    for &size in sizes {
        let mut same = Vec::new();
        for _ in 0..if size > 1000 { 1 } else { 5 } {
            same.push(filler.open_for_one(size).await);
        }
        filler.tell().await;
        all.push(same);
    }
    all
}

/// GET, list and revoke-all of users with so many sessions. Their sessions are revoked after this.
pub(crate) async fn of_one_user(
    (bed, name): (&Bed, &str),
    party: &mut Party,
    sizes: &[usize],
    owners: &[Vec<Owner>],
) -> Vec<Series> {
    let mut reading_times = vec![Vec::new(); sizes.len()];
    let mut batches = Vec::new();
    for same in owners {
        batches.push(sample(party, &same[same.len() - 1].1).await);
    }
    for _ in 0..bed.some(ROUNDS, 1) {
        for (place, batch) in batches.iter().enumerate() {
            party.work = Work::Fixed(Rc::<Batch>::clone(batch));
            let turn = party.turn(bed.plan(1, Duration::from_millis(300))).await;
            assert_eq!(turn.wrong, 0, "{:?}", turn.story);
            reading_times[place].push(turn.p50_us);
        }
    }
    let (mut lists, mut revokes) = (Vec::new(), Vec::new());
    for (size, same) in sizes.iter().zip(owners) {
        let mut times = Vec::new();
        for (user, _) in same {
            times.push(list(party, user, *size).await);
        }
        lists.push(times);
        let mut times = Vec::new();
        for (user, _) in same {
            times.push(revoke_all(party, user, *size).await);
        }
        revokes.push(times);
    }
    let series = |what: &str, unit, values: Vec<Vec<f64>>| {
        let medians = values.into_iter().map(|values| Spread::of(values.into_iter()).median);
        Series { what: format!("{what}, {name}"), unit, points: sizes.iter().copied().zip(medians).collect() }
    };
    vec![
        series("GET one of them", "µs", reading_times),
        series("list", "ms", lists),
        series("revoke-all", "ms", revokes),
    ]
}

/// Milliseconds.
async fn list(party: &Party, user: &str, size: usize) -> f64 {
    let wire = wire(party);
    let url = format!("{}{INTERNAL}/users/{user}/sessions", wire.internal);
    // The first connection is no part of it.
    wire.client.get(format!("{}/healthz", wire.internal)).send().await.expect("an answer");
    let begun = Instant::now();
    let body = wire.client.get(url).send().await.expect("an answer").bytes().await.expect("a whole answer");
    let took = begun.elapsed();
    let found: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(found["sessions"].as_array().map(Vec::len), Some(size));
    took.as_secs_f64() * 1000.0
}

/// Milliseconds.
async fn revoke_all(party: &Party, user: &str, size: usize) -> f64 {
    let wire = wire(party);
    let url = format!("{}{INTERNAL}/users/{user}/sessions/revoke-all", wire.internal);
    wire.client.get(format!("{}/healthz", wire.internal)).send().await.expect("an answer");
    let ask = async || {
        let answer = wire.client.post(&url).json(&reason()).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.bytes().await.expect("a whole answer"))
    };
    let begun = Instant::now();
    let (status, body) = ask().await;
    let took = begun.elapsed();
    let found: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(status, 200, "{found}");
    let count = found["affected_session_count"].as_u64().unwrap_or_default() as usize;
    if count < size {
        // Where the store holds a commit up for long, the service's own task for work that was left lends a hand, and what
        // it revokes is not in this answer.
        eprintln!("scale: revoke-all of {size} told of {count}: the store was slow");
    }
    assert!((1..=size).contains(&count), "{count} of {size}");
    // The directory never heard of this user: he is known as long as he has sessions that are active.
    assert_eq!(ask().await.0, 404, "some are left");
    took.as_secs_f64() * 1000.0
}
