//! The user service over REST: what it is asked, and what its answers do.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    App, Device, Setup, Store,
    actors::{session_of, with_reason},
    contract::Description,
    upstream::Answer as Reply,
};

async fn start(store: Store) -> App {
    Setup::on(store).rest_users().set("USER_SERVICE_REQUEST_TIMEOUT", "400ms").start().await
}

/// Answers that no operation of the user service gives.
fn nonsense() -> Vec<Reply> {
    let user = |id: Value| json!({ "kind": "existing", "outcome": "existing", "user_id": id });
    vec![
        Reply::Json(500, json!({})),
        Reply::Json(400, json!({})),
        Reply::Json(204, json!({})),
        Reply::Json(201, user(json!("user-1"))),
        Reply::Json(206, user(json!("user-1"))),
        Reply::Json(299, user(json!("user-1"))),
        Reply::Json(200, json!({})),
        Reply::Json(200, json!([])),
        Reply::Json(200, json!(null)),
        Reply::Json(200, json!({ "kind": "odd", "outcome": "odd", "user_id": "user-1" })),
        Reply::Json(200, json!({ "kind": "existing", "outcome": "existing" })),
        Reply::Json(200, user(json!(7))),
        Reply::Json(200, user(json!(""))),
        Reply::Json(200, user(json!("u".repeat(257)))),
        Reply::Raw(200, "application/json", b"{".to_vec()),
        Reply::Raw(200, "text/html", b"<html>".to_vec()),
        Reply::Redirect("http://127.0.0.1:1/".into()),
        Reply::Close,
        Reply::Hang,
    ]
}

async fn each_operation_asks_exactly_what_the_contract_says(store: Store) {
    let app = start(store).await;
    let pilot = app.visitor("Pilot@Example.com");
    let session = app.visitor("pilot@example.com").log_in().await;
    let user = app.users.id_of("pilot@example.com").unwrap();
    assert_eq!(app.operator().user_of(&session).await, user);
    app.operator().revoke_all(&user).await.ok();
    app.operator().revoke_all(&user).await.ok();
    app.operator().block_user(&user).await.ok();
    app.operator().block(&with_reason("email", "Other@Example.com")).await.ok();
    pilot.send().await.ok();
    let description = Description::read("user-service.yaml");
    let mut asked = Vec::new();
    for request in app.users.received() {
        if request.method == "POST" {
            description.check_request("POST", &request.path, &request.json());
        }
        asked.push((request.method.to_string(), request.path.clone(), request.json()));
    }
    let post = |path: &str, body: Value| ("POST".to_owned(), format!("/api/v1/internal/{path}"), body);
    let actor = json!({ "type": "admin", "id": "admin-7" });
    let email = json!({ "email": "pilot@example.com" });
    assert!(asked.contains(&post("users/resolve", email.clone())), "{asked:?}");
    assert!(asked.contains(&post("users/ensure", email)), "{asked:?}");
    assert!(asked.contains(&("GET".into(), format!("/api/v1/internal/users/{user}"), Value::Null)));
    let block = |subject: Value| {
        let mut body = json!({ "reason_code": "policy_blocked", "actor": actor });
        body.as_object_mut().unwrap().extend(subject.as_object().unwrap().clone());
        post("user-blocks", body)
    };
    assert!(asked.contains(&block(json!({ "user_id": user }))), "{asked:?}");
    assert!(asked.contains(&block(json!({ "email": "other@example.com" }))), "{asked:?}");
}

async fn an_existing_user_logs_in_as_himself(store: Store) {
    let app = start(store).await;
    let user = app.users.add("pilot@example.com");
    let session = app.visitor("pilot@example.com").log_in().await;
    assert_eq!(app.operator().user_of(&session).await, user);
}

async fn ids_of_the_user_service_may_be_any_text(store: Store) {
    let app = start(store).await;
    let longest = "ü".repeat(256);
    for (at, user) in ["7", "a b/c?d#e%f", "{x}:*", "01890a5d-ac96-774b-bcce-b302099a8057", &longest]
        .into_iter()
        .enumerate()
    {
        let pilot = app.visitor(&format!("pilot{at}@example.com"));
        let (challenge, code) = pilot.code().await;
        app.users.next(Reply::Json(200, json!({ "outcome": "created", "user_id": user })));
        let session = session_of(&pilot.confirm(&challenge, &code, &Device::new()).await);
        assert_eq!(app.operator().user_of(&session).await, user);
        let encoded = user.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"));
        assert_eq!(app.operator().listed(&encoded).await, [session.as_str()]);
        app.gateway().was_told(&session, "active").await;
    }
}

async fn a_blocked_address_gets_no_mail_and_a_block_since_then_refuses_the_code(store: Store) {
    let app = start(store).await;
    app.users.block("blocked@example.com");
    app.visitor("blocked@example.com").send().await.ok();
    assert_eq!(app.mail.letters(), []);
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    app.users.block("pilot@example.com");
    pilot.confirm(&challenge, &code, &Device::new()).await.refused(403, "blocked_by_policy");
}

async fn anything_else_is_a_503_and_costs_nothing(store: Store) {
    let app = start(store).await;
    for (at, reply) in nonsense().into_iter().enumerate() {
        let email = format!("pilot{at}@example.com");
        let pilot = app.visitor(&email);
        app.users.always(reply.clone());
        let started = Instant::now();
        let send = pilot.send().await;
        assert_eq!(send.status, 503, "resolve answered {reply:?}");
        send.unavailable();
        assert!(started.elapsed() < Duration::from_secs(3), "{reply:?}: {:?}", started.elapsed());
        app.users.recover();
        let (challenge, code) = pilot.code().await;
        assert_eq!(pilot.codes().len(), 1, "the 503 started no cooldown");
        app.users.always(reply.clone());
        let device = Device::new();
        for _ in 0..6 {
            pilot.confirm(&challenge, &code, &device).await.unavailable();
            if matches!(reply, Reply::Hang) {
                break;
            }
        }
        app.users.recover();
        session_of(&pilot.confirm(&challenge, &code, &device).await);
    }
}

async fn block_and_revoke_all_are_503_while_the_user_service_is_away(store: Store) {
    let app = start(store).await;
    let session = app.visitor("pilot@example.com").log_in().await;
    app.users.go_down().await;
    app.operator().block_email("pilot@example.com").await.unavailable();
    app.operator().revoke_all("nobody").await.unavailable();
    app.users.come_back().await;
    let body = app.operator().block_email("pilot@example.com").await.ok();
    assert_eq!(body["affected_device_session_ids"], json!([session]));
    app.operator().revoke_all("nobody").await.refused(404, "subject_not_found");
}

async fn sessions_of_a_user_whom_the_user_service_forgot_are_revoked(store: Store) {
    let app = start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    app.users.next(Reply::Json(200, json!({ "outcome": "created", "user_id": "ghost" })));
    let session = session_of(&pilot.confirm(&challenge, &code, &Device::new()).await);
    let body = app.operator().revoke_all("ghost").await.ok();
    assert_eq!(body["affected_device_session_ids"], json!([session]));
}

async fn a_lost_reply_to_ensure_still_ends_in_one_session(store: Store) {
    let app = start(store).await;
    let pilot = app.visitor("pilot@example.com");
    let (challenge, code) = pilot.code().await;
    app.users.next(Reply::Instead(Box::new(Reply::Close)));
    let device = Device::new();
    let mut answer = pilot.confirm(&challenge, &code, &device).await;
    if answer.status == 503 {
        answer = pilot.confirm(&challenge, &code, &device).await;
    }
    let session = session_of(&answer);
    let user = app.users.id_of("pilot@example.com").unwrap();
    assert_eq!(app.operator().listed(&user).await, [session]);
}

async fn more_fields_than_promised_are_no_harm(store: Store) {
    let app = start(store).await;
    let pilot = app.visitor("pilot@example.com");
    app.users.next(Reply::Json(200, json!({ "kind": "creatable", "since": 7 })));
    let (challenge, code) = pilot.code().await;
    app.users.next(Reply::Json(200, json!({ "outcome": "created", "user_id": "user-x", "name": "P" })));
    session_of(&pilot.confirm(&challenge, &code, &Device::new()).await);
}

on_every_store! {
    each_operation_asks_exactly_what_the_contract_says,
    an_existing_user_logs_in_as_himself,
    ids_of_the_user_service_may_be_any_text,
    a_blocked_address_gets_no_mail_and_a_block_since_then_refuses_the_code,
    anything_else_is_a_503_and_costs_nothing,
    block_and_revoke_all_are_503_while_the_user_service_is_away,
    sessions_of_a_user_whom_the_user_service_forgot_are_revoked,
    a_lost_reply_to_ensure_still_ends_in_one_session,
    more_fields_than_promised_are_no_harm,
}
