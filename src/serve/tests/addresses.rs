//! Whose request it is, through real sockets: what proxies say is believed, what clients say is not. And which web pages
//! may ask.

use super::*;

const FORGED: &str =
    "GET /client HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 6.6.6.6\r\nconnection: close\r\n\r\n";

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\x0a\0\0\x01\x30\x39\0\x50";

async fn announced(proxies: &str) -> Service {
    Service::start(&[("AUTHSESSION_PUBLIC_PROXY_PROTOCOL", "true"), ("AUTHSESSION_TRUSTED_PROXIES", proxies)])
        .await
}

/// All that comes back for `bytes`.
async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut text = Vec::new();
    // A connection that is refused while we still write is reset.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_proxy_names_the_client_before_the_first_byte_and_the_client_cannot() {
    let service = announced("127.0.0.0/8").await;
    for (header, client) in [
        (&b"PROXY TCP4 203.0.113.9 10.0.0.1 12345 80\r\n"[..], "203.0.113.9"),
        (b"PROXY TCP6 2001:db8::9 ::1 12345 80\r\n", "2001:db8::9"),
        (V2, "203.0.113.9"),
        // Nobody's behalf: the proxy itself, and it is not the proxy that wrote the request.
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        // An inner proxy that does write such headers.
        (b"PROXY TCP4 127.0.0.9 10.0.0.1 1 80\r\n", "6.6.6.6"),
    ] {
        let answer = raw(service.public, &[header, FORGED.as_bytes()].concat()).await;
        assert!(answer.ends_with(&format!("\"{client}\"")), "{answer}");
    }
    let twice =
        [b"PROXY TCP4 203.0.113.9 10.0.0.1 1 80\r\n", &b"PROXY TCP4 6.6.6.6 10.0.0.1 1 80\r\n"[..]].concat();
    let answer = raw(service.public, &[&twice, FORGED.as_bytes()].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "the second one is the client's: {answer}");
    assert_eq!(raw(service.public, FORGED.as_bytes()).await, "", "a trusted proxy without a header");
    let health = "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(ask(service.internal, health).await.status, 200, "the internal listener wants none");
}

#[tokio::test]
async fn a_stranger_is_taken_for_himself_and_his_proxy_header_for_nonsense() {
    let service = announced("192.0.2.0/24").await;
    assert!(raw(service.public, FORGED.as_bytes()).await.ends_with("\"127.0.0.1\""));
    for header in [&b"PROXY TCP4 203.0.113.9 10.0.0.1 12345 80\r\n"[..], V2] {
        let answer = raw(service.public, &[header, FORGED.as_bytes()].concat()).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer}");
    }
}

#[tokio::test]
async fn only_the_pages_that_are_named_may_ask() {
    let page = "https://app.example.com";
    let preflight = |origin: &str| {
        format!(
            "OPTIONS /echo HTTP/1.1\r\nhost: x\r\norigin: {origin}\r\naccess-control-request-method: POST\r\n\
             access-control-request-headers: content-type\r\nconnection: close\r\n\r\n"
        )
    };
    let origin = format!("origin: {page}\r\n");
    let closed = Service::start(&[]).await;
    assert_eq!(closed.ask(&preflight(page)).await.code(), "method_not_allowed");
    assert_eq!(
        closed.ask(&post("/echo", &origin, "{}")).await.headers.get("access-control-allow-origin"),
        None
    );

    let open = Service::start(&[(
        "AUTHSESSION_PUBLIC_CORS_ORIGINS",
        "https://other.example.com, https://app.example.com",
    )])
    .await;
    let welcome = open.ask(&preflight(page)).await;
    assert_eq!((welcome.status, welcome.headers["access-control-allow-origin"].as_str()), (200, page));
    assert_eq!(welcome.headers["access-control-allow-methods"], "GET,POST");
    assert!(welcome.headers["access-control-allow-headers"].contains("content-type"));
    assert!(!welcome.headers.contains_key("access-control-allow-credentials"));
    assert_eq!(welcome.headers["x-request-id"].len(), 26);
    let no_preflight = "OPTIONS /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    assert_eq!(open.ask(no_preflight).await.code(), "method_not_allowed");
    let answer = open.ask(&post("/echo", &origin, "{}")).await;
    assert_eq!((answer.status, answer.headers["access-control-allow-origin"].as_str()), (200, page));
    let failed = open.ask(&post("/echo", &origin, "x")).await;
    assert_eq!(
        (failed.code().as_str(), failed.headers["access-control-allow-origin"].as_str()),
        ("invalid_request", page)
    );
    for stranger in
        ["https://app.example.com.evil.example", "http://app.example.com", "null", "https://evil.example"]
    {
        let refused = open.ask(&preflight(stranger)).await;
        assert_eq!(refused.headers.get("access-control-allow-origin"), None, "{stranger}");
    }
    let inside = ask(open.internal, &post("/echo", &origin, "{}")).await;
    assert_eq!(
        inside.headers.get("access-control-allow-origin"),
        None,
        "pages never ask the internal listener"
    );
}
