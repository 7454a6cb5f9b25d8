//! When tokens were used last, kept in memory until it is written once a minute: whoever calls waits for no database.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Utc};

/// How many tokens' uses are kept between two writings. Those beyond it are not noted.
const MAX_NOTED: usize = 10_000;

/// The last use of each token, by its `jti`.
#[derive(Default)]
pub(crate) struct TokenUses(Mutex<HashMap<String, DateTime<Utc>>>);

impl TokenUses {
    pub(crate) fn note(&self, id: &str, now: DateTime<Utc>) {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = uses.get_mut(id) {
            *used = now;
        } else if uses.len() < MAX_NOTED {
            uses.insert(id.to_owned(), now);
        }
    }

    pub(crate) fn take(&self) -> Vec<(String, DateTime<Utc>)> {
        let mut uses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *uses).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_use_is_taken_once_and_there_is_a_bound() {
        let (uses, now) = (TokenUses::default(), DateTime::from_timestamp(0, 0).unwrap());
        let later = now + chrono::TimeDelta::seconds(1);
        uses.note("a", now);
        uses.note("a", later);
        assert_eq!(uses.take(), [("a".to_owned(), later)]);
        for number in 0..=MAX_NOTED {
            uses.note(&number.to_string(), now);
        }
        assert_eq!(uses.take().len(), MAX_NOTED);
        assert_eq!(uses.take(), []);
    }
}
