//! Random histories on two replicas at once, while the gateway's Redis fails again and again. In the end truth,
//! gateway records and events agree, and everything that was acknowledged is so.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use authsession::base::{Randomness, SystemRandomness};
use serde_json::{Value, json};

use crate::harness::{
    App, Device, Listener, Setup, Store, Wire,
    actors::{CONFIRM, INTERNAL, SEND, reason, text},
    eventually,
    redis::RedisServer,
};

/// A number below `bound`, told in the failure message by whatever it leads to.
fn roll(bound: u64) -> u64 {
    let mut bytes = [0; 8];
    SystemRandomness.fill(&mut bytes);
    u64::from_le_bytes(bytes) % bound
}

#[derive(Default)]
struct Acts {
    sessions: BTreeMap<String, String>,
    ended: BTreeSet<String>,
    blocked: BTreeSet<String>,
    unavailable: usize,
}

/// One call. A 200 is its body; a 503 is counted; a refusal of the contract is nothing.
async fn say(wire: &Wire, path: &str, body: &Value, acts: &Mutex<Acts>) -> Option<Value> {
    let listener = if path.starts_with(INTERNAL) { Listener::Internal } else { Listener::Public };
    let answer = wire.post(listener, path, body).await;
    match answer.status {
        200 => return Some(answer.json()),
        503 => acts.lock().unwrap().unavailable += 1,
        403 | 404 | 409 | 400 | 429 => {}
        other => panic!("{path} answered {other}: {}", answer.text),
    }
    None
}

async fn log_in(app: &App, wire: &Wire, email: &str, acts: &Mutex<Acts>) -> Option<()> {
    let send = say(wire, SEND, &json!({ "email": email }), acts).await?;
    let code = app.mail.code_for(email)?;
    let body = json!({
        "challenge_id": text(&send, "challenge_id"),
        "code": code,
        "client_public_key": Device::new().key(),
    });
    let body = say(wire, CONFIRM, &body, acts).await?;
    let session = text(&body, "device_session_id");
    acts.lock().unwrap().sessions.insert(session, email.to_owned());
    Some(())
}

async fn end_one(wire: &Wire, acts: &Mutex<Acts>) -> Option<()> {
    let session = {
        let acts = acts.lock().unwrap();
        let count = u64::try_from(acts.sessions.len()).unwrap();
        acts.sessions.keys().nth(usize::try_from(roll(count.max(1))).unwrap())?.clone()
    };
    say(wire, &format!("{INTERNAL}/sessions/{session}/revoke"), &reason(), acts).await?;
    acts.lock().unwrap().ended.insert(session);
    Some(())
}

async fn end_all(app: &App, wire: &Wire, email: &str, acts: &Mutex<Acts>) -> Option<()> {
    let known: Vec<String> = {
        let acts = acts.lock().unwrap();
        let of_user = acts.sessions.iter().filter(|(_, owner)| *owner == email);
        of_user.map(|(session, _)| session.clone()).collect()
    };
    let user = app.users.id_of(email)?;
    say(wire, &format!("{INTERNAL}/users/{user}/sessions/revoke-all"), &reason(), acts).await?;
    acts.lock().unwrap().ended.extend(known);
    Some(())
}

async fn block(wire: &Wire, email: &str, acts: &Mutex<Acts>) -> Option<()> {
    let body = json!({ "email": email, "reason_code": "x", "actor": { "type": "system" } });
    say(wire, &format!("{INTERNAL}/user-blocks"), &body, acts).await?;
    acts.lock().unwrap().blocked.insert(email.to_owned());
    Some(())
}

async fn act(app: &App, wire: &Wire, worker: u64, rounds: usize, acts: &Mutex<Acts>) {
    for _ in 0..rounds {
        // Two users a worker, and one that all share.
        let who = [worker * 2, worker * 2 + 1, 99][usize::try_from(roll(3)).unwrap()];
        let email = format!("pilot{who}@example.com");
        match roll(20) {
            0..12 => log_in(app, wire, &email, acts).await,
            12..17 => end_one(wire, acts).await,
            17..19 => end_all(app, wire, &email, acts).await,
            _ if who != 99 && roll(3) == 0 => block(wire, &email, acts).await,
            _ => None,
        };
    }
}

/// Pauses or restarts the gateway's Redis for a moment, again and again.
async fn trouble(gateway: &RedisServer, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        if roll(2) == 0 {
            gateway.pause();
            tokio::time::sleep(Duration::from_millis(20 + roll(400))).await;
            gateway.resume();
        } else {
            gateway.kill();
            gateway.restart();
        }
        tokio::time::sleep(Duration::from_millis(100 + roll(200))).await;
    }
}

async fn all_agrees(app: &App, acts: &Acts) {
    let gateway = app.gateway();
    for (session, email) in &acts.sessions {
        let truth = app.operator().status_of(session).await;
        if acts.ended.contains(session) || acts.blocked.contains(email) {
            assert_eq!(truth, "revoked", "{session} of {email}");
        }
        eventually("truth and record agree", async || {
            gateway.record(session).filter(|record| record["status"] == *truth)
        })
        .await;
    }
    let mut ended = BTreeSet::new();
    let mut told = BTreeSet::new();
    for (id, event) in gateway.stream() {
        let session = event["device_session_id"].as_str().unwrap().to_owned();
        if event["status"] == "revoked" {
            ended.insert(session.clone());
        } else {
            assert!(!ended.contains(&session), "{session} is active again at {id}");
        }
        told.insert(session);
    }
    for session in acts.sessions.keys() {
        assert!(told.contains(session), "no event tells of {session}");
        let truth = app.operator().status_of(session).await;
        assert_eq!(ended.contains(session), truth == "revoked", "{session}");
    }
}

async fn run(store: Store) {
    let gateway = Arc::new(RedisServer::durable());
    let setup = Setup::on(store).gateway(&gateway).rest_users().set("REDIS_OPERATION_TIMEOUT", "250ms");
    let app = setup.start().await;
    let replica = match store {
        Store::Embedded => None,
        Store::Redis | Store::Cluster => Some(app.replica().await),
    };
    let there: &Wire = replica.as_ref().map_or(&app, |replica| &replica.wire);
    let acts = Mutex::new(Acts::default());
    let stop = AtomicBool::new(false);
    let workers = (0..6).map(|worker| {
        let wire: &Wire = if worker % 2 == 0 { &app } else { there };
        act(&app, wire, worker, 120, &acts)
    });
    let work = async {
        futures_util::future::join_all(workers).await;
        stop.store(true, Ordering::SeqCst);
    };
    futures_util::future::join(work, trouble(&gateway, &stop)).await;
    let acts = acts.into_inner().unwrap();
    let count = acts.sessions.len();
    assert!(count > 100 && acts.ended.len() > 20, "{count} sessions, {} ended", acts.ended.len());
    all_agrees(&app, &acts).await;
}

async fn truth_records_and_events_agree_in_the_end(store: Store) {
    run(store).await;
}

on_every_store! {
    truth_records_and_events_agree_in_the_end,
}
