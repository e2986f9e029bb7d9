//! What these tests share.

use std::{error::Error, time::Duration};

use authsession::{
    base::Cause,
    base::{BaseUrl, Email, Unavailable},
    http::Endpoint,
};

pub(crate) const EMAIL: &str = "pilot@example.com";

pub(crate) fn email() -> Email {
    Email::parse(EMAIL).unwrap()
}

pub(crate) fn endpoint(url: &str) -> Endpoint {
    within(url, Duration::from_secs(10))
}

pub(crate) fn within(url: &str, request_timeout: Duration) -> Endpoint {
    Endpoint { base_url: BaseUrl::parse(url).unwrap(), request_timeout }
}

pub(crate) fn order() -> Cause {
    Cause { reason_code: "policy".into(), actor_type: "admin".into(), actor_id: Some("admin-1".into()) }
}

/// The whole cause, as the log shows it; never with what was asked.
pub(crate) fn cause(unavailable: &Unavailable) -> String {
    let first: &(dyn Error + 'static) = &*unavailable.source;
    let chain: Vec<String> =
        std::iter::successors(Some(first), |error| (*error).source()).map(ToString::to_string).collect();
    let text = chain.join(": ");
    for secret in [EMAIL, "user-1", "127.0.0.1", "challenge-1", "123456"] {
        assert!(!text.contains(secret), "{text}");
    }
    text
}
