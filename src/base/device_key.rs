//! A device's Ed25519 public key, checked once at the door.

use std::fmt;

use base64::{Engine as _, display::Base64Display, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};

/// A usable Ed25519 public key (RFC 8032 section 5.1.5): on the curve, canonically encoded, and not of small order.
/// A key of small order would make any signature verify.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DeviceKey([u8; 32]);

impl DeviceKey {
    /// From standard base64 (RFC 4648 section 4, padded) of 32 bytes.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 32] = STANDARD.decode(text).ok()?.try_into().ok()?;
        let key = VerifyingKey::from_bytes(&bytes).ok()?;
        (is_canonical(&bytes) && !key.is_weak()).then_some(Self(bytes))
    }

    /// A key that was parsed before and stored since.
    #[must_use]
    pub const fn from_stored(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `signature` (standard base64 of 64 bytes) is this key's over `message`, verified strictly: canonical
    /// scalars and points only, so that nobody can make a second signature out of a first.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &str) -> bool {
        let Some(signature) =
            STANDARD.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok())
        else {
            return false;
        };
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

/// Whether no other bytes mean the same point: y lies below the prime 2^255 - 19. (The other way to write a point twice is
/// the sign of an x that is 0. Both points that have such an x are weak.) To encode the point anew and compare would take
/// as long as all else about a key.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    // Little-endian; the highest bit is the sign of x.
    let [lowest, middle @ .., highest] = bytes;
    *lowest < 0xed || middle.iter().any(|byte| *byte != 0xff) || highest & 0x7f != 0x7f
}

/// Standard base64, padded: the form of the contract.
impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::new(&self.0, &STANDARD).fmt(f)
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[device key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer, SigningKey};

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    }

    /// The eight points of small order, and the other encodings of them that decoders let through.
    const WEAK: [&str; 14] = [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    ];

    #[test]
    fn keys_of_small_order_are_refused_in_every_encoding() {
        for weak in WEAK {
            assert!(DeviceKey::parse(&STANDARD.encode(hex(weak))).is_none(), "{weak}");
        }
    }

    #[test]
    fn a_coordinate_at_or_above_the_prime_is_refused_though_it_lies_on_the_curve() {
        // y = p + 3 .. p + 18 are the encodings that mean the same as y = 3 .. 18.
        for low in 0xf0..=0xff_u8 {
            let mut bytes = [0xff; 32];
            bytes[0] = low;
            bytes[31] = 0x7f;
            assert!(DeviceKey::parse(&STANDARD.encode(bytes)).is_none(), "{low:x}");
        }
    }

    #[test]
    fn only_padded_standard_base64_of_32_bytes_is_a_key() {
        let key = STANDARD.encode(SigningKey::from_bytes(&[7; 32]).verifying_key().as_bytes());
        assert_eq!(DeviceKey::parse(&key).unwrap().to_string(), key);
        for wrong in
            [&key[..43], &format!("{key}\n"), &key.replace('=', ""), "", "AAAA", &STANDARD.encode([7; 33])]
        {
            assert!(DeviceKey::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_signature_counts_for_its_message_and_key_only() {
        let signer = SigningKey::from_bytes(&[7; 32]);
        let key = DeviceKey::parse(&STANDARD.encode(signer.verifying_key().as_bytes())).unwrap();
        let signature = STANDARD.encode(signer.sign(b"message").to_bytes());
        assert!(key.verifies(b"message", &signature));
        assert!(!key.verifies(b"another", &signature));
        assert!(!key.verifies(b"message", &signature[..84]));
        assert!(!key.verifies(b"message", &STANDARD.encode([0; 64])));
    }
}
