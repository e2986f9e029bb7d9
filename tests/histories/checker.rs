//! Holds what was acknowledged against what is there and what a gateway saw. Pure: the same evidence, the same verdict.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    facts::{End, Facts},
    history::{Act, Call, Event, Evidence, Moment, Outcome, Said, Status},
};

/// What the contract forbids.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rule {
    /// A confirm was answered 200 and its session is not there.
    ConfirmedSessionIsLost,
    /// A revoke, revoke-all or block was answered 200, and a session that it had to end is active, or ended otherwise.
    AcknowledgedRevokeIsUndone,
    /// A block was answered 200, and a session of that user is active.
    BlockedUserHasAnActiveSession,
    /// A block was answered 200, and a confirm that was sent after it, too.
    BlockedUserLoggedIn,
    /// The gateway's record (without a Redis: the last event) is not what the truth is.
    GatewayDisagreesWithTheTruth,
    /// A revoke was answered 200, and the gateway's record was read as active after that.
    ShownActiveAfterItsRevoke,
    /// A revoke was answered 200 before its event was in the stream.
    AcknowledgedBeforeItsEvent,
    /// No event tells of the session's state.
    EventIsMissing,
    /// An `active` event comes after its session's `revoked` one.
    ActiveAfterRevoked,
    /// A follower of the feed was never told of something that is in the stream.
    FollowerMissedAnEvent,
    /// The same challenge, code and key were answered with different sessions.
    OneConfirmHasTwoSessions,
    /// Several sessions come from one challenge.
    ChallengeIsUsedTwice,
    /// Several challenges of one mail have each opened a session.
    CodeIsUsedTwice,
    /// Every confirm with this key was refused, and there is a session of it; or nobody ever sent the key.
    RefusedConfirmOpenedASession,
    /// `getSession` and `listUserSessions`, or two processes, say different things.
    ReadsDisagree,
    /// A read that was sent after an acknowledged change does not show it.
    StaleRead,
}

/// One breach of a rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Violation {
    pub rule: Rule,
    pub about: String,
}

/// Everything that is wrong.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let facts = Facts::of(evidence);
    let mut found = Found::default();
    sessions_are_kept(&facts, &mut found);
    ends_are_kept(&facts, &mut found);
    blocks_are_kept(&facts, &mut found);
    one_session_a_confirm(&facts, &mut found);
    gateway_agrees(&facts, &mut found);
    events_are_in_order(&facts, &mut found);
    reads_agree(&facts, &mut found);
    reads_are_fresh(&facts, &mut found);
    found.0.into_iter().collect()
}

#[derive(Default)]
struct Found(BTreeSet<Violation>);

impl Found {
    fn add(&mut self, rule: Rule, about: String) {
        self.0.insert(Violation { rule, about });
    }
}

fn sessions_are_kept(facts: &Facts<'_>, found: &mut Found) {
    for (session, attempt, _) in &facts.opened {
        match facts.evidence.truth.sessions.get(*session) {
            None => found.add(Rule::ConfirmedSessionIsLost, (*session).to_owned()),
            Some(kept) if kept.key != attempt.key => {
                found.add(Rule::ConfirmedSessionIsLost, format!("{session} has another key"));
            }
            Some(_) => {}
        }
    }
}

fn ends_are_kept(facts: &Facts<'_>, found: &mut Found) {
    for End { session, reason, call } in &facts.ended {
        // What is missing is reported as lost.
        let Some(kept) = facts.evidence.truth.sessions.get(*session) else { continue };
        let undone = kept.status == Status::Active;
        let otherwise = reason.is_some_and(|reason| kept.reason.as_deref() != Some(reason));
        if undone || otherwise {
            let what = format!("{session} is {:?} for {:?}; {:?}", kept.status, kept.reason, call.act);
            found.add(Rule::AcknowledgedRevokeIsUndone, what);
        }
    }
}

fn blocks_are_kept(facts: &Facts<'_>, found: &mut Found) {
    for (email, block) in &facts.blocked {
        for (session, kept) in &facts.evidence.truth.sessions {
            if kept.status == Status::Active && facts.email_of(&kept.key) == Some(email) {
                found.add(Rule::BlockedUserHasAnActiveSession, format!("{session} of {email}"));
            }
        }
        for (session, attempt, call) in &facts.opened {
            if attempt.email == *email && call.invoked > block.returned {
                found.add(Rule::BlockedUserLoggedIn, format!("{session} of {email}"));
            }
        }
    }
}

fn one_session_a_confirm(facts: &Facts<'_>, found: &mut Found) {
    let mut of_key: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let kept =
        facts.evidence.truth.sessions.iter().map(|(session, kept)| (kept.key.as_str(), session.as_str()));
    let opened = facts.opened.iter().map(|(session, attempt, _)| (attempt.key.as_str(), *session));
    for (key, session) in kept.chain(opened) {
        of_key.entry(key).or_default().insert(session);
    }
    let mut of_challenge: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut of_code: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for (key, sessions) in of_key {
        let Some((attempt, all_refused)) = facts.attempts.get(key) else {
            found.add(Rule::RefusedConfirmOpenedASession, format!("nobody has the key of {sessions:?}"));
            continue;
        };
        if *all_refused {
            found.add(Rule::RefusedConfirmOpenedASession, format!("{sessions:?} of {attempt:?}"));
        }
        if sessions.len() > 1 {
            found.add(Rule::OneConfirmHasTwoSessions, format!("{sessions:?} of {attempt:?}"));
        }
        of_challenge.entry(&attempt.challenge).or_default().extend(sessions);
        of_code.entry((&attempt.email, &attempt.code)).or_default().insert(&attempt.challenge);
    }
    for (challenge, sessions) in of_challenge.into_iter().filter(|(_, sessions)| sessions.len() > 1) {
        found.add(Rule::ChallengeIsUsedTwice, format!("{sessions:?} of {challenge}"));
    }
    for ((email, _), challenges) in of_code.into_iter().filter(|(_, challenges)| challenges.len() > 1) {
        found.add(Rule::CodeIsUsedTwice, format!("{challenges:?} of {email}"));
    }
}

fn gateway_agrees(facts: &Facts<'_>, found: &mut Found) {
    let gateway = &facts.evidence.gateway;
    let mut told: BTreeMap<&str, BTreeSet<bool>> = BTreeMap::new();
    for Event { session, status, .. } in &gateway.events {
        told.entry(session).or_default().insert(*status == Status::Revoked);
    }
    for (session, kept) in &facts.evidence.truth.sessions {
        let told = told.get(session.as_str());
        let says_revoked = told.is_some_and(|told| told.contains(&true));
        let shown = if gateway.has_records {
            gateway.records.get(session).copied()
        } else {
            told.map(|_| if says_revoked { Status::Revoked } else { Status::Active })
        };
        if shown != Some(kept.status) {
            found.add(
                Rule::GatewayDisagreesWithTheTruth,
                format!("{session}: {shown:?}, not {:?}", kept.status),
            );
        }
        if told.is_none() || says_revoked != (kept.status == Status::Revoked) {
            found.add(Rule::EventIsMissing, format!("{session} is {:?}", kept.status));
        }
    }
    for session in gateway.records.keys().map(String::as_str).chain(told.into_keys()) {
        if !facts.evidence.truth.sessions.contains_key(session) {
            found.add(Rule::GatewayDisagreesWithTheTruth, format!("{session} is not in the store"));
        }
    }
    for (session, ended) in facts.first_ends() {
        if let Some(seen) = gateway.last_active.get(session).filter(|seen| **seen > ended) {
            let late = seen - ended;
            found.add(Rule::ShownActiveAfterItsRevoke, format!("{session}, {late} µs after the answer"));
        }
    }
}

fn events_are_in_order(facts: &Facts<'_>, found: &mut Found) {
    let gateway = &facts.evidence.gateway;
    for events in gateway.followed.iter().chain([&gateway.events]) {
        let mut revoked = BTreeSet::new();
        for Event { ms, session, status } in events {
            match status {
                Status::Revoked => drop(revoked.insert(session)),
                Status::Active if revoked.contains(session) => {
                    found.add(Rule::ActiveAfterRevoked, format!("{session} at {ms}"));
                }
                Status::Active => {}
            }
        }
    }
    let told: BTreeSet<(&str, bool)> = gateway.followed.iter().flatten().map(what).collect();
    for event in gateway.events.iter().filter(|event| !told.contains(&what(event))) {
        found.add(Rule::FollowerMissedAnEvent, format!("{event:?}"));
    }
    let mut first: BTreeMap<&str, u64> = BTreeMap::new();
    for event in gateway.events.iter().filter(|event| event.status == Status::Revoked) {
        first.entry(&event.session).or_insert(event.ms);
    }
    for End { session, call, .. } in &facts.ended {
        if let Some(ms) = first.get(session).filter(|ms| **ms > call.wall_ms) {
            found.add(
                Rule::AcknowledgedBeforeItsEvent,
                format!("{session}: event at {ms}, answer at {}", call.wall_ms),
            );
        }
    }
}

fn what(event: &Event) -> (&str, bool) {
    (&event.session, event.status == Status::Revoked)
}

fn reads_agree(facts: &Facts<'_>, found: &mut Found) {
    let truth = &facts.evidence.truth;
    for session in &truth.disputed {
        found.add(Rule::ReadsDisagree, format!("{session}, between processes"));
    }
    for (session, kept) in &truth.sessions {
        let listed = truth.lists.get(&kept.user).and_then(|list| list.get(session));
        if listed != Some(&kept.status) {
            found.add(Rule::ReadsDisagree, format!("{session}: {:?}, listed as {listed:?}", kept.status));
        }
    }
    for session in truth.lists.values().flat_map(BTreeMap::keys) {
        if !truth.sessions.contains_key(session) {
            found.add(Rule::ReadsDisagree, format!("{session} is listed and cannot be read"));
        }
    }
}

fn reads_are_fresh(facts: &Facts<'_>, found: &mut Found) {
    let ended = facts.first_ends();
    let mut opened: BTreeMap<&str, Moment> = BTreeMap::new();
    let mut of_email: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (session, attempt, call) in &facts.opened {
        let at = opened.entry(session).or_insert(call.returned);
        *at = (*at).min(call.returned);
        of_email.entry(&attempt.email).or_default().insert(session);
    }
    let before = |moments: &BTreeMap<&str, Moment>, session: &str, call: &Call| {
        moments.get(session).is_some_and(|at| *at < call.invoked)
    };
    for call in &facts.evidence.calls {
        let mut stale = |session: &str, shown: Option<Status>| {
            let lost = shown.is_none() && before(&opened, session, call);
            let undone = shown == Some(Status::Active) && before(&ended, session, call);
            if lost || undone {
                let where_and_when = (call.process, call.invoked);
                found.add(Rule::StaleRead, format!("{session} is {shown:?} at {where_and_when:?}"));
            }
        };
        match (&call.act, &call.outcome) {
            (Act::Get { session }, Outcome::Acknowledged(Said::Status(status))) => {
                stale(session, Some(*status));
            }
            (Act::Get { session } | Act::Revoke { session, .. }, Outcome::Refused(404, _)) => {
                stale(session, None);
            }
            (Act::List { email, .. }, Outcome::Acknowledged(Said::Listed(list))) => {
                for session in of_email.get(email.as_str()).into_iter().flatten() {
                    stale(session, list.get(*session).copied());
                }
            }
            _ => {}
        }
    }
}
