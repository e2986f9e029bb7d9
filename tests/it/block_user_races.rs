//! A block and a login at once: no interleaving leaves a blocked user with an active session.

use std::collections::BTreeSet;

use futures_util::future::{join, join_all};

use crate::harness::{App, Device, Setup, Store, actors::session_of};

/// Many logins of one user are confirmed while he is being blocked.
async fn race(app: &App, email: &str, by_user_id: bool) {
    let pilot = app.visitor(email);
    let first = pilot.log_in().await;
    let user = app.operator().user_of(&first).await;
    let mut waiting = Vec::new();
    for _ in 0..12 {
        app.clock.advance_s(61);
        waiting.push(pilot.code().await);
        if waiting.len() > 4 {
            waiting.remove(0);
        }
    }
    let devices: Vec<Device> = waiting.iter().map(|_| Device::new()).collect();
    let confirms = waiting.iter().zip(&devices);
    let confirms =
        join_all(confirms.map(|((challenge, code), device)| pilot.confirm(challenge, code, device)));
    let operator = app.operator();
    let block = async {
        if by_user_id { operator.block_user(&user).await } else { operator.block_email(email).await }
    };
    let (answers, block) = join(confirms, block).await;
    assert_eq!(block.ok()["outcome"], "blocked");
    let mut opened = BTreeSet::from([first]);
    for answer in &answers {
        match answer.status {
            200 => assert!(opened.insert(session_of(answer))),
            _ => answer.refused(403, "blocked_by_policy"),
        }
    }
    for session in &opened {
        assert_eq!(app.operator().status_of(session).await, "revoked");
        app.gateway().was_told(session, "revoked").await;
    }
    let listed: BTreeSet<String> = app.operator().listed(&user).await.into_iter().collect();
    assert!(opened.is_subset(&listed), "{opened:?} {listed:?}");
    for session in listed {
        assert_eq!(app.operator().status_of(&session).await, "revoked");
    }
}

async fn a_session_confirmed_while_its_user_is_blocked_never_outlives_the_block(store: Store) {
    let app = App::start(store).await;
    for round in 0..6 {
        race(&app, &format!("pilot{round}@example.com"), true).await;
    }
}

async fn a_session_confirmed_while_its_address_is_blocked_never_outlives_the_block(store: Store) {
    let app = App::start(store).await;
    for round in 0..6 {
        race(&app, &format!("pilot{round}@example.com"), false).await;
    }
}

async fn a_block_that_the_user_service_learns_between_ensure_and_open_still_holds(store: Store) {
    let app = Setup::on(store).rest_users().start().await;
    for round in 0..6 {
        race(&app, &format!("pilot{round}@example.com"), round % 2 == 0).await;
    }
}

async fn a_first_login_racing_a_block_of_its_address_leaves_nothing_active(store: Store) {
    let app = App::start(store).await;
    for round in 0..10 {
        let email = format!("new{round}@example.com");
        let pilot = app.visitor(&email);
        let (challenge, code) = pilot.code().await;
        let device = Device::new();
        let operator = app.operator();
        let (confirm, block) =
            join(pilot.confirm(&challenge, &code, &device), operator.block_email(&email)).await;
        block.ok();
        if confirm.status == 200 {
            let session = session_of(&confirm);
            assert_eq!(app.operator().status_of(&session).await, "revoked");
            app.gateway().was_told(&session, "revoked").await;
        } else {
            confirm.refused(403, "blocked_by_policy");
        }
    }
}

on_every_store! {
    a_session_confirmed_while_its_user_is_blocked_never_outlives_the_block,
    a_session_confirmed_while_its_address_is_blocked_never_outlives_the_block,
    a_block_that_the_user_service_learns_between_ensure_and_open_still_holds,
    a_first_login_racing_a_block_of_its_address_leaves_nothing_active,
}
