//! Requests made from `api/*.yaml`: every field of every operation with values at and beyond its bounds, of other types,
//! missing, twice, unknown; every path parameter, method and content type likewise. Whatever comes, the answer is one
//! that the description knows for this operation (the harness sees to it, for every answer), never a 5xx, and what the
//! description does not allow is refused.

use serde_json::{Value, json};

use crate::harness::{App, Listener, Setup, Store, contract};

const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];

/// Values that no field, or not every field, takes.
fn odd_values() -> Vec<Value> {
    let texts = [
        "",
        " ",
        "a",
        "null",
        "\u{0}",
        "a\u{7f}b",
        "a\u{85}b",
        "ä",
        "\u{1f511}",
        "\u{2028}",
        "../x",
        "a@b.c",
        "000000",
    ];
    let mut values: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    for length in [2, 6, 7, 26, 44, 45, 64, 65, 88, 128, 129, 254, 255, 256, 257, 4000] {
        values.push(json!("x".repeat(length)));
        values.push(json!("ä".repeat(length)));
    }
    values.extend([
        json!(null),
        json!(true),
        json!(0),
        json!(-1.5e300),
        json!([]),
        json!(["x"]),
        json!({}),
        json!({"x": 1}),
    ]);
    values
}

/// Where the values of `body` are, as JSON pointers.
fn places(body: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in body.as_object().into_iter().flatten() {
        found.push(format!("/{name}"));
        found.extend(places(value).into_iter().map(|below| format!("/{name}{below}")));
    }
    found
}

/// `example` with one thing changed, in every way.
fn variants(example: &Value) -> Vec<Value> {
    let mut all = vec![example.clone(), json!([example]), json!(null), json!("x"), json!({})];
    for place in places(example) {
        for value in odd_values() {
            let mut changed = example.clone();
            *changed.pointer_mut(&place).unwrap() = value;
            all.push(changed);
        }
        let (parent, name) = place.rsplit_once('/').unwrap();
        for change in [None, Some("another")] {
            let mut changed = example.clone();
            let object = changed.pointer_mut(parent).unwrap().as_object_mut().unwrap();
            match change {
                None => drop(object.remove(name)),
                Some(more) => drop(object.insert(more.to_owned(), json!("x"))),
            }
            all.push(changed);
        }
    }
    all
}

/// What stands in a path where an id belongs.
const ODD_IDS: [&str; 13] = [
    "x",
    "%00",
    "%ff%fe",
    "%2f",
    "..",
    "%20",
    "a%0d%0ab",
    "%F0%9F%94%91",
    "%7Bid%7D",
    "000",
    "1bz",
    "'%22%3B--",
    "*",
];

fn paths(template: &str) -> Vec<String> {
    let Some((before, rest)) = template.split_once('{') else { return vec![template.to_owned()] };
    let after = rest.split_once('}').unwrap().1;
    let long = "x".repeat(300);
    let ids = ODD_IDS.into_iter().chain([long.as_str(), "0k6exj74wzmpgr6925fv8npdhy4ybeknkaa9z6wd9zjrg"]);
    ids.map(|id| format!("{before}{id}{after}")).collect()
}

async fn every_body(app: &App, listener: Listener) -> usize {
    let description = contract::of(listener);
    let mut asked = 0;
    for operation in description.operations() {
        let Some((example, is_allowed)) = description.body_of(&operation) else { continue };
        let path = operation.path.replace("{device_session_id}", "nobody").replace("{user_id}", "nobody");
        for body in variants(&example) {
            let answer = app.post(listener, &path, &body).await;
            assert!(answer.status < 500, "{path} {body}: {answer:?}");
            assert!(is_allowed(&body) || answer.status >= 400, "{path} took {body}, which is not described");
            asked += 1;
        }
        let text = example.to_string();
        let twice = text.replacen('{', &format!("{},", &text[..text.len() - 1]), 1);
        for malformed in ["", "{", "\u{feff}{}", &text[1..], &twice, &"[".repeat(16_000), &" ".repeat(17_000)]
        {
            let answer = app.post_text(listener, &path, malformed.to_owned()).await;
            assert!((400..500).contains(&answer.status), "{path} {malformed:.40}: {answer:?}");
        }
        for kind in ["text/plain", "application/jsonx", "", "application/json;charset=utf-16", "\u{e4}"] {
            let request =
                app.request(listener, "POST", &path).header("content-type", kind).body(text.clone());
            assert!(app.call(listener, request).await.status < 500, "{path} as {kind}");
        }
    }
    asked
}

async fn every_path_and_method(app: &App, listener: Listener) {
    for operation in contract::of(listener).operations() {
        for path in paths(&operation.path) {
            for method in METHODS {
                if operation.id == "followSessionEvents" && method == "GET" {
                    continue; // an answer without an end: below
                }
                let answer = app.call(listener, app.request(listener, method, &path)).await;
                assert!(answer.status < 500, "{method} {path}: {answer:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_asked_the_answer_is_a_described_one() {
    let app = Setup::on(Store::Embedded).start().await;
    let mut asked = 0;
    for listener in [Listener::Public, Listener::Internal] {
        asked += every_body(&app, listener).await;
        every_path_and_method(&app, listener).await;
    }
    assert!(asked > 500, "{asked}: the descriptions have examples");
    for cursor in ["", "-", "1-", "99999999999999999999", "1-2-3", "x", "\u{e4}", "18446744073709551615-0"] {
        let request = app.request(Listener::Internal, "GET", "/api/v1/internal/session-events");
        let answer = app.call(Listener::Internal, request.header("last-event-id", cursor)).await;
        assert!(matches!(answer.status, 400 | 410), "{cursor}: {answer:?}");
    }
}
