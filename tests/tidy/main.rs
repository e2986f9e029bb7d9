//! The rules of the house, as tests. `docs/contributing.md` lists them; a rule that is neither here nor a lint is none.
//! The source is read as Rust (with syn), not as text, and the tests in it do not count.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, its helpers included; and syn's enums are not ours"
)]

mod documents;
mod homes;
mod imports;
mod paths;
mod reliability;
mod sizes;
mod source;
mod supply;
mod unfinished;
mod words;

/// Fails with all of `complaints`, one a line.
#[track_caller]
fn none(rule: &str, complaints: impl IntoIterator<Item = String>) {
    let complaints: Vec<String> = complaints.into_iter().collect();
    assert!(complaints.is_empty(), "{rule}:\n  {}", complaints.join("\n  "));
}
