//! Bearer tokens on the internal listener, where they are set.

use serde_json::json;

use crate::harness::{Answer, App, Listener, Setup, Store, actors::INTERNAL};

async fn with_token(app: &App, path: &str, authorization: &str) -> Answer {
    let request = app.request(Listener::Internal, "GET", path).header("authorization", authorization);
    app.call(Listener::Internal, request).await
}

async fn any_one_of_the_tokens_opens_the_internal_listener(store: Store) {
    let app = Setup::on(store).set("INTERNAL_AUTH_TOKENS", "first-token,second-token").start().await;
    let path = format!("{INTERNAL}/users/nobody/sessions");
    for token in ["first-token", "second-token"] {
        let answer = with_token(&app, &path, &format!("Bearer {token}")).await;
        assert_eq!(answer.ok(), json!({ "sessions": [] }));
    }
}

async fn without_a_right_token_nothing_is_told(store: Store) {
    let app = Setup::on(store).set("INTERNAL_AUTH_TOKENS", "first-token,second-token").start().await;
    for path in ["/users/nobody/sessions", "/sessions/x", "/session-events", "/nowhere"] {
        let path = format!("{INTERNAL}{path}");
        let missing = app.get(Listener::Internal, &path).await;
        missing.refused(401, "unauthorized");
        assert!(missing.header("www-authenticate").is_some_and(|scheme| scheme.starts_with("Bearer")));
        for wrong in [
            "Bearer third-token",
            "Bearer first-toke",
            "Bearer first-tokenn",
            "Bearer first-token,second-token",
            "Bearer ",
            "Bearer",
            "first-token",
            "Basic first-token",
        ] {
            with_token(&app, &path, wrong).await.refused(401, "unauthorized");
        }
    }
    app.operator().block_email("pilot@example.com").await.refused(401, "unauthorized");
    app.visitor("pilot@example.com").log_in().await;
}

async fn health_asks_for_no_token_and_metrics_do(store: Store) {
    let app = Setup::on(store).set("INTERNAL_AUTH_TOKENS", "first-token").start().await;
    app.get(Listener::Internal, "/healthz").await.ok();
    app.get(Listener::Internal, "/readyz").await.ok();
    app.get(Listener::Internal, "/metrics").await.refused(401, "unauthorized");
    assert_eq!(with_token(&app, "/metrics", "Bearer first-token").await.status, 200);
}

on_every_store! {
    any_one_of_the_tokens_opens_the_internal_listener,
    without_a_right_token_nothing_is_told,
    health_asks_for_no_token_and_metrics_do,
}
