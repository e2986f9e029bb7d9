//! The moments at which answers end: four in a millisecond, the same for all who wait. The runtime's own timer knows
//! whole milliseconds only, which is more than a send takes. Start with [`Ticks::after`].

use std::{
    os::fd::OwnedFd,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use rustix::{
    io::{self, read},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Instant, sleep_until},
};

/// From one tick to the next.
const TICK: Duration = Duration::from_micros(250);

/// What is further away than this is slept away with the runtime's timer first: it wakes nobody in between, but may be
/// late by a millisecond or two.
const NEAR: Duration = Duration::from_millis(3);

/// Ticks of one clock, which stands still while nobody waits.
pub(super) struct Ticks {
    /// The first.
    epoch: Instant,
    timer: OnceLock<io::Result<Timer>>,
}

/// The kernel's timer, running as long as anybody waits for it.
struct Timer {
    fd: AsyncFd<OwnedFd>,
    waiting: Mutex<usize>,
}

/// Somebody waits. Dropped, he does no more.
struct Waiting<'a>(&'a Timer);

impl Ticks {
    pub(super) fn new() -> Self {
        Self { epoch: Instant::now(), timer: OnceLock::new() }
    }

    /// Returns at the first tick after `moment`; at the next one where `moment` has passed.
    pub(super) async fn after(&self, moment: Instant) {
        let tick = self.next_after(moment.max(Instant::now()));
        if tick - Instant::now() > NEAR {
            sleep_until(tick - NEAR).await;
        }
        let waited = match self.timer.get_or_init(Timer::open) {
            Ok(timer) => timer.wait(tick, self.next_after(Instant::now())).await,
            Err(error) => Err(*error),
        };
        if waited.is_err() {
            // A system without such timers, or with none left: the runtime's, then.
            sleep_until(tick).await;
        }
    }

    fn next_after(&self, moment: Instant) -> Instant {
        let ticks = (moment - self.epoch).as_nanos() / TICK.as_nanos() + 1;
        // Good for five centuries of one process.
        self.epoch + Duration::from_nanos((ticks * TICK.as_nanos()).try_into().unwrap_or(u64::MAX))
    }
}

impl Timer {
    fn open() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor leaves to an unsafe block what an owned descriptor sees to: that it stays open"
        )]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE).map_err(|_| io::Errno::IO)?;
        Ok(Self { fd, waiting: Mutex::default() })
    }

    /// Returns at `tick`. Where nobody else waits, the timer starts, with the tick that is `next`.
    async fn wait(&self, tick: Instant, next: Instant) -> io::Result<()> {
        let _waiting = self.enter(next)?;
        while Instant::now() < tick {
            let mut ready = self.fd.readable().await.map_err(|_| io::Errno::IO)?;
            // How many ticks it tells does not matter, the clock does; and somebody else may have heard it first.
            let _ = ready.try_io(|fd| Ok(read(fd, &mut [0; 8])?));
        }
        Ok(())
    }

    fn enter(&self, next: Instant) -> io::Result<Waiting<'_>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if *waiting == 0 {
            // Nothing at all would stop it.
            let left = (next - Instant::now()).max(Duration::from_nanos(1));
            self.set(left, TICK)?;
        }
        *waiting += 1;
        Ok(Waiting(self))
    }

    fn set(&self, first: Duration, every: Duration) -> io::Result<()> {
        let spec = Itimerspec { it_interval: timespec(every), it_value: timespec(first) };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &spec).map(drop)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting -= 1;
        if *waiting == 0 {
            // Where this fails it ticks on, and nobody hears it.
            let _ = self.0.set(Duration::ZERO, Duration::ZERO);
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: time.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_comes_after_its_moment_however_long_the_process_has_been_up() {
        let ticks = Ticks::new();
        for up in [Duration::ZERO, Duration::from_hours(24 * 365 * 20)] {
            for (moment, next) in [(0, 250), (249, 250), (250, 500), (251, 500)] {
                let (moment, next) = (up + Duration::from_micros(moment), up + Duration::from_micros(next));
                assert_eq!(ticks.next_after(ticks.epoch + moment), ticks.epoch + next);
            }
        }
    }

    #[tokio::test]
    async fn all_who_wait_end_at_a_tick_after_their_moment() {
        let ticks = Ticks::new();
        let one = async |after: u64| {
            let moment = Instant::now() + Duration::from_micros(after);
            ticks.after(moment).await;
            assert!(Instant::now() >= ticks.next_after(moment), "{after}");
        };
        for round in 0..50 {
            let waits = (0..8).map(|each| one((round * 8 + each) * 13));
            futures_util::future::join_all(waits).await;
        }
        let Some(Ok(timer)) = ticks.timer.get() else { panic!("this system has such timers") };
        assert_eq!(*timer.waiting.lock().unwrap(), 0, "it stands still when nobody waits");
    }

    #[tokio::test]
    async fn a_system_without_such_timers_waits_all_the_same() {
        let ticks = Ticks { timer: OnceLock::from(Err(io::Errno::NOSYS)), ..Ticks::new() };
        let moment = Instant::now() + Duration::from_millis(2);
        ticks.after(moment).await;
        assert!(Instant::now() >= moment);
    }
}
