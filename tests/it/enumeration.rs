//! Nobody learns from a send whether an address is known, blocked, or has a mailbox that takes no more: bodies and
//! headers are the same, and so is the time taken, over a mail service that is slow and never twice as slow.
//!
//! The clock is judged by ranks (Mann and Whitney), so that a busy machine may slow down everybody. A false alarm comes
//! once in a million runs. What the test sees is shown by an address that answers 80 ms later, which it must find; on a
//! quiet machine it finds 25 ms (by simulation, in all of 4000 runs).

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use authsession::base::{SystemRandomness, World};
use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{
    Answer, App, Device, Setup, Store,
    clock::FakeClock,
    upstream::{Answer as Reply, Upstream},
};

/// As many answers of each kind are looked at, and on a busy machine up to five times as many.
const ROUNDS: usize = 80;
const MOST_ROUNDS: usize = 400;

/// Milliseconds by which one address is slower.
const LEAK: u64 = 80;

/// Beyond this many standard deviations lies one in a million, both sides together.
const ALARM: f64 = 4.9;

/// Takes 50 to 100 ms for a mail, and none at all where it sends none.
async fn mail_service() -> Upstream {
    let world = World::new(FakeClock::new(), SystemRandomness);
    Upstream::start(move |request| {
        let email = request.json()["email"].as_str().unwrap_or_default().to_owned();
        let (took, outcome) = match email.split('@').next() {
            Some("full") => (0, "suppressed"),
            // Suppressed, since what is sent sets the pace for others.
            Some("leak") => (50 + LEAK + world.below(50), "suppressed"),
            _ => (50 + world.below(50), "sent"),
        };
        Reply::After(Duration::from_millis(took), Box::new(Reply::Json(200, json!({ "outcome": outcome }))))
    })
    .await
}

async fn start() -> (App, Upstream) {
    let mail = mail_service().await;
    let app = Setup::on(Store::Embedded).rest_users().set("MAIL_SERVICE_BASE_URL", &mail.url()).start().await;
    for known in ["known", "full", "leak"] {
        app.users.add(&format!("{known}@example.com"));
    }
    app.users.block("blocked@example.com");
    (app, mail)
}

/// All that an answer shows, but for what is drawn for each one.
fn face(answer: &Answer) -> String {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &answer.headers {
        let drawn = ["date", "x-request-id"].contains(&name.as_str());
        let value = if drawn { value.len().to_string() } else { format!("{value:?}") };
        headers.insert(name.to_string(), value);
    }
    let mut body = answer.json();
    if let Some(id) = body["challenge_id"].as_str() {
        body["challenge_id"] = json!(id.len());
    }
    format!("{} {headers:?} {body}", answer.status)
}

fn median(sample: &[Duration]) -> Duration {
    let mut sorted = sample.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

/// How far apart two samples lie, in standard deviations of what chance would do.
fn apart(left: &[Duration], right: &[Duration]) -> f64 {
    let [n, m] = [left, right].map(|sample| f64::from(u32::try_from(sample.len()).unwrap()));
    let pairs = left.iter().flat_map(|a| right.iter().map(move |b| a.cmp(b)));
    let wins: f64 = pairs.map(|order| f64::midpoint(f64::from(order as i8), 1.0)).sum();
    (wins - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_unknown_blocked_and_full_answer_alike_and_a_slower_one_is_noticed() {
    let (app, _mail) = start().await;
    for at in 0..24 {
        app.visitor(&format!("first{at}@example.com")).send().await.ok();
    }
    let mut took: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for round in 0..MOST_ROUNDS {
        every_class(&app, round, &mut took).await;
        // On a busy machine it takes more of them to see anything.
        if round + 1 >= ROUNDS && leaks_by(&took) > ALARM {
            break;
        }
    }
    let leaks_by = leaks_by(&took);
    took.remove("leak");
    let medians: Vec<(&str, Duration)> = took.iter().map(|(class, times)| (*class, median(times))).collect();
    assert!(leaks_by > ALARM, "an address that is slower is not noticed: {leaks_by}, {medians:?}");
    assert_eq!(medians.len(), 4);
    for (at, (class, _)) in medians.iter().enumerate() {
        for (other, _) in &medians[at + 1..] {
            let apart = apart(&took[class], &took[other]);
            assert!(apart.abs() < ALARM, "{class} and {other} are {apart} apart: {medians:?}");
        }
    }
}

/// One send of each kind, all at once, each in every place in turn.
async fn every_class(app: &App, round: usize, took: &mut BTreeMap<&str, Vec<Duration>>) {
    // Beyond the cooldown: each address would be mailed again.
    app.clock.advance_s(61);
    let mut classes = ["known", "unknown", "blocked", "full", "leak"];
    classes.rotate_left(round % 5);
    let sends = classes.map(async |class| {
        let fresh = if class == "unknown" { round.to_string() } else { String::new() };
        let visitor = app.visitor(&format!("{class}{fresh}@example.com"));
        let started = Instant::now();
        let answer = visitor.send().await;
        (class, started.elapsed(), answer)
    });
    let answers = join_all(sends).await;
    for (class, elapsed, answer) in &answers {
        took.entry(class).or_default().push(*elapsed);
        answer.ok();
        assert_eq!(face(answer), face(&answers[0].2), "{class}");
    }
}

/// How far the slower address lies from all others together.
fn leaks_by(took: &BTreeMap<&str, Vec<Duration>>) -> f64 {
    let others = took.iter().filter(|(class, _)| **class != "leak").flat_map(|(_, times)| times);
    apart(&took["leak"], &others.copied().collect::<Vec<_>>())
}

/// A send inside the cooldown, and a wrong code, say as little.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_a_send_is_alike_too() {
    let (app, _mail) = start().await;
    let mut seen: Vec<(&str, [String; 3])> = Vec::new();
    for class in ["known", "unknown", "blocked", "full"] {
        let visitor = app.visitor(&format!("{class}@example.com"));
        let challenge = visitor.challenge().await;
        let again = visitor.send().await;
        let malformed = visitor.confirm(&challenge, "12345", &Device::new()).await;
        let wrong = visitor.confirm(&challenge, "000000", &Device::new()).await;
        seen.push((class, [face(&again), face(&malformed), face(&wrong)]));
    }
    for (class, faces) in &seen {
        assert_eq!(*faces, seen[0].1, "{class}");
    }
}
