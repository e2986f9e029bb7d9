//! How long deliveries take, so that an answer without one takes as long.
//!
//! A blocked address gets no mail, nor does one whose delivery the mail service suppresses; yet their sends must not be
//! told from others by the clock: they take as long as some recent delivery took, drawn at random.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::ticks::Ticks;
use crate::base::World;

/// As many recent deliveries are remembered.
const REMEMBERED: usize = 64;

/// Recent delivery times, of this process.
pub(super) struct Pace {
    /// What a delivery is taken to last while none was seen; nothing for stub mail, where whoever reads the log knows
    /// all there is to know.
    assumed: Duration,
    recent: Mutex<Vec<Duration>>,
    ticks: Ticks,
}

impl Pace {
    /// Takes deliveries to last as long as `assumed` until it has seen one.
    pub(super) fn new(assumed: Duration) -> Self {
        Self { assumed, recent: Mutex::default(), ticks: Ticks::default() }
    }

    /// Remembers a delivery that has just succeeded. Returns at the next tick: those that only wait are woken by it, always
    /// a little late and on a busy machine by milliseconds, and would be known by that.
    pub(super) async fn set(&self, started: Instant) {
        let took = started.elapsed();
        self.record(took);
        if !self.assumed.is_zero() {
            self.ticks.after(started + took).await;
        }
    }

    /// Returns at the tick after a delivery that began at `started` might have been over: it takes as long as a recent one.
    pub(super) async fn keep(&self, started: Instant, world: &World) {
        self.ticks.after(started + self.pick(world)).await;
    }

    fn record(&self, took: Duration) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() >= REMEMBERED {
            recent.remove(0);
        }
        recent.push(took);
    }

    fn pick(&self, world: &World) -> Duration {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = usize::try_from(world.below(recent.len().max(1) as u64)).unwrap_or_default();
        recent.get(at).copied().unwrap_or(self.assumed)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn it_takes_as_long_as_a_recent_delivery_did() {
        let (pace, world) = (Pace::new(Duration::from_millis(7)), World::system());
        assert_eq!(pace.pick(&world), Duration::from_millis(7));
        pace.record(Duration::from_millis(150));
        let first: Vec<u128> = (0..200).map(|_| pace.pick(&world).as_millis()).collect();
        assert!(first.iter().all(|ms| *ms == 150), "one delivery seen replaces what was assumed");
        for ms in 0..100 {
            pace.record(Duration::from_millis(ms));
        }
        let drawn: Vec<u128> = (0..2000).map(|_| pace.pick(&world).as_millis()).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&36), Some(&99)));
    }

    #[tokio::test]
    async fn a_delivery_that_is_over_still_waits_for_a_tick_but_for_stub_mail() {
        let pace = Pace::new(Duration::from_millis(7));
        // A tick may come just then, but not each time.
        let waits = (0..50).filter(|_| pace.set(Instant::now()).now_or_never().is_none()).count();
        assert!(waits > 0, "whoever only waits is woken by it, too");
        assert!(Pace::new(Duration::ZERO).set(Instant::now()).now_or_never().is_some());
    }
}
