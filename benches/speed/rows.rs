//! The rows of the table: which operation, against what, and how near it is to come.

use crate::{
    bed::Bed,
    load::Step,
    party::{Party, Shared},
    people::{Call, Expected},
    reference::seeds,
    store::Store,
    work::{Work, lists, reads},
};

/// One comparison.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) operation: &'static str,
    pub(crate) against: &'static str,
    /// The least that the ratio should be; nothing where it is only told.
    pub(crate) target: Option<f64>,
    pub(crate) concurrency: &'static [usize],
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    GetOnRedis,
    GetEmbedded,
    List,
    Revoke,
    Send,
    Confirm,
    Cluster,
    Replica,
    LoginEmbedded,
    GetTwoProcesses,
    CycleTwoProcesses,
    GetCluster,
}

const ALL: &[usize] = &[1, 32, 128];

pub(crate) const ROWS: [Row; 12] = [
    Row {
        name: "get_redis",
        operation: "GET session, Redis",
        against: "axum + one HGET",
        target: Some(0.90),
        concurrency: ALL,
        kind: Kind::GetOnRedis,
    },
    Row {
        name: "get_embedded",
        operation: "GET session, embedded",
        against: "bare axum, same bytes",
        target: Some(0.80),
        concurrency: ALL,
        kind: Kind::GetEmbedded,
    },
    Row {
        name: "list",
        operation: "list 3 sessions, Redis",
        against: "axum + one HGETALL",
        target: Some(0.85),
        concurrency: ALL,
        kind: Kind::List,
    },
    Row {
        name: "revoke",
        operation: "revoke one, Redis",
        against: "axum + read + one script",
        target: Some(0.70),
        concurrency: ALL,
        kind: Kind::Revoke,
    },
    Row {
        name: "send",
        operation: "send, Redis",
        against: "axum + one script + one mail",
        target: Some(0.80),
        concurrency: ALL,
        kind: Kind::Send,
    },
    Row {
        name: "confirm",
        operation: "confirm, Redis",
        against: "axum + read + two scripts",
        target: Some(0.65),
        concurrency: ALL,
        kind: Kind::Confirm,
    },
    Row {
        name: "cycle_cluster",
        operation: "send, confirm, revoke, cluster of 3",
        against: "the same on one Redis",
        target: Some(0.60),
        concurrency: ALL,
        kind: Kind::Cluster,
    },
    Row {
        name: "revoke_replica",
        operation: "revoke, one replica acknowledges",
        against: "the same without waiting",
        target: Some(0.70),
        concurrency: &[64],
        kind: Kind::Replica,
    },
    Row {
        name: "login_embedded",
        operation: "login, embedded",
        against: "login, Redis, appendfsync always",
        target: Some(1.5),
        concurrency: ALL,
        kind: Kind::LoginEmbedded,
    },
    Row {
        name: "get_two_processes",
        operation: "GET session, Redis, two processes",
        against: "one process",
        target: None,
        concurrency: &[64],
        kind: Kind::GetTwoProcesses,
    },
    Row {
        name: "cycle_two_processes",
        operation: "send, confirm, revoke, two processes",
        against: "one process",
        target: None,
        concurrency: &[64],
        kind: Kind::CycleTwoProcesses,
    },
    Row {
        name: "get_cluster",
        operation: "GET session, cluster of 3",
        against: "the same on one Redis",
        target: None,
        concurrency: &[64],
        kind: Kind::GetCluster,
    },
];

impl Row {
    /// Whom it measures, and against whom.
    pub(crate) async fn parties(&self, bed: &Bed) -> (Party, Party) {
        match self.kind {
            Kind::GetOnRedis => bed.read_on_redis("get").await,
            Kind::List => bed.read_on_redis("list").await,
            Kind::GetEmbedded => bed.read_embedded().await,
            Kind::Revoke => bed.on_redis(Work::Revoke, "revoke", Work::ReferenceRevoke),
            Kind::Send => bed.on_redis(Work::Send, "send", Work::Send),
            Kind::Confirm => bed.on_redis(Work::Confirm, "confirm", Work::ReferenceConfirm),
            Kind::Cluster => {
                let one = bed.services(1, Store::redis(), &[], Work::Cycle);
                (bed.services(1, Store::cluster(), &[], Work::Cycle), one)
            }
            Kind::Replica => bed.with_a_replica(),
            Kind::LoginEmbedded => {
                let redis = bed.services(1, Store::redis_always(), &[], Work::Login);
                (bed.services(1, Store::embedded(), &[], Work::Login), redis)
            }
            Kind::GetTwoProcesses => {
                let mut one = bed.services(1, Store::redis(), &[], Work::Send);
                let store = one.store.clone().expect("a store");
                let reads = reads(&one, bed.samples()).await;
                one.work = Work::Fixed(reads.clone());
                (bed.services(2, store, &[], Work::Fixed(reads)), one)
            }
            Kind::CycleTwoProcesses => {
                let one = bed.services(1, Store::redis(), &[], Work::Cycle);
                (bed.services(2, Store::redis(), &[], Work::Cycle), one)
            }
            Kind::GetCluster => {
                let mut both =
                    [Store::cluster(), Store::redis()].map(|it| bed.services(1, it, &[], Work::Send));
                for party in &mut both {
                    party.work = Work::Fixed(reads(party, bed.samples()).await);
                }
                both.into()
            }
        }
    }
}

impl Bed {
    /// The service, and the reference called `name`, each on a Redis of its own.
    fn on_redis(&self, ours: Work, name: &str, theirs: Work) -> (Party, Party) {
        let service = self.services(1, Store::redis(), &[], ours);
        (service, self.reference(name, Some(Store::reference()), "", theirs))
    }

    /// Both answer the same requests with the same bytes.
    async fn read_on_redis(&self, name: &str) -> (Party, Party) {
        let (mut service, mut reference) = self.on_redis(Work::Send, name, Work::Send);
        let store = reference.store.as_ref().expect("a Redis");
        let batch = if name == "list" {
            let batch = lists(&service, self.samples()).await;
            seeds::copy_lists(store, &batch);
            batch
        } else {
            let batch = reads(&service, self.samples()).await;
            seeds::copy_reads(store, &batch);
            batch
        };
        (service.work, reference.work) = (Work::Fixed(batch.clone()), Work::Fixed(batch));
        (service, reference)
    }

    /// The reference answers every request with the bytes of the first.
    async fn read_embedded(&self) -> (Party, Party) {
        let mut service = self.services(1, Store::embedded(), &[], Work::Send);
        let batch = reads(&service, self.samples()).await;
        let Some(Step::Call(Call { expected: Expected::Exactly(body), .. })) = batch.steps.first() else {
            panic!("a read has one answer")
        };
        let body = String::from_utf8_lossy(body).into_owned();
        let reference = self.reference("bare", None, &body, Work::Fixed(same(&batch, &body)));
        service.work = Work::Fixed(batch);
        (service, reference)
    }

    /// Two services on one master with a replica: one waits for it, the other does not.
    fn with_a_replica(&self) -> (Party, Party) {
        let store = Store::replicated();
        let other =
            [("REDIS_KEY_PREFIX", "other:"), ("GATEWAY_SESSION_EVENTS_STREAM", "other:session_events")];
        let relaxed = self.services(1, store.clone(), &other, Work::Revoke);
        (self.services(1, store, &[("REDIS_MIN_REPLICAS", "1")], Work::Revoke), relaxed)
    }
}

/// `batch` with one answer to all of it.
fn same(batch: &Shared, body: &str) -> Shared {
    let mut steps = batch.steps.clone();
    for step in &mut steps {
        if let Step::Call(call) = step {
            call.expected = Expected::Exactly(body.into());
        }
    }
    std::rc::Rc::new(crate::load::Batch { steps, endless: true })
}
