//! The alphabet of ids: Crockford's base32 in lower case. It is URL-safe, has no look-alikes, and five bits a
//! letter keep an id with 128 random bits short.

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789abcdefghjkmnpqrstvwxyz");
    #[expect(
        clippy::expect_used,
        reason = "cannot fail: 32 distinct ASCII symbols, checked by the tests below"
    )]
    specification.encoding().expect("a base32 alphabet")
});

/// `bytes` in base32, without padding: 16 bytes give 26 letters, 10 bytes give 16.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    BASE32.encode(bytes)
}

/// The `N` bytes that `text` was made of; nothing for any other text, a second spelling of the same bytes included.
#[must_use]
pub fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE32.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_round_trip_and_have_one_spelling() {
        let bytes: [u8; 16] = std::array::from_fn(|at| u8::try_from(at * 17).unwrap());
        let text = encode(&bytes);
        assert_eq!(text.len(), 26);
        assert_eq!(decode::<16>(&text), Some(bytes));
        assert_eq!(decode::<16>(&text.to_uppercase()), None);
        assert_eq!(decode::<16>(&format!("{}z", &text[..25])), None, "stray bits in the last letter");
        assert_eq!(decode::<16>(&text[..25]), None);
    }
}
