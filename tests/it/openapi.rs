//! `api/*.yaml` against the live routers, in both directions. (Every answer of this whole suite is held against them
//! too, see `harness/contract.rs`.)

use std::{collections::BTreeSet, panic::catch_unwind};

use authsession::http::Route;

use crate::harness::{
    Answer, App, Listener, Store,
    contract::{self, Operation},
};

fn camel(snake: &str) -> String {
    let mut words = snake.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

fn served(routes: &[Route]) -> BTreeSet<Operation> {
    let operation = |route: &Route| Operation {
        method: route.method.to_owned(),
        path: route.path.to_owned(),
        id: camel(route.operation),
    };
    routes.iter().map(operation).collect()
}

#[tokio::test]
async fn what_is_served_is_described_and_what_is_described_is_served() {
    let app = App::start(Store::Embedded).await;
    let (public, internal) = app.routes();
    assert_eq!(served(public), contract::of(Listener::Public).operations());
    assert_eq!(served(internal), contract::of(Listener::Internal).operations());
}

#[tokio::test]
async fn an_answer_that_is_not_described_is_noticed() {
    let app = App::start(Store::Embedded).await;
    let id = app.visitor("pilot@example.com").log_in().await;
    let path = format!("/api/v1/internal/sessions/{id}");
    let right = app.operator().get(&id).await;
    let changed = |from: &str, to: &str| {
        assert!(right.text.contains(from), "{}", right.text);
        Answer { text: right.text.replace(from, to), headers: right.headers.clone(), status: right.status }
    };
    let noticed = |answer: &Answer| {
        let checked = std::panic::AssertUnwindSafe(|| {
            contract::check(Listener::Internal, "GET", &path, answer);
        });
        catch_unwind(checked).is_err()
    };
    assert!(!noticed(&right));
    assert!(noticed(&changed("\"status\"", "\"state\"")));
    assert!(noticed(&changed("\"active\"", "\"alive\"")));
    assert!(noticed(&changed("{\"session\":{", "{\"session\":{\"extra\":1,")));
    assert!(noticed(&changed("\"created_at\":\"2026-", "\"created_at\":\"26-")));
    let teapot = Answer { status: 418, ..changed("session", "session") };
    assert!(noticed(&teapot));
}
