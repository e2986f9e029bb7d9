//! Stored records: one byte that says which form it is, then the fields in postcard's compact encoding.

use serde::{Serialize, de::DeserializeOwned};

use super::Item;
use crate::base::Unavailable;

/// As many bytes hold most records.
const USUAL: usize = 160;

/// A value that is stored.
pub trait Record: Serialize + DeserializeOwned {
    /// The form that this release writes. A release that changes the fields takes the next number, and goes on
    /// reading the one before.
    const VERSION: u8;

    /// The bytes to store.
    #[must_use]
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(USUAL);
        bytes.push(Self::VERSION);
        // Cannot fail: our records are plain structs and enums, and a vector grows as needed.
        postcard::to_extend(self, bytes).unwrap_or_default()
    }

    /// The record that `bytes`, found at `item`, hold. Damaged bytes, or those of a later release, cannot be used:
    /// the error names the item for the log.
    fn decode(item: &Item, bytes: &[u8]) -> Result<Self, Unavailable> {
        Self::decode_bytes(bytes).ok_or_else(|| {
            let name: String = item.name.escape_ascii().to_string();
            let collection = &item.collection;
            let cause = format!("unreadable record at {} {} {name}", collection.shard.tag(), collection.name);
            Unavailable::new("store", cause)
        })
    }

    /// As [`Self::decode`], for bytes that have no address.
    #[must_use]
    fn decode_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, fields) = bytes.split_first()?;
        let (record, rest) = postcard::take_from_bytes(fields).ok()?;
        (*version == Self::VERSION && rest.is_empty()).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Collection, Shard};
    use serde::Deserialize;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Sample(u64, Option<String>);

    impl Record for Sample {
        const VERSION: u8 = 3;
    }

    #[test]
    fn damaged_and_later_records_are_errors_that_name_the_item() {
        let item = Collection::new(Shard::from_index(0).unwrap(), "c:x").item(*b"n\x01");
        let bytes = Sample(7, Some("text".into())).encode();
        assert_eq!(Sample::decode(&item, &bytes).unwrap(), Sample(7, Some("text".into())));
        let mut later = bytes.clone();
        later[0] = 4;
        let mut longer = bytes.clone();
        longer.push(0);
        for wrong in [&bytes[..bytes.len() - 1], &later, &longer, &[], &[3]] {
            let error = Sample::decode(&item, wrong).unwrap_err();
            assert_eq!(error.source.to_string(), r"unreadable record at 1bz c:x n\x01");
        }
    }
}
