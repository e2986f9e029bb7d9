//! The moments at which answers end: four in a millisecond, the same for all who wait. The runtime's own timer knows
//! whole milliseconds only, which is more than a send takes. Start with [`Ticks::after`].
//!
//! Everybody is woken once, at his tick and by the same hand, however long he has waited: on a busy machine whoever is
//! woken more often, or not at all, would be early by milliseconds.

use std::{
    collections::BTreeMap,
    mem,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    sync::{OnceCell, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

/// From one tick to the next.
const TICK: Duration = Duration::from_micros(250);

/// Ticks of one clock.
#[derive(Default)]
pub(super) struct Ticks(OnceCell<Clock>);

struct Clock {
    timer: Arc<Timer>,
    #[expect(dead_code, reason = "ends with the clock")]
    work: AbortOnDropHandle<()>,
}

/// The kernel's timer, set for the next tick that somebody waits for.
struct Timer {
    /// The first tick.
    epoch: Instant,
    fd: AsyncFd<OwnedFd>,
    waiting: Mutex<Waiting>,
}

type Waiting = BTreeMap<Instant, Vec<oneshot::Sender<()>>>;

impl Ticks {
    /// Returns at the first tick after `moment`; at the next one where `moment` has passed.
    pub(super) async fn after(&self, moment: Instant) {
        let clock = self.0.get_or_try_init(async || Clock::start()).await;
        match clock.and_then(|clock| clock.timer.ring_after(moment)) {
            // Fails only where the runtime is being torn down.
            Ok(tick) => drop(tick.await),
            // A system without such timers, or with none left just now: the runtime's, then.
            Err(_) => sleep_until(moment.max(Instant::now())).await,
        }
    }
}

impl Clock {
    /// Must be inside a Tokio runtime.
    fn start() -> io::Result<Self> {
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        #[expect(
            deprecated,
            reason = "its successor leaves to an unsafe block what an owned descriptor sees to: that it stays open"
        )]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE).map_err(|_| io::Errno::IO)?;
        let timer = Arc::new(Timer { epoch: Instant::now(), fd, waiting: Mutex::default() });
        let work = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&timer).run()));
        Ok(Self { timer, work })
    }
}

impl Timer {
    async fn run(self: Arc<Self>) {
        while let Ok(mut ready) = self.fd.readable().await {
            // How often it has rung does not matter, the clock tells who is due.
            let _ = read(self.fd.get_ref(), &mut [0; 8]);
            ready.clear_ready();
            self.wake();
        }
    }

    /// Wakes those whose tick has come.
    fn wake(&self) {
        let mut waiting = self.waiting();
        let later = waiting.split_off(&(Instant::now() + Duration::from_nanos(1)));
        let mut due = mem::replace(&mut *waiting, later);
        if let Some((next, _)) = waiting.first_key_value()
            && self.set(*next).is_err()
        {
            // Rather too early than never.
            due.append(&mut waiting);
        }
        drop(waiting);
        for somebody in due.into_values().flatten() {
            // He may have given up.
            let _ = somebody.send(());
        }
    }

    /// Heard from at the first tick after `moment` and after now.
    fn ring_after(&self, moment: Instant) -> io::Result<oneshot::Receiver<()>> {
        let (somebody, woken) = oneshot::channel();
        let mut waiting = self.waiting();
        let tick = self.tick_after(moment.max(Instant::now()));
        if waiting.first_key_value().is_none_or(|(first, _)| tick < *first) {
            self.set(tick)?;
        }
        waiting.entry(tick).or_default().push(somebody);
        Ok(woken)
    }

    fn tick_after(&self, moment: Instant) -> Instant {
        let ticks = (moment - self.epoch).as_nanos() / TICK.as_nanos() + 1;
        // Good for five centuries of one process.
        self.epoch + Duration::from_nanos((ticks * TICK.as_nanos()).try_into().unwrap_or(u64::MAX))
    }

    fn set(&self, tick: Instant) -> io::Result<()> {
        // Nothing at all would stop it.
        let left = (tick - Instant::now()).max(Duration::from_nanos(1));
        let spec = Itimerspec { it_interval: timespec(Duration::ZERO), it_value: timespec(left) };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &spec).map(drop)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec { tv_sec: time.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: time.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn a_tick_comes_after_its_moment_however_long_the_process_has_been_up() {
        let Clock { timer, .. } = Clock::start().unwrap();
        for up in [Duration::ZERO, Duration::from_hours(24 * 365 * 20)] {
            for (moment, next) in [(0, 250), (249, 250), (250, 500), (251, 500)] {
                let (moment, next) = (up + Duration::from_micros(moment), up + Duration::from_micros(next));
                assert_eq!(timer.tick_after(timer.epoch + moment), timer.epoch + next);
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_who_wait_end_at_a_tick_after_their_moment() {
        let ticks = Ticks::default();
        let one = async |after: u64| {
            let moment = Instant::now() + Duration::from_micros(after);
            ticks.after(moment).await;
            let timer = &ticks.0.get().unwrap().timer;
            assert!(Instant::now() >= timer.tick_after(moment), "{after}");
        };
        for round in 0..50 {
            // The last first, so that the timer is set for each anew.
            join_all((0..8).rev().map(|each| one((round * 8 + each) * 130))).await;
        }
        assert!(ticks.0.get().unwrap().timer.waiting().is_empty(), "nobody is left behind");
    }

    #[tokio::test]
    async fn whoever_gives_up_holds_nobody_up() {
        let ticks = Ticks::default();
        let soon = Instant::now() + Duration::from_millis(1);
        drop(tokio::time::timeout(Duration::from_nanos(1), ticks.after(soon)).await);
        ticks.after(soon + Duration::from_millis(1)).await;
        assert!(ticks.0.get().unwrap().timer.waiting().is_empty());
    }
}
