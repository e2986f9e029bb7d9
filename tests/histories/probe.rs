//! How soon the service serves again, once what it stands on is back: fresh users, spread over all shards, who do every
//! kind of thing, each until it is acknowledged.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;

use crate::{
    clients::Crew,
    harness::Device,
    history::{Act, Attempt, Moment, Outcome, Said},
};

/// Each needs two shards: that all of them miss one of three masters happens once in 16,000 times.
const USERS: usize = 12;

/// After what time the slowest of all users had each kind of change acknowledged for the first time.
pub type Recovery = BTreeMap<&'static str, Moment>;

/// Measures from now.
pub async fn recovery(crew: &Arc<Crew>, round: usize) -> Recovery {
    let since = crew.stage.now();
    let probes = (0..USERS).map(|user| probe(crew, user, format!("probe{round}x{user}@example.com"), since));
    let mut slowest = Recovery::new();
    for one in join_all(probes).await {
        for (kind, after) in one {
            let known = slowest.entry(kind).or_default();
            *known = (*known).max(after);
        }
    }
    slowest
}

async fn probe(crew: &Crew, process: usize, email: String, since: Moment) -> Recovery {
    let mut taken = Recovery::new();
    let send = || Act::Send { email: email.clone() };
    let Said::Challenge(challenge) = until_acknowledged(crew, process, send).await else { unreachable!() };
    taken.insert("send", crew.stage.now() - since);
    let mail = &crew.stage.mail;
    let code = mail.code_of(&challenge).or_else(|| mail.code_for(&email)).expect("a mail");
    let key = Device::new().key();
    let attempt = Attempt { email: email.clone(), challenge, code, key };
    let Said::Session(session) = until_acknowledged(crew, process, || Act::Confirm(attempt.clone())).await
    else {
        unreachable!()
    };
    taken.insert("confirm", crew.stage.now() - since);
    let revoke = || Act::Revoke { session: session.clone(), reason: format!("probe_{}", crew.reason()) };
    until_acknowledged(crew, process + 1, revoke).await;
    taken.insert("revoke", crew.stage.now() - since);
    // A stub user's id is told by his session.
    crew.note_opened(&email, &session);
    let user = crew.user_of(process, &email, &session).await;
    if let Some(user) = &user {
        let all = || Act::RevokeAll { email: email.clone(), user: user.clone(), reason: crew.reason() };
        until_acknowledged(crew, process, all).await;
        taken.insert("revoke_all", crew.stage.now() - since);
    }
    let block = || Act::Block { email: email.clone(), user: user.clone(), reason: crew.reason() };
    until_acknowledged(crew, process + 1, block).await;
    taken.insert("block", crew.stage.now() - since);
    taken
}

/// Tries on one process after the other, until one says yes.
pub async fn until_acknowledged(crew: &Crew, process: usize, act: impl Fn() -> Act) -> Said {
    for attempt in 0.. {
        match crew.call(process + attempt, act()).await {
            Outcome::Acknowledged(said) => return said,
            Outcome::Refused(status, code) => panic!("{:?} was refused: {status} {code}", act()),
            Outcome::Unknown(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        assert!(attempt < 500, "{:?} is never acknowledged", act());
    }
    unreachable!("the loop has no end")
}
