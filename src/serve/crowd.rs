//! The open connections of one listener: who is busy, who has been silent for how long, and who has to go where there are
//! too many. So a client that opens connections and does nothing with them takes its own place away, and nobody else's.

use std::{
    cmp::Reverse,
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
    /// Bodies and answers that wait for the client. What is left of the requests waits for us.
    waiting: AtomicUsize,
    asked: AtomicBool,
    moved: AtomicU64,
}

impl Pulse {
    pub(super) fn new(room: &Arc<Room>) -> Arc<Self> {
        let moved = AtomicU64::new(room.now());
        Arc::new(Self {
            room: room.clone(),
            requests: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
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
    /// The request's body, which the client has yet to send.
    pub(super) fn asking<B: Body>(&self, body: B) -> Asking<B> {
        let awaited = (!body.is_end_stream()).then(|| Wait::new(&self.0));
        Asking { body, awaited }
    }

    /// The answer's body, which the client has yet to take. The visit ends with it.
    pub(super) fn answering<B>(self, body: B) -> Answering<B> {
        Answering { body, _wait: Wait::new(&self.0), visit: self }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.room.requests.fetch_sub(1, Ordering::Relaxed);
        self.0.beat();
    }
}

/// Something that waits for the client.
struct Wait(Arc<Pulse>);

impl Wait {
    fn new(pulse: &Arc<Pulse>) -> Self {
        pulse.waiting.fetch_add(1, Ordering::Relaxed);
        Self(pulse.clone())
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of a request, awaited until its last piece is here. Pieces are no sign of life: its time is limited as a whole.
pub(super) struct Asking<B> {
    body: B,
    awaited: Option<Wait>,
}

impl<B: Body + Unpin> Body for Asking<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) || self.body.is_end_stream() {
            self.awaited = None;
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

/// The body of an answer. Every piece that the client's connection takes is a sign of life.
pub(super) struct Answering<B> {
    body: B,
    _wait: Wait,
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

    /// How many there are, those who were cut off not counted.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn join(&mut self, handle: AbortHandle, pulse: Arc<Pulse>) {
        self.members.insert(handle.id(), (handle, pulse));
    }

    pub(super) fn left(&mut self, id: Id) {
        self.members.remove(&id);
    }

    /// Cuts off those that have been silent longest, a few at a time so that looking for them costs little: first those
    /// without a request, and only where there is none, those that stand still over their own. Never one that waits for
    /// us alone.
    pub(super) fn displace_the_silent(&mut self) {
        let mut going = self.silent(|pulse| pulse.requests.load(Ordering::Relaxed) == 0);
        if going.is_empty() {
            going = self.standing_still();
        }
        going.sort_unstable_by_key(|(_, silence, _)| Reverse(*silence));
        going.truncate((self.limits.connections / 64).max(1));
        self.cut(going);
    }

    /// Cuts off those that make most bodies and answers wait while they stand still, until a sixteenth of all places is
    /// free.
    pub(super) fn displace_the_greedy(&mut self) {
        let mut going = self.standing_still();
        going.sort_unstable_by_key(|(_, _, waiting)| Reverse(*waiting));
        let mut wanted = self.limits.requests.div_ceil(16);
        let enough = going.into_iter().take_while(|(_, _, waiting)| {
            let take = wanted > 0;
            wanted = wanted.saturating_sub(*waiting);
            take
        });
        let enough = enough.collect();
        self.cut(enough);
    }

    fn standing_still(&self) -> Vec<Silent> {
        let mut silent = self.silent(|pulse| pulse.waiting.load(Ordering::Relaxed) > 0);
        silent.retain(|(_, silence, _)| *silence >= self.limits.standstill);
        silent
    }

    fn silent(&self, which: impl Fn(&Pulse) -> bool) -> Vec<Silent> {
        let which = self.members.iter().filter(|(_, (_, pulse))| which(pulse));
        which.map(|(id, (_, pulse))| (*id, pulse.silence(), pulse.waiting.load(Ordering::Relaxed))).collect()
    }

    fn cut(&mut self, going: Vec<Silent>) {
        for (handle, _) in going.into_iter().filter_map(|(id, ..)| self.members.remove(&id)) {
            handle.abort();
        }
    }
}

/// Who, for how long, and how much waits for it.
type Silent = (Id, Duration, usize);

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
