//! `x-request-id`: names one request in logs and answers.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::base::{Generator, id};

/// The header, in requests and in answers.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The caller's id where it is 1 to 128 visible ASCII characters, else a fresh random one.
pub(super) fn choose(headers: &HeaderMap, ids: &Generator) -> HeaderValue {
    headers.get(HEADER).filter(|value| is_usable(value.as_bytes())).cloned().unwrap_or_else(|| fresh(ids))
}

/// A random one.
pub(super) fn fresh(ids: &Generator) -> HeaderValue {
    // Cannot fail: the alphabet of ids is ASCII.
    HeaderValue::try_from(id::encode(&ids.random::<16>())).unwrap_or(HeaderValue::from_static("none"))
}

fn is_usable(value: &[u8]) -> bool {
    (1..=128).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::World;

    #[test]
    fn only_a_short_visible_id_is_taken_over() {
        let (longest, generator) = ("x".repeat(128), World::system().generator());
        for (value, usable) in [
            ("a", true),
            (longest.as_str(), true),
            ("{\"a\"}", true),
            ("", false),
            ("a b", false),
            ("\u{e4}", false),
            (&format!("{longest}x"), false),
        ] {
            let headers =
                HeaderMap::from_iter([(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap())]);
            let chosen = choose(&headers, &generator);
            assert_eq!(chosen.as_bytes() == value.as_bytes(), usable, "{value}");
            assert!(is_usable(chosen.as_bytes()));
        }
    }
}
