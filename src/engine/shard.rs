//! Addresses: which shard, which collection, which item.
//!
//! There are 1024 shards, each with a tag of three letters. Ids of challenges, sessions and users start with the tag,
//! so an id alone tells shard and key. Tag *i* was chosen so that Redis Cluster puts it into slot *i*·16 (or the
//! nearest slot that some tag reaches): equal numbers of shards fall on every master, however many there are. The
//! tags are data, frozen in every id ever given out: `shards.txt` never changes.

use std::sync::LazyLock;

const TAGS: &str = include_str!("shards.txt");
const TAG_LENGTH: usize = 3;

static TABLE: LazyLock<Vec<&'static str>> = LazyLock::new(|| TAGS.split_whitespace().collect());
static SORTED: LazyLock<Vec<(&'static str, u16)>> = LazyLock::new(|| {
    let mut sorted: Vec<(&str, u16)> = TABLE.iter().copied().zip(0..).collect();
    sorted.sort_unstable();
    sorted
});

/// One of the 1024 units of atomicity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Shard(u16);

impl Shard {
    /// How many shards there are.
    pub const COUNT: u16 = 1024;

    /// The shard of whatever hashes to `hash`.
    #[must_use]
    pub const fn of(hash: &[u8; 32]) -> Self {
        let [high, low, ..] = *hash;
        Self(u16::from_be_bytes([high, low]) % Self::COUNT)
    }

    /// From a number below [`Self::COUNT`].
    #[must_use]
    pub fn from_index(index: u16) -> Option<Self> {
        (index < Self::COUNT).then_some(Self(index))
    }

    /// The number, 0 to 1023.
    #[must_use]
    pub const fn index(self) -> u16 {
        self.0
    }

    /// Every shard, in order.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// The three letters that stand for this shard in ids and Redis keys.
    #[must_use]
    pub fn tag(self) -> &'static str {
        // The table has an entry for every shard, see the tests below.
        TABLE.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    /// The shard whose tag `id` starts with, and the rest of `id`.
    #[must_use]
    pub fn split(id: &str) -> Option<(Self, &str)> {
        let (tag, rest) = id.split_at_checked(TAG_LENGTH)?;
        let at = SORTED.binary_search_by_key(&tag, |(known, _)| known).ok()?;
        SORTED.get(at).map(|(_, index)| (Self(*index), rest))
    }
}

/// A set of items that are listed, counted and expire together. Its name is unique within its shard, and has no
/// spaces or braces.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Collection {
    /// The shard it lies in.
    pub shard: Shard,
    /// Its name there, such as `a:` and the hash of a user id.
    pub name: String,
}

impl Collection {
    /// The collection `name` of `shard`.
    pub fn new(shard: Shard, name: impl Into<String>) -> Self {
        Self { shard, name: name.into() }
    }

    /// Its item `name`.
    pub fn item(&self, name: impl Into<Vec<u8>>) -> Item {
        Item { collection: self.clone(), name: name.into() }
    }
}

/// One value's address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Item {
    /// The collection it is in.
    pub collection: Collection,
    /// Its name there: a few bytes of any kind, at least one. (The embedded store keeps something of its own under none.)
    pub name: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_lies_in_its_slot_or_the_nearest_that_a_tag_reaches() {
        assert_eq!(TABLE.len(), usize::from(Shard::COUNT));
        for (index, tag) in TABLE.iter().enumerate() {
            let slot = usize::from(crc16::State::<crc16::XMODEM>::calculate(tag.as_bytes()) % 16_384);
            assert!(slot.abs_diff(index * 16) <= 2, "{tag}");
        }
    }

    #[test]
    fn a_tag_leads_back_to_its_shard() {
        for shard in Shard::all() {
            let id = format!("{}rest", shard.tag());
            assert_eq!(Shard::split(&id), Some((shard, "rest")));
        }
        for stranger in ["", "ab", "!!!rest", "äö", "ABCrest"] {
            assert_eq!(Shard::split(stranger), None);
        }
    }

    /// The table is frozen: a changed tag would orphan every id that starts with it.
    #[test]
    fn the_table_is_the_one_that_ids_were_made_with() {
        let sum = crc16::State::<crc16::XMODEM>::calculate(TAGS.as_bytes());
        assert_eq!(sum, 16_584, "shards.txt has changed");
    }
}
