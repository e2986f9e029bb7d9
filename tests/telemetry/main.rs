//! What the service tells about itself: log lines, trace context, exported spans and metrics.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly, and its name is its documentation"
)]

#[path = "../harness/otlp.rs"]
mod otlp;
#[path = "../harness/upstream.rs"]
mod upstream;
#[path = "../harness/upstreams.rs"]
mod upstreams;

mod export;
mod kit;
mod log;
mod trace_context;
mod whole;
