//! The checker finds faults: the same clients, on a service that something was taken from on its way to Redis, and a
//! schedule in which that must show. The same schedule without the fault breaks no rule.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::{
    checker::Rule,
    clients::Crew,
    faults::is_gateway_write,
    follower::Follower,
    harness::{Device, eventually},
    history::{Act, Attempt, Outcome, Said},
    meddler::Command,
    observer::Observer,
    run::{begin, settled},
    stage::{Meddling, Stage, Store, Topology},
};

/// How long the gateway may disagree: longer than it ever does by rights.
const PATIENCE: Duration = Duration::from_secs(5);

/// The rules that are broken when `schedule` happens to a service with this fault, among clients who do as always.
async fn broken(
    topology: Topology,
    meddling: Meddling,
    schedule: impl AsyncFnOnce(&Arc<Crew>),
) -> BTreeSet<Rule> {
    let seed = 7;
    let stage = Arc::new(Stage::start(topology, meddling).await);
    let crew = Crew::new(Arc::clone(&stage));
    let (observer, follower) = (Observer::start(&crew), Follower::start(&stage, seed));
    let clients = begin(&crew, seed);
    schedule(&crew).await;
    crew.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.expect("a client that ends well");
    }
    let (_, violations, _) = settled(&crew, observer, follower, PATIENCE).await;
    for violation in violations.iter().take(20) {
        eprintln!("{violation:?}");
    }
    violations.into_iter().map(|violation| violation.rule).collect()
}

/// Four logins whose records and events the second process writes late: after the first has revoked the sessions.
async fn a_late_relay(crew: &Arc<Crew>) {
    let wire = crew.stage.gateway_wire.as_ref().expect("a wire");
    for round in 0..4 {
        wire.hold(is_gateway_write);
        let session = crew.log_in(1, &format!("late{round}@example.com"), (1, 1, false)).await;
        let session = session.expect("a session, whatever becomes of its record");
        eventually("its record is held back", async || {
            let names = |command: &Command| command.iter().any(|word| word.ends_with(session.as_bytes()));
            wire.held().iter().any(names).then_some(())
        })
        .await;
        let revoked = crew.revoke(0, &session).await;
        assert!(matches!(revoked, Outcome::Acknowledged(_)), "{revoked:?}");
        wire.release();
    }
}

/// A code that one key claims on the first process while another key's claim is on its way from the second.
async fn a_late_claim(crew: &Arc<Crew>) {
    let (stage, email) = (&crew.stage, "late@example.com".to_owned());
    let send = crew.call(0, Act::Send { email: email.clone() }).await;
    let Outcome::Acknowledged(Said::Challenge(challenge)) = send else { panic!("{send:?}") };
    let code = stage.mail.code_of(&challenge).expect("a mail");
    let attempt = || Attempt {
        email: email.clone(),
        challenge: challenge.clone(),
        code: code.clone(),
        key: Device::new().key(),
    };
    let wire = stage.store_wire.as_ref().expect("a wire");
    wire.hold(is_claim);
    let other = async {
        eventually("a claim is held back", async || (!wire.held().is_empty()).then_some(())).await;
        crew.confirm(0, attempt()).await.expect("a session");
        wire.release();
    };
    let late = Act::Confirm(attempt());
    futures_util::future::join(crew.call(1, late.clone()), other).await;
    // The answer to the first may have been a 503: its caller asks again.
    crew.call(1, late).await;
}

/// For a moment, everything as usual.
async fn nothing_special(_: &Arc<Crew>) {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// The replica becomes the master, as somebody decides who cannot reach the old one. That one goes on for a while, and
/// then its clients are led to the new one: in the middle of whatever they do.
async fn a_split(crew: &Arc<Crew>) {
    let (stage, wire) = (&crew.stage, crew.stage.store_wire.as_ref().expect("a wire"));
    let Store::Chain([old, new, _]) = &stage.store else { panic!("a master and its replicas") };
    let mut sessions = Vec::new();
    for number in 0..6 {
        let session = crew.log_in(0, &format!("before{number}@example.com"), (1, 1, false)).await;
        sessions.push(session.expect("a session"));
    }
    let () = new.run(&["REPLICAOF", "NO", "ONE"]);
    let between = crew.log_in(0, "between@example.com", (1, 1, false));
    let revokes = async |session: &String| {
        // Not acknowledged, yet done on the old master; then tried again.
        crew.revoke(0, session).await;
    };
    let moved = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        old.kill();
        wire.lead_to(new.addr());
    };
    let revokes = futures_util::future::join_all(sessions.iter().map(revokes));
    futures_util::future::join3(between, revokes, moved).await;
}

fn is_script(command: &Command) -> bool {
    matches!(command[0].as_slice(), b"EVALSHA" | b"EVAL")
}

/// The keys of a script, and where its other arguments begin.
fn keys(command: &Command) -> (&[Vec<u8>], usize) {
    let count: usize = std::str::from_utf8(&command[2]).unwrap().parse().unwrap();
    (&command[3..3 + count], 3 + count)
}

/// A commit that uses up a code, see `challenge/store.rs`.
fn is_claim(command: &Command) -> bool {
    is_script(command) && keys(command).0.iter().any(|key| key.windows(4).any(|part| part == b"}:m:"))
}

/// A commit with only those of its steps, see `commit.lua`.
fn only(command: Command, wanted: fn(u8) -> bool) -> Command {
    let (keys, mut at) = keys(&command);
    if !keys.first().is_some_and(|key| key.ends_with(b"}:o")) {
        return command;
    }
    let mut kept = command[..at].to_vec();
    while at < command.len() {
        let step = command[at][0];
        let words = match step {
            b'o' => 2,
            b'e' | b'p' => 4,
            _ => 3,
        };
        if wanted(step) {
            kept.extend_from_slice(&command[at..at + words]);
        }
        at += words;
    }
    kept
}

fn without_its_announcement(command: Command) -> Command {
    if is_script(&command) { only(command, |step| step != b'o') } else { command }
}

fn claim_without_its_checks(command: Command) -> Command {
    if is_claim(&command) { only(command, |step| !b"aen".contains(&step)) } else { command }
}

fn record_without_nx(mut command: Command) -> Command {
    if command[0] == b"SET" && command.last().is_some_and(|word| word == b"NX") {
        command.pop();
    }
    command
}

/// The fence looks up how far an outbox has been relayed; under a strange name there is nothing.
fn events_without_the_fence(mut command: Command) -> Command {
    if is_script(&command) {
        let (keys, at) = keys(&command);
        if keys.last().is_some_and(|key| key.ends_with(b":pos")) {
            command[at] = b"nowhere".to_vec();
        }
    }
    command
}

/// Nobody is waited for, and one replica is said to have everything.
fn without_wait(command: Command) -> Command {
    if command[0] != b"WAIT" {
        return command;
    }
    ["EVAL", "return 1", "0"].map(|word| word.as_bytes().to_vec()).to_vec()
}

#[track_caller]
fn finds(found: &BTreeSet<Rule>, expected: &[Rule]) {
    assert!(expected.iter().all(|rule| found.contains(rule)), "found {found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_without_the_fence_is_found() {
    let meddling = Meddling { gateway: events_without_the_fence, ..Meddling::NONE };
    finds(&broken(Topology::Standalone, meddling, a_late_relay).await, &[Rule::ActiveAfterRevoked]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_active_record_that_is_written_over_a_revoked_one_is_found() {
    let meddling = Meddling { gateway: record_without_nx, ..Meddling::NONE };
    finds(&broken(Topology::Standalone, meddling, a_late_relay).await, &[Rule::GatewayDisagreesWithTheTruth]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_relay_breaks_nothing() {
    finds_nothing(&broken(Topology::Standalone, Meddling::NONE, a_late_relay).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_its_announcement_is_found() {
    let meddling = Meddling { store: without_its_announcement, ..Meddling::NONE };
    let found = broken(Topology::Standalone, meddling, nothing_special).await;
    finds(&found, &[Rule::GatewayDisagreesWithTheTruth, Rule::EventIsMissing]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_without_its_checks_is_found() {
    let meddling = Meddling { store: claim_without_its_checks, ..Meddling::NONE };
    finds(&broken(Topology::Standalone, meddling, a_late_claim).await, &[Rule::ChallengeIsUsedTwice]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_claim_breaks_nothing() {
    finds_nothing(&broken(Topology::Standalone, Meddling::NONE, a_late_claim).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_no_replica_was_waited_for_are_found() {
    let meddling = Meddling { store: without_wait, ..Meddling::NONE };
    finds(&broken(Topology::Chain, meddling, a_split).await, &[Rule::ConfirmedSessionIsLost]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_breaks_nothing_that_was_acknowledged() {
    finds_nothing(&broken(Topology::Chain, Meddling::NONE, a_split).await);
}

#[track_caller]
fn finds_nothing(found: &BTreeSet<Rule>) {
    assert!(found.is_empty(), "{found:?}");
}
