//! What every call has, shown on the user service: deadline, one retry, reuse, and no trust in answers.

use std::time::{Duration, Instant};

use authsession::users::{Admission, Standing, Users, rest::Client};
use serde_json::json;

use super::{
    kit::{EMAIL, cause, email, endpoint, within},
    upstream::{Answer, Received, Upstream},
    upstreams::UserService,
};

#[tokio::test]
async fn a_service_that_never_answers_costs_the_request_timeout_and_is_asked_once() {
    let service = UserService::start().await;
    service.always(Answer::Hang);
    let client = Client::new(&within(&service.url(), Duration::from_millis(150))).unwrap();
    let before = Instant::now();
    let error = client.resolve(&email()).await.unwrap_err();
    let took = before.elapsed();
    assert_eq!(error.dependency, "users");
    assert_eq!(cause(&error), "no answer within the request timeout");
    assert!(took >= Duration::from_millis(150) && took < Duration::from_secs(2), "{took:?}");
    assert_eq!(service.received().len(), 1);
}

#[tokio::test]
async fn an_answer_that_comes_late_but_in_time_counts() {
    let service = UserService::start().await;
    let known = json!({ "kind": "creatable" });
    service.next(Answer::After(Duration::from_millis(200), Box::new(Answer::Json(200, known))));
    let client = Client::new(&endpoint(&service.url())).unwrap();
    assert_eq!(client.resolve(&email()).await.unwrap(), Standing::Welcome);
    assert_eq!(service.received().len(), 1);
}

#[tokio::test]
async fn the_retry_shares_the_time_of_the_first_try() {
    let service = UserService::start().await;
    service.next(Answer::After(Duration::from_millis(400), Box::new(Answer::Close)));
    service.next(Answer::Hang);
    let client = Client::new(&within(&service.url(), Duration::from_millis(700))).unwrap();
    let before = Instant::now();
    let error = client.resolve(&email()).await.unwrap_err();
    assert_eq!(cause(&error), "no answer within the request timeout");
    assert!(before.elapsed() < Duration::from_millis(1050), "one budget for both tries");
    assert_eq!(service.received().len(), 2);
}

#[tokio::test]
async fn a_lost_reply_or_a_passing_fault_is_tried_once_more() {
    let service = UserService::start().await;
    let client = Client::new(&endpoint(&service.url())).unwrap();
    let fault = || Answer::Json(503, json!({ "error": { "code": "service_unavailable" } }));
    for passing in [Answer::Close, fault(), Answer::Json(429, json!({}))] {
        service.forget();
        service.next(Answer::Instead(Box::new(passing)));
        assert_eq!(client.ensure(&email()).await.unwrap(), Admission::Admitted("user-1".into()));
        let bodies: Vec<_> = service.received().iter().map(Received::json).collect();
        assert_eq!(bodies, [json!({ "email": EMAIL }), json!({ "email": EMAIL })]);
    }
}

#[tokio::test]
async fn the_second_failure_is_the_answer() {
    let service = UserService::start().await;
    let client = Client::new(&endpoint(&service.url())).unwrap();
    for (lasting, says) in [
        (Answer::Json(500, json!({})), "unexpected status 500"),
        (Answer::Close, "the connection broke: no further cause"),
    ] {
        service.forget();
        service.always(lasting);
        assert_eq!(cause(&client.resolve(&email()).await.unwrap_err()), says);
        assert_eq!(service.received().len(), 2);
    }
}

#[tokio::test]
async fn a_service_that_is_down_is_said_to_be_and_found_again() {
    let service = UserService::start().await;
    let client = Client::new(&endpoint(&service.url())).unwrap();
    client.resolve(&email()).await.unwrap();
    service.go_down().await;
    let error = client.resolve(&email()).await.unwrap_err();
    assert_eq!(cause(&error), "could not connect: connection refused");
    service.come_back().await;
    client.resolve(&email()).await.unwrap();
}

#[tokio::test]
async fn connections_are_used_again_after_failures_too() {
    let service = UserService::start().await;
    let client = Client::new(&endpoint(&service.url())).unwrap();
    for round in 0..20 {
        if round % 5 == 0 {
            service.next(Answer::Json(503, json!({ "error": "x".repeat(1000) })));
        }
        client.resolve(&email()).await.unwrap();
    }
    assert_eq!(service.received().len(), 24);
    assert_eq!(service.connections(), 1);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Upstream::start(|_| Answer::Json(200, json!({ "kind": "creatable" }))).await;
    let service = UserService::start().await;
    service.always(Answer::Redirect(elsewhere.url()));
    let client = Client::new(&endpoint(&service.url())).unwrap();
    assert_eq!(cause(&client.resolve(&email()).await.unwrap_err()), "unexpected status 307");
    assert!(elsewhere.received().is_empty());
    assert_eq!(service.received().len(), 1, "a redirect will not change its mind");
}

#[tokio::test]
async fn a_huge_answer_is_not_read_to_its_end() {
    let service = UserService::start().await;
    let client = Client::new(&endpoint(&service.url())).unwrap();
    let padded = |length| {
        let body = format!(r#"{{"kind":"creatable","padding":"{}"}}"#, "x".repeat(length));
        Answer::Raw(200, "application/json", body.into_bytes())
    };
    service.next(padded(60 * 1024));
    assert_eq!(client.resolve(&email()).await.unwrap(), Standing::Welcome);
    service.next(padded(64 * 1024));
    let error = client.resolve(&email()).await.unwrap_err();
    assert_eq!(cause(&error), "the answer was longer than 64 KiB");
}

#[tokio::test]
async fn operations_lie_below_the_path_of_the_base() {
    let service = Upstream::start(|_| Answer::Json(200, json!({ "user_id": "a/b?c d" }))).await;
    let client = Client::new(&endpoint(&format!("{}/tenant/", service.url()))).unwrap();
    assert!(client.exists("a/b?c d").await.unwrap());
    client.resolve(&email()).await.unwrap_err();
    let paths: Vec<_> = service.received().into_iter().map(|request| request.path).collect();
    assert_eq!(
        paths,
        ["/tenant/api/v1/internal/users/a%2Fb%3Fc%20d", "/tenant/api/v1/internal/users/resolve",]
    );
}
