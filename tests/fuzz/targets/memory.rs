//! A store in memory, without a disk: it does what `tests/engines` asks of the others, as far as one caller at a time
//! can tell, and lets a fuzzer damage what lies in it.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;
use authsession::{
    base::Unavailable,
    engine::{
        Check, CheckId, Collection, Collections, Commit, Cursor, Engine, Entry, EventLog, History, Item,
        Outbox, Page, Position, Refusal, Shard, Verdict, Write,
    },
};

/// Everything in a store.
#[derive(Clone, Default)]
pub struct Content {
    items: BTreeMap<Item, Vec<u8>>,
    log: Vec<Vec<u8>>,
}

/// The store.
#[derive(Default)]
pub struct Memory(Mutex<Content>);

impl Memory {
    /// With this content.
    pub fn with(content: Content) -> Self {
        Self(Mutex::new(content))
    }

    /// All that is in it.
    pub fn content(&self) -> Content {
        self.0.lock().unwrap().clone()
    }
}

impl Content {
    /// Puts `bytes` in the place of every value of the collections whose names start with `kind`; `log`: of every
    /// announcement.
    pub fn damage(&mut self, kind: &str, bytes: &[u8]) {
        let meant = self.items.iter_mut().filter(|(item, _)| item.collection.name.starts_with(kind));
        meant.for_each(|(_, value)| *value = bytes.to_vec());
        if kind == "log" {
            self.log.iter_mut().for_each(|entry| *entry = bytes.to_vec());
        }
    }

    /// Some value of such a collection, for a corpus.
    pub fn sample(&self, kind: &str) -> Option<Vec<u8>> {
        let values = self.items.iter().filter(|(item, _)| item.collection.name.starts_with(kind));
        if kind == "log" {
            self.log.first().cloned()
        } else {
            values.map(|(_, value)| value.clone()).max_by_key(Vec::len)
        }
    }

    fn of(&self, collection: &Collection) -> impl Iterator<Item = (&Item, &Vec<u8>)> {
        self.items.iter().filter(move |(item, _)| item.collection == *collection)
    }

    fn holds(&self, check: &Check) -> bool {
        match check {
            Check::Absent(item) => !self.items.contains_key(item),
            Check::Equals(item, value) => self.items.get(item) == Some(value),
            Check::CountBelow(collection, bound) => (self.of(collection).count() as u64) < *bound,
        }
    }
}

fn item_of(check: &Check) -> Option<&Item> {
    match check {
        Check::Absent(item) | Check::Equals(item, _) => Some(item),
        Check::CountBelow(..) => None,
    }
}

#[async_trait]
impl Engine for Memory {
    async fn get(&self, items: &[Item]) -> Result<Vec<Option<Vec<u8>>>, Unavailable> {
        let content = self.0.lock().unwrap();
        Ok(items.iter().map(|item| content.items.get(item).cloned()).collect())
    }

    async fn list(&self, collection: &Collection, _: Option<&Cursor>, _: usize) -> Result<Page, Unavailable> {
        let content = self.0.lock().unwrap();
        let items = content.of(collection).map(|(item, value)| (item.name.clone(), value.clone())).collect();
        Ok(Page { items, next: None })
    }

    async fn count(&self, collection: &Collection) -> Result<u64, Unavailable> {
        Ok(self.0.lock().unwrap().of(collection).count() as u64)
    }

    async fn commit(&self, commit: Commit) -> Result<Verdict, Unavailable> {
        let mut content = self.0.lock().unwrap();
        if let Some((at, check)) = commit.checks().iter().enumerate().find(|(_, check)| !content.holds(check))
        {
            let found = item_of(check).and_then(|item| content.items.get(item).cloned());
            return Ok(Verdict::Refused(Refusal { check: CheckId(at), found }));
        }
        for write in commit.writes() {
            match write {
                Write::Put(item, value) => drop(content.items.insert(item.clone(), value.clone())),
                Write::Delete(item) => drop(content.items.remove(item)),
                Write::Expire(..) => {}
            }
        }
        content.log.extend(commit.announcements().iter().cloned());
        Ok(Verdict::Done)
    }

    async fn populated(&self, name: &str) -> Result<Vec<Shard>, Unavailable> {
        let content = self.0.lock().unwrap();
        let meant = content.items.keys().filter(|item| item.collection.name == name);
        Ok(meant.map(|item| item.collection.shard).collect())
    }

    async fn collections(
        &self,
        prefix: &str,
        _: Option<&Cursor>,
        _: usize,
    ) -> Result<Collections, Unavailable> {
        let content = self.0.lock().unwrap();
        let names = content.items.keys().map(|item| item.collection.clone());
        Ok(Collections { found: names.filter(|name| name.name.starts_with(prefix)).collect(), next: None })
    }

    fn outbox_of(&self, _: Shard) -> Outbox {
        Outbox(0)
    }

    async fn pending(&self, _: Outbox, _: usize) -> Result<Vec<Entry>, Unavailable> {
        Ok(Vec::new())
    }

    async fn trim(&self, _: Outbox, _: Position) -> Result<(), Unavailable> {
        Ok(())
    }

    async fn backlog(&self) -> Result<Vec<Outbox>, Unavailable> {
        Ok(Vec::new())
    }

    async fn ready(&self) -> Result<Vec<String>, Unavailable> {
        Ok(Vec::new())
    }
}

/// Positions are 1, 2, 3.
#[async_trait]
impl EventLog for Memory {
    async fn history(&self, after: Position, limit: usize) -> Result<History, Unavailable> {
        let content = self.0.lock().unwrap();
        if after.ms > content.log.len() as u64 {
            return Ok(History::Expired);
        }
        let entry = |(announcement, ms): (&Vec<u8>, u64)| Entry {
            position: Position { ms, sequence: 0 },
            announcement: announcement.clone(),
        };
        let later = content.log.iter().zip(1..).filter(|(_, ms)| *ms > after.ms);
        Ok(History::Entries(later.take(limit).map(entry).collect()))
    }

    async fn end(&self) -> Result<Position, Unavailable> {
        Ok(Position { ms: self.0.lock().unwrap().log.len() as u64, sequence: 0 })
    }

    async fn grown(&self, _: Position) {
        std::future::pending::<()>().await;
    }

    async fn retain(&self, _: u64) -> Result<(), Unavailable> {
        Ok(())
    }
}
