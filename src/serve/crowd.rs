//! The open connections of one listener: who is busy, who has been silent for how long, and who has to go where there are
//! too many. So a client that opens connections and does nothing with them takes its own place away, and nobody else's.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Frame, SizeHint};
use tokio::{
    sync::Notify,
    task::{AbortHandle, Id},
    time::Instant,
};

use super::limits::Limits;

/// What the connections of one listener share.
pub(super) struct Room {
    limits: Limits,
    opened: Instant,
    requests: AtomicUsize,
    /// Told when a request was refused because there were too many.
    pub(super) full: Notify,
}

impl Room {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, opened: Instant::now(), requests: AtomicUsize::new(0), full: Notify::new() })
    }

    /// Microseconds since the room was opened.
    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// One connection's signs of life.
pub(super) struct Pulse {
    room: Arc<Room>,
    requests: AtomicUsize,
    asked: AtomicBool,
    moved: AtomicU64,
}

impl Pulse {
    pub(super) fn new(room: &Arc<Room>) -> Arc<Self> {
        let moved = AtomicU64::new(room.now());
        Arc::new(Self {
            room: room.clone(),
            requests: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            moved,
        })
    }

    /// A request begins. False where the listener has too many already.
    pub(super) fn request(self: &Arc<Self>) -> (Visit, bool) {
        self.asked.store(true, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        let welcome = self.room.requests.fetch_add(1, Ordering::Relaxed) < self.room.limits.requests;
        self.beat();
        if !welcome {
            self.room.full.notify_one();
        }
        (Visit(self.clone()), welcome)
    }

    /// Whether the connection may go on.
    pub(super) fn patience(&self) -> Patience {
        let (silence, idle) = (self.silence(), self.room.limits.idle);
        let asked = self.asked.load(Ordering::Relaxed);
        match idle.checked_sub(silence).filter(|left| !left.is_zero()) {
            Some(left) if asked => Patience::Left(left),
            None if asked && self.requests.load(Ordering::Relaxed) == 0 => Patience::Idle,
            Some(_) | None => Patience::Over,
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.room.limits
    }

    /// How long nothing has begun, moved or ended.
    fn silence(&self) -> Duration {
        Duration::from_micros(self.room.now().saturating_sub(self.moved.load(Ordering::Relaxed)))
    }

    fn beat(&self) {
        self.moved.store(self.room.now(), Ordering::Relaxed);
    }
}

/// What is to become of a connection, looked at when its time may be over.
pub(super) enum Patience {
    /// It may go on; to be looked at again after this time.
    Left(Duration),
    /// Nobody asks anything: a word of farewell is in order.
    Idle,
    /// It has never asked, or does not take its answer.
    Over,
}

/// One request, from its head until its answer has been handed over whole or given up.
pub(super) struct Visit(Arc<Pulse>);

impl Visit {
    /// An answer that takes the visit along.
    pub(super) fn answering<B>(self, body: B) -> Answering<B> {
        Answering { body, visit: self }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.room.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.beat();
    }
}

/// The body of an answer. Every piece that the client's connection takes is a sign of life.
pub(super) struct Answering<B> {
    body: B,
    visit: Visit,
}

impl<B: Body + Unpin> Body for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.visit.0.beat();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The connections themselves, as the accept loop knows them.
pub(super) struct Crowd {
    limits: Limits,
    members: HashMap<Id, (AbortHandle, Arc<Pulse>)>,
}

impl Crowd {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, members: HashMap::new() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.members.len() >= self.limits.connections
    }

    pub(super) fn join(&mut self, handle: AbortHandle, pulse: Arc<Pulse>) {
        self.members.insert(handle.id(), (handle, pulse));
    }

    pub(super) fn left(&mut self, id: Id) {
        self.members.remove(&id);
    }

    /// Cuts off those that have been silent longest, a few at a time so that looking for them costs little: first those
    /// without a request, and only where there is none, those whose requests stand still. False where there is nobody.
    pub(super) fn displace_the_silent(&mut self) -> bool {
        let (idle, busy): (Vec<_>, Vec<_>) =
            self.silences(Duration::ZERO).partition(|(_, _, requests)| *requests == 0);
        let mut going = if idle.is_empty() { busy } else { idle };
        going.retain(|(_, silence, requests)| *requests == 0 || *silence >= self.limits.standstill);
        going.sort_unstable_by_key(|(_, silence, _)| std::cmp::Reverse(*silence));
        going.truncate((self.limits.connections / 64).max(1));
        self.cut(going.into_iter().map(|(id, ..)| id))
    }

    /// Cuts off those that hold most requests while these stand still, until a sixteenth of all places is free.
    pub(super) fn displace_the_greedy(&mut self) -> bool {
        let mut going: Vec<_> =
            self.silences(self.limits.standstill).filter(|(_, _, requests)| *requests > 0).collect();
        going.sort_unstable_by_key(|(_, _, requests)| std::cmp::Reverse(*requests));
        let mut wanted = self.limits.requests.div_ceil(16);
        let enough = going.into_iter().take_while(|(_, _, requests)| {
            let take = wanted > 0;
            wanted = wanted.saturating_sub(*requests);
            take
        });
        let ids: Vec<Id> = enough.map(|(id, ..)| id).collect();
        self.cut(ids.into_iter())
    }

    fn silences(&self, least: Duration) -> impl Iterator<Item = (Id, Duration, usize)> {
        self.members
            .iter()
            .map(|(id, (_, pulse))| (*id, pulse.silence(), pulse.requests.load(Ordering::Relaxed)))
            .filter(move |(_, silence, _)| *silence >= least)
    }

    fn cut(&mut self, ids: impl Iterator<Item = Id>) -> bool {
        let mut any = false;
        for (handle, _) in ids.filter_map(|id| self.members.remove(&id)) {
            handle.abort();
            any = true;
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(idle: Duration) -> Arc<Pulse> {
        let limits = Limits { idle, ..Limits::of_system() };
        Pulse::new(&Room::new(limits))
    }

    #[test]
    fn a_connection_may_stay_as_long_as_something_moves_on_it() {
        let hour = Duration::from_hours(1);
        let new = pulse(hour);
        assert!(matches!(new.patience(), Patience::Over), "looked at when its time to begin is over");
        let (visit, welcome) = new.request();
        assert!(welcome && matches!(new.patience(), Patience::Left(left) if left <= hour));
        drop(visit);
        assert!(matches!(new.patience(), Patience::Left(_)));
    }

    #[test]
    fn one_that_is_idle_gets_a_word_and_one_that_takes_no_answer_does_not() {
        let still = pulse(Duration::ZERO);
        let (visit, _) = still.request();
        assert!(matches!(still.patience(), Patience::Over));
        drop(visit);
        assert!(matches!(still.patience(), Patience::Idle));
    }
}
