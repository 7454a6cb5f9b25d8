//! Telling a connection, or a request that a proxy passes on, that it is to come to its end.
//!
//! Whoever is told looks at one number each time that it is woken anyhow. Waiting for each of the reasons to end instead
//! would have every poll look at two timers and two channels.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use futures::task::AtomicWaker;

/// What somebody is told. A later one outdoes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    /// Nothing.
    GoOn = 0,
    /// To finish the requests under way and take no more.
    Finish = 1,
    /// To end at once.
    End = 2,
}

/// Where the order is left for the one whom it concerns.
#[derive(Default)]
pub(super) struct Ending {
    order: AtomicU8,
    waker: AtomicWaker,
}

impl Ending {
    /// Leaves an order, and wakes whom it concerns.
    pub(super) fn order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Release);
        self.waker.wake();
    }

    /// The order as it stands. The task is woken when it changes; one task at a time may ask.
    pub(super) fn asked(&self, context: &Context<'_>) -> Order {
        self.waker.register(context.waker());
        match self.order.load(Ordering::Acquire) {
            0 => Order::GoOn,
            1 => Order::Finish,
            _ => Order::End,
        }
    }

    /// Waits until it is to end at once.
    pub(super) async fn ended(&self) {
        poll_fn(|context| match self.asked(context) {
            Order::End => Poll::Ready(()),
            Order::GoOn | Order::Finish => Poll::Pending,
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_order_outdoes_an_earlier_one_and_none_is_taken_back() {
        let ending = Ending::default();
        let asked = || ending.asked(&Context::from_waker(std::task::Waker::noop()));
        assert_eq!(asked(), Order::GoOn);
        for (order, stands) in [
            (Order::Finish, Order::Finish),
            (Order::End, Order::End),
            (Order::Finish, Order::End),
        ] {
            ending.order(order);
            assert_eq!(asked(), stands);
        }
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let ending = std::sync::Arc::new(Ending::default());
        let waits = tokio::spawn({
            let ending = std::sync::Arc::clone(&ending);
            async move { ending.ended().await }
        });
        tokio::task::yield_now().await;
        ending.order(Order::Finish);
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        ending.order(Order::End);
        waits.await.unwrap();
    }
}
