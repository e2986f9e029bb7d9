//! How many requests are worked on at once: one number, counted up and down.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Room for so many at once. Whoever finds none is told at once: a queue would only make everybody wait.
pub(super) struct Capacity {
    most: usize,
    taken: AtomicUsize,
}

/// A place. Dropped, it is free again.
pub(super) struct Place(Arc<Capacity>);

impl Capacity {
    pub(super) fn of(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0) })
    }

    /// A place, where one is free.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        // Made in either case: dropping it is what counts down again.
        let place = Place(self.clone());
        (before < self.most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_than_there_is_room_for_is_turned_away_and_takes_no_place() {
        let capacity = Capacity::of(2);
        let (one, _two) = (capacity.enter().unwrap(), capacity.enter().unwrap());
        assert!((0..10).all(|_| capacity.enter().is_none()));
        drop(one);
        let three = capacity.enter();
        assert!(three.is_some() && capacity.enter().is_none());
    }
}
