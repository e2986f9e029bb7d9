//! The built-in directory, over a store in memory that can let others in between a read and a commit.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use authsession::{
    base::{Email, Unavailable, World},
    engine::{
        Check, CheckId, Collection, Collections, Commit, Cursor, Engine, Entry, Item, Keys, Outbox, Page,
        Position, Refusal, Shard, Verdict, Write,
    },
    users::{Admission, Block, Standing, Subject, Users, stub::Directory},
};

use super::kit::{email, order};

/// Items in a map. Every get and commit lets the other tasks run first.
#[derive(Default)]
struct Memory {
    items: Mutex<BTreeMap<Item, Vec<u8>>>,
    refusals: AtomicUsize,
}

#[async_trait]
impl Engine for Memory {
    async fn get(&self, items: &[Item]) -> Result<Vec<Option<Vec<u8>>>, Unavailable> {
        let found = items.iter().map(|item| self.items.lock().unwrap().get(item).cloned()).collect();
        tokio::task::yield_now().await;
        Ok(found)
    }

    async fn commit(&self, commit: Commit) -> Result<Verdict, Unavailable> {
        tokio::task::yield_now().await;
        let mut items = self.items.lock().unwrap();
        for (at, check) in commit.checks().iter().enumerate() {
            let (holds, found) = match check {
                Check::Absent(item) => (!items.contains_key(item), items.get(item).cloned()),
                Check::Equals(item, value) => (items.get(item) == Some(value), items.get(item).cloned()),
                Check::CountBelow(..) => unreachable!("the directory counts nothing"),
            };
            if !holds {
                self.refusals.fetch_add(1, Ordering::Relaxed);
                return Ok(Verdict::Refused(Refusal { check: CheckId(at), found }));
            }
        }
        for write in commit.writes() {
            match write {
                Write::Put(item, value) => items.insert(item.clone(), value.clone()),
                Write::Delete(..) | Write::Expire(..) => unreachable!("the directory forgets nothing"),
            };
        }
        Ok(Verdict::Done)
    }

    async fn list(&self, _: &Collection, _: Option<&Cursor>, _: usize) -> Result<Page, Unavailable> {
        unreachable!("the directory lists nothing")
    }

    async fn count(&self, _: &Collection) -> Result<u64, Unavailable> {
        unreachable!("the directory counts nothing")
    }

    async fn populated(&self, _: &str) -> Result<Vec<Shard>, Unavailable> {
        unreachable!("the directory sweeps nothing")
    }

    async fn collections(&self, _: &str, _: Option<&Cursor>, _: usize) -> Result<Collections, Unavailable> {
        unreachable!("the directory walks through nothing")
    }

    fn outbox_of(&self, shard: Shard) -> Outbox {
        Outbox(shard.index())
    }

    async fn pending(&self, _: Outbox, _: usize) -> Result<Vec<Entry>, Unavailable> {
        unreachable!("the directory announces nothing")
    }

    async fn trim(&self, _: Outbox, _: Position) -> Result<(), Unavailable> {
        unreachable!("the directory announces nothing")
    }

    async fn backlog(&self) -> Result<Vec<Outbox>, Unavailable> {
        unreachable!("the directory announces nothing")
    }

    async fn ready(&self) -> Result<Vec<String>, Unavailable> {
        Ok(Vec::new())
    }
}

fn over(memory: &Arc<Memory>) -> Directory {
    let engine: Arc<dyn Engine> = Arc::clone(memory) as _;
    let keys = Arc::new(Keys::new(Arc::clone(&engine), World::system()));
    Directory::new(engine, keys)
}

fn fresh() -> Directory {
    over(&Arc::default())
}

async fn admitted(directory: &Directory, email: &Email) -> String {
    match directory.ensure(email).await.unwrap() {
        Admission::Admitted(user_id) => user_id,
        Admission::Blocked => panic!("blocked"),
    }
}

#[tokio::test]
async fn the_first_login_creates_the_user_and_the_next_finds_it() {
    let memory = Arc::default();
    let directory = over(&memory);
    assert_eq!(directory.resolve(&email()).await.unwrap(), Standing::Welcome);
    let user_id = admitted(&directory, &email()).await;
    assert!(user_id.len() <= 20 && user_id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{user_id}");
    assert_eq!(admitted(&directory, &email()).await, user_id);
    assert_eq!(admitted(&over(&memory), &email()).await, user_id, "after a restart");
    let other = Email::parse("other@example.com").unwrap();
    assert_ne!(admitted(&directory, &other).await, user_id);
}

#[tokio::test]
async fn only_users_who_logged_in_once_exist() {
    let memory = Arc::default();
    let directory = over(&memory);
    let user_id = admitted(&directory, &email()).await;
    assert!(directory.exists(&user_id).await.unwrap());
    let [before_z, _] = [&user_id[..18], &user_id[18..]];
    let last = if user_id.ends_with('0') { '1' } else { '0' };
    let twisted = format!("{before_z}{last}");
    for stranger in ["", "x", "user-1", before_z, &format!("{user_id}0"), &twisted, &user_id.to_uppercase()] {
        assert!(!directory.exists(stranger).await.unwrap(), "{stranger:?}");
        let subject = Subject::UserId(stranger.into());
        assert_eq!(directory.block(&subject, &order()).await.unwrap(), Block::Unknown, "{stranger:?}");
    }
    assert_eq!(memory.items.lock().unwrap().len(), 2, "asking leaves nothing: the key of names, one user");
}

#[tokio::test]
async fn an_address_can_be_blocked_before_anybody_has_it() {
    let directory = fresh();
    let subject = Subject::Email(email());
    assert_eq!(directory.block(&subject, &order()).await.unwrap(), Block::Blocked(None));
    assert_eq!(directory.block(&subject, &order()).await.unwrap(), Block::AlreadyBlocked(None));
    assert_eq!(directory.resolve(&email()).await.unwrap(), Standing::Blocked);
    assert_eq!(directory.ensure(&email()).await.unwrap(), Admission::Blocked);
}

#[tokio::test]
async fn an_address_and_its_user_are_blocked_together() {
    let by_address = fresh();
    let user_id = admitted(&by_address, &email()).await;
    let (address, user) = (Subject::Email(email()), Subject::UserId(user_id.clone()));
    let (done, already) =
        (Block::Blocked(Some(user_id.clone())), Block::AlreadyBlocked(Some(user_id.clone())));
    assert_eq!(by_address.block(&address, &order()).await.unwrap(), done);
    assert_eq!(by_address.block(&user, &order()).await.unwrap(), already);
    assert!(by_address.exists(&user_id).await.unwrap(), "blocked, not gone");

    let by_id = fresh();
    let user_id = admitted(&by_id, &email()).await;
    let user = Subject::UserId(user_id.clone());
    assert_eq!(by_id.block(&user, &order()).await.unwrap(), Block::Blocked(Some(user_id.clone())));
    assert_eq!(by_id.block(&address, &order()).await.unwrap(), Block::AlreadyBlocked(Some(user_id)));
    assert_eq!(by_id.resolve(&email()).await.unwrap(), Standing::Blocked);
    assert_eq!(by_id.ensure(&email()).await.unwrap(), Admission::Blocked);
}

#[tokio::test]
async fn racing_logins_make_one_user() {
    let memory = Arc::default();
    let directory = Arc::new(over(&memory));
    let logins: Vec<_> = (0..64)
        .map(|_| {
            let directory = Arc::clone(&directory);
            tokio::spawn(async move { admitted(&directory, &email()).await })
        })
        .collect();
    let mut ids = Vec::new();
    for login in logins {
        ids.push(login.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert!(memory.refusals.load(Ordering::Relaxed) > 0, "they did race");
}

#[tokio::test]
async fn a_login_and_a_block_that_race_agree_on_who_came_first() {
    let mut orders = [0, 0];
    for round in 0..100 {
        let directory = Arc::new(fresh());
        admitted(&directory, &Email::parse("warm@example.com").unwrap()).await;
        let (one, two) = (Arc::clone(&directory), Arc::clone(&directory));
        let login = async move { one.ensure(&email()).await.unwrap() };
        let block = async move { two.block(&Subject::Email(email()), &order()).await.unwrap() };
        let (admission, blocked) = if round % 2 == 0 {
            tokio::join!(login, block)
        } else {
            let (blocked, admission) = tokio::join!(block, login);
            (admission, blocked)
        };
        match (admission, blocked) {
            (Admission::Admitted(user), Block::Blocked(Some(hit))) if user == hit => orders[0] += 1,
            (Admission::Blocked, Block::Blocked(None)) => orders[1] += 1,
            torn => panic!("{torn:?}"),
        }
        assert_eq!(directory.ensure(&email()).await.unwrap(), Admission::Blocked);
    }
    assert!(orders.iter().all(|count| *count > 0), "{orders:?}");
}

#[tokio::test]
async fn nothing_in_the_store_shows_an_address() {
    let memory = Arc::default();
    let directory = over(&memory);
    admitted(&directory, &email()).await;
    directory.block(&Subject::Email(email()), &order()).await.unwrap();
    let items = memory.items.lock().unwrap();
    for (item, value) in &*items {
        let text = format!("{} {} {}", item.collection.name, item.name.escape_ascii(), value.escape_ascii());
        assert!(!text.contains("pilot") && !text.contains("example"), "{text}");
    }
}
