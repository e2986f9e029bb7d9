//! E-mail addresses in their normal form.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use email_address::{EmailAddress, Options};

/// An e-mail address: trimmed, at most 254 bytes, of the shape of RFC 5321 section 4.1.2 (ASCII), lower-cased as a
/// whole. Does not print itself, since it is personal data.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(String);

impl Email {
    /// The longest address that fits into an RFC 5321 path.
    pub const MAX_BYTES: usize = 254;

    /// The normal form of `text`, or nothing where it is no address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let plain = text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_control());
        let options = Options::default().without_display_text().with_domain_literal();
        if !plain || text.len() > Self::MAX_BYTES {
            return None;
        }
        let address = EmailAddress::parse_with_options(text, options).ok()?;
        is_rfc5321_domain(address.domain()).then(|| Self(text.to_ascii_lowercase()))
    }

    /// The normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Letters, digits and hyphens between the dots, or an address literal. The parser above is wider: it takes what RFC
/// 5322 allows in a header.
fn is_rfc5321_domain(domain: &str) -> bool {
    match domain.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(literal) => match literal.split_at_checked("IPv6:".len()) {
            Some((tag, v6)) if tag.eq_ignore_ascii_case("IPv6:") => v6.parse::<Ipv6Addr>().is_ok(),
            _ => literal.parse::<Ipv4Addr>().is_ok(),
        },
        None => domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')),
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[email]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_form_is_trimmed_and_lower_case() {
        let email = Email::parse("  Pilot+Tag@EXAMPLE.com\n").unwrap();
        assert_eq!(email.as_str(), "pilot+tag@example.com");
    }

    /// A stored challenge holds the normal form, which is read again on confirm.
    #[test]
    fn a_normal_form_is_its_own() {
        for text in ["Pilot@Example.com", "a@[IPv6:2001:DB8::1]", "\"A b\"@example.com", "a@[192.0.2.1]"] {
            let email = Email::parse(text).unwrap();
            assert_eq!(Email::parse(email.as_str()), Some(email), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long_local = format!("{}@example.com", "a".repeat(65));
        let long = format!("{}@{}.com", "a".repeat(64), "b.".repeat(95));
        for text in [
            "",
            " ",
            "pilot",
            "@example.com",
            "pilot@",
            "a@b@c",
            "a b@example.com",
            "a..b@example.com",
            ".a@example.com",
            "a.@example.com",
            "a@-example.com",
            "a@example-.com",
            "a@exa_mple.com",
            "a@.com",
            "a@example..com",
            "a@example.com.",
            "Pilot <a@example.com>",
            "a@exam\u{0}ple.com",
            "ä@example.com",
            "a@bücher.example",
            "\"a\nb\"@example.com",
            "a@[not-an-address]",
            &long_local,
            &long,
        ] {
            assert!(Email::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn unusual_but_right_addresses_are_taken() {
        for text in
            ["user@localhost", "\"a b\"@example.com", "o'neil@example.com", "a@[192.0.2.1]", "1@2.example"]
        {
            assert!(Email::parse(text).is_some(), "{text:?}");
        }
        assert!(Email::parse(&format!("{}@{}.com", "a".repeat(64), "b".repeat(63))).is_some());
    }
}
