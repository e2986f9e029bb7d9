//! The user and mail clients against fakes on real sockets.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly, and its name is its documentation"
)]

#[path = "../harness/upstream.rs"]
mod upstream;
#[path = "../harness/upstreams.rs"]
mod upstreams;

mod directory;
mod kit;
mod mail;
mod transport;
mod users;
