//! The user and mail clients against fakes on real sockets.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails loudly")]

#[path = "../harness/upstream.rs"]
mod upstream;
#[path = "../harness/upstreams.rs"]
mod upstreams;
