//! The only source of time and randomness. A use case asks the [`World`] once and hands the values down, so a
//! test that sets the clock decides everything that depends on time, on every engine.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use rand::{
    Rng, SeedableRng, TryRng,
    rngs::{StdRng, SysRng},
};
use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A point in time: milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since the Unix epoch.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// This time and `duration` more; the end of time where that cannot be told.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// This time less `duration`; the epoch where that lies before it.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long from `earlier` until this time; zero where this time comes first.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// RFC 3339, UTC, `Z`, milliseconds only where there are any.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|time| time.format(&Rfc3339).ok())
            .ok_or(fmt::Error)?;
        f.write_str(&text)
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// Fills buffers with bytes that nobody can foresee.
pub trait Randomness: Send + Sync {
    /// Overwrites all of `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the real clock is read")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// The operating system's cryptographic generator.
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    #[expect(
        clippy::panic,
        reason = "without randomness no code may be made; going on would be worse than stopping"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = SysRng.try_fill_bytes(bytes) {
            panic!("the operating system gives no randomness: {error}");
        }
    }
}

/// The clock and the randomness that a service runs on.
#[derive(Clone)]
pub struct World {
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
}

impl World {
    /// The real world.
    #[must_use]
    pub fn system() -> Self {
        Self::new(SystemClock, SystemRandomness)
    }

    /// A world of the caller's making.
    pub fn new(clock: impl Clock + 'static, randomness: impl Randomness + 'static) -> Self {
        Self { clock: Arc::new(clock), randomness: Arc::new(randomness) }
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// `N` fresh random bytes.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.randomness.fill(&mut bytes);
        bytes
    }

    /// A generator with a seed of this world's.
    #[must_use]
    pub fn generator(&self) -> Generator {
        Generator(Arc::new(Mutex::new(StdRng::from_seed(self.random()))))
    }

    /// A whole number from 0 up to but not including `bound`, each equally likely. `bound` is at least 1.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        // Draws at or above the largest multiple of `bound` are thrown away: they would favour small numbers.
        let fair = u64::MAX - u64::MAX % bound.max(1);
        loop {
            let draw = u64::from_le_bytes(self.random());
            if draw < fair {
                return draw % bound.max(1);
            }
        }
    }
}

/// Random bytes that cost no call to the system: for what must be told apart, such as requests, and not for secrets, which
/// whoever reads this process's memory could foresee. Clones share it.
#[derive(Clone)]
pub struct Generator(Arc<Mutex<StdRng>>);

impl Generator {
    /// `N` fresh random bytes.
    #[must_use]
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(Mutex<u64>);

    impl Randomness for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            let mut next = self.0.lock().unwrap();
            bytes.copy_from_slice(&next.to_le_bytes()[..bytes.len()]);
            *next = next.wrapping_add(1);
        }
    }

    #[test]
    fn every_number_below_the_bound_is_drawn_and_none_above() {
        let world = World::new(SystemClock, Counting(Mutex::new(u64::MAX - 2)));
        let drawn: Vec<u64> = (0..1_000_000).map(|_| world.below(1_000_000)).collect();
        assert_eq!(drawn.iter().max(), Some(&999_999));
        assert_eq!(drawn.iter().min(), Some(&0));
    }

    #[test]
    fn times_are_printed_as_rfc3339_with_milliseconds_at_most() {
        assert_eq!(Timestamp::from_ms(1_775_390_400_000).to_string(), "2026-04-05T12:00:00Z");
        assert_eq!(Timestamp::from_ms(1_775_390_400_120).to_string(), "2026-04-05T12:00:00.12Z");
    }
}
