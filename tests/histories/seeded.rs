//! The checker finds faults: the same clients, on a service that something was taken from on its way to Redis, and a
//! schedule in which that must show. The same schedule without the fault breaks no rule.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{join, join_all, join3};

use crate::{
    checker::Rule,
    clients::Crew,
    faults::is_gateway_write,
    follower::Follower,
    harness::{Device, eventually},
    history::{Act, Attempt, Outcome, Said},
    meddler::{Command, Meddler},
    observer::Observer,
    probe::until_acknowledged,
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

/// Logins whose records and events the second process writes late: after the first has revoked the sessions.
async fn a_late_relay(crew: &Arc<Crew>) {
    let wire = crew.stage.gateway_wire.as_ref().expect("a wire");
    let mut late = 0;
    for round in 0.. {
        assert!(round < 40, "the second process never writes in time to be held back");
        wire.hold(is_gateway_write);
        let session = crew.log_in(1, &format!("late{round}@example.com"), (1, 1, false)).await;
        // A busy machine may let the first process relay it before the second has begun.
        if let Some(session) = session
            && is_held(wire, session.as_bytes()).await
        {
            let revoke = || Act::Revoke { session: session.clone(), reason: crew.reason() };
            until_acknowledged(crew, 0, revoke).await;
            late += 1;
        }
        wire.release();
        if late == 3 {
            return;
        }
    }
}

/// Whether a command is held back, or soon is, of which some word ends so.
async fn is_held(wire: &Meddler, end: &[u8]) -> bool {
    let names = |command: &Command| command.iter().any(|word| word.ends_with(end));
    for _ in 0..100 {
        if wire.held().iter().any(names) {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

/// What a fresh device sends to log in with this address.
async fn attempt(crew: &Crew, email: &str) -> Attempt {
    let send = || Act::Send { email: email.to_owned() };
    let Said::Challenge(challenge) = until_acknowledged(crew, 0, send).await else { unreachable!() };
    let mail = &crew.stage.mail;
    let code = mail.code_of(&challenge).or_else(|| mail.code_for(email)).expect("a mail");
    Attempt { email: email.to_owned(), challenge, code, key: Device::new().key() }
}

/// A session of somebody with this address.
async fn session(crew: &Crew, email: &str) -> String {
    let attempt = attempt(crew, email).await;
    let confirm = || Act::Confirm(attempt.clone());
    let Said::Session(session) = until_acknowledged(crew, 0, confirm).await else { unreachable!() };
    crew.note_opened(email, &session);
    session
}

/// A code that one key claims on the first process while another key's claim is on its way from the second.
async fn a_late_claim(crew: &Arc<Crew>) {
    let late = attempt(crew, "late@example.com").await;
    let first = Attempt { key: Device::new().key(), ..late.clone() };
    // The first 19 letters of a challenge's id are its address's place, the others end its key in the store.
    let end = late.challenge.as_bytes()[19..].to_vec();
    let wire = crew.stage.store_wire.as_ref().expect("a wire");
    wire.hold(is_claim);
    let other = async {
        eventually("the claim is held back", async || is_held(wire, &end).await.then_some(())).await;
        while matches!(crew.call(0, Act::Confirm(first.clone())).await, Outcome::Unknown(_)) {}
        wire.release();
    };
    // Whoever has no answer asks again; also after a refusal, since the claim may only now arrive.
    let ask = || crew.call(1, Act::Confirm(late.clone()));
    let until_answered = async { while matches!(ask().await, Outcome::Unknown(_)) {} };
    join(until_answered, other).await;
    for _ in 0..20 {
        if matches!(ask().await, Outcome::Acknowledged(_)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// For a moment, everything as usual.
async fn nothing_special(_: &Arc<Crew>) {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// The replica becomes the master, as somebody decides who cannot reach the old one. That one goes on for a while, and
/// then its clients are led to the new one: in the middle of whatever they do, or when a login has been acknowledged.
async fn a_split(crew: &Arc<Crew>, with_a_login: bool) {
    let (stage, wire) = (&crew.stage, crew.stage.store_wire.as_ref().expect("a wire"));
    let Store::Chain([old, new, _]) = &stage.store else { panic!("a master and its replicas") };
    let (mut sessions, mut attempts) = (Vec::new(), Vec::new());
    for number in 0..6 {
        sessions.push(session(crew, &format!("before{number}@example.com")).await);
        attempts.push(attempt(crew, &format!("halfway{number}@example.com")).await);
    }
    let () = new.run(&["REPLICAOF", "NO", "ONE"]);
    let moved = async {
        if with_a_login {
            session(crew, "between@example.com").await;
        } else {
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        old.kill();
        wire.lead_to(new.addr());
    };
    // Not acknowledged, yet done on the old master; then tried again.
    let revokes = join_all(sessions.iter().map(|session| crew.revoke(0, session)));
    let confirms = join_all(attempts.iter().map(|attempt| crew.confirm(0, attempt.clone())));
    join3(revokes, confirms, moved).await;
    for attempt in attempts {
        crew.confirm(0, Attempt { key: Device::new().key(), ..attempt }).await;
    }
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
            b't' => 2 + String::from_utf8_lossy(&command[at + 1]).parse::<usize>().unwrap(),
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

/// The fence looks up how far an outbox has been relayed; under a name that nobody ever had there is nothing.
fn events_without_the_fence(mut command: Command) -> Command {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    if is_script(&command) {
        let (keys, at) = keys(&command);
        if keys.last().is_some_and(|key| key.ends_with(b":pos")) {
            command[at] = format!("nowhere:{}", CALLS.fetch_add(1, Ordering::SeqCst)).into_bytes();
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
    finds(
        &broken(Topology::Chain, meddling, async |crew| a_split(crew, true).await).await,
        &[Rule::ConfirmedSessionIsLost],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_split_breaks_nothing_that_was_acknowledged() {
    finds_nothing(&broken(Topology::Chain, Meddling::NONE, async |crew| a_split(crew, false).await).await);
}

#[track_caller]
fn finds_nothing(found: &BTreeSet<Rule>) {
    assert!(found.is_empty(), "{found:?}");
}
