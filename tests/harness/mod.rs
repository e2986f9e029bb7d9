//! What black-box tests stand on: the whole service on free ports, a clock that the test sets, real stores, fake
//! upstreams on real sockets, and the people who use the service as types. Start with [`App::start`].

#![allow(dead_code, unused_imports, unreachable_pub, reason = "other test binaries use other parts of it")]

pub mod actors;
pub mod answer;
pub mod app;
pub mod certificates;
pub mod clock;
pub mod contract;
pub mod crowd;
pub mod feed;
pub mod gateway;
pub mod otlp;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod upstream;
pub mod upstreams;

pub use actors::{Device, Operator, Visitor};
pub use answer::{Answer, Listener, Wire};
pub use app::{App, Setup, Store};
pub use feed::Feed;
pub use gateway::Gateway;

use std::time::{Duration, Instant};

/// Longer than anything that a test waits for may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks `look` again and again until it has something to show.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
