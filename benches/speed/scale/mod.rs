//! What many sessions cost: bytes, start, and how operations grow. Stores of three sizes are filled through the library;
//! services run on them side by side and are asked in turns.

mod capacity;
mod fill;
mod growth;

use std::{fs, path::Path};

use serde::Serialize;

use crate::{
    bed::Bed,
    cost::start_times,
    party::Party,
    people::address,
    process::memory,
    report::{Fact, facts},
    rounds::Spread,
    store::Store,
    work::{Work, log_in},
};
use capacity::Units;
use fill::Filler;
use growth::Series;

/// Sessions of one user.
const OF_ONE: [usize; 6] = [1, 10, 100, 1000, 10_000, 100_000];

#[derive(Serialize)]
pub(crate) struct Scale {
    sessions: usize,
    facts: Vec<Fact>,
    in_all: Vec<Series>,
    of_one_user: Vec<Series>,
    units: Units,
}

impl Scale {
    pub(crate) fn markdown(&self) -> String {
        [
            facts(&self.facts),
            Series::table(&self.in_all, "sessions in all"),
            Series::table(&self.of_one_user, "sessions of one user"),
        ]
        .join("\n")
    }

    /// On paper, from what was measured.
    pub(crate) fn capacity(&self) -> String {
        self.units.plan()
    }
}

pub(crate) async fn measure(bed: &Bed, sessions: usize) -> Option<Scale> {
    let sizes = [sessions / 100, sessions / 10, sessions];
    let of_one: Vec<usize> = OF_ONE.into_iter().filter(|size| *size <= sessions).collect();
    let mut scale = Scale {
        sessions,
        facts: Vec::new(),
        in_all: Vec::new(),
        of_one_user: Vec::new(),
        units: Units::default(),
    };
    on_redis(bed, sizes, &of_one, &mut scale).await;
    embedded(bed, sizes, &of_one, &mut scale).await;
    Some(scale)
}

async fn on_redis(bed: &Bed, sizes: [usize; 3], of_one: &[usize], scale: &mut Scale) {
    let mut parties = Vec::new();
    for size in sizes {
        eprintln!("scale: {size} sessions in Redis");
        let (store, gateway) = (Store::redis(), Store::redis());
        let filler = Filler::on_redis(&store, &gateway);
        // Connections and keys are there by then.
        filler.open(3).await;
        let before = (store.used_memory(), gateway.used_memory());
        let ids = filler.open(size).await;
        let after = (store.used_memory(), gateway.used_memory());
        let mut party = bed.apart(store, gateway, Work::Send);
        let batch = growth::sample(&party, &ids).await;
        if size == sizes[2] {
            memory_on_redis(size, (after.0 - before.0, after.1 - before.1), &party, scale);
            let owners = growth::owners(&filler, of_one).await;
            scale.of_one_user.extend(growth::of_one_user((bed, "Redis"), &mut party, of_one, &owners).await);
        }
        parties.push((size, party, batch));
    }
    let mut asked: Vec<_> =
        parties.iter_mut().map(|(size, party, batch)| (*size, party, batch.clone())).collect();
    scale.in_all.extend(growth::reading((bed, "Redis"), &mut asked).await);
    let (_, largest, _) = &mut parties[2];
    largest.work = Work::Revoke;
    scale.units.measure(bed, largest).await;
    let name = format!("start to first answer, Redis, {} sessions", sizes[2]);
    let store = largest.store.clone().expect("a store");
    scale.facts.push(Fact::new(name, start_times(bed, &store, bed.some(5, 1)), "ms"));
}

/// `bytes`: what `size` sessions have brought to the store's Redis and to the gateway's.
fn memory_on_redis(size: usize, bytes: (u64, u64), party: &Party, scale: &mut Scale) {
    let gateway = party.gateway.as_ref().expect("a Redis").server();
    let stream = "gateway:session_events";
    let stream_bytes: u64 = gateway.run(&["MEMORY", "USAGE", stream, "SAMPLES", "0"]);
    let events: u64 = gateway.run(&["XLEN", stream]);
    let units = &mut scale.units;
    units.store_bytes = bytes.0 as f64 / size as f64;
    units.record_bytes = bytes.1.saturating_sub(stream_bytes) as f64 / size as f64;
    units.event_bytes = stream_bytes as f64 / events.max(1) as f64;
    let name = format!("Redis, a session, {size} in all, three a user");
    scale.facts.extend([
        Fact::new(&name, units.store_bytes, "bytes").at_most(Some(130.0)),
        Fact::new(
            format!("{name}, with the gateway's record"),
            units.store_bytes + units.record_bytes,
            "bytes",
        ),
        Fact::new("Redis, an event in the gateway's stream", units.event_bytes, "bytes"),
    ]);
}

async fn embedded(bed: &Bed, sizes: [usize; 3], of_one: &[usize], scale: &mut Scale) {
    let mut parties = Vec::new();
    for size in sizes {
        eprintln!("scale: {size} sessions in the embedded store");
        let store = Store::embedded();
        let Store::Embedded(dir) = &store else { unreachable!("just made") };
        let data = dir.path().join("data");
        let filler = Filler::embedded(&data);
        let ids = filler.open(size).await;
        let bytes = size_of(&data);
        let owners = if size == sizes[2] { growth::owners(&filler, of_one).await } else { Vec::new() };
        drop(filler);
        if size == sizes[2] {
            scale.units.embedded_bytes = bytes as f64 / size as f64;
            let name = format!("embedded, a session, {size} in all, three a user: the file");
            scale.facts.push(Fact::new(name, scale.units.embedded_bytes, "bytes"));
            scale.facts.extend(starts(bed, &store, size).await);
        }
        let mut party = bed.services(1, store, &[], Work::Send);
        let batch = growth::sample(&party, &ids).await;
        if size == sizes[2] {
            scale
                .of_one_user
                .extend(growth::of_one_user((bed, "embedded"), &mut party, of_one, &owners).await);
        }
        parties.push((size, party, batch));
    }
    let mut asked: Vec<_> =
        parties.iter_mut().map(|(size, party, batch)| (*size, party, batch.clone())).collect();
    scale.in_all.extend(growth::reading((bed, "embedded"), &mut asked).await);
    let resident = memory(parties[2].1.servers[0].pid()) as f64 / 1024.0 / 1024.0;
    scale.facts.push(Fact::new(
        format!("memory after that, embedded, {} sessions", sizes[2]),
        resident,
        "MiB",
    ));
}

/// How long starts on a full file take: after an end in order, and after a kill.
async fn starts(bed: &Bed, store: &Store, size: usize) -> [Fact; 2] {
    let name = format!("start to first answer, embedded, {size} sessions");
    let in_order = start_times(bed, store, bed.some(5, 1));
    let mut killed = Vec::new();
    for _ in 0..bed.some(3, 1) {
        let party = bed.services(1, store.clone(), &[], Work::Send);
        log_in(&party, vec![address()]).await;
        drop(party);
        let party = bed.services(1, store.clone(), &[], Work::Send);
        killed.push(party.servers[0].started_in.as_secs_f64() * 1000.0);
    }
    let killed = Spread::of(killed.into_iter()).median;
    [
        Fact::new(&name, in_order, "ms").at_most(Some(100.0)),
        Fact::new(format!("{name}, after a kill"), killed, "ms"),
    ]
}

fn size_of(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).expect("a directory");
    files.map(|file| file.and_then(|file| file.metadata()).expect("a file").len()).sum()
}
