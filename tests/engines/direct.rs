//! Announcements that are told in the commit that makes them, and what becomes of those that cannot be.

use std::sync::Arc;

use authsession::engine::{
    Commit, Engine, Entry, Shard, Untold, Verdict,
    redis::{Args, Direct, Redis, Settings},
};

use crate::{
    fixture::{collection, settings, shard},
    harness::RedisServer,
};

/// Tells by appending to a list; what starts with `bad` cannot be told.
struct List(String);

impl Direct for List {
    fn commands(&self, announcement: &[u8]) -> Option<Vec<Args>> {
        let verb = if announcement.starts_with(b"bad") { "INCR" } else { "RPUSH" };
        let mut command: Args = [verb, &self.0].into_iter().collect();
        if verb == "RPUSH" {
            command.push(announcement);
        }
        (announcement != b"unreadable").then(|| vec![command])
    }
}

/// A Redis whose commits tell, and the key of what they have told.
struct Told {
    server: Arc<RedisServer>,
    engine: Arc<Redis>,
    settings: Settings,
    key: String,
}

impl Told {
    fn on(server: Arc<RedisServer>, more: &[(&str, &str)]) -> Self {
        let settings = settings(&server.addr(), more);
        let key = format!("{}told", settings.key_prefix());
        let engine = Redis::telling(&settings, Some(Arc::new(List(key.clone()))));
        Self { server, engine, settings, key }
    }

    fn list(&self) -> Vec<String> {
        self.server.run(&["LRANGE", &self.key, "0", "-1"])
    }

    async fn pending(&self) -> Vec<Entry> {
        self.engine.pending(self.engine.outbox_of(Shard::from_index(7).unwrap()), 100).await.unwrap()
    }

    async fn announce(&self, announcements: &[&str]) -> Untold {
        announce(&self.engine, announcements).await
    }
}

async fn announce(engine: &Redis, announcements: &[&str]) -> Untold {
    let mut commit = Commit::on(shard(7));
    commit.put(collection("c:x").item("n"), b"v".into());
    for announcement in announcements {
        commit.announce(announcement.as_bytes().to_vec());
    }
    let (verdict, untold) = engine.commit_and_tell(commit).await.unwrap();
    assert_eq!(verdict, Verdict::Done);
    assert_eq!(engine.get_one(&collection("c:x").item("n")).await.unwrap(), Some(b"v".to_vec()));
    untold
}

fn texts(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| String::from_utf8(entry.announcement.clone()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_commit_announces_is_told_in_it_and_leaves_nothing() {
    let told = Told::on(RedisServer::shared(), &[]);
    assert_eq!(told.announce(&["one", "two"]).await, Untold::Nothing);
    assert_eq!(told.announce(&["three"]).await, Untold::Nothing);
    assert_eq!(told.list(), ["one", "two", "three"]);
    assert_eq!(told.pending().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_commit_tells_nothing() {
    let told = Told::on(RedisServer::shared(), &[]);
    let mut commit = Commit::on(shard(7));
    commit.unchanged(collection("c:x").item("n"), Some(b"what is not there"));
    commit.announce(b"one".to_vec());
    let (verdict, _) = told.engine.commit_and_tell(commit).await.unwrap();
    assert!(matches!(verdict, Verdict::Refused(_)));
    assert_eq!((told.list(), told.pending().await), (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_the_outbox_is_not_overtaken() {
    let told = Told::on(RedisServer::shared(), &[]);
    let elsewhere = Redis::new(&told.settings);
    let Untold::These(first) = announce(&elsewhere, &["one", "two"]).await else {
        panic!("it is in the outbox")
    };
    assert_eq!(texts(&first), ["one", "two"]);
    assert_eq!(told.pending().await, first);
    assert_eq!(told.announce(&["three"]).await, Untold::Unknown, "there is more than its own");
    assert_eq!(texts(&told.pending().await), ["one", "two", "three"]);
    assert_eq!(told.list(), [""; 0]);
    assert_eq!(told.announce(&[]).await, Untold::Unknown, "who announces nothing has not looked");

    let last = told.pending().await.last().unwrap().position;
    told.engine.trim(told.engine.outbox_of(shard(7)), last).await.unwrap();
    assert_eq!(told.announce(&["four"]).await, Untold::Nothing);
    assert_eq!(told.list(), ["four"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_told_at_once_is_left_to_the_relay_whole() {
    for announcements in [&["bad"][..], &["good", "bad", "better"], &["good", "unreadable"], &["many"; 20]] {
        let told = Told::on(RedisServer::shared(), &[]);
        // Numbers cannot be counted up in a list, so the command fails.
        told.server.run::<u64>(&["RPUSH", &told.key, "already"]);
        let Untold::These(entries) = told.announce(announcements).await else { panic!("{announcements:?}") };
        assert_eq!(texts(&entries), announcements);
        assert_eq!(told.pending().await, entries);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_replicas_must_have_is_not_told_before() {
    let master = RedisServer::start();
    let _replica = RedisServer::replica_of(&master);
    let told = Told::on(Arc::new(master), &[("MIN_REPLICAS", "1")]);
    let Untold::These(entries) = told.announce(&["one"]).await else { panic!("it is in the outbox") };
    assert_eq!(texts(&entries), ["one"]);
    assert_eq!(told.list(), [""; 0]);
}
