//! Stores that stop answering: what is said meanwhile, and what is true once they are back.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::harness::{
    Answer, App, Device, Feed, Listener, Setup, Store, Visitor, actors::session_of, eventually,
    redis::RedisServer,
};

/// A service whose gateway has a Redis of its own.
async fn with_gateway(store: Store) -> (App, Arc<RedisServer>) {
    let gateway = Arc::new(RedisServer::durable());
    let app = Setup::on(store).gateway(&gateway).set("REDIS_OPERATION_TIMEOUT", "300ms").start().await;
    (app, gateway)
}

/// Asks until the answer is no longer a 503.
async fn until_available(mut ask: impl AsyncFnMut() -> Answer) -> Answer {
    eventually("the service is back", async || {
        let answer = ask().await;
        if answer.status == 503 {
            answer.unavailable();
            return None;
        }
        Some(answer)
    })
    .await
}

async fn a_revoke_that_the_gateway_cannot_be_told_of_is_a_503_and_heals(store: Store) {
    let (app, gateway) = with_gateway(store).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    gateway.pause();
    let started = Instant::now();
    app.operator().revoke(&session).await.unavailable();
    eprintln!("a frozen gateway Redis: 503 after {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // The truth is written, and a repeat does not claim more than is so.
    assert_eq!(app.operator().status_of(&session).await, "revoked");
    app.operator().revoke(&session).await.unavailable();
    gateway.resume();
    let back = Instant::now();
    app.gateway().hears(&session, "revoked").await;
    eprintln!("a frozen gateway Redis: the gateway knows {:?} after it is back", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(4), "repaired after {:?}", back.elapsed());
    let again = until_available(async || app.operator().revoke(&session).await).await;
    assert_eq!(again.ok()["outcome"], "already_revoked");
}

async fn a_killed_gateway_redis_learns_what_it_missed(store: Store) {
    let (app, gateway) = with_gateway(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (kept, ended) = (pilot.log_in().await, pilot.log_in().await);
    gateway.kill();
    app.operator().revoke(&ended).await.unavailable();
    let missed = pilot.log_in().await;
    gateway.restart();
    let back = Instant::now();
    app.gateway().hears(&ended, "revoked").await;
    eprintln!("a killed gateway Redis: the gateway knows {:?} after it is back", back.elapsed());
    app.gateway().hears(&missed, "active").await;
    app.gateway().was_told(&kept, "active").await;
}

async fn revoke_all_and_block_answer_200_only_once_the_gateway_knows(store: Store) {
    let (app, gateway) = with_gateway(store).await;
    let pilot = app.visitor("pilot@example.com");
    let sessions = [pilot.log_in().await, pilot.log_in().await, pilot.log_in().await];
    let user = app.operator().user_of(&sessions[0]).await;
    let other = app.visitor("other@example.com").log_in().await;
    gateway.pause();
    app.operator().revoke_all(&user).await.unavailable();
    app.operator().block_email("other@example.com").await.unavailable();
    gateway.resume();
    until_available(async || app.operator().revoke_all(&user).await).await.ok();
    for session in &sessions {
        app.gateway().was_told(session, "revoked").await;
    }
    let block = until_available(async || app.operator().block_email("other@example.com").await).await;
    assert_eq!(block.ok()["outcome"], "already_blocked");
    app.gateway().was_told(&other, "revoked").await;
}

async fn a_login_goes_on_without_the_gateway_and_its_record_follows(store: Store) {
    let (app, gateway) = with_gateway(store).await;
    gateway.pause();
    let session = app.visitor("pilot@example.com").log_in().await;
    gateway.resume();
    let back = Instant::now();
    app.gateway().hears(&session, "active").await;
    assert!(back.elapsed() < Duration::from_secs(4), "repaired after {:?}", back.elapsed());
}

async fn a_revoke_after_an_untold_login_is_never_followed_by_active(store: Store) {
    let (app, gateway) = with_gateway(store).await;
    gateway.pause();
    let session = app.visitor("pilot@example.com").log_in().await;
    app.operator().revoke(&session).await.unavailable();
    gateway.resume();
    app.gateway().hears(&session, "revoked").await;
    // A later change of another session comes after whatever is still said of this one.
    let marker = app.visitor("other@example.com").log_in().await;
    let events = Feed::open(&app, Some("0")).await.until(&marker, "active").await;
    let mut of_session = events.iter().filter(|event| event.data["device_session_id"] == session);
    assert_eq!(of_session.next_back().unwrap().data["status"], "revoked");
    assert_eq!(app.gateway().record(&session).unwrap()["status"], "revoked");
}

on_every_store! {
    a_revoke_that_the_gateway_cannot_be_told_of_is_a_503_and_heals,
    a_killed_gateway_redis_learns_what_it_missed,
    revoke_all_and_block_answer_200_only_once_the_gateway_knows,
    a_login_goes_on_without_the_gateway_and_its_record_follows,
    a_revoke_after_an_untold_login_is_never_followed_by_active,
}

async fn everything_is_unavailable(
    app: &App,
    pilot: &Visitor<'_>,
    waiting: &(String, String),
    session: &str,
) {
    pilot.send().await.unavailable();
    pilot.confirm(&waiting.0, &waiting.1, &Device::new()).await.unavailable();
    app.operator().get(session).await.unavailable();
    app.operator().list("user-1").await.unavailable();
    app.operator().revoke(session).await.unavailable();
    app.operator().revoke_all("user-1").await.unavailable();
    app.operator().block_email("blocked@example.com").await.unavailable();
    for listener in [Listener::Public, Listener::Internal] {
        app.get(listener, "/readyz").await.unavailable();
        app.get(listener, "/healthz").await.ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_paused_every_call_is_a_503_in_time() {
    let server = Arc::new(RedisServer::durable());
    let app = Setup::on(Store::Redis).server(&server).set("REDIS_OPERATION_TIMEOUT", "300ms").start().await;
    let pilot = app.visitor("pilot@example.com");
    let session = pilot.log_in().await;
    let waiting = pilot.code().await;
    server.pause();
    let started = Instant::now();
    everything_is_unavailable(&app, &pilot, &waiting, &session).await;
    eprintln!("a frozen store: 11 calls, one after the other took {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(20), "{:?} for 9 calls", started.elapsed());
    server.resume();
    let (challenge, code) = &waiting;
    let device = Device::new();
    let answer = until_available(async || pilot.confirm(challenge, code, &device).await).await;
    assert_eq!(app.operator().status_of(&session_of(&answer)).await, "active");
    let ready = until_available(async || app.get(Listener::Public, "/readyz").await).await;
    ready.ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_store_restart_nothing_acknowledged_is_missing() {
    let server = Arc::new(RedisServer::durable());
    let app = Setup::on(Store::Redis).server(&server).start().await;
    let pilot = app.visitor("pilot@example.com");
    let (kept, ended) = (pilot.log_in().await, pilot.log_in().await);
    app.operator().revoke(&ended).await.ok();
    let (challenge, code) = pilot.code().await;
    pilot.guess_wrong(&challenge, &code, 4).await;
    server.kill();
    everything_is_unavailable(&app, &pilot, &(challenge.clone(), code.clone()), &kept).await;
    server.restart();
    let answer = until_available(async || app.operator().get(&kept).await).await;
    assert_eq!(answer.ok()["session"]["status"], "active");
    assert_eq!(app.operator().status_of(&ended).await, "revoked");
    app.gateway().was_told(&ended, "revoked").await;
    pilot.guess_wrong(&challenge, &code, 1).await;
    pilot.confirm(&challenge, &code, &Device::new()).await.refused(429, "too_many_attempts");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_starts_while_its_store_is_away() {
    let server = Arc::new(RedisServer::durable());
    server.kill();
    let app = Setup::on(Store::Redis).server(&server).start().await;
    app.get(Listener::Public, "/healthz").await.ok();
    app.get(Listener::Public, "/readyz").await.unavailable();
    server.restart();
    until_available(async || app.get(Listener::Public, "/readyz").await).await.ok();
    app.visitor("pilot@example.com").log_in().await;
}
