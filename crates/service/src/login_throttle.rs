//! Guessing passwords has a bound: so many failures for one name, and so many from one address, and then a pause.
//!
//! Kept in memory by each replica: a guesser who spreads over three replicas has three times the login_throttle, which is
//! still nothing, and no login waits for a database to be told about somebody else's failures.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{Error, Kind};

/// How many failed logins one name has within [`LOGIN_PAUSE_MINUTES`].
pub const MAX_FAILURES_PER_NAME: u32 = 10;

/// How many failed logins one address has within [`LOGIN_PAUSE_MINUTES`]. Several people may share an address.
pub const MAX_FAILURES_PER_ADDRESS: u32 = 50;

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
}

impl LoginThrottle {
    /// Refuses those who have guessed too often.
    pub(crate) fn check(&self, name: &str, from: Option<IpAddr>, now: DateTime<Utc>) -> Result<(), Error> {
        let name_pause = lock(&self.names).pause(&key(name), MAX_FAILURES_PER_NAME, now);
        let address_pause =
            from.and_then(|from| lock(&self.addresses).pause(&from, MAX_FAILURES_PER_ADDRESS, now));
        let (whose, pause) = match (name_pause, address_pause) {
            (None, None) => return Ok(()),
            (Some(pause), None) => ("for this name", pause),
            (None, Some(pause)) => ("from this address", pause),
            (Some(name), Some(address)) => ("for this name and from this address", name.max(address)),
        };
        let minutes = pause.num_minutes() + 1;
        let message = format!("too many logins failed {whose}; try again in {minutes} min");
        let pause = pause.to_std().unwrap_or_default();
        Err(Error::new(Kind::Exhausted, "too_many_failed_logins", message).after(pause))
    }

    pub(crate) fn failed(&self, name: &str, from: Option<IpAddr>, now: DateTime<Utc>) {
        lock(&self.names).add(key(name), now);
        if let Some(from) = from {
            lock(&self.addresses).add(from, now);
        }
    }

    /// A good login clears the name, and not the address: a guesser may have a login of their own.
    pub(crate) fn succeeded(&self, name: &str) {
        lock(&self.names).since.remove(&key(name));
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

    #[test]
    fn a_name_pauses_after_so_many_failures_and_not_for_ever() {
        let login_throttle = LoginThrottle::default();
        for _ in 0..MAX_FAILURES_PER_NAME {
            assert_eq!(login_throttle.check("olga", None, at(0)), Ok(()));
            login_throttle.failed("olga", None, at(0));
        }
        let refused = login_throttle.check("olga", None, at(1)).unwrap_err();
        assert_eq!(
            (refused.kind, refused.code),
            (Kind::Exhausted, "too_many_failed_logins")
        );
        assert!(refused.message.contains("for this name"), "{refused}");
        assert_eq!(login_throttle.check("omar", None, at(1)), Ok(()));
        assert_eq!(
            login_throttle.check("olga", None, at(LOGIN_PAUSE_MINUTES)),
            Ok(())
        );
        login_throttle.failed("olga", None, at(LOGIN_PAUSE_MINUTES));
        assert_eq!(
            login_throttle.check("olga", None, at(LOGIN_PAUSE_MINUTES)),
            Ok(())
        );
    }

    #[test]
    fn an_address_pauses_whatever_names_it_tries() {
        let (login_throttle, from) = (LoginThrottle::default(), Some(IpAddr::from([10, 0, 0, 1])));
        for number in 0..MAX_FAILURES_PER_ADDRESS {
            login_throttle.failed(&format!("name-{number}"), from, at(0));
        }
        login_throttle.succeeded("name-1");
        assert!(login_throttle.check("olga", from, at(1)).is_err());
        assert_eq!(
            login_throttle.check("olga", Some(IpAddr::from([10, 0, 0, 2])), at(1)),
            Ok(())
        );
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let login_throttle = LoginThrottle::default();
        for number in 0..(MAX_REMEMBERED + 10) {
            login_throttle.failed(&format!("name-{number}"), None, at(0));
        }
        assert!(lock(&login_throttle.names).since.len() <= MAX_REMEMBERED);
    }
}
