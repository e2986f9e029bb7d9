//! Keys that do not print, are wiped when dropped, and compare in constant time.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Secret bytes: a key, a token, a password.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// The bytes themselves, for the one place that must send or store them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// HMAC-SHA-256 (RFC 2104) under this key. The parts are length-prefixed, so that moving a byte from one part
    /// to the next changes the result; `purpose` keeps uses of one key apart.
    #[must_use]
    pub fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        // Cannot fail: HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 32] };
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// In constant time for equal lengths.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "[secret]");
    }

    #[test]
    fn the_mac_keeps_parts_and_purposes_apart() {
        let key = Secret::new("key");
        assert_ne!(key.mac("a", &[b"bc", b"d"]), key.mac("a", &[b"b", b"cd"]));
        assert_ne!(key.mac("a", &[b"b"]), key.mac("b", &[b"b"]));
        assert_ne!(key.mac("a", &[b"b"]), Secret::new("other").mac("a", &[b"b"]));
    }
}
