//! How often one client may ask in a minute, in this process. A flood brake, not an account of guesses: a restart
//! forgets it, and past [`MOST_CLIENTS`] clients at once newcomers go uncounted rather than unserved.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::Problem;
use crate::base::{Timestamp, World};

/// The clients that are remembered at once: some 10 MB.
const MOST_CLIENTS: usize = 100_000;

const WINDOW: Duration = Duration::from_mins(1);

/// How long to wait at least before looking through all clients again for windows that are over.
const BETWEEN_PRUNES: Duration = Duration::from_secs(1);

/// The first N requests of a client's minute pass at once, the rest not. The minute starts with a request.
pub struct RateLimit {
    world: World,
    per_minute: u64,
    clients: Mutex<Clients>,
}

struct Clients {
    windows: HashMap<IpAddr, Window>,
    pruned_at: Timestamp,
}

struct Window {
    start: Timestamp,
    passed: u64,
}

impl RateLimit {
    /// `per_minute` requests a minute; 0 is no limit.
    #[must_use]
    pub fn new(world: World, per_minute: u64) -> Self {
        let clients = Clients { windows: HashMap::new(), pruned_at: Timestamp::from_ms(0) };
        Self { world, per_minute, clients: Mutex::new(clients) }
    }

    /// Counts a request of `client`. Too many: 429 `rate_limited`, with the seconds until the next one passes.
    pub fn check(&self, client: IpAddr) -> Result<(), Problem> {
        if self.per_minute == 0 {
            return Ok(());
        }
        let now = self.world.now();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(window) = clients.window(holder(client), now) else { return Ok(()) };
        if window.passed < self.per_minute {
            window.passed += 1;
            return Ok(());
        }
        let left = window.start.after(WINDOW).since(now);
        Err(Problem::rate_limited(left))
    }
}

impl Clients {
    /// The running window of `client`, started now where there is none; nothing where there is no room for it.
    fn window(&mut self, client: IpAddr, now: Timestamp) -> Option<&mut Window> {
        if self.windows.len() >= MOST_CLIENTS && !self.windows.contains_key(&client) {
            if is_within(self.pruned_at, BETWEEN_PRUNES, now) {
                return None;
            }
            self.pruned_at = now;
            self.windows.retain(|_, window| is_within(window.start, WINDOW, now));
            if self.windows.len() >= MOST_CLIENTS {
                return None;
            }
        }
        let window = self.windows.entry(client).or_insert(Window { start: now, passed: 0 });
        if !is_within(window.start, WINDOW, now) {
            *window = Window { start: now, passed: 0 };
        }
        Some(window)
    }
}

/// Also false where the clock went back behind `start`: nobody is locked out by a clock that was wrong.
fn is_within(start: Timestamp, length: Duration, now: Timestamp) -> bool {
    start <= now && now < start.after(length)
}

/// Who is counted: one IPv4 address, or the /64 that one IPv6 subscriber has.
fn holder(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use axum::{
        http::{StatusCode, header::RETRY_AFTER},
        response::IntoResponse,
    };

    use super::*;
    use crate::base::{Clock, SystemRandomness};

    #[derive(Clone)]
    struct Hands(Arc<AtomicU64>);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_ms(self.0.load(Ordering::Relaxed))
        }
    }

    fn limit(per_minute: u64) -> (RateLimit, Arc<AtomicU64>) {
        let hands = Arc::new(AtomicU64::new(1_000_000));
        (RateLimit::new(World::new(Hands(hands.clone()), SystemRandomness), per_minute), hands)
    }

    fn retry_after(limit: &RateLimit, client: &str) -> Option<u64> {
        let problem = limit.check(client.parse().unwrap()).err()?;
        assert_eq!(problem.status(), StatusCode::TOO_MANY_REQUESTS);
        Some(problem.into_response().headers()[RETRY_AFTER].to_str().unwrap().parse().unwrap())
    }

    #[test]
    fn the_first_of_a_minute_pass_and_the_rest_learn_when_to_come_back() {
        let (limit, hands) = limit(3);
        for _ in 0..3 {
            assert_eq!(retry_after(&limit, "198.51.100.1"), None);
        }
        assert_eq!(retry_after(&limit, "198.51.100.1"), Some(60));
        assert_eq!(retry_after(&limit, "198.51.100.2"), None);
        hands.fetch_add(59_999, Ordering::Relaxed);
        assert_eq!(retry_after(&limit, "::ffff:198.51.100.1"), Some(1));
        hands.fetch_add(1, Ordering::Relaxed);
        assert_eq!(retry_after(&limit, "198.51.100.1"), None);
    }

    #[test]
    fn a_clock_that_goes_back_locks_nobody_out() {
        let (limit, hands) = limit(1);
        assert_eq!(retry_after(&limit, "198.51.100.1"), None);
        hands.store(1, Ordering::Relaxed);
        assert_eq!(retry_after(&limit, "198.51.100.1"), None);
        assert_eq!(retry_after(&limit, "198.51.100.1"), Some(60));
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_client() {
        let (limit, _) = limit(1);
        assert_eq!(retry_after(&limit, "2001:db8:1:2::1"), None);
        assert_eq!(retry_after(&limit, "2001:db8:1:2:ffff::9"), Some(60));
        assert_eq!(retry_after(&limit, "2001:db8:1:3::1"), None);
    }

    #[test]
    fn zero_is_off() {
        let (limit, _) = limit(0);
        assert!((0..1000).all(|_| retry_after(&limit, "198.51.100.1").is_none()));
    }

    #[test]
    fn memory_is_bounded_and_old_clients_make_room() {
        let (limit, hands) = limit(1);
        let client = |n: u32| IpAddr::V4(n.into());
        let count = || limit.clients.lock().unwrap().windows.len();
        for n in 0..u32::try_from(MOST_CLIENTS).unwrap() + 10 {
            assert!(limit.check(client(n)).is_ok());
        }
        assert_eq!(count(), MOST_CLIENTS);
        assert!(limit.check(client(0)).is_err(), "whoever was counted stays counted");
        hands.fetch_add(60_000, Ordering::Relaxed);
        assert!(limit.check(client(u32::MAX)).is_ok());
        assert_eq!(count(), 1);
    }
}
