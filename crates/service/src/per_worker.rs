//! A value for each worker thread, for what every poll writes to.
//!
//! Cores that write to one place wait for each other. Here each thread writes to a place of its own, and whoever wants
//! the sum reads them all.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local!(static WORKER: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed)));

/// Places that threads share only when there are more threads than places.
pub struct PerWorker<T>(Box<[Place<T>]>);

/// On cache lines of its own, so that no other core's writing slows it.
#[derive(Default)]
#[repr(align(128))]
struct Place<T>(T);

impl<T: Default> PerWorker<T> {
    /// So many places, and one at least.
    pub fn new(workers: usize) -> Self {
        Self((0..workers.max(1)).map(|_| Place::default()).collect())
    }
}

impl<T> PerWorker<T> {
    /// The calling thread's own.
    pub fn own(&self) -> &T {
        &self.0[WORKER.get() % self.0.len()].0
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|place| &place.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn threads_have_places_of_their_own_as_far_as_there_are_some() {
        let places = PerWorker::<u8>::new(1000);
        let own = || std::ptr::from_ref(places.own()).addr();
        let here = own();
        assert_eq!(here, own(), "a thread keeps its place");
        let there: HashSet<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(own)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(there.len(), 8);
        assert!(!there.contains(&here));
        assert_eq!(PerWorker::<u8>::new(0).iter().count(), 1);
    }
}
