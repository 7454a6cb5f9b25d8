//! Who is to act when: a heap of moments.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The devices that sleep, by when they wake up; of two that wake at once the one with the lower number goes first.
#[derive(Debug, Default)]
pub(crate) struct Queue(BinaryHeap<Reverse<(i64, usize)>>);

impl Queue {
    pub(crate) fn push(&mut self, at: i64, device: usize) {
        self.0.push(Reverse((at, device)));
    }

    /// The next one that wakes before this moment.
    pub(crate) fn pop_before(&mut self, end: i64) -> Option<(i64, usize)> {
        let Reverse((at, _)) = self.0.peek()?;
        if *at >= end {
            return None;
        }
        self.0.pop().map(|Reverse(next)| next)
    }

    /// When the next one wakes.
    pub(crate) fn next_at(&self) -> Option<i64> {
        self.0.peek().map(|Reverse((at, _))| *at)
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
}
