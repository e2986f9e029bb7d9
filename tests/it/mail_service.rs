//! The mail service over REST: a delivery that failed is a 503 and costs nothing, and tells nothing either.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    App, Device, Setup, Store, actors::session_of, contract::Description, upstream::Answer as Reply,
};

async fn start(store: Store) -> App {
    Setup::on(store).set("MAIL_SERVICE_REQUEST_TIMEOUT", "400ms").start().await
}

fn failures() -> Vec<Reply> {
    vec![
        Reply::Json(500, json!({ "outcome": "sent" })),
        Reply::Json(400, json!({ "outcome": "sent" })),
        Reply::Json(429, json!({})),
        Reply::Json(200, json!({})),
        Reply::Json(200, json!({ "outcome": "queued" })),
        Reply::Json(200, json!(["sent"])),
        Reply::Raw(200, "text/plain", b"sent".to_vec()),
        Reply::Redirect("http://127.0.0.1:1/".into()),
        Reply::Close,
        Reply::Hang,
    ]
}

async fn a_failed_delivery_is_a_503_and_starts_no_cooldown(store: Store) {
    let app = start(store).await;
    for (at, reply) in failures().into_iter().enumerate() {
        let email = format!("pilot{at}@example.com");
        let pilot = app.visitor(&email);
        app.mail.always(reply.clone());
        for _ in 0..2 {
            let started = Instant::now();
            let answer = pilot.send().await;
            assert_eq!(answer.status, 503, "mail answered {reply:?}");
            answer.unavailable();
            assert!(started.elapsed() < Duration::from_secs(3), "{reply:?}: {:?}", started.elapsed());
        }
        app.mail.recover();
        let (challenge, code) = pilot.code().await;
        assert_eq!(pilot.codes().len(), 1);
        session_of(&pilot.confirm(&challenge, &code, &Device::new()).await);
    }
}

async fn parallel_sends_do_not_queue_up_behind_a_mail_service_that_hangs(store: Store) {
    let app = start(store).await;
    app.mail.always(Reply::Hang);
    let pilot = app.visitor("pilot@example.com");
    let started = Instant::now();
    let answers = futures_util::future::join_all((0..24).map(|_| pilot.send())).await;
    // One delivery of 0.4 s, perhaps a second one; 24 in a row would be 10 s.
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    for answer in answers {
        assert_eq!(answer.status, 503);
    }
    app.mail.recover();
    pilot.log_in().await;
}

async fn a_refused_connection_is_a_503_too(store: Store) {
    let app = start(store).await;
    app.mail.go_down().await;
    app.visitor("pilot@example.com").send().await.unavailable();
    app.mail.come_back().await;
    app.visitor("pilot@example.com").log_in().await;
}

async fn a_suppressed_delivery_counts_as_sent(store: Store) {
    let app = start(store).await;
    let pilot = app.visitor("pilot@example.com");
    app.mail.next(Reply::Json(202, json!({ "outcome": "suppressed", "reason": "bounced" })));
    pilot.send().await.ok();
    pilot.send().await.ok();
    assert_eq!(app.mail.received().len(), 1);
    app.clock.advance_s(60);
    pilot.log_in().await;
}

async fn a_blocked_address_gets_200_while_the_mail_service_fails(store: Store) {
    let app = start(store).await;
    app.operator().block_email("blocked@example.com").await.ok();
    app.mail.always(Reply::Json(500, json!({})));
    app.visitor("pilot@example.com").send().await.unavailable();
    app.visitor("blocked@example.com").send().await.ok();
    assert!(app.mail.received().iter().all(|request| request.json()["email"] != "blocked@example.com"));
}

async fn a_lost_reply_is_asked_for_again_with_the_same_key(store: Store) {
    let app = start(store).await;
    let pilot = app.visitor("pilot@example.com");
    app.mail.next(Reply::Instead(Box::new(Reply::Close)));
    let challenge = pilot.challenge().await;
    let received = app.mail.received();
    assert_eq!(received.len(), 2);
    for request in &received {
        assert_eq!(request.header("idempotency-key"), challenge);
    }
    assert_eq!(received[0].body, received[1].body);
    assert_eq!(pilot.codes().len(), 1, "so one mail goes out");
    session_of(&pilot.confirm(&challenge, &pilot.newest_code(), &Device::new()).await);
}

async fn a_delivery_is_what_the_description_says(store: Store) {
    let app = start(store).await;
    app.visitor("pilot@example.com").send().await.ok();
    let description = Description::read("mail-service.yaml");
    for request in app.mail.received() {
        description.check_request("POST", &request.path, &request.json());
        assert_eq!(request.json().as_object().unwrap().len(), 4);
        assert_eq!(request.header("content-type"), "application/json");
    }
}

async fn a_blocked_address_takes_about_as_long_as_a_mail_does(store: Store) {
    let app = start(store).await;
    app.operator().block_email("blocked@example.com").await.ok();
    app.mail.always(Reply::After(
        Duration::from_millis(150),
        Box::new(Reply::Json(200, json!({ "outcome": "sent" }))),
    ));
    for at in 0..6 {
        app.visitor(&format!("pilot{at}@example.com")).send().await.ok();
    }
    let started = Instant::now();
    app.visitor("blocked@example.com").send().await.ok();
    let took = started.elapsed();
    assert!((Duration::from_millis(100)..Duration::from_secs(2)).contains(&took), "{took:?}");
}

on_every_store! {
    a_failed_delivery_is_a_503_and_starts_no_cooldown,
    parallel_sends_do_not_queue_up_behind_a_mail_service_that_hangs,
    a_refused_connection_is_a_503_too,
    a_suppressed_delivery_counts_as_sent,
    a_blocked_address_gets_200_while_the_mail_service_fails,
    a_lost_reply_is_asked_for_again_with_the_same_key,
    a_delivery_is_what_the_description_says,
    a_blocked_address_takes_about_as_long_as_a_mail_does,
}
