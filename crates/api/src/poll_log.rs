//! Which polls are logged.

use std::cell::Cell;

/// Logs one poll of so many, on each thread; a fleet's polls are counted anyway, and would fill a disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct PollLog {
    every: u32,
}

impl PollLog {
    /// One of `every` polls; 0 for none.
    pub fn one_in(every: u32) -> Self {
        Self { every }
    }

    /// Whether this poll is to be logged. No two threads share the count.
    pub(crate) fn takes(self) -> bool {
        thread_local!(static SINCE: Cell<u32> = const { Cell::new(0) });
        if self.every == 0 {
            return false;
        }
        let since = SINCE.get() + 1;
        let takes = since >= self.every;
        SINCE.set(if takes { 0 } else { since });
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_so_many_polls_is_logged() {
        // A thread of its own has a count of its own.
        let taken = |every: u32| {
            let count = move || (0..12).filter(|_| PollLog::one_in(every).takes()).count();
            std::thread::spawn(count).join().unwrap()
        };
        assert_eq!([0, 1, 3, 12, 13].map(taken), [0, 12, 4, 1, 0]);
    }
}
