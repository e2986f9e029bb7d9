//! How long a revoked session is remembered.

use std::time::Duration;

use crate::harness::{App, Setup, Store};

async fn a_revoked_session_leaves_store_and_list_after_its_time(store: Store) {
    let app = Setup::on(store).set("REVOKED_RETENTION", "24h").start().await;
    let pilot = app.visitor("pilot@example.com");
    let (gone, kept) = (pilot.log_in().await, pilot.log_in().await);
    let user = app.operator().user_of(&gone).await;
    app.operator().revoke(&gone).await.ok();
    app.clock.advance(Duration::from_hours(24) - Duration::from_secs(1));
    assert_eq!(app.operator().status_of(&gone).await, "revoked");
    assert_eq!(app.operator().listed(&user).await.len(), 2);
    app.clock.advance_s(2);
    app.operator().get(&gone).await.refused(404, "session_not_found");
    app.operator().revoke(&gone).await.refused(404, "session_not_found");
    assert_eq!(app.operator().listed(&user).await, [kept.as_str()]);
    assert_eq!(app.operator().status_of(&kept).await, "active");
}

async fn a_revoked_session_is_remembered_for_90_days_by_default(store: Store) {
    let app = App::start(store).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    app.operator().revoke(&session).await.ok();
    app.clock.advance(Duration::from_hours(2159));
    assert_eq!(app.operator().status_of(&session).await, "revoked");
    app.clock.advance(Duration::from_hours(2));
    app.operator().get(&session).await.refused(404, "session_not_found");
}

async fn an_active_session_never_leaves(store: Store) {
    let app = Setup::on(store).set("REVOKED_RETENTION", "1h").start().await;
    let session = app.visitor("pilot@example.com").log_in().await;
    app.clock.advance(Duration::from_hours(24 * 365 * 3));
    assert_eq!(app.operator().status_of(&session).await, "active");
    app.operator().revoke(&session).await.ok();
    app.gateway().was_told(&session, "revoked").await;
}

on_every_store! {
    a_revoked_session_leaves_store_and_list_after_its_time,
    a_revoked_session_is_remembered_for_90_days_by_default,
    an_active_session_never_leaves,
}
