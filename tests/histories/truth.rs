//! What is there in the end, read through the internal API of every process.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::{
    harness::{Listener, actors::INTERNAL, eventually},
    history::{Kept, Status, Truth},
    requests::statuses,
    stage::Stage,
};

/// How many are read at a time.
const WIDTH: usize = 16;

/// Of these sessions, and of those that their users have beside them.
pub async fn read(stage: &Stage, known: &BTreeSet<String>) -> Truth {
    let mut truth = Truth::default();
    for process in 0..stage.processes.len() {
        let mut sessions = of_process(stage, process, known).await;
        let users: BTreeSet<String> = sessions.values().map(|kept| kept.user.clone()).collect();
        let mut lists = BTreeMap::new();
        let mut asked = stream::iter(&users)
            .map(async |user| {
                let path = format!("{INTERNAL}/users/{user}/sessions");
                (user.clone(), statuses(&get(stage, process, &path).await.expect("a list")))
            })
            .buffer_unordered(WIDTH);
        while let Some((user, list)) = asked.next().await {
            lists.insert(user, list);
        }
        drop(asked);
        let more: BTreeSet<String> = lists.values().flat_map(BTreeMap::keys).cloned().collect();
        let more = more.into_iter().filter(|session| !sessions.contains_key(session)).collect();
        sessions.extend(of_process(stage, process, &more).await);
        if process > 0 {
            let all: BTreeSet<&String> = truth.sessions.keys().chain(sessions.keys()).collect();
            let differ =
                all.into_iter().filter(|session| truth.sessions.get(*session) != sessions.get(*session));
            truth.disputed = differ.cloned().collect();
        }
        (truth.sessions, truth.lists) = (sessions, lists);
    }
    truth
}

async fn of_process(stage: &Stage, process: usize, known: &BTreeSet<String>) -> BTreeMap<String, Kept> {
    let asked = stream::iter(known).map(async |session| {
        let body = get(stage, process, &format!("{INTERNAL}/sessions/{session}")).await?;
        let text = |field: &str| body["session"][field].as_str().map(str::to_owned);
        let kept = Kept {
            user: text("user_id")?,
            key: text("client_public_key")?,
            status: Status::parse(&text("status")?),
            reason: text("revoke_reason_code"),
        };
        Some((session.clone(), kept))
    });
    asked.buffer_unordered(WIDTH).filter_map(async |found| found).collect().await
}

/// The body of a 200; nothing for a 404. Anything else is asked again.
async fn get(stage: &Stage, process: usize, path: &str) -> Option<Value> {
    eventually("there is an answer", async || {
        let request = stage.process(process).wire(|wire| wire.request(Listener::Internal, "GET", path));
        let answer = request.send().await.ok()?;
        match answer.status().as_u16() {
            200 => Some(Some(serde_json::from_str(&answer.text().await.ok()?).expect("JSON"))),
            404 => Some(None),
            _ => None,
        }
    })
    .await
}
