//! Guessing passwords has a bound: so many failures for one name, and so many from one address, and then a pause.
//!
//! Anybody can fail for somebody else's name, or from an address that many share. So a browser that the user has logged in
//! with before has a count of its own, and those of strangers don't concern it.
//!
//! Kept in memory by each replica: a guesser who spreads over three replicas has three times the guesses, which is still
//! nothing, and no login waits for a database to be told about somebody else's failures.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_signing::BrowserId;

use crate::{Error, Kind, network};

/// How many failed logins one name has within [`LOGIN_PAUSE_MINUTES`].
pub const MAX_FAILURES_PER_NAME: u32 = 10;

/// How many failed logins one address has within [`LOGIN_PAUSE_MINUTES`]. Several people may share an address.
pub const MAX_FAILURES_PER_ADDRESS: u32 = 50;

/// How many failed logins one browser has within [`LOGIN_PAUSE_MINUTES`] that its user has logged in with before.
pub const MAX_FAILURES_PER_BROWSER: u32 = 10;

/// How long failures are remembered, and so how long a guesser waits at most.
pub const LOGIN_PAUSE_MINUTES: i64 = 15;

/// How many names, and how many addresses, are remembered. Beyond it the oldest failures are forgotten first.
const MAX_REMEMBERED: usize = 10_000;

/// The longest part of a name that is remembered, in bytes. Nobody has a longer one.
const MAX_NAME_BYTES: usize = 64;

/// The failures of late.
#[derive(Default)]
pub(crate) struct LoginThrottle {
    names: Mutex<Failures<String>>,
    addresses: Mutex<Failures<IpAddr>>,
    browsers: Mutex<Failures<BrowserId>>,
}

/// Who tries to log in.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    pub name: &'a str,
    pub address: Option<IpAddr>,
    /// The browser, where this user has logged in with it before.
    pub browser: Option<BrowserId>,
}

impl LoginThrottle {
    /// Refuses those who have guessed too often.
    pub(crate) fn check(&self, attempt: Attempt<'_>, now: DateTime<Utc>) -> Result<(), Error> {
        let (whose, pause) = match self.pauses(attempt, now) {
            (None, None) => return Ok(()),
            (Some(pause), None) if attempt.browser.is_some() => ("in this browser", pause),
            (Some(pause), None) => ("for this name", pause),
            (None, Some(pause)) => ("from this address", pause),
            (Some(name), Some(address)) => ("for this name and from this address", name.max(address)),
        };
        let minutes = pause.num_minutes() + 1;
        let message = format!("too many logins failed {whose}; try again in {minutes} min");
        let pause = pause.to_std().unwrap_or_default();
        Err(Error::new(Kind::Exhausted, "too_many_failed_logins", message).after(pause))
    }

    /// How long the name, or the browser instead of it, and the address have to wait.
    fn pauses(&self, attempt: Attempt<'_>, now: DateTime<Utc>) -> (Option<TimeDelta>, Option<TimeDelta>) {
        if let Some(browser) = attempt.browser {
            let pause = lock(&self.browsers).pause(&browser, MAX_FAILURES_PER_BROWSER, now);
            return (pause, None);
        }
        let name = lock(&self.names).pause(&key(attempt.name), MAX_FAILURES_PER_NAME, now);
        let address = attempt.address.and_then(|address| {
            lock(&self.addresses).pause(&network(address), MAX_FAILURES_PER_ADDRESS, now)
        });
        (name, address)
    }

    pub(crate) fn failed(&self, attempt: Attempt<'_>, now: DateTime<Utc>) {
        if let Some(browser) = attempt.browser {
            lock(&self.browsers).add(browser, now);
            return;
        }
        lock(&self.names).add(key(attempt.name), now);
        if let Some(address) = attempt.address {
            lock(&self.addresses).add(network(address), now);
        }
    }

    /// A good login clears its own count, and not the address's: a guesser may have a login of their own. In a known browser
    /// it says nothing about those who guess at the name elsewhere.
    pub(crate) fn succeeded(&self, attempt: Attempt<'_>) {
        match attempt.browser {
            Some(browser) => lock(&self.browsers).since.remove(&browser),
            None => lock(&self.names).since.remove(&key(attempt.name)),
        };
    }
}

fn lock<K>(failures: &Mutex<Failures<K>>) -> std::sync::MutexGuard<'_, Failures<K>> {
    failures.lock().unwrap_or_else(PoisonError::into_inner)
}

fn key(name: &str) -> String {
    name.chars().take(MAX_NAME_BYTES).collect()
}

/// How often each failed since when.
struct Failures<K> {
    since: HashMap<K, (u32, DateTime<Utc>)>,
}

impl<K> Default for Failures<K> {
    fn default() -> Self {
        Self {
            since: HashMap::new(),
        }
    }
}

impl<K: Hash + Eq + Clone> Failures<K> {
    /// How long this one has to wait, if it has to.
    fn pause(&self, key: &K, limit: u32, now: DateTime<Utc>) -> Option<TimeDelta> {
        let (count, since) = self.since.get(key)?;
        let left = *since + TimeDelta::minutes(LOGIN_PAUSE_MINUTES) - now;
        (*count >= limit && left > TimeDelta::zero()).then_some(left)
    }

    fn add(&mut self, key: K, now: DateTime<Utc>) {
        if self.since.len() >= MAX_REMEMBERED && !self.since.contains_key(&key) {
            self.forget(now);
        }
        let entry = self.since.entry(key).or_insert((0, now));
        if now - entry.1 >= TimeDelta::minutes(LOGIN_PAUSE_MINUTES) {
            *entry = (0, now);
        }
        entry.0 = entry.0.saturating_add(1);
    }

    /// Makes room: what is over goes, and the oldest half when nothing is.
    fn forget(&mut self, now: DateTime<Utc>) {
        let begun = now - TimeDelta::minutes(LOGIN_PAUSE_MINUTES);
        self.since.retain(|_, (_, since)| *since > begun);
        if self.since.len() < MAX_REMEMBERED {
            return;
        }
        let mut times: Vec<DateTime<Utc>> = self.since.values().map(|(_, since)| *since).collect();
        times.sort_unstable();
        let middle = times[times.len() / 2];
        self.since.retain(|_, (_, since)| *since > middle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + 60 * minute, 0).unwrap()
    }

    fn stranger(name: &str) -> Attempt<'_> {
        Attempt {
            name,
            address: None,
            browser: None,
        }
    }

    fn from<'a>(name: &'a str, address: &str) -> Attempt<'a> {
        Attempt {
            address: Some(address.parse().unwrap()),
            ..stranger(name)
        }
    }

    #[test]
    fn a_name_pauses_after_so_many_failures_and_not_for_ever() {
        let throttle = LoginThrottle::default();
        let (olga, omar) = (stranger("olga"), stranger("omar"));
        for _ in 0..MAX_FAILURES_PER_NAME {
            assert_eq!(throttle.check(olga, at(0)), Ok(()));
            throttle.failed(olga, at(0));
        }
        let refused = throttle.check(olga, at(1)).unwrap_err();
        assert_eq!(
            (refused.kind, refused.code),
            (Kind::Exhausted, "too_many_failed_logins")
        );
        assert!(refused.message.contains("for this name"), "{refused}");
        assert_eq!(throttle.check(omar, at(1)), Ok(()));
        assert_eq!(throttle.check(olga, at(LOGIN_PAUSE_MINUTES)), Ok(()));
        throttle.failed(olga, at(LOGIN_PAUSE_MINUTES));
        assert_eq!(throttle.check(olga, at(LOGIN_PAUSE_MINUTES)), Ok(()));
    }

    #[test]
    fn an_address_pauses_whatever_names_it_tries() {
        let throttle = LoginThrottle::default();
        for number in 0..MAX_FAILURES_PER_ADDRESS {
            throttle.failed(from(&format!("name-{number}"), "2001:db8::1"), at(0));
        }
        throttle.succeeded(stranger("name-1"));
        assert!(throttle.check(from("olga", "2001:db8::1"), at(1)).is_err());
        assert!(throttle.check(from("olga", "2001:db8::2"), at(1)).is_err());
        assert_eq!(throttle.check(from("olga", "2001:db8:0:1::1"), at(1)), Ok(()));
    }

    #[test]
    fn strangers_do_not_lock_out_a_browser_that_was_logged_in_with_and_it_has_an_end_of_its_own() {
        let throttle = LoginThrottle::default();
        let known = Attempt {
            browser: Some([1; 16]),
            ..from("olga", "192.0.2.1")
        };
        for _ in 0..MAX_FAILURES_PER_ADDRESS {
            throttle.failed(from("olga", "192.0.2.1"), at(0));
        }
        assert!(throttle.check(from("olga", "192.0.2.1"), at(1)).is_err());
        assert_eq!(throttle.check(known, at(1)), Ok(()));
        throttle.succeeded(known);
        assert!(throttle.check(from("olga", "192.0.2.1"), at(1)).is_err());

        for _ in 0..MAX_FAILURES_PER_BROWSER {
            throttle.failed(known, at(1));
        }
        let refused = throttle.check(known, at(1)).unwrap_err();
        assert!(refused.message.contains("in this browser"), "{refused}");
        let other = Attempt {
            browser: Some([2; 16]),
            ..known
        };
        assert_eq!(throttle.check(other, at(1)), Ok(()));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let throttle = LoginThrottle::default();
        for number in 0..(MAX_REMEMBERED + 10) {
            throttle.failed(stranger(&format!("name-{number}")), at(0));
        }
        assert!(lock(&throttle.names).since.len() <= MAX_REMEMBERED);
    }
}
