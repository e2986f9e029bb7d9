//! Bearer tokens of the internal listener.

use axum::http::{HeaderMap, header::AUTHORIZATION};

use super::Problem;
use crate::base::Secret;

/// Who may come in.
pub(super) enum Guard {
    /// Everybody.
    Open,
    /// Callers with any one of these tokens as `Authorization: Bearer` (RFC 6750 section 2.1).
    Tokens(Vec<Secret>),
}

impl Guard {
    /// Lets everybody in where there are no tokens.
    pub(super) fn new(tokens: &[Secret]) -> Self {
        if tokens.is_empty() { Self::Open } else { Self::Tokens(tokens.to_vec()) }
    }

    /// Whether the sender of `headers` may come in.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Self::Tokens(tokens) = self else { return Ok(()) };
        let shown = bearer(headers).map(Secret::new).ok_or_else(Problem::unauthorized)?;
        // Every token is compared, so that the time tells nothing about which one was near.
        let matching = tokens.iter().filter(|token| **token == shown).count();
        if matching > 0 { Ok(()) } else { Err(Problem::unauthorized()) }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn admits(tokens: &[&str], headers: &[&str]) -> bool {
        let tokens: Vec<Secret> = tokens.iter().map(|token| Secret::new(*token)).collect();
        let mut map = HeaderMap::new();
        for value in headers {
            map.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        Guard::new(&tokens).admit(&map).is_ok()
    }

    #[test]
    fn any_one_token_opens() {
        assert!(admits(&["one", "two"], &["Bearer two"]));
        assert!(admits(&["one", "two"], &["bearer one"]));
        assert!(admits(&[], &[]));
    }

    #[test]
    fn everything_else_does_not() {
        for headers in [
            &[][..],
            &["Bearer"],
            &["Bearer "],
            &["Bearer on"],
            &["Bearer onee"],
            &["Basic one"],
            &["one"],
            &["Bearer one", "Bearer one"],
        ] {
            assert!(!admits(&["one"], headers), "{headers:?}");
        }
    }
}
