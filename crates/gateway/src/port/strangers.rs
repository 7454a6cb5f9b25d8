//! Callers that have shown no valid credential yet, and how many of them there may be.
//!
//! Each has a place. When an address has taken all of its places, or all addresses together have taken theirs, the oldest
//! stranger is ended for the newest: devices show their token within moments, so those that wait the longest are those
//! that never will. Refusing the newest instead would let one silent caller shut out the site that shares its address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tidegate_service::{CredentialWatch, network};
use tokio::time::Instant;

use super::ending::{Ending, Order};

/// How often is logged, at most, that strangers are ended.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The strangers of a port.
pub(super) struct Strangers {
    /// Of one address; 0 for no bound.
    per_address: usize,
    /// Of all addresses.
    in_all: usize,
    /// What they are, for the log.
    what: &'static str,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// By age.
    all: BTreeMap<u64, (IpAddr, Arc<Ending>)>,
    of: HashMap<IpAddr, BTreeSet<u64>>,
    ended: u64,
    told: Option<Instant>,
}

impl Strangers {
    pub(super) fn new(what: &'static str, per_address: usize, in_all: usize) -> Arc<Self> {
        Arc::new(Self {
            per_address,
            in_all: in_all.max(1),
            what,
            state: Mutex::default(),
        })
    }

    /// A place for a caller at this address, at the cost of the oldest one where there is none left. `ending` hears when
    /// the place is given to somebody else.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, ending: Arc<Ending>) -> Arc<Stranger> {
        let network = network(address);
        let mut state = self.lock();
        let oldest_of_address = state
            .of
            .get(&network)
            .filter(|ids| self.per_address != 0 && ids.len() >= self.per_address)
            .and_then(|ids| ids.first().copied());
        let oldest = || state.all.keys().next().copied();
        let leaves = oldest_of_address.or_else(|| oldest().filter(|_| state.all.len() >= self.in_all));
        if let Some(leaves) = leaves {
            self.end(&mut state, leaves);
        }
        let id = state.next;
        state.next += 1;
        state.all.insert(id, (network, ending));
        state.of.entry(network).or_default().insert(id);
        drop(state);
        Arc::new(Stranger {
            strangers: Arc::clone(self),
            id,
            known: AtomicBool::new(false),
        })
    }

    fn end(&self, state: &mut State, id: u64) {
        let Some((network, ending)) = state.remove(id) else {
            return;
        };
        ending.order(Order::End);
        state.ended += 1;
        #[allow(clippy::disallowed_methods, reason = "how often a line is logged")]
        let now = Instant::now();
        if state.told.is_none_or(|told| now - told >= TELL_EVERY) {
            state.told = Some(now);
            tracing::warn!(
                event = "ota.strangers.ended",
                what = self.what,
                address = %network,
                count = state.ended,
                "callers without a valid credential are ended to make room"
            );
            state.ended = 0;
        }
    }

    fn leave(&self, id: u64) {
        self.lock().remove(id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, id: u64) -> Option<(IpAddr, Arc<Ending>)> {
        let (network, ending) = self.all.remove(&id)?;
        if let Some(ids) = self.of.get_mut(&network) {
            ids.remove(&id);
            if ids.is_empty() {
                self.of.remove(&network);
            }
        }
        Some((network, ending))
    }
}

/// A caller's place, until it shows a valid credential or goes.
pub(super) struct Stranger {
    strangers: Arc<Strangers>,
    id: u64,
    known: AtomicBool,
}

impl Stranger {
    /// Whether it has shown a credential and is a stranger no more.
    pub(super) fn is_known(&self) -> bool {
        self.known.load(Ordering::Relaxed)
    }
}

impl CredentialWatch for Stranger {
    fn seen(&self) {
        if !self.is_known() && !self.known.swap(true, Ordering::Relaxed) {
            self.strangers.leave(self.id);
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        if !*self.known.get_mut() {
            self.strangers.leave(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Somebody at this address, and what they hear.
    fn admit(strangers: &Arc<Strangers>, at: &str) -> (Arc<Stranger>, Arc<Ending>) {
        let ending = Arc::<Ending>::default();
        (strangers.admit(address(at), Arc::clone(&ending)), ending)
    }

    fn is_ended((_, ending): &(Arc<Stranger>, Arc<Ending>)) -> bool {
        ending.ended().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_of_an_address_leaves_for_the_newest() {
        let strangers = Strangers::new("connections", 2, 100);
        let other = admit(&strangers, "192.0.2.2");
        let places = [0; 3].map(|_| admit(&strangers, "192.0.2.1"));
        assert_eq!(places.each_ref().map(is_ended), [true, false, false]);
        assert!(!is_ended(&other));
    }

    #[test]
    fn who_has_shown_a_credential_counts_no_longer_and_is_never_ended() {
        let strangers = Strangers::new("connections", 1, 100);
        let known = [0; 5].map(|_| {
            let device = admit(&strangers, "192.0.2.1");
            device.0.seen();
            device
        });
        let newest = admit(&strangers, "192.0.2.1");
        assert!(!known.iter().any(is_ended));
        drop(known);
        assert!(!is_ended(&newest));
    }

    #[test]
    fn a_place_is_free_again_when_its_caller_goes() {
        let strangers = Strangers::new("connections", 1, 100);
        drop(admit(&strangers, "192.0.2.1"));
        let next = admit(&strangers, "192.0.2.1");
        assert!(!is_ended(&next));
        let state = strangers.lock();
        assert_eq!((state.all.len(), state.of.len()), (1, 1));
    }

    #[test]
    fn all_addresses_together_have_a_bound_and_none_of_them_may_have_none() {
        let strangers = Strangers::new("connections", 0, 3);
        let places = [0; 4].map(|_| admit(&strangers, "192.0.2.1"));
        assert_eq!(places.each_ref().map(is_ended), [true, false, false, false]);
    }
}
