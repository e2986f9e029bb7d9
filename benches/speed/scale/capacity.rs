//! What a large installation needs, on paper: unit costs that were measured, times its size.

use std::time::Duration;

use serde::Serialize;

use crate::{
    bed::Bed,
    party::{Party, Turn},
    report::{short, table::Table},
    rounds::Spread,
};

/// Sessions that are planned for.
const SESSIONS: [f64; 3] = [1e6, 1e8, 1e9];

/// Revokes a second that are planned for.
const REVOKES: f64 = 1e5;

/// How much of a master's memory records take: the rest is for its copy while it saves, buffers and growth.
const MASTER_BYTES: f64 = 16.0 * GIBIBYTE;

/// How much of a core is planned for: beyond it latency grows.
const BUSY: f64 = 0.6;

const GIBIBYTE: f64 = 1024.0 * 1024.0 * 1024.0;

/// What one of each costs.
#[derive(Default, Serialize)]
pub(crate) struct Units {
    /// A session in the store's Redis, without what the gateway has of it.
    pub(crate) store_bytes: f64,
    /// The gateway's record of it.
    pub(crate) record_bytes: f64,
    /// An event in the gateway's stream.
    pub(crate) event_bytes: f64,
    pub(crate) embedded_bytes: f64,
    /// Seconds of processor for a revoke: the service, the store's Redis, the gateway's.
    service_cpu: f64,
    store_cpu: f64,
    gateway_cpu: f64,
    /// In and out of both Redis for a revoke.
    wire_bytes: f64,
}

impl Units {
    /// What revokes cost `party`, whose gateway has a Redis of its own.
    pub(crate) async fn measure(&mut self, bed: &Bed, party: &Party) {
        let mut turns = Vec::new();
        let mut plan = bed.plan(128, Duration::from_millis(500));
        for _ in 0..bed.some(6, 1) {
            let turn = party.turn(plan).await;
            assert_eq!(turn.wrong, 0, "{:?}", turn.story);
            plan.expect(&turn);
            turns.push(turn);
        }
        let median = |of: &dyn Fn(&Turn) -> f64| Spread::of(turns.iter().map(of)).median;
        self.service_cpu = median(&|turn| turn.server_cpu) / 1000.0;
        self.store_cpu = median(&|turn| turn.redis_cpu) / 1000.0;
        self.gateway_cpu = median(&|turn| turn.gateway_cpu) / 1000.0;
        self.wire_bytes = median(&|turn| turn.redis_bytes);
    }

    /// Tables.
    pub(crate) fn plan(&self) -> String {
        [self.costs(), self.for_sessions(), self.for_revokes()].join("\n")
    }

    fn costs(&self) -> String {
        let mut table = Table::new(&["one", "costs"]);
        let mut row = |what: &str, cost: String| table.row([what.to_owned(), cost]);
        row("session in the store's Redis", format!("{} bytes", short(self.store_bytes)));
        row("its record in the gateway's Redis", format!("{} bytes", short(self.record_bytes)));
        row("session in the embedded store's file", format!("{} bytes", short(self.embedded_bytes)));
        row("event in the stream", format!("{} bytes", short(self.event_bytes)));
        row("revoke: service", microseconds(self.service_cpu));
        row("revoke: the store's Redis", microseconds(self.store_cpu));
        row("revoke: the gateway's Redis (record, event)", microseconds(self.gateway_cpu));
        row("revoke: to and from both", format!("{} bytes", short(self.wire_bytes)));
        table.to_string()
    }

    fn for_sessions(&self) -> String {
        let mut table = Table::new(&["sessions", "1,000,000", "100,000,000", "1,000,000,000"]);
        let mut row = |what: &str, of: &dyn Fn(f64) -> String| {
            table.row([what.to_owned()].into_iter().chain(SESSIONS.map(of)));
        };
        let gibibytes = |bytes: f64| format!("{} GiB", short(bytes / GIBIBYTE));
        let both = self.store_bytes + self.record_bytes;
        row("store's records in Redis", &|count| gibibytes(count * self.store_bytes));
        row("gateway's records in Redis", &|count| gibibytes(count * self.record_bytes));
        row("masters, by memory", &|count| masters(count * both / MASTER_BYTES));
        row("sessions in one of 1024 shards", &|count| format!("{:.0}", count / 1024.0));
        row("records of one shard", &|count| {
            format!("{} MiB", short(count / 1024.0 * self.store_bytes / 1_048_576.0))
        });
        row("embedded store's file", &|count| gibibytes(count * self.embedded_bytes));
        table.to_string()
    }

    fn for_revokes(&self) -> String {
        let mut table = Table::new(&["100,000 revokes a second", "need"]);
        let mut row = |what: &str, need: String| table.row([what.to_owned(), need]);
        row("cores of the service", format!("{:.0}", (REVOKES * self.service_cpu / BUSY).ceil()));
        row("masters, by work", masters(REVOKES * (self.store_cpu + self.gateway_cpu) / BUSY));
        row("of these, busy with the stream's server alone", format!("{:.1}", REVOKES * self.gateway_cpu));
        row("between service and Redis", format!("{:.1} Gbit/s", REVOKES * self.wire_bytes * 8.0 / 1e9));
        row(
            "the stream, for a minute of events",
            format!("{:.1} GiB", REVOKES * 60.0 * self.event_bytes / GIBIBYTE),
        );
        table.to_string()
    }
}

/// Three at least: fewer are no cluster.
fn masters(exactly: f64) -> String {
    if exactly <= 1.0 { "1".to_owned() } else { format!("{:.0}", exactly.ceil().max(3.0)) }
}

fn microseconds(seconds: f64) -> String {
    format!("{:.1} µs of a core", seconds * 1e6)
}
