//! The user and mail clients against fakes on real sockets.
#![allow(missing_docs, reason = "tests are sentences")]

#[path = "../harness/upstream.rs"]
mod upstream;
#[path = "../harness/upstreams.rs"]
mod upstreams;

mod directory;
mod kit;
mod mail;
mod transport;
mod users;
