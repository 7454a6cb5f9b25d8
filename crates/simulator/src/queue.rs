//! The devices, by when they act next.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// The devices that sleep, by when they wake up; of two that wake at once the one with the lower number goes first.
/// Each device wakes up once.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(i64, usize)>>,
    /// When each wakes up. An entry of the heap with another time is outdated.
    wakes: HashMap<usize, i64>,
}

impl Queue {
    /// Lets a device wake up at this moment, and not at the one that was given before.
    pub(crate) fn push(&mut self, at: i64, device: usize) {
        self.wakes.insert(device, at);
        self.heap.push(Reverse((at, device)));
    }

    /// The next one that wakes before this moment.
    pub(crate) fn pop_before(&mut self, end: i64) -> Option<(i64, usize)> {
        let at = self.next_at()?;
        if at >= end {
            return None;
        }
        let Reverse((at, device)) = self.heap.pop()?;
        self.wakes.remove(&device);
        Some((at, device))
    }

    /// When the next one wakes.
    pub(crate) fn next_at(&mut self) -> Option<i64> {
        loop {
            let Reverse((at, device)) = *self.heap.peek()?;
            if self.wakes.get(&device) == Some(&at) {
                return Some(at);
            }
            self.heap.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_nobody_before_its_time() {
        let mut queue = Queue::default();
        for (at, device) in [(30, 1), (10, 2), (10, 0), (20, 3)] {
            queue.push(at, device);
        }
        let mut order = vec![];
        while let Some(next) = queue.pop_before(30) {
            order.push(next);
        }
        assert_eq!(order, [(10, 0), (10, 2), (20, 3)]);
        assert_eq!(queue.next_at(), Some(30));
    }

    #[test]
    fn who_is_woken_earlier_wakes_once() {
        let mut queue = Queue::default();
        for (at, device) in [(30, 1), (20, 2), (10, 1), (10, 1)] {
            queue.push(at, device);
        }
        assert_eq!(queue.pop_before(100), Some((10, 1)));
        queue.push(40, 1);
        assert_eq!(queue.pop_before(100), Some((20, 2)));
        assert_eq!(queue.pop_before(100), Some((40, 1)));
        assert_eq!(queue.pop_before(100), None);
    }
}
