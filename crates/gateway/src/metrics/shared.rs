//! Work that is done once for all who ask for it while it is being done.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// Keeps the last result for those who were waiting when its making began.
///
/// However many ask at the same moment, one makes it for the first and one more for all others: nobody is given what was
/// true only before they asked.
pub(super) struct Shared<T> {
    /// How many makings have begun.
    begun: AtomicU64,
    /// The number of the last one that ended, and its result.
    last: Mutex<(u64, T)>,
}

impl<T: Clone + Default> Default for Shared<T> {
    fn default() -> Self {
        Self {
            begun: AtomicU64::new(0),
            last: Mutex::new((0, T::default())),
        }
    }
}

impl<T: Clone> Shared<T> {
    /// What a making gave that began after this call; this call makes it if nobody else does.
    pub(super) async fn get(&self, make: impl AsyncFnOnce() -> T) -> T {
        let asked = self.begun.load(Ordering::Acquire);
        let mut last = self.last.lock().await;
        if last.0 <= asked {
            // A making that is dropped on its way leaves its number unused; that number is never told to have ended.
            let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
            *last = (number, make().await);
        }
        last.1.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::future::join_all;
    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn a_thousand_who_ask_together_cost_two() {
        let (shared, made) = (Shared::default(), Cell::new(0));
        let ask = || {
            shared.get(async || {
                made.set(made.get() + 1);
                yield_now().await;
                made.get()
            })
        };
        let answers = join_all((0..1000).map(|_| ask())).await;
        assert_eq!(made.get(), 2);
        assert_eq!(answers[0], 1);
        assert!(answers[1..].iter().all(|answer| *answer == 2));
        assert_eq!(ask().await, 3, "whoever asks later gets what is true later");
    }

    #[tokio::test]
    async fn a_caller_who_leaves_holds_up_nobody() {
        let shared: Shared<u32> = Shared::default();
        {
            let leaves = shared.get(async || std::future::pending().await);
            futures::pin_mut!(leaves);
            assert!(futures::poll!(&mut leaves).is_pending());
        }
        assert_eq!(shared.get(async || 7).await, 7);
    }
}
