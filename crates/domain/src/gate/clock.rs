//! The gate's clock, which stands still while the gate is blind.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

/// The most times that are remembered at which a gate was blind. Older ones are forgotten: nobody's silence is that old.
const MAX_BLIND_TIMES: usize = 100;

/// When a gate was blind. Its clock stood still then: neither a wait nor a silence grew longer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlindTimes {
    /// From when until when, in order and apart.
    past: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    /// Since when it is blind now.
    since: Option<DateTime<Utc>>,
}

impl BlindTimes {
    /// Whether it is blind now.
    pub fn is_blind(&self) -> bool {
        self.since.is_some()
    }

    /// Notes whether it is blind at this time. Returns whether that is news.
    pub fn note(&mut self, is_blind: bool, now: DateTime<Utc>) -> bool {
        match (self.since, is_blind) {
            (None, true) => self.since = Some(now),
            (Some(since), false) => {
                self.since = None;
                if since < now {
                    self.past.push((since, now));
                }
                let over = self.past.len().saturating_sub(MAX_BLIND_TIMES);
                self.past.drain(..over);
            }
            _ => return false,
        }
        true
    }

    /// For how long the clock stood still between these two times.
    pub fn stood(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> TimeDelta {
        let current = self.since.map(|since| (since, until.max(since)));
        self.past
            .iter()
            .copied()
            .chain(current)
            .map(|(begin, end)| end.min(until) - begin.max(from))
            .filter(|stood| *stood > TimeDelta::zero())
            .sum()
    }

    /// How much time passed on the gate's clock between these two times.
    pub fn passed(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> TimeDelta {
        (until - from - self.stood(from, until)).max(TimeDelta::zero())
    }
}
