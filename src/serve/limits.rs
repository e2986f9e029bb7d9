//! How much a listener takes on. Everything that a client can make us keep is bounded here, and what is past a bound is
//! refused or displaced, never queued.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long a client may take until its first request's head is here: PROXY header, TLS handshake and all.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection may go on without a request that begins, moves or ends: longer than the minute for which load
/// balancers usually keep theirs, so that it is they who close an idle one.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// How long an HTTP/2 client that was told to go may still take.
const FAREWELL: Duration = Duration::from_secs(5);

/// The most that a request's head may take, in both HTTPs. The largest that anybody sends is a bearer token and some
/// trace state; every connection may make us keep as much.
pub(super) const HEAD_BYTES: u16 = 16 * 1024;

/// An HTTP/2 client that does not answer a ping within this time is gone.
pub(super) const PING_EVERY: Duration = Duration::from_secs(30);

/// Requests at once on one HTTP/2 connection: what RFC 9113 section 6.5.2 recommends at least.
pub(super) const STREAMS: u32 = 100;

/// How much of requests' bodies may be under way at once: a body is 16 KiB at most, and a connection's share is four.
pub(super) const STREAM_WINDOW: u32 = 16 * 1024;
/// See [`STREAM_WINDOW`].
pub(super) const CONNECTION_WINDOW: u32 = 64 * 1024;

/// Requests that a client has taken back before we looked at them (rapid reset, CVE-2023-44487). More, and it is told to
/// go. The library's own bound, said here so that no version changes it silently.
pub(super) const RESET_BEFORE_ACCEPTED: usize = 20;

/// Requests of one connection that we had to reset for errors of the client's (RUSTSEC-2024-0003, CVE-2025-8671). More,
/// and it is told to go. An honest client makes none; the library's own bound is 1024.
pub(super) const RESET_FOR_ERRORS: usize = 64;

/// A connection with a body or an answer that waits for its client is not displaced before it has stood still for so long.
/// Long enough that it is the client who is slow, and not we who are late to look.
const STANDSTILL: Duration = Duration::from_secs(5);

/// Connections of one listener at once.
const MOST_CONNECTIONS: usize = 10_000;

/// Requests of one listener at once, those included whose bodies or answers a client takes its time over.
const MOST_REQUESTS: usize = 8 * 1024;

/// One listener's share of the process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Connections at once. One more displaces the one that has been silent longest.
    pub(super) connections: usize,
    /// Requests at once. One more is answered 503.
    pub(super) requests: usize,
    /// Until the first request's head is here.
    pub(super) head: Duration,
    /// Without a sign of life.
    pub(super) idle: Duration,
    /// Between telling an idle client to go and closing.
    pub(super) farewell: Duration,
    /// From when on a busy connection counts as silent, too.
    pub(super) standstill: Duration,
}

impl Limits {
    /// For one of two listeners, as far as the system lets this process have descriptors: three eighths of them for each,
    /// and a quarter for stores, upstream services and files. The soft limit is raised to the hard one, as it is only
    /// there for programs that cannot count beyond 1024.
    pub(super) fn of_system() -> Self {
        let connections = (descriptors() / 8).saturating_mul(3).clamp(16, MOST_CONNECTIONS);
        Self {
            connections,
            requests: MOST_REQUESTS,
            head: HEAD_TIMEOUT,
            idle: IDLE_TIMEOUT,
            farewell: FAREWELL,
            standstill: STANDSTILL,
        }
    }
}

fn descriptors() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    current.and_then(|number| usize::try_from(number).ok()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_has_its_share_of_the_descriptors_and_never_more_than_the_bound() {
        let limits = Limits::of_system();
        let soft = getrlimit(Resource::Nofile);
        assert_eq!(soft.current, soft.maximum, "raised");
        assert!((16..=MOST_CONNECTIONS).contains(&limits.connections));
        assert!(limits.connections / 3 * 4 <= descriptors() / 2);
    }
}
