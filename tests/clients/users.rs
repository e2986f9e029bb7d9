//! The four calls to the user service, and every answer to them.

use authsession::base::Unavailable;
use authsession::users::{Admission, Block, Standing, Subject, Users, rest::Client};
use serde_json::{Value, json};

use super::{
    kit::{EMAIL, cause, email, endpoint, order},
    upstream::{Answer, Received},
    upstreams::UserService,
};

async fn start() -> (UserService, Client) {
    let service = UserService::start().await;
    let client = Client::new(&endpoint(&service.url())).unwrap();
    (service, client)
}

#[tokio::test]
async fn resolving_tells_welcome_from_blocked_and_creates_nobody() {
    let (service, client) = start().await;
    assert_eq!(client.resolve(&email()).await.unwrap(), Standing::Welcome, "creatable");
    assert_eq!(service.id_of(EMAIL), None);
    service.add(EMAIL);
    assert_eq!(client.resolve(&email()).await.unwrap(), Standing::Welcome, "existing");
    service.block(EMAIL);
    assert_eq!(client.resolve(&email()).await.unwrap(), Standing::Blocked);
    let request = service.received().remove(0);
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/api/v1/internal/users/resolve"));
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.json(), json!({ "email": EMAIL }));
}

#[tokio::test]
async fn ensuring_creates_once_and_never_a_blocked_user() {
    let (service, client) = start().await;
    assert_eq!(client.ensure(&email()).await.unwrap(), Admission::Admitted("user-1".into()), "created");
    assert_eq!(client.ensure(&email()).await.unwrap(), Admission::Admitted("user-1".into()), "existing");
    service.block(EMAIL);
    assert_eq!(client.ensure(&email()).await.unwrap(), Admission::Blocked);
    assert_eq!(service.received()[0].json(), json!({ "email": EMAIL }));
}

#[tokio::test]
async fn a_user_exists_where_the_service_says_so() {
    let (service, client) = start().await;
    service.add(EMAIL);
    assert!(client.exists("user-1").await.unwrap());
    assert!(!client.exists("user-2").await.unwrap());
    service.forget();
    assert!(!client.exists("..").await.unwrap());
    assert!(service.received().is_empty(), "a dot segment would ask for something else");
}

#[tokio::test]
async fn blocking_names_whom_it_hit() {
    let (service, client) = start().await;
    let address = Subject::Email(email());
    assert_eq!(client.block(&address, &order()).await.unwrap(), Block::Blocked(None));
    assert_eq!(client.block(&address, &order()).await.unwrap(), Block::AlreadyBlocked(None));
    let id = service.add("other@example.com");
    let user = Subject::UserId(id.clone());
    assert_eq!(client.block(&user, &order()).await.unwrap(), Block::Blocked(Some(id.clone())));
    assert_eq!(client.block(&user, &order()).await.unwrap(), Block::AlreadyBlocked(Some(id.clone())));
    let stranger = Subject::UserId("nobody".into());
    assert_eq!(client.block(&stranger, &order()).await.unwrap(), Block::Unknown);

    let bodies: Vec<_> = service.received().iter().map(Received::json).collect();
    let actor = json!({ "type": "admin", "id": "admin-1" });
    assert_eq!(bodies[0], json!({ "email": EMAIL, "reason_code": "policy", "actor": actor }));
    assert_eq!(bodies[2], json!({ "user_id": id, "reason_code": "policy", "actor": actor }));

    let anonymous = authsession::base::Cause { actor_id: None, ..order() };
    client.block(&address, &anonymous).await.unwrap();
    assert_eq!(service.received().pop().unwrap().json()["actor"], json!({ "type": "admin" }));
}

#[tokio::test]
async fn fields_that_a_later_service_adds_are_overlooked() {
    let (service, client) = start().await;
    service.next(Answer::Json(200, json!({ "kind": "creatable", "user_id": null, "locale": "fr" })));
    assert_eq!(client.resolve(&email()).await.unwrap(), Standing::Welcome);
    service.next(Answer::Json(
        200,
        json!({ "outcome": "created", "user_id": "u", "block_reason_code": "", "since": 1 }),
    ));
    assert_eq!(client.ensure(&email()).await.unwrap(), Admission::Admitted("u".into()));
    service.next(Answer::Json(200, json!({ "user_id": "u", "email": "u@example.com" })));
    assert!(client.exists("u").await.unwrap());
}

/// Answers that break the contract, to whichever call.
fn broken(field: &str) -> Vec<Answer> {
    let json = |body: Value| Answer::Json(200, body);
    vec![
        json(json!({})),
        json(json!([])),
        json(json!(null)),
        json(json!({ field: "sideways", "user_id": "u" })),
        json(json!({ field: 1 })),
        json(json!({ field: "existing", "user_id": 7 })),
        json(json!({ field: "existing" })),
        json(json!({ field: "existing", "user_id": "" })),
        json(json!({ field: "existing", "user_id": "u".repeat(257) })),
        json(json!({ field: "existing", "user_id": "u\n" })),
        json(json!({ field: "existing", "user_id": "u", "block_reason_code": "policy" })),
        json(json!({ field: "blocked" })),
        Answer::Raw(200, "application/json", b"{\"kind\":\"exist".to_vec()),
        Answer::Raw(200, "text/html", b"<html>hello</html>".to_vec()),
        Answer::Raw(204, "application/json", Vec::new()),
        Answer::Json(400, json!({ field: "existing", "user_id": "u" })),
        Answer::Json(404, json!({ field: "existing", "user_id": "u" })),
    ]
}

#[tokio::test]
async fn what_breaks_the_contract_lets_nobody_in() {
    let (service, client) = start().await;
    for answer in broken("kind") {
        service.always(answer.clone());
        let error = client.resolve(&email()).await.expect_err(&format!("{answer:?}"));
        cause(&error);
    }
    for answer in broken("outcome") {
        service.always(answer.clone());
        let error = client.ensure(&email()).await.expect_err(&format!("{answer:?}"));
        cause(&error);
    }
}

/// That there is a new user now, that there may be one some day, a part of what is known, and what nobody has heard of.
#[tokio::test]
async fn only_a_200_is_an_answer() {
    let (service, client) = start().await;
    let subject = Subject::UserId("u".into());
    for status in [200, 201, 202, 203, 206, 299] {
        let answer = |word: &str| json!({ "kind": word, "outcome": word, "user_id": "u" });
        let says = |result: Result<(), Unavailable>| {
            let expected = format!("unexpected status {status}");
            match result {
                Ok(()) => assert_eq!(status, 200),
                Err(error) => assert!(status != 200 && cause(&error) == expected, "{status}: {error:?}"),
            }
        };
        service.always(Answer::Json(status, answer("existing")));
        says(client.resolve(&email()).await.map(drop));
        says(client.ensure(&email()).await.map(drop));
        says(client.exists("u").await.map(drop));
        service.always(Answer::Json(status, answer("blocked")));
        says(client.block(&subject, &order()).await.map(drop));
    }
}

#[tokio::test]
async fn an_answer_about_somebody_else_is_none() {
    let (service, client) = start().await;
    service.always(Answer::Json(200, json!({ "user_id": "user-2", "outcome": "blocked" })));
    let says = "an answer that lacks a field or contradicts itself";
    assert_eq!(cause(&client.exists("user-1").await.unwrap_err()), says);
    let subject = Subject::UserId("user-1".into());
    assert_eq!(cause(&client.block(&subject, &order()).await.unwrap_err()), says);
    service.always(Answer::Json(200, json!({ "outcome": "unblocked" })));
    client.block(&subject, &order()).await.unwrap_err();
    service.always(Answer::Json(403, json!({})));
    client.exists("user-1").await.unwrap_err();
}
