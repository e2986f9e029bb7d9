//! Codes: drawn, hashed and compared. A code is never stored and never printed.

use subtle::ConstantTimeEq;

use super::model::MailedCode;
use crate::base::{Secret, World};

/// A code that somebody typed, of the right form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Code(Secret);

impl Code {
    /// Decimal digits, `length` of them.
    #[must_use]
    pub fn parse(text: &str, length: u32) -> Option<Self> {
        let right = text.len() == length as usize && text.bytes().all(|byte| byte.is_ascii_digit());
        right.then(|| Self(Secret::new(text)))
    }

    /// A fresh one: every number of `length` digits is equally likely, from all zeros to all nines.
    pub(super) fn draw(world: &World, length: u32) -> Self {
        let number = world.below(10_u64.saturating_pow(length));
        Self(Secret::new(format!("{number:0width$}", width = length as usize)))
    }

    pub(super) fn into_secret(self) -> Secret {
        self.0
    }

    /// What is kept of it: HMAC-SHA-256 under the server's `secret`, salted with the mail it goes out with.
    pub(super) fn mailed(&self, mail: [u8; 16], secret: &Secret) -> MailedCode {
        MailedCode { mail, hash: secret.mac("code", &[&mail, self.0.expose()]) }
    }

    /// Whether it is the one that was mailed, in constant time.
    pub(super) fn matches(&self, mailed: &MailedCode, secret: &Secret) -> bool {
        self.mailed(mailed.mail, secret).hash.ct_eq(&mailed.hash).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_configured_number_of_ascii_digits_is_a_code() {
        assert!(Code::parse("000000", 6).is_some());
        for wrong in ["", "12345", "1234567", "12345a", "１２３４５６", "-12345", "12 345", "+12345"] {
            assert!(Code::parse(wrong, 6).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn drawn_codes_have_the_right_form_and_match_themselves_only() {
        let (world, secret) = (World::system(), Secret::new([1; 32]));
        for length in 6..=10 {
            let code = Code::draw(&world, length);
            let text = String::from_utf8(code.0.expose().to_vec()).unwrap();
            assert_eq!(Code::parse(&text, length), Some(code.clone()));
            let mailed = code.mailed([7; 16], &secret);
            assert!(code.matches(&mailed, &secret));
            assert!(!code.matches(&mailed, &Secret::new([2; 32])));
            assert!(!code.matches(&MailedCode { mail: [8; 16], ..mailed.clone() }, &secret));
            let mut other = text.into_bytes();
            other[0] = if other[0] == b'0' { b'1' } else { b'0' };
            assert!(!Code(Secret::new(other)).matches(&mailed, &secret));
        }
    }
}
