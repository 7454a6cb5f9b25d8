//! What the server has yet to be told, oldest first, kept until it has acknowledged it.

use std::collections::VecDeque;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tidegate_domain::ReportStatus;

use crate::protocol::{ActionResultBody, ReportBody};

/// How many letters are kept. An offer makes at most a handful, and comes from a server that can be reached; so
/// this is only met where polls are answered and reports never are.
pub const MAX_OUTBOX: usize = 64;

/// How often the server may say "too many" to one letter before it is thrown away: some of its bounds don't pass.
pub(crate) const MAX_TURNED_AWAY: u32 = 16;

/// One thing to be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// The letters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outbox {
    letters: VecDeque<Letter>,
    /// How often the first one was turned away.
    pub turned_away: u32,
    /// How often in a row the server did not take one.
    pub faults: u32,
    /// When the next one is to be sent.
    pub at: DateTime<Utc>,
}

impl Outbox {
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self {
            letters: VecDeque::new(),
            turned_away: 0,
            faults: 0,
            at: now,
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
        self.turned_away = 0;
        self.faults = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.letters.len()
    }

    /// When there is something to send, if there is.
    pub(crate) fn due(&self) -> Option<DateTime<Utc>> {
        (!self.letters.is_empty()).then_some(self.at)
    }
}
