//! The checker on histories made by hand: a good one, and the same with one thing wrong.

use std::collections::BTreeMap;

use crate::{
    checker::{Rule, check},
    history::{Act, Attempt, Call, Event, Evidence, Kept, Moment, Outcome, Said, Seen, Status, Truth},
};

const ANNA: &str = "anna@example.com";
const BERT: &str = "bert@example.com";

fn call(act: Act, (invoked, returned): (Moment, Moment), outcome: Outcome) -> Call {
    Call { process: 0, act, invoked, returned, wall_ms: 1000 + returned, outcome }
}

fn attempt(email: &str, number: u32) -> Attempt {
    let text = |what: &str| format!("{what}-{number}");
    Attempt { email: email.to_owned(), challenge: text("challenge"), code: text("code"), key: text("key") }
}

fn confirmed(email: &str, number: u32, at: Moment) -> Call {
    let said = Said::Session(format!("session-{number}"));
    call(Act::Confirm(attempt(email, number)), (at, at + 5), Outcome::Acknowledged(said))
}

fn revoked(session: &str, reason: &str, at: Moment) -> Call {
    let act = Act::Revoke { session: session.to_owned(), reason: reason.to_owned() };
    call(act, (at, at + 5), Outcome::Acknowledged(Said::Revoked { by_this_call: true }))
}

fn kept(user: &str, number: u32, reason: Option<&str>) -> Kept {
    let status = if reason.is_some() { Status::Revoked } else { Status::Active };
    Kept { user: user.to_owned(), key: format!("key-{number}"), status, reason: reason.map(str::to_owned) }
}

fn event(ms: u64, number: u32, status: Status) -> Event {
    Event { ms, session: format!("session-{number}"), status }
}

/// Anna opens 1 and 2 and has 1 revoked; Bert opens 3 and is blocked.
fn good() -> Evidence {
    let block = Act::Block { email: BERT.to_owned(), user: None, reason: "block".to_owned() };
    let calls = vec![
        confirmed(ANNA, 1, 10),
        confirmed(ANNA, 2, 20),
        confirmed(BERT, 3, 30),
        revoked("session-1", "revoke", 40),
        call(block, (50, 55), Outcome::Acknowledged(Said::Ended(vec!["session-3".to_owned()]))),
    ];
    let sessions = [kept("anna", 1, Some("revoke")), kept("anna", 2, None), kept("bert", 3, Some("block"))];
    let sessions: BTreeMap<String, Kept> =
        sessions.into_iter().map(|kept| (kept.key.replace("key", "session"), kept)).collect();
    let mut lists: BTreeMap<String, BTreeMap<String, Status>> = BTreeMap::new();
    for (session, kept) in &sessions {
        lists.entry(kept.user.clone()).or_default().insert(session.clone(), kept.status);
    }
    let records = sessions.iter().map(|(session, kept)| (session.clone(), kept.status)).collect();
    let events = vec![
        event(1012, 1, Status::Active),
        event(1022, 2, Status::Active),
        event(1032, 3, Status::Active),
        event(1042, 1, Status::Revoked),
        event(1052, 3, Status::Revoked),
    ];
    let last_active = [("session-1".to_owned(), 44), ("session-2".to_owned(), 90)].into();
    let followed = vec![events.clone()];
    Evidence {
        calls,
        truth: Truth { sessions, lists, ..Truth::default() },
        gateway: Seen { has_records: true, records, events, last_active, followed },
    }
}

/// The rules that are broken once `wrong` has happened to the good history.
#[track_caller]
fn breaks(rules: &[Rule], wrong: impl FnOnce(&mut Evidence)) {
    let mut evidence = good();
    wrong(&mut evidence);
    let mut found: Vec<Rule> = check(&evidence).into_iter().map(|violation| violation.rule).collect();
    found.dedup();
    assert_eq!(found, rules);
}

/// Makes a session look so everywhere that somebody can look in the end.
fn is(evidence: &mut Evidence, number: u32, kept: Kept) {
    let session = format!("session-{number}");
    evidence.truth.lists.entry(kept.user.clone()).or_default().insert(session.clone(), kept.status);
    evidence.gateway.records.insert(session.clone(), kept.status);
    let none_told = |event: &Event| event.session != session || event.status == kept.status;
    evidence.gateway.events.retain(none_told);
    if !evidence.gateway.events.iter().any(|event| event.session == session) {
        evidence.gateway.events.push(event(1099, number, kept.status));
        evidence.gateway.followed = vec![evidence.gateway.events.clone()];
    }
    evidence.truth.sessions.insert(session, kept);
}

#[test]
fn nothing_is_wrong_with_a_good_history() {
    breaks(&[], |_| {});
}

#[test]
fn calls_without_an_answer_may_have_happened_or_not() {
    let unknown = || Outcome::Unknown("timed out".to_owned());
    breaks(&[], |evidence| {
        let act = Act::Revoke { session: "session-2".to_owned(), reason: "late".to_owned() };
        evidence.calls.push(call(act, (60, 65), unknown()));
        evidence.calls.push(call(Act::Confirm(attempt(ANNA, 4)), (60, 65), unknown()));
    });
    breaks(&[], |evidence| {
        evidence.calls.push(call(Act::Confirm(attempt(ANNA, 4)), (60, 65), unknown()));
        is(evidence, 4, kept("anna", 4, None));
    });
}

#[test]
fn a_lost_session_is_found() {
    breaks(&[Rule::ConfirmedSessionIsLost], |evidence| {
        evidence.calls.push(confirmed(ANNA, 4, 60));
    });
}

#[test]
fn an_undone_revoke_is_found() {
    breaks(&[Rule::AcknowledgedRevokeIsUndone], |evidence| is(evidence, 1, kept("anna", 1, None)));
}

#[test]
fn a_revoke_that_another_reason_took_the_place_of_is_found() {
    breaks(&[Rule::AcknowledgedRevokeIsUndone], |evidence| is(evidence, 1, kept("anna", 1, Some("other"))));
}

#[test]
fn a_session_that_revoke_all_has_left_is_found() {
    let act = || Act::RevokeAll { email: ANNA.to_owned(), user: "anna".to_owned(), reason: "all".to_owned() };
    let answer = || Outcome::Acknowledged(Said::Ended(Vec::new()));
    breaks(&[Rule::AcknowledgedRevokeIsUndone, Rule::ShownActiveAfterItsRevoke], |evidence| {
        evidence.calls.push(call(act(), (60, 65), answer()));
    });
    // Opened while it ran, a session may be left.
    breaks(&[], |evidence| evidence.calls.push(call(act(), (12, 30), answer())));
}

#[test]
fn an_active_session_of_a_blocked_user_is_found() {
    breaks(&[Rule::BlockedUserHasAnActiveSession], |evidence| {
        // Nobody was ever told of it.
        let unknown = Outcome::Unknown("timed out".to_owned());
        evidence.calls.push(call(Act::Confirm(attempt(BERT, 4)), (49, 52), unknown));
        is(evidence, 4, kept("bert", 4, None));
    });
}

#[test]
fn a_login_of_a_blocked_user_is_found() {
    breaks(&[Rule::BlockedUserLoggedIn], |evidence| {
        evidence.calls.push(confirmed(BERT, 4, 60));
        evidence.calls.push(revoked("session-4", "revoke", 70));
        is(evidence, 4, kept("bert", 4, Some("revoke")));
        evidence.gateway.events.last_mut().unwrap().ms = 1072;
    });
}

#[test]
fn records_that_are_not_the_truth_are_found() {
    for wrong in [Some(Status::Revoked), None] {
        breaks(&[Rule::GatewayDisagreesWithTheTruth], |evidence| {
            let session = "session-2".to_owned();
            match wrong {
                Some(status) => drop(evidence.gateway.records.insert(session, status)),
                None => drop(evidence.gateway.records.remove(&session)),
            }
        });
    }
}

#[test]
fn a_record_that_was_active_after_its_revoke_is_found() {
    breaks(&[Rule::ShownActiveAfterItsRevoke], |evidence| {
        evidence.gateway.last_active.insert("session-1".to_owned(), 46);
    });
}

#[test]
fn an_event_that_came_after_the_answer_is_found() {
    breaks(&[Rule::AcknowledgedBeforeItsEvent], |evidence| evidence.gateway.events[3].ms = 1046);
}

#[test]
fn missing_events_are_found() {
    for at in [1, 3] {
        breaks(&[Rule::EventIsMissing], |evidence| drop(evidence.gateway.events.remove(at)));
    }
}

#[test]
fn an_active_event_after_revoked_is_found_in_the_stream_and_in_what_a_follower_read() {
    let late = event(1060, 1, Status::Active);
    breaks(&[Rule::ActiveAfterRevoked], |evidence| evidence.gateway.events.push(late.clone()));
    breaks(&[Rule::ActiveAfterRevoked], |evidence| evidence.gateway.followed[0].push(late.clone()));
    // Who was told to begin anew has forgotten what came before.
    breaks(&[], |evidence| evidence.gateway.followed.push(vec![late.clone()]));
}

#[test]
fn an_event_that_a_follower_was_never_told_is_found() {
    breaks(&[Rule::FollowerMissedAnEvent], |evidence| drop(evidence.gateway.followed[0].remove(3)));
}

#[test]
fn two_sessions_of_one_confirm_are_found() {
    breaks(&[Rule::OneConfirmHasTwoSessions, Rule::ChallengeIsUsedTwice], |evidence| {
        is(evidence, 4, Kept { key: "key-2".to_owned(), ..kept("anna", 4, None) });
    });
}

#[test]
fn a_challenge_or_a_code_that_two_keys_used_is_found() {
    let second = |challenge: &str| Attempt {
        challenge: challenge.to_owned(),
        code: "code-2".to_owned(),
        ..attempt(ANNA, 4)
    };
    for (challenge, rule) in
        [("challenge-2", Rule::ChallengeIsUsedTwice), ("challenge-4", Rule::CodeIsUsedTwice)]
    {
        breaks(&[rule], |evidence| {
            let answer = Outcome::Acknowledged(Said::Session("session-4".to_owned()));
            evidence.calls.push(call(Act::Confirm(second(challenge)), (60, 65), answer));
            is(evidence, 4, kept("anna", 4, None));
        });
    }
}

#[test]
fn a_session_of_a_refused_confirm_is_found() {
    breaks(&[Rule::RefusedConfirmOpenedASession], |evidence| {
        let refused = Outcome::Refused(400, "invalid_code".to_owned());
        evidence.calls.push(call(Act::Confirm(attempt(ANNA, 4)), (60, 65), refused));
        is(evidence, 4, kept("anna", 4, None));
    });
    breaks(&[Rule::RefusedConfirmOpenedASession], |evidence| is(evidence, 4, kept("anna", 4, None)));
}

#[test]
fn reads_that_disagree_are_found() {
    breaks(&[Rule::ReadsDisagree], |evidence| {
        evidence.truth.disputed.insert("session-2".to_owned());
    });
    breaks(&[Rule::ReadsDisagree], |evidence| {
        evidence.truth.lists.get_mut("anna").unwrap().insert("session-1".to_owned(), Status::Active);
    });
}

#[test]
fn stale_reads_are_found() {
    let get = |at: Moment, outcome: Outcome| {
        call(Act::Get { session: "session-1".to_owned() }, (at, at + 5), outcome)
    };
    let active = || Outcome::Acknowledged(Said::Status(Status::Active));
    breaks(&[], |evidence| evidence.calls.push(get(44, active())));
    breaks(&[Rule::StaleRead], |evidence| evidence.calls.push(get(46, active())));
    let nothing = || Outcome::Refused(404, "session_not_found".to_owned());
    breaks(&[Rule::StaleRead], |evidence| evidence.calls.push(get(16, nothing())));
    breaks(&[Rule::StaleRead], |evidence| {
        let act = Act::List { email: ANNA.to_owned(), user: "anna".to_owned() };
        evidence.calls.push(call(act, (60, 65), Outcome::Acknowledged(Said::Listed(BTreeMap::new()))));
    });
}
