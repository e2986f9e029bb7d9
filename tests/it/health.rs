//! What an orchestrator asks.

use crate::harness::{App, Listener, Store};

async fn a_running_service_is_healthy_and_ready_on_both_listeners(store: Store) {
    let app = App::start(store).await;
    for listener in [Listener::Public, Listener::Internal] {
        for path in ["/healthz", "/readyz"] {
            let answer = app.get(listener, path).await;
            assert_eq!(answer.ok()["status"], "ok");
            assert_eq!(answer.header("content-type"), Some("application/json"));
        }
    }
}

async fn metrics_are_prometheus_text(store: Store) {
    let app = App::start(store).await;
    let answer = app.get(Listener::Internal, "/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{:?}", answer.headers);
}

on_every_store! {
    a_running_service_is_healthy_and_ready_on_both_listeners,
    metrics_are_prometheus_text,
}
