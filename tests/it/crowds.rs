//! A user with very many sessions: what ends them all never holds Redis up, and needs no memory to speak of.
//!
//! What is asserted is how much a single command does, not how long a busy machine took for it. `CROWD=100000 cargo test
//! --test it crowds -- --nocapture --test-threads 1` measures the figures of `docs/reliability.md`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use redis::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::{
    actors::{INTERNAL, reason, with_reason},
    crowd::{Crowd, log_in},
    process::Service,
    redis::RedisServer,
};

/// A commit of 100 sessions has 13 words for each, and a few more.
const MOST_WORDS: usize = 1500;
/// A page of a walk.
const MOST_ITEMS: usize = 500;
/// Commands that answer with a whole collection.
const WHOLE: [&str; 4] = ["hgetall", "hkeys", "hvals", "keys"];

fn crowd() -> Crowd {
    let sessions = std::env::var("CROWD").ok().and_then(|text| text.parse().ok()).unwrap_or(8_000);
    Crowd { sessions, revoked: 0 }
}

/// Somebody else who uses the same Redis, and how long he has waited at most.
struct Neighbour {
    stop: Arc<AtomicBool>,
    watch: thread::JoinHandle<(Duration, u32)>,
}

impl Neighbour {
    fn of(server: &RedisServer) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (told, mut connection) = (Arc::clone(&stop), server.connect());
        let watch = thread::spawn(move || {
            let (mut longest, mut asked) = (Duration::ZERO, 0);
            while !told.load(SeqCst) {
                let begun = Instant::now();
                let () = redis::cmd("PING").query(&mut connection).expect("an answer");
                longest = longest.max(begun.elapsed());
                asked += 1;
                thread::sleep(Duration::from_millis(1));
            }
            (longest, asked)
        });
        Self { stop, watch }
    }

    fn ends(self) -> (Duration, u32) {
        self.stop.store(true, SeqCst);
        self.watch.join().expect("an orderly end")
    }
}

/// A command that took Redis a while.
struct Slow {
    usec: u64,
    words: Vec<String>,
}

impl Slow {
    fn read(entry: &Value) -> Self {
        let Value::Array(parts) = entry else { panic!("{entry:?}") };
        let words: Vec<Vec<u8>> = redis::from_redis_value(parts[3].clone()).unwrap();
        let words = words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect();
        Self { usec: redis::from_redis_value(parts[2].clone()).unwrap(), words }
    }

    /// How many words it has: Redis cuts long ones short, and says by how many.
    fn length(&self) -> usize {
        let more = self.words.last().and_then(|word| word.strip_prefix("... ("));
        let more = more.and_then(|more| more.split_once(' ')).and_then(|(more, _)| more.parse().ok());
        self.words.len() + more.map_or(0, |more: usize| more - 1)
    }

    /// How many items a walk asked for at once.
    fn count(&self) -> usize {
        let at = self.words.iter().position(|word| word == "COUNT");
        at.and_then(|at| self.words[at + 1].parse().ok()).unwrap_or_default()
    }
}

/// Does `work`, and checks that no command of it was too much for the neighbours.
async fn bearable<T>(
    what: &str,
    server: &RedisServer,
    service: &Service,
    work: impl Future<Output = T>,
) -> T {
    let () = server.run(&["CONFIG", "SET", "slowlog-log-slower-than", "100", "slowlog-max-len", "100000"]);
    let () = server.run(&["SLOWLOG", "RESET"]);
    let () = server.run(&["CONFIG", "RESETSTAT"]);
    let (_, before) = service.memory();
    let (neighbour, begun) = (Neighbour::of(server), Instant::now());
    let done = work.await;
    let (took, (longest, asked)) = (begun.elapsed(), neighbour.ends());
    let log: Vec<Value> = server.run(&["SLOWLOG", "GET", "-1"]);
    let slow: Vec<Slow> = log.iter().map(Slow::read).collect();
    let worst = slow.iter().max_by_key(|slow| slow.usec).expect("some command took 0.1 ms");
    let beyond = slow.iter().filter(|slow| slow.usec > 10_000).count();
    eprintln!(
        "{what}: {took:?}; the longest command {} us ({} of {} words), {beyond} beyond 10 ms; a neighbour waited \
         {longest:?} at most, of {asked} calls; memory grew by {} kB",
        worst.usec,
        worst.words[0],
        worst.length(),
        service.memory().0.saturating_sub(before),
    );
    for slow in &slow {
        assert!(slow.length() <= MOST_WORDS, "{} words in {:?}", slow.length(), &slow.words[..2]);
        assert!(slow.count() <= MOST_ITEMS, "{:?}", slow.words);
    }
    for line in server.info("commandstats").lines() {
        let Some((command, stats)) = line.strip_prefix("cmdstat_").and_then(|line| line.split_once(':'))
        else {
            continue;
        };
        assert!(!WHOLE.contains(&command), "{line}");
        let number = |name: &str| {
            let stat = stats.split(',').find_map(|stat| stat.strip_prefix(name)).expect(name);
            stat.parse::<f64>().unwrap()
        };
        // A mean over many calls: a machine that stops for a moment does not move it so far.
        assert!(number("calls=") < 50.0 || number("usec_per_call=") < 10_000.0, "{line}");
    }
    done
}

/// Posts, without the harness's checks of every answer: they take long for one with so many ids.
async fn post(service: &Service, path: &str, body: &serde_json::Value) -> serde_json::Value {
    let url = format!("{}{INTERNAL}{path}", service.wire.internal);
    let answer = service.wire.client.post(url).json(body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// Ends all of the crowd's sessions by `end`, which tells how many it has ended.
async fn ended(what: &str, settings: &[(&str, &str)], end: impl AsyncFnOnce(&Service, &str) -> u64) {
    let (dir, server, crowd) = (TempDir::new().unwrap(), RedisServer::start(), crowd());
    let addr = server.addr();
    // Longer than a busy machine makes any call: what is tried here is not the timeout.
    let ours = [("REDIS_ADDR", addr.as_str()), ("REDIS_OPERATION_TIMEOUT", "5s")];
    let settings = [&ours, settings].concat();
    let (service, user) = crowd.service(&settings, dir.path()).await;
    let count = bearable(what, &server, &service, end(&service, &user)).await;
    let revoked = server.run::<u64>(&["HLEN", &format!("authsession:{}", hash(&server, "r:"))]);
    assert_eq!(count, revoked);
    let told: Vec<String> = server.run(&["KEYS", "gateway:session:*"]);
    assert!(told.len() as u64 >= revoked, "{} records for {revoked} sessions", told.len());
}

/// The one collection of this kind.
fn hash(server: &RedisServer, kind: &str) -> String {
    let mut keys: Vec<String> = server.run(&["KEYS", &format!("authsession:*:{kind}*")]);
    keys.pop().expect("a collection").replacen("authsession:", "", 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_all_of_very_many_holds_redis_up_for_nobody() {
    ended("revoke-all", &[], async |service, user| {
        let answer = post(service, &format!("/users/{user}/sessions/revoke-all"), &reason()).await;
        let ids = answer["affected_device_session_ids"].as_array().unwrap().len() as u64;
        assert_eq!(answer["affected_session_count"], json!(ids));
        assert_eq!(ids, crowd().sessions + 1);
        ids
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_with_very_many_holds_redis_up_for_nobody() {
    ended("block", &[], async |service, user| {
        let answer = post(service, "/user-blocks", &with_reason("user_id", user)).await;
        let count = answer["affected_session_count"].as_u64().unwrap();
        assert_eq!(count, crowd().sessions + 1);
        count
    })
    .await;
}

/// The limit is new: the next login has to end all but the newest few.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_makes_room_among_very_many_holds_redis_up_for_nobody() {
    let limit = [("MAX_SESSIONS_PER_USER", "10"), ("SESSION_LIMIT_POLICY", "revoke_oldest")];
    ended("a login that makes room", &limit, async |service, _| {
        log_in(service, "pilot@example.com").await;
        crowd().sessions + 2 - 10
    })
    .await;
}
