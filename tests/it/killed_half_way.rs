//! A process is killed after its commit and before the gateway knows: another one finishes what it began, within the
//! repair interval. `--nocapture` tells how long it took.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Device, Listener, Operator, PATIENCE,
    actors::{CONFIRM, INTERNAL, SEND, challenge_of, reason, session_of, with_reason},
    crowd::{Crowd, log_in},
    eventually,
    process::Service,
    proxy::Proxy,
    redis::RedisServer,
};

/// Two processes on one store. The first one's way to the gateway can be blocked.
struct Pair {
    doomed: Service,
    other: Service,
    way: Proxy,
    store: RedisServer,
    gateway: RedisServer,
}

impl Pair {
    /// With one user, who has that many sessions more than one: the processes, his id, and that one session.
    async fn start(sessions: u64) -> (Self, String, String) {
        let (dir, store, gateway) = (TempDir::new().unwrap(), RedisServer::durable(), RedisServer::start());
        let way = Proxy::to(gateway.addr()).await;
        let (addr, direct, slow) = (store.addr(), gateway.addr(), way.addr());
        // Longer than a busy machine makes any call: what is tried here is not the timeout.
        let patient = ("REDIS_OPERATION_TIMEOUT", "5s");
        let settings = |gateway| [("REDIS_ADDR", addr.as_str()), ("GATEWAY_REDIS_ADDR", gateway), patient];
        let other = Service::start(&settings(&direct)).await;
        let session = log_in(&other, "pilot@example.com").await;
        let user = Operator::new(&other.wire).user_of(&session).await;
        if sessions > 0 {
            Crowd { sessions, revoked: 0 }.join(&settings(&direct), dir.path()).await;
        }
        let doomed = Service::start(&settings(&slow)).await;
        // Its connections are there before the way is blocked.
        log_in(&doomed, "somebody@example.com").await;
        (Self { doomed, other, way, store, gateway }, user, session)
    }

    /// Lets the first process begin what `path` and `body` ask for, and kills it when `begun`.
    async fn kill_in(&mut self, path: &str, body: &Value, begun: impl Fn(&RedisServer) -> bool) -> Instant {
        let listener = if path.starts_with(INTERNAL) { Listener::Internal } else { Listener::Public };
        let request = self.doomed.wire.request(listener, "POST", path).json(body);
        self.way.hold();
        let asked = tokio::spawn(request.send());
        let deadline = Instant::now() + PATIENCE;
        while !begun(&self.store) {
            assert!(Instant::now() < deadline, "it has not begun");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.doomed.kill();
        let killed = Instant::now();
        assert!(asked.await.unwrap().is_err(), "nothing was answered");
        killed
    }

    /// Waits until the gateway's record says `status`.
    async fn told(&self, session: &str, status: &str) {
        eventually("the gateway has been told", async || {
            let record: Option<String> = self.gateway.run(&["GET", &format!("gateway:session:{session}")]);
            record.filter(|record| record.contains(&format!("\"{status}\"")))
        })
        .await;
    }

    /// Waits until not one of the user's sessions is active, and the gateway knows of all that there were.
    async fn all_ended(&self, session: &str, killed: Instant, what: &str) {
        let (active, revoked) = (collection(session, "a"), collection(session, "r"));
        eventually("no session is active", async || {
            (self.store.run::<u64>(&["EXISTS", &active]) == 0).then_some(())
        })
        .await;
        eprintln!("{what}: no session active after {:?}", killed.elapsed());
        let suffixes: Vec<Vec<u8>> = self.store.run(&["HKEYS", &revoked]);
        let alphabet = |suffix: &Vec<u8>| authsession::base::id::encode(suffix);
        let keys: Vec<String> = suffixes
            .iter()
            .map(|suffix| format!("gateway:session:{}{}", &session[..19], alphabet(suffix)))
            .collect();
        let all: Vec<&str> = std::iter::once("MGET").chain(keys.iter().map(String::as_str)).collect();
        eventually("the gateway has been told of all", async || {
            let records: Vec<Option<String>> = self.gateway.run(&all);
            let is_told = |record: &Option<String>| {
                record.as_ref().is_some_and(|record| record.contains("\"revoked\""))
            };
            records.iter().all(is_told).then_some(())
        })
        .await;
        eprintln!("{what}: the gateway knows all {} after {:?}", keys.len(), killed.elapsed());
        let jobs = format!("authsession:{{{}}}:j", &session[..3]);
        eventually("the job is done", async || {
            (self.store.run::<u64>(&["EXISTS", &jobs]) == 0).then_some(())
        })
        .await;
    }
}

/// The key of the sessions of the user who has `session`: active (`a`) or revoked (`r`) ones.
fn collection(session: &str, kind: &str) -> String {
    format!("authsession:{{{}}}:{kind}:{}", &session[..3], &session[3..19])
}

/// Whether so many of the user's sessions are in there.
fn has(session: &str, kind: &str, least: u64) -> impl Fn(&RedisServer) -> bool {
    let key = collection(session, kind);
    move |store| store.run::<u64>(&["HLEN", &key]) >= least
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_whose_process_was_killed_reaches_the_gateway() {
    let (mut pair, _, session) = Pair::start(0).await;
    let path = format!("{INTERNAL}/sessions/{session}/revoke");
    let killed = pair.kill_in(&path, &reason(), has(&session, "r", 1)).await;
    pair.told(&session, "revoked").await;
    eprintln!("revoke: the gateway knows after {:?}", killed.elapsed());
    let again = Operator::new(&pair.other.wire).revoke(&session).await.ok();
    assert_eq!(again["outcome"], "already_revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_all_whose_process_was_killed_is_finished_by_another() {
    let (mut pair, user, session) = Pair::start(1_000).await;
    let path = format!("{INTERNAL}/users/{user}/sessions/revoke-all");
    // The first of eleven chunks, after which the way to the gateway blocks.
    let killed = pair.kill_in(&path, &reason(), has(&session, "r", 1)).await;
    pair.all_ended(&session, killed, "revoke-all").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_whose_process_was_killed_is_finished_by_another() {
    let (mut pair, user, session) = Pair::start(1_000).await;
    let flag = format!("authsession:{{{}}}:b:{}", &session[..3], &session[3..19]);
    let path = format!("{INTERNAL}/user-blocks");
    let begun = |store: &RedisServer| store.run::<u64>(&["EXISTS", &flag]) == 1;
    let killed = pair.kill_in(&path, &with_reason("user_id", &user), begun).await;
    pair.all_ended(&session, killed, "block").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_whose_process_was_killed_is_there_and_its_repeat_finds_it() {
    let (mut pair, _, first) = Pair::start(0).await;
    let email = json!({ "email": "pilot@example.com" });
    let challenge = challenge_of(&pair.doomed.wire.post(Listener::Public, SEND, &email).await);
    let (code, key) = (pair.doomed.code_for(&challenge).await, Device::new().key());
    let body = json!({ "challenge_id": challenge, "code": code, "client_public_key": key });
    let killed = pair.kill_in(CONFIRM, &body, has(&first, "a", 2)).await;
    let again = session_of(&pair.other.wire.post(Listener::Public, CONFIRM, &body).await);
    pair.told(&again, "active").await;
    eprintln!("login: the gateway knows after {:?}", killed.elapsed());
    assert_eq!(pair.store.run::<u64>(&["HLEN", &collection(&first, "a")]), 2, "it opened one session");
}

/// The process that is at it is alive: its own sweeper must not take the work over, or the answer would name only some
/// of the sessions that ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoke_all_that_is_held_up_is_left_to_the_process_that_is_at_it() {
    let (mut pair, user, session) = Pair::start(300).await;
    pair.other.kill();
    pair.way.hold();
    let operator = Operator::new(&pair.doomed.wire);
    let release = async {
        let begun = Instant::now();
        eventually("it is held up for longer than the sweeper waits", async || {
            let all = pair.store.run::<u64>(&["HLEN", &collection(&session, "r")]) == 301;
            (all || begun.elapsed() > Duration::from_secs(2)).then_some(())
        })
        .await;
        pair.way.release().await;
    };
    let (answer, ()) = futures_util::future::join(operator.revoke_all(&user), release).await;
    assert_eq!(answer.ok()["affected_session_count"], 301);
}
