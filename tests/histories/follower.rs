//! Follows the event feed, as a gateway without Redis does: on any process that answers, from where it was.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use tokio::sync::watch;

use crate::{
    harness::{Listener, actors::INTERNAL},
    history::{Event, Status},
    plan::Dice,
    stage::Stage,
};

/// A running follower.
pub struct Follower {
    /// What it has read; begun anew whenever it was told that its cursor had expired.
    read: watch::Receiver<Vec<Vec<Event>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Follower {
    /// From the oldest event on.
    pub fn start(stage: &Arc<Stage>, seed: u64) -> Self {
        let (sender, read) = watch::channel(vec![Vec::new()]);
        let stage = Arc::clone(stage);
        let task = tokio::spawn(async move {
            let (mut dice, mut cursor) = (Dice::new(seed, 1 << 32), "0".to_owned());
            loop {
                follow(&stage, dice.below(2), &mut cursor, &sender).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { read, task }
    }

    /// Waits until it has read of this session.
    pub async fn has_read_of(&mut self, session: &str) {
        let has = |read: &Vec<Vec<Event>>| read.last().unwrap().iter().any(|event| event.session == session);
        let waited = tokio::time::timeout(crate::harness::PATIENCE, self.read.wait_for(has)).await;
        assert!(waited.is_ok(), "the feed goes on to tell what happens");
    }

    /// All that it has read so far.
    pub fn has_read(&self) -> Vec<Vec<Event>> {
        self.read.borrow().clone()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads until the connection ends.
async fn follow(
    stage: &Stage,
    process: usize,
    cursor: &mut String,
    to: &watch::Sender<Vec<Vec<Event>>>,
) -> Option<()> {
    let path = format!("{INTERNAL}/session-events");
    let request = stage.process(process).wire(|wire| wire.request(Listener::Internal, "GET", &path));
    let answer =
        tokio::time::timeout(Duration::from_secs(2), request.header("last-event-id", &*cursor).send());
    let mut answer = answer.await.ok()?.ok()?;
    if answer.status() == 410 {
        "0".clone_into(cursor);
        to.send_modify(|read| read.push(Vec::new()));
        return None;
    }
    if answer.status() != 200 {
        return None;
    }
    let mut unread = String::new();
    loop {
        // Longer than it is ever silent: it sends a comment every 15 s.
        let chunk = tokio::time::timeout(Duration::from_secs(20), answer.chunk()).await.ok()?.ok()??;
        unread.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        while let Some((block, rest)) = unread.split_once("\n\n") {
            let event = parse(block);
            unread = rest.to_owned();
            if let Some((id, event)) = event {
                to.send_modify(|read| read.last_mut().unwrap().push(event));
                *cursor = id;
            }
        }
    }
}

fn parse(block: &str) -> Option<(String, Event)> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    let (id, data) = (field("id: ")?.to_owned(), field("data: ")?);
    let data: Value = serde_json::from_str(data).expect("JSON");
    let ms = id.split('-').next()?.parse().expect("a position");
    let (session, status) = (data["device_session_id"].as_str()?.to_owned(), data["status"].as_str()?);
    Some((id, Event { ms, session, status: Status::parse(status) }))
}
