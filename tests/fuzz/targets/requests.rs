//! Whole requests to either listener, written as text: a line `METHOD path`, a line for each header, an empty line, the
//! body. A word in braces stands for an id, code or key of the store that the request meets.

use std::cell::OnceCell;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request, Uri},
};

use super::service::{Inhabited, Listener, Service};

thread_local! {
    static INHABITED: OnceCell<Inhabited> = const { OnceCell::new() };
}

/// Whatever is asked of a sound store: an answer that `docs/errors.md` knows, never a fault of ours.
pub fn requests(data: &[u8]) {
    INHABITED.with(|inhabited| {
        let inhabited = inhabited.get_or_init(Inhabited::new);
        let Some((listener, request)) = parse(&fill_in(data, inhabited)) else { return };
        let service = Service::over(inhabited.content.clone());
        let answer = service.ask(listener, request);
        assert!(answer.status < 500, "{answer:?}");
    });
}

fn parse(data: &[u8]) -> Option<(Listener, Request<Body>)> {
    let end = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..end], data.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let path = Uri::try_from(&first[space + 1..]).ok()?;
    let is_internal = path.path().starts_with("/api/v1/internal") || path.path() == "/metrics";
    let listener = if is_internal { Listener::Internal } else { Listener::Public };
    let mut request = Request::new(Body::from(body.to_vec()));
    *request.method_mut() = Method::from_bytes(&first[..space]).ok()?;
    *request.uri_mut() = path;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request.headers_mut().append(name, value);
    }
    Some((listener, request))
}

fn fill_in(data: &[u8], inhabited: &Inhabited) -> Vec<u8> {
    let words = [
        ("{open}", &inhabited.open),
        ("{used}", &inhabited.used),
        ("{code}", &inhabited.codes[0]),
        ("{used_code}", &inhabited.codes[1]),
        ("{active}", &inhabited.active),
        ("{revoked}", &inhabited.revoked),
        ("{user}", &inhabited.user),
        ("{key}", &inhabited.key),
        ("{proof}", &inhabited.proof),
    ];
    let mut filled = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some((first, tail)) = rest.split_first() {
        if let Some((word, value)) = words.iter().find(|(word, _)| rest.starts_with(word.as_bytes())) {
            filled.extend_from_slice(value.as_bytes());
            rest = &rest[word.len()..];
        } else {
            filled.push(*first);
            rest = tail;
        }
    }
    filled
}
