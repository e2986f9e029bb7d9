//! Every answer has our shape, whatever made it.

use super::*;

#[tokio::test]
async fn what_nobody_takes_is_answered_in_our_shape() {
    let service = Service::start(&[]).await;
    let unknown = service.get("/nowhere").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "not_found"));
    let wrong = service.ask("DELETE /read HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!((wrong.status, wrong.code().as_str()), (405, "method_not_allowed"));
    assert_eq!(wrong.headers["allow"], "GET,HEAD");
    let plain = service.ask(&post("/echo", "", "{}").replace("application/json", "text/plain")).await;
    assert_eq!((plain.status, plain.code().as_str()), (415, "unsupported_media_type"));
    let limited = service.get("/limited").await;
    assert_eq!((limited.status, limited.code().as_str()), (429, "rate_limited"));
    assert_eq!(limited.headers["retry-after"], "7");
    for answer in [unknown, wrong, plain, limited] {
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn what_may_be_read_in_two_ways_is_refused() {
    let service = Service::start(&[]).await;
    for headers in ["content-type: application/json\r\n", "content-encoding: gzip\r\n"] {
        let answer = service.ask(&post("/echo", headers, "{}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "unsupported_media_type"), "{headers}");
    }
    let other = post("/echo", "", "{}").replace("application/json", "application/json; charset=utf-16");
    assert_eq!(service.ask(&other).await.status, 415);
    for hosts in ["", "host: x\r\nhost: x\r\n"] {
        let answer = service.ask(&post("/echo", "", "{}").replace("host: x\r\n", hosts)).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_request"), "{hosts}");
        assert!(answer.headers.contains_key("x-request-id"), "{answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
    let old = "GET /healthz HTTP/1.0\r\n\r\n";
    assert_eq!(service.ask(old).await.status, 200, "HTTP/1.0 knows no Host");
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_service_goes_on() {
    let service = Service::start(&[]).await;
    for answer in [service.get("/panic").await, service.ask(&post("/panic", "", "")).await] {
        assert_eq!((answer.status, answer.code().as_str()), (500, "internal_error"));
        assert!(!answer.body.contains("hunter2"));
    }
    assert_eq!(service.get("/healthz").await.status, 200);
    assert_eq!(service.end().await, Ending::Drained);
}

#[tokio::test]
async fn a_request_id_is_echoed_or_made() {
    let service = Service::start(&[]).await;
    let named = service
        .ask("GET /healthz HTTP/1.1\r\nhost: x\r\nx-request-id: mine\r\nconnection: close\r\n\r\n")
        .await;
    assert_eq!(named.headers["x-request-id"], "mine");
    let (one, two) = (service.get("/healthz").await, service.get("/healthz").await);
    assert_eq!(one.headers["x-request-id"].len(), 26);
    assert_ne!(one.headers["x-request-id"], two.headers["x-request-id"]);
}

#[tokio::test]
async fn bodies_over_16_kib_are_refused_however_they_come() {
    let service = Service::start(&[]).await;
    let body = |size: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(size - 8));
    assert_eq!(service.ask(&post("/echo", "", &body(16 * 1024))).await.status, 200);
    for size in [16 * 1024 + 1, 300_000] {
        let answer = service.ask(&post("/echo", "", &body(size))).await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "request_too_large"));
    }
    let huge = service.ask(&post("/echo", "", "").replace("length: 0", "length: 99999999999")).await;
    assert_eq!((huge.status, huge.code().as_str()), (413, "request_too_large"));
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let chunked = post("/echo", "", "").replace("content-length: 0", "transfer-encoding: chunked");
    let answer = service.ask(&format!("{chunked}{chunk}1\r\nx\r\n0\r\n\r\n")).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "request_too_large"));
}

#[tokio::test]
async fn the_two_listeners_are_kept_apart() {
    let service = Service::start(&[]).await;
    let metrics = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(ask(service.public, metrics).await.code(), "not_found");
    let answer = ask(service.internal, metrics).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "some_metric 1\n"));
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
}

#[tokio::test]
async fn tokens_guard_all_of_the_internal_listener_but_its_health() {
    let service = Service::start(&[("AUTHSESSION_INTERNAL_AUTH_TOKENS", "token-one,token-two")]).await;
    let get = async |path: &str, headers: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n");
        ask(service.internal, &request).await
    };
    for path in ["/client", "/metrics", "/nowhere", "/change"] {
        for headers in ["", "authorization: Bearer token-three\r\n"] {
            let answer = get(path, headers).await;
            assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{path}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer");
        }
    }
    assert_eq!(get("/client", "authorization: Bearer token-two\r\n").await.status, 200);
    assert_eq!(get("/healthz", "").await.status, 200);
    assert_eq!(get("/readyz", "").await.status, 200);
    assert_eq!(service.get("/client").await.status, 200, "the public listener asks for none");
}

#[tokio::test]
async fn a_proxy_is_believed_only_where_it_is_trusted() {
    let request =
        "GET /client HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 198.51.100.1\r\nconnection: close\r\n\r\n";
    let service = Service::start(&[]).await;
    assert_eq!(service.ask(request).await.body, "\"127.0.0.1\"");
    let service = Service::start(&[("AUTHSESSION_TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    assert_eq!(service.ask(request).await.body, "\"198.51.100.1\"");
}

#[tokio::test]
async fn readyz_says_whether_the_store_answers() {
    let away: Probe = Arc::new(|| async { Err(Unavailable::new("store", "refused")) }.boxed());
    let service = Service::with(&[], vec![], away).await;
    let answer = service.get("/readyz").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "service_unavailable"));
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(service.get("/healthz").await.body, r#"{"status":"ok"}"#);
}

#[tokio::test]
async fn http_2_in_clear_text_is_spoken_too() {
    let service = Service::start(&[]).await;
    let client = reqwest_h2();
    let answer = client.get(format!("http://{}/healthz", service.public)).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), r#"{"status":"ok"}"#);
    assert_eq!(service.end().await, Ending::Drained);
}

fn reqwest_h2() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap()
}
