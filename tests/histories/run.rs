//! One history from beginning to end.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use authsession::base::{Randomness, SystemRandomness};

use crate::{
    checker::{Rule, Violation, check},
    clients::Crew,
    faults,
    follower::Follower,
    gateway::Reader,
    harness::redis::wait_until,
    history::{Evidence, Moment, Outcome, Said, Seen},
    observer::Observer,
    plan::{self, Fault, Trouble},
    probe::{Recovery, recovery},
    report::Report,
    stage::{Meddling, Stage, Topology},
    truth,
};

/// How many clients there are.
const CLIENTS: usize = 6;
/// How long a history goes on at least, unless told otherwise.
const SECONDS: u64 = 10;
/// After a fault is over, everything works again within this time, also on a machine whose disk is busy with other
/// things. (What it takes by rights is in the printed line: some hundred milliseconds.)
const RECOVERS_WITHIN: Moment = 20_000_000;

/// Plays a history of the seed that the environment names, or of any, and fails on whatever it has found.
pub async fn history(topology: Topology) {
    let seed = setting("AUTHSESSION_TEST_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 8];
        SystemRandomness.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    });
    eprintln!("{topology:?}: AUTHSESSION_TEST_SEED={seed} makes the same choices again");
    let stage = Arc::new(Stage::start(topology, Meddling::NONE).await);
    let crew = Crew::new(Arc::clone(&stage));
    let (observer, follower) = (Observer::start(&crew), Follower::start(&stage, seed));
    let clients = begin(&crew, seed);
    let faults = trouble(&crew, seed, topology).await;
    crew.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.expect("a client that ends well");
    }
    let (evidence, violations, agreed_after) =
        settled(&crew, observer, follower, Duration::from_secs(10)).await;
    let report = Report {
        topology,
        seed,
        sessions: evidence.truth.sessions.len(),
        calls: evidence.calls,
        agreed_after,
        violations: violations.len(),
        faults,
    };
    eprintln!("{report}");
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    for (fault, _, recovery) in &report.faults {
        assert!(recovery.values().all(|after| *after < RECOVERS_WITHIN), "after {fault:?}: {recovery:?} µs");
    }
    assert!(report.sessions > 20, "a history in which next to nothing happened: {report}");
}

/// Lets the clients loose: each a task of its own, since breaking things blocks.
pub fn begin(crew: &Arc<Crew>, seed: u64) -> Vec<tokio::task::JoinHandle<()>> {
    let walk = |client| {
        let crew = Arc::clone(crew);
        tokio::spawn(async move { crew.walk(plan::steps(seed, client)).await })
    };
    (0..CLIENTS).map(walk).collect()
}

/// Lets one fault after another happen, each kind once at least, and measures what comes after.
async fn trouble(crew: &Arc<Crew>, seed: u64, topology: Topology) -> Vec<(Fault, [Moment; 2], Recovery)> {
    let seconds = setting("AUTHSESSION_TEST_HISTORY_SECONDS").unwrap_or(SECONDS);
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut all = Vec::new();
    for Trouble { after, fault, beside } in plan::faults(seed, topology) {
        tokio::time::sleep(after).await;
        tokio::task::block_in_place(|| faults::until_whole(&crew.stage));
        if Instant::now() > until {
            break;
        }
        let from = crew.stage.now();
        let stage = Arc::clone(&crew.stage);
        let beside = tokio::spawn(async move {
            if let Some((later, fault)) = beside {
                tokio::time::sleep(later).await;
                faults::happen(&stage, fault).await;
            }
        });
        faults::happen(&crew.stage, fault).await;
        beside.await.expect("a fault that comes to an end");
        let span = [from, crew.stage.now()];
        let recovery = recovery(crew, all.len()).await;
        all.push((fault, span, recovery));
    }
    all
}

/// Gathers what is there until nothing is left to be mended, or for so long that nothing will be; and how long that took,
/// reading everything included.
pub async fn settled(
    crew: &Arc<Crew>,
    observer: Option<Observer>,
    mut follower: Follower,
    patience: Duration,
) -> (Evidence, Vec<Violation>, Moment) {
    crew.stage.wait_until_ready().await;
    // A server that takes itself for the master, though nobody else does, is nobody whom a gateway asks.
    tokio::task::block_in_place(|| faults::until_whole(&crew.stage));
    // Whoever has read of this has read all that was told before.
    let marker = crew.log_in(0, "end-of-history@example.com", (1, 1, false)).await.expect("a session");
    follower.has_read_of(&marker).await;
    let begun = Instant::now();
    loop {
        let mut evidence = gather(crew, &follower.has_read()).await;
        let violations = check(&evidence);
        let agreed_after = u64::try_from(begun.elapsed().as_micros()).unwrap();
        let may_pass = |violation: &Violation| {
            matches!(
                violation.rule,
                Rule::GatewayDisagreesWithTheTruth
                    | Rule::EventIsMissing
                    | Rule::FollowerMissedAnEvent
                    | Rule::ReadsDisagree
            )
        };
        if !violations.iter().any(may_pass) || begun.elapsed() > patience {
            evidence.gateway.last_active = observer.map(Observer::finish).unwrap_or_default();
            let violations = check(&evidence);
            return (evidence, violations, agreed_after);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn gather(crew: &Arc<Crew>, followed: &[Vec<crate::history::Event>]) -> Evidence {
    let calls = crew.calls();
    let mut gateway = Seen { followed: followed.to_vec(), ..Seen::default() };
    let mut reader = Reader::of(&crew.stage);
    gateway.events = match &mut reader {
        Some(reader) => tokio::task::block_in_place(|| {
            let mut events = None;
            wait_until("the stream can be read", || {
                events = reader.events();
                events.is_some()
            });
            events.unwrap()
        }),
        None => followed.last().unwrap().clone(),
    };
    let mut known: BTreeSet<String> = gateway.events.iter().map(|event| event.session.clone()).collect();
    for call in &calls {
        if let Outcome::Acknowledged(Said::Session(session)) = &call.outcome {
            known.insert(session.clone());
        }
        if let Outcome::Acknowledged(Said::Ended(sessions)) = &call.outcome {
            known.extend(sessions.iter().cloned());
        }
    }
    let truth = truth::read(&crew.stage, &known).await;
    if let Some(reader) = &mut reader {
        gateway.has_records = true;
        known.extend(truth.sessions.keys().cloned());
        let known: Vec<String> = known.into_iter().collect();
        tokio::task::block_in_place(|| {
            wait_until("the records can be read", || {
                let read = reader.records(&known);
                let whole = read.len() == known.len();
                gateway.records =
                    read.into_iter().filter_map(|(session, status)| Some((session, status?))).collect();
                whole
            });
        });
    }
    Evidence { calls, truth, gateway }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}
