//! What fuzzers call: one plain function for each parser that strangers reach. Each takes any bytes, and panics where
//! the service would break a promise. `tests/fuzz/main.rs` plays the corpus and mutations of it on every run of the
//! tests; `tests/fuzz/cargo` lets libFuzzer loose on the same functions.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a fuzzer finds panics, and a fuzz binary uses one of the targets"
)]

mod memory;
mod records;
mod requests;
mod service;
mod values;

pub use records::{sound_records, stored_records};
pub use requests::requests;
pub use values::{device_key, email, ids, settings};

/// Takes any bytes; panics where a promise is broken.
pub type Target = fn(&[u8]);

/// Every target under the name of its corpus.
pub const ALL: [(&str, Target); 6] = [
    ("device_key", device_key),
    ("email", email),
    ("ids", ids),
    ("requests", requests),
    ("settings", settings),
    ("stored_records", stored_records),
];
