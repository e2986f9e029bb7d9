//! Deliveries over REST and into the log.

use authsession::{
    base::{Secret, Timestamp},
    mail::{Delivery, Mail, rest::Client},
};
use serde_json::json;

use super::{
    kit::{EMAIL, cause, email, endpoint},
    upstream::Answer,
    upstreams::{Letter, MailService},
};

fn delivery() -> Delivery {
    Delivery {
        challenge_id: "challenge-1".into(),
        email: email(),
        code: Secret::new("012345"),
        expires_at: Timestamp::from_ms(1_775_390_400_120),
    }
}

fn letter() -> Letter {
    Letter {
        idempotency_key: "challenge-1".into(),
        challenge_id: "challenge-1".into(),
        email: EMAIL.into(),
        code: "012345".into(),
        expires_at: "2026-04-05T12:00:00.12Z".into(),
    }
}

#[tokio::test]
async fn a_code_is_handed_over_under_its_challenge() {
    let service = MailService::start().await;
    let client = Client::new(&endpoint(&service.url())).unwrap();
    client.deliver(&delivery()).await.unwrap();
    assert_eq!(service.letters(), [letter()]);
    assert_eq!(service.received()[0].json().as_object().unwrap().len(), 4);
}

#[tokio::test]
async fn every_2xx_with_an_outcome_will_do() {
    let service = MailService::start().await;
    let client = Client::new(&endpoint(&service.url())).unwrap();
    for (status, outcome) in [(200, "sent"), (201, "sent"), (202, "suppressed")] {
        service.next(Answer::Json(status, json!({ "outcome": outcome, "message_id": "m" })));
        client.deliver(&delivery()).await.unwrap();
    }
}

#[tokio::test]
async fn a_lost_reply_is_tried_once_more_under_the_same_key() {
    let service = MailService::start().await;
    let client = Client::new(&endpoint(&service.url())).unwrap();
    for lost in [Answer::Close, Answer::Json(502, json!({})), Answer::Json(429, json!({}))] {
        service.forget();
        service.next(Answer::Instead(Box::new(lost)));
        client.deliver(&delivery()).await.unwrap();
        let keys: Vec<_> =
            service.received().iter().map(|request| request.header("idempotency-key").to_owned()).collect();
        assert_eq!(keys, ["challenge-1", "challenge-1"]);
    }
    assert_eq!(service.letters(), [letter()], "mailed once");
}

#[tokio::test]
async fn anything_else_is_no_delivery() {
    let service = MailService::start().await;
    let client = Client::new(&endpoint(&service.url())).unwrap();
    for (answer, tries) in [
        (Answer::Json(200, json!({})), 1),
        (Answer::Json(200, json!({ "outcome": "queued" })), 1),
        (Answer::Raw(204, "application/json", Vec::new()), 1),
        (Answer::Raw(200, "application/json", b"123456 sent".to_vec()), 1),
        (Answer::Json(400, json!({ "outcome": "sent" })), 1),
        (Answer::Json(404, json!({ "outcome": "sent" })), 1),
        (Answer::Json(500, json!({ "outcome": "sent" })), 2),
        (Answer::Json(429, json!({ "outcome": "sent" })), 2),
        (Answer::Close, 2),
    ] {
        service.forget();
        service.always(answer.clone());
        let error = client.deliver(&delivery()).await.expect_err(&format!("{answer:?}"));
        assert_eq!(error.dependency, "mail");
        cause(&error);
        assert_eq!(service.received().len(), tries, "{answer:?}");
    }
}
