//! What the calls of a history claim, sorted for `checker`.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Act, Attempt, Call, Evidence, Moment, Outcome, Said};

/// The calls, sorted by what they claim.
pub struct Facts<'a> {
    pub evidence: &'a Evidence,
    /// Acknowledged confirms: session, attempt, call.
    pub opened: Vec<(&'a str, &'a Attempt, &'a Call)>,
    /// Sessions that an acknowledged call had to end.
    pub ended: Vec<End<'a>>,
    /// Every attempt that was made, by key, and whether all of them were refused.
    pub attempts: BTreeMap<&'a str, (&'a Attempt, bool)>,
    /// Acknowledged blocks: address and call.
    pub blocked: Vec<(&'a str, &'a Call)>,
}

pub struct End<'a> {
    pub session: &'a str,
    pub call: &'a Call,
    /// The reason that must stand, where it was this call that ended it.
    pub reason: Option<&'a str>,
}

impl<'a> Facts<'a> {
    pub fn of(evidence: &'a Evidence) -> Self {
        let mut facts = Self {
            evidence,
            opened: Vec::new(),
            ended: Vec::new(),
            attempts: BTreeMap::new(),
            blocked: Vec::new(),
        };
        for call in &evidence.calls {
            if let Act::Confirm(attempt) = &call.act {
                let refused = matches!(call.outcome, Outcome::Refused(..));
                let entry = facts.attempts.entry(&attempt.key).or_insert((attempt, true));
                entry.1 &= refused;
                if let Outcome::Acknowledged(Said::Session(session)) = &call.outcome {
                    facts.opened.push((session, attempt, call));
                }
            }
        }
        for call in &evidence.calls {
            facts.note_end(call);
        }
        facts
    }

    fn note_end(&mut self, call: &'a Call) {
        match (&call.act, &call.outcome) {
            (Act::Revoke { session, reason }, Outcome::Acknowledged(Said::Revoked { by_this_call })) => {
                self.ended.push(End { session, call, reason: by_this_call.then_some(reason) });
            }
            (
                Act::RevokeAll { email, reason, .. } | Act::Block { email, reason, .. },
                Outcome::Acknowledged(Said::Ended(sessions)),
            ) => {
                let before =
                    self.opened.iter().filter(|(_, to, by)| to.email == *email && by.returned < call.invoked);
                let before: BTreeSet<&str> = before.map(|(session, ..)| *session).collect();
                self.ended.extend(before.into_iter().map(|session| End { session, call, reason: None }));
                let by_this = sessions.iter().map(|session| End { session, call, reason: Some(reason) });
                self.ended.extend(by_this);
                if matches!(call.act, Act::Block { .. }) {
                    self.blocked.push((email, call));
                }
            }
            _ => {}
        }
    }

    /// When each session was first acknowledged to be revoked.
    pub fn first_ends(&self) -> BTreeMap<&'a str, Moment> {
        let mut first = BTreeMap::new();
        for end in &self.ended {
            let at = first.entry(end.session).or_insert(end.call.returned);
            *at = (*at).min(end.call.returned);
        }
        first
    }

    /// The addresses of users, as far as their keys tell.
    pub fn email_of(&self, key: &str) -> Option<&'a str> {
        self.attempts.get(key).map(|(attempt, _)| attempt.email.as_str())
    }
}
