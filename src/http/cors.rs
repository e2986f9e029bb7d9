//! Which web pages may ask: none, unless their origins are set. Only the public listener can be asked by pages at all.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{
        HeaderName, HeaderValue, Method, Uri,
        header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ORIGIN, RETRY_AFTER},
    },
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
};
use tower::ServiceExt as _;
use tower_http::{cors::CorsLayer, set_header::SetResponseHeaderLayer};

use super::request_id;
use crate::base::{Generator, settings::Reader};

/// How long a browser may remember that it may ask.
const REMEMBERED: Duration = Duration::from_mins(10);

/// The origins that are set, as browsers write them.
pub(super) fn read(reader: &mut Reader) -> Arc<[HeaderValue]> {
    let takes = "a comma-separated list of origins such as https://app.example.com, without a path";
    reader
        .optional("AUTHSESSION_PUBLIC_CORS_ORIGINS", takes, |value| {
            value.split(',').map(|origin| parse(origin.trim())).collect::<Option<Vec<_>>>()
        })
        .unwrap_or_default()
        .into()
}

/// An origin (RFC 6454 section 6.2) exactly as a browser sends it: anything else would never match, `*` would let in
/// everybody, and `null` any page that hides where it comes from.
fn parse(origin: &str) -> Option<HeaderValue> {
    let (scheme, authority) = origin.split_once("://")?;
    let default_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let uri: Uri = origin.parse().ok()?;
    let named = uri.authority()?;
    let port_is_one = match named.port() {
        Some(port) => port.as_u16() != 0 && port.as_str() == port.as_u16().to_string(),
        None => named.host() == authority,
    };
    let plain = named.as_str() == authority && !authority.contains(['@', '*']) && port_is_one;
    let as_sent = !authority.ends_with(default_port) && !origin.bytes().any(|byte| byte.is_ascii_uppercase());
    HeaderValue::from_str(origin).ok().filter(|_| plain && as_sent)
}

/// `router`, and the answers to browsers that ask for `origins`. The same where there are none.
pub(super) fn open(router: Router, origins: &[HeaderValue], ids: &Generator) -> Router {
    if origins.is_empty() {
        return router;
    }
    let cors = CorsLayer::new()
        .allow_origin(origins.to_vec())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            CONTENT_TYPE,
            request_id::HEADER,
            HeaderName::from_static("traceparent"),
            HeaderName::from_static("tracestate"),
        ])
        .expose_headers([request_id::HEADER, RETRY_AFTER])
        .max_age(REMEMBERED);
    let plain = router.clone();
    let no_preflight = from_fn(move |request: Request, next: Next| {
        let plain = plain.clone();
        async move {
            // The layer would answer whatever is OPTIONS.
            if request.method() == Method::OPTIONS && !is_preflight(&request) {
                plain.oneshot(request).await.into_response()
            } else {
                next.run(request).await
            }
        }
    });
    // A preflight is answered by the layer itself; every answer has an id.
    let ids = ids.clone();
    let fresh = move |_: &Response| Some(request_id::fresh(&ids));
    router
        .layer(cors)
        .layer(no_preflight)
        .layer(SetResponseHeaderLayer::if_not_present(request_id::HEADER, fresh))
}

/// Whether a browser asks if a page may ask (Fetch standard, section 3.2.2).
fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_taken_only_as_a_browser_writes_it() {
        for good in ["https://app.example.com", "http://localhost:5173", "https://[2001:db8::1]:8443"] {
            assert_eq!(parse(good).unwrap(), good);
        }
        for bad in [
            "*",
            "null",
            "",
            "app.example.com",
            "https://",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://app.example.com?q",
            "https://*.example.com",
            "https://App.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "https://user@app.example.com",
            "ftp://app.example.com",
            "https://app.example.com:0",
            "https://app.example.com:99999",
            "https://app.example.com:08443",
            "https://app.example.com:",
            "https://[2001:db8::1]:70000",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
