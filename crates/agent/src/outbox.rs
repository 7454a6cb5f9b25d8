//! What the server has yet to be told, oldest first, kept until it has acknowledged it.

use std::collections::VecDeque;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tidegate_domain::ReportStatus;

use crate::deadline::Deadline;
use crate::protocol::{ActionResultBody, ReportBody};

/// How many messages to the server are kept. An offer leads to a handful of them, and it came from a server that could
/// be reached; the limit is only met when a server answers polls and never takes reports.
pub const MAX_OUTBOX: usize = 64;

/// One message to the server.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outgoing {
    Report(ReportBody),
    ActionResult(ActionResultBody),
    FcmToken(String),
}

impl Outgoing {
    /// Whether it must not be dropped while there are others: how an update ended, or where the device is reached.
    fn is_important(&self) -> bool {
        match self {
            Self::Report(report) => {
                !matches!(report.status, ReportStatus::Downloaded | ReportStatus::Deferred)
            }
            Self::ActionResult(_) => false,
            Self::FcmToken(_) => true,
        }
    }
}

/// Prints the kind only. The content may be secret, such as a push token, and does not belong in a log.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Report(report) => write!(f, "Report({})", report.status),
            Self::ActionResult(_) => f.write_str("ActionResult"),
            Self::FcmToken(_) => f.write_str("FcmToken"),
        }
    }
}

/// The messages to the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outbox {
    // State files call it so.
    #[serde(rename = "letters")]
    queue: VecDeque<Outgoing>,
    /// How many deliveries in a row failed.
    pub faults: u32,
    /// When the next one is to be sent.
    pub at: Deadline,
}

impl Outbox {
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        Self {
            queue: VecDeque::new(),
            faults: 0,
            at: Deadline::now(now),
        }
    }

    pub(crate) fn push(&mut self, message: Outgoing) {
        if matches!(message, Outgoing::FcmToken(_)) {
            // Only the latest token is valid.
            self.queue.retain(|other| !matches!(other, Outgoing::FcmToken(_)));
        }
        if self.queue.len() >= MAX_OUTBOX {
            let unimportant = self.queue.iter().position(|message| !message.is_important());
            let dropped = self.queue.remove(unimportant.unwrap_or(0));
            tracing::warn!(?dropped, "the outbox is full");
        }
        self.queue.push_back(message);
    }

    pub(crate) fn first(&self) -> Option<&Outgoing> {
        self.queue.front()
    }

    /// Removes the first message: it was delivered, or will never be.
    pub(crate) fn remove_first(&mut self) {
        self.queue.pop_front();
        self.faults = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }

    /// When the first message is to be sent, if there is one.
    pub(crate) fn due(&self) -> Option<DateTime<Utc>> {
        (!self.queue.is_empty()).then_some(self.at.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message that is dropped is logged.
    #[test]
    fn an_outgoing_message_prints_its_kind_alone() {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let mut outbox = Outbox::new(now);
        outbox.push(Outgoing::FcmToken("where-to-reach-it".to_owned()));
        assert!(!format!("{outbox:?}").contains("where-to-reach-it"));
        assert_eq!(format!("{:?}", outbox.first()), "Some(FcmToken)");
    }
}
