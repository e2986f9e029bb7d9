//! What a party is given to do. Much of it can be done once only: then it is made ready anew before each turn.

use std::rc::Rc;

use serde_json::Value;

use crate::{
    harness::{Listener, Wire, actors::INTERNAL},
    load::{Batch, Run, Step},
    party::{Party, Shared},
    people::{self, address, device},
    reference::seeds,
};

/// One kind of operation.
pub(crate) enum Work {
    /// The same again and again, of the service or of a reference.
    Fixed(Shared),
    /// To addresses that the service has not seen.
    Send,
    Confirm,
    Revoke,
    /// Send, mail, confirm.
    Login,
    /// Send, mail, confirm, revoke.
    Cycle,
    /// As [`Self::Confirm`] and [`Self::Revoke`], on what a reference finds in its Redis.
    ReferenceConfirm,
    ReferenceRevoke,
}

impl Work {
    /// About `count` operations, ready to be sent.
    pub(crate) async fn batch(&self, party: &Party, count: usize) -> Shared {
        let steps: Vec<Step> = match self {
            Self::Fixed(batch) => return batch.clone(),
            Self::Send => (0..count).map(|_| Step::Call(people::send(&address()))).collect(),
            Self::Confirm => confirms(party, count).await,
            Self::Revoke => {
                let sessions = log_in(party, (0..count).map(|_| address()).collect()).await;
                revokes(&sessions)
            }
            Self::Login => logins((0..count).map(|_| address()).collect()),
            Self::Cycle => {
                let person = |number| Step::Cycle { email: address(), device: device(number) };
                (0..count).map(person).collect()
            }
            Self::ReferenceConfirm => seeds::confirms(party, count),
            Self::ReferenceRevoke => revokes(&seeds::sessions(party, count)),
        };
        Rc::new(Batch { steps, endless: false })
    }

    /// Looks closely at a few of the answers in `run`, or at what they have brought about.
    pub(crate) async fn verify(&self, party: &Party, batch: &Batch, run: &Run) -> Result<(), String> {
        let newest = run.ids.last().map(|(_, id)| id.as_str());
        match (self, newest) {
            // Each was compared with an answer that was looked at closely.
            (Self::Fixed(_), _) => Ok(()),
            (Self::Send, _) => {
                let unmailed =
                    run.ids.iter().filter(|(_, challenge)| party.mailbox.take(challenge).is_none());
                match unmailed.count() {
                    0 => Ok(()),
                    count => Err(format!("{count} challenges without a mail")),
                }
            }
            (Self::Confirm | Self::Login, Some(session)) => is(party, session, "active").await,
            (Self::Cycle, Some(session)) => is(party, session, "revoked").await,
            (Self::ReferenceConfirm, Some(session)) => gateway_says(party, session, "active"),
            (Self::Revoke, _) => is(party, &last_of(batch, run), "revoked").await,
            (Self::ReferenceRevoke, _) => gateway_says(party, &last_of(batch, run), "revoked"),
            (Self::Confirm | Self::Login | Self::Cycle | Self::ReferenceConfirm, None) => {
                Err("no session".to_owned())
            }
        }
    }
}

/// The session that the last answered step revoked.
fn last_of(batch: &Batch, run: &Run) -> String {
    let Some(Step::Call(call)) = batch.steps.get(run.latencies.len().saturating_sub(1)) else {
        return String::new();
    };
    let text = String::from_utf8_lossy(&call.bytes);
    text.split('/').nth(5).unwrap_or_default().to_owned()
}

/// The way to the party's first process; its answers are held against `api/*.yaml`.
pub(crate) fn wire(party: &Party) -> Wire {
    let door = party.doors()[0];
    Wire::to(&door.public.to_string(), &door.internal.to_string())
}

/// The service and the gateway agree on that status of `session`.
async fn is(party: &Party, session: &str, status: &str) -> Result<(), String> {
    let answer = wire(party).get(Listener::Internal, &format!("{INTERNAL}/sessions/{session}")).await;
    let found = answer.json()["session"]["status"].clone();
    if answer.status != 200 || found != status {
        return Err(format!("a session that should be {status}: {} {}", answer.status, answer.text));
    }
    gateway_says(party, session, status)
}

/// Where the gateway's copy is in Redis, it has that status of `session`.
fn gateway_says(party: &Party, session: &str, status: &str) -> Result<(), String> {
    let Some(store) =
        party.gateway.as_ref().or(party.store.as_ref()).filter(|store| !store.servers().is_empty())
    else {
        return Ok(());
    };
    let record = store.gateway_record(session).unwrap_or_default();
    let record: Value = serde_json::from_str(&record).unwrap_or_default();
    if record["status"] == status {
        return Ok(());
    }
    Err(format!("the gateway should say {status}: {record}"))
}

fn logins(emails: Vec<String>) -> Vec<Step> {
    let login = |(number, email)| Step::Login { email, device: device(number) };
    emails.into_iter().enumerate().map(login).collect()
}

/// Their sessions, in their order.
pub(crate) async fn log_in(party: &Party, emails: Vec<String>) -> Vec<String> {
    let run = party.finish(&Batch { steps: logins(emails), endless: false }).await;
    in_order(run)
}

fn in_order(mut run: Run) -> Vec<String> {
    run.ids.sort_unstable();
    run.ids.into_iter().map(|(_, id)| id).collect()
}

async fn confirms(party: &Party, count: usize) -> Vec<Step> {
    let steps = (0..count).map(|_| Step::Call(people::send(&address()))).collect();
    let challenges = in_order(party.finish(&Batch { steps, endless: false }).await);
    let confirm = |(number, challenge): (usize, String)| {
        let code = party.mailbox.take(&challenge).expect("a mail");
        Step::Call(people::confirm(&challenge, &code, device(number)))
    };
    challenges.into_iter().enumerate().map(confirm).collect()
}

fn revokes(sessions: &[String]) -> Vec<Step> {
    sessions.iter().map(|session| Step::Call(people::revoke(session))).collect()
}

/// Reads of so many users' only sessions, each with the answer that it is to have.
pub(crate) async fn reads(party: &Party, users: usize) -> Shared {
    let sessions = log_in(party, (0..users).map(|_| address()).collect()).await;
    reads_of(party, sessions.iter().map(|session| format!("{INTERNAL}/sessions/{session}")).collect()).await
}

/// Lists of so many users' three sessions, each with the answer that it is to have.
pub(crate) async fn lists(party: &Party, users: usize) -> Shared {
    let emails: Vec<String> = (0..users).map(|_| address()).collect();
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions = log_in(party, emails.clone()).await;
    }
    let mut paths = Vec::new();
    for session in sessions {
        paths.push(format!("{INTERNAL}/users/{}/sessions", user_of(party, &session).await));
    }
    reads_of(party, paths).await
}

/// Whose session it is.
pub(crate) async fn user_of(party: &Party, session: &str) -> String {
    let answer = wire(party).get(Listener::Internal, &format!("{INTERNAL}/sessions/{session}")).await;
    answer.ok()["session"]["user_id"].as_str().expect("a user").to_owned()
}

pub(crate) async fn reads_of(party: &Party, paths: Vec<String>) -> Shared {
    let wire = wire(party);
    let mut steps = Vec::new();
    for path in paths {
        let answer = wire.get(Listener::Internal, &path).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        steps.push(Step::Call(people::read(&path, &answer.text)));
    }
    Rc::new(Batch { steps, endless: true })
}
