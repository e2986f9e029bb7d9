//! Mutations of kept inputs, as a proptest strategy, so that what fails is made smaller before it is shown.

use std::fmt;

use proptest::{collection::vec, prelude::*, sample::Index};

/// An input. Shown escaped, as it would be written into a corpus file.
#[derive(Clone)]
pub(crate) struct Input(pub(crate) Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// What parsers like least.
const WORDS: [&[u8]; 24] = [
    b"\0",
    b"\xff",
    b"\xc3\x28",
    b"\n",
    b"\r\n\r\n",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"{}",
    b"[]",
    b"{\"a\":",
    b"1e999",
    b"-1",
    b"18446744073709551616",
    b"%00",
    b"%ff",
    b"%2f",
    b"../",
    b"=",
    b",",
    b"\xf0\x9f\x94\x91",
    b"'\"@",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\x01",
];

#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Word(Index, usize),
    Remove(Index, usize),
    Repeat(Index, usize, usize),
    CutOff(Index),
    /// The end of another input.
    Graft(Index, Index),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (at(), vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (at(), 0..WORDS.len()).prop_map(|(at, word)| Change::Word(at, word)),
        (at(), 1..32_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (at(), 1..16_usize, 1..200_usize).prop_map(|(at, length, times)| Change::Repeat(at, length, times)),
        at().prop_map(Change::CutOff),
        (at(), at()).prop_map(|(at, other)| Change::Graft(at, other)),
    ]
}

impl Change {
    fn apply(&self, data: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let place = |at: &Index, data: &[u8]| at.index(data.len() + 1);
        match self {
            Self::Set(at, byte) if !data.is_empty() => *at.get_mut(data) = *byte,
            Self::Flip(at, bit) if !data.is_empty() => *at.get_mut(data) ^= 1 << bit,
            Self::Set(..) | Self::Flip(..) => {}
            Self::Insert(at, bytes) => insert(data, place(at, data), bytes),
            Self::Word(at, word) => insert(data, place(at, data), WORDS[*word]),
            Self::Remove(at, length) => {
                let start = place(at, data);
                data.drain(start..(start + length).min(data.len()));
            }
            Self::Repeat(at, length, times) => {
                let start = place(at, data);
                let piece = data[start..(start + length).min(data.len())].repeat(*times);
                insert(data, start, &piece);
            }
            Self::CutOff(at) => data.truncate(place(at, data)),
            Self::Graft(at, other) => {
                let other = other.get(seeds);
                data.truncate(place(at, data));
                data.extend_from_slice(&other[place(at, other)..]);
            }
        }
    }
}

fn insert(data: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    data.splice(at..at, bytes.iter().copied());
}

/// Up to eight changes of one of `seeds`.
pub(crate) fn mutations_of(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Input> {
    (any::<Index>(), vec(change(), 1..8)).prop_map(move |(seed, changes)| {
        let mut data = seed.get(&seeds).clone();
        for change in changes {
            change.apply(&mut data, &seeds);
        }
        Input(data)
    })
}
