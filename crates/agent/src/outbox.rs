//! What the server has yet to be told, oldest first, kept until it has acknowledged it.

use std::collections::VecDeque;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tidegate_domain::ReportStatus;

use crate::patience::Alarm;
use crate::protocol::{ActionResultBody, ReportBody};

/// How many letters are kept. An offer makes at most a handful, and comes from a server that can be reached; so
/// this is only met where polls are answered and reports never are.
pub const MAX_OUTBOX: usize = 64;

/// One thing to be told.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Letter {
    Report(ReportBody),
    ActionResult(ActionResultBody),
    FcmToken(String),
}

impl Letter {
    /// Whether it tells how something ended, rather than how it goes.
    fn is_an_outcome(&self) -> bool {
        match self {
            Self::Report(report) => {
                !matches!(report.status, ReportStatus::Downloaded | ReportStatus::Deferred)
            }
            Self::ActionResult(_) => false,
            Self::FcmToken(_) => true,
        }
    }
}

/// Only what kind of letter it is: what is in it goes to the server and into no log. Whoever has a push token, for
/// one, may learn more than it looks like.
impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report(report) => write!(f, "Report({})", report.status),
            Self::ActionResult(_) => f.write_str("ActionResult"),
            Self::FcmToken(_) => f.write_str("FcmToken"),
        }
    }
}

/// The letters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outbox {
    letters: VecDeque<Letter>,
    /// How often in a row the server did not take one.
    pub faults: u32,
    /// When the next one is to be sent.
    pub at: Alarm,
}

impl Outbox {
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self {
            letters: VecDeque::new(),
            faults: 0,
            at: Alarm::now(now),
        }
    }

    pub(crate) fn push(&mut self, letter: Letter) {
        if matches!(letter, Letter::FcmToken(_)) {
            // Only the last one leads anywhere.
            self.letters.retain(|other| !matches!(other, Letter::FcmToken(_)));
        }
        if self.letters.len() >= MAX_OUTBOX {
            let least = self.letters.iter().position(|letter| !letter.is_an_outcome());
            let lost = self.letters.remove(least.unwrap_or(0));
            tracing::warn!(?lost, "the outbox is full");
        }
        self.letters.push_back(letter);
    }

    pub(crate) fn first(&self) -> Option<&Letter> {
        self.letters.front()
    }

    /// The first letter is done with.
    pub(crate) fn done(&mut self) {
        self.letters.pop_front();
        self.faults = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.letters.len()
    }

    /// When there is something to send, if there is.
    pub(crate) fn due(&self) -> Option<DateTime<Utc>> {
        (!self.letters.is_empty()).then_some(self.at.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A full outbox is logged with what is lost.
    #[test]
    fn a_letter_prints_its_kind_alone() {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let mut outbox = Outbox::new(now);
        outbox.push(Letter::FcmToken("where-to-reach-it".to_owned()));
        assert!(!format!("{outbox:?}").contains("where-to-reach-it"));
        assert_eq!(format!("{:?}", outbox.first()), "Some(FcmToken)");
    }
}
