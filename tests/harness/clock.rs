//! A clock that stands still until a test moves it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use authsession::base::{Clock, Timestamp};

/// Noon of a day in November 2026, and 120 ms so that fractions of a second show.
const NOON: u64 = 1_795_348_800_120;

/// Tells the time that it was last given. Clones show the same time.
#[derive(Clone)]
pub struct FakeClock(Arc<AtomicU64>);

impl FakeClock {
    /// Shows [`NOON`].
    pub fn new() -> Self {
        Self(Arc::new(AtomicU64::new(NOON)))
    }

    /// Moves on.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Moves on by whole seconds.
    pub fn advance_s(&self, seconds: u64) {
        self.advance(Duration::from_secs(seconds));
    }

    /// What it shows, in milliseconds since the epoch.
    pub fn ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// What it shows, as the contract writes times.
    pub fn rfc3339(&self) -> String {
        Timestamp::from_ms(self.ms()).to_string()
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.ms())
    }
}
