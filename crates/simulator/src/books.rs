//! What one device did, as it stands on the wire: what it was offered, and which of its reports the server has
//! acknowledged. Kept beside the agent and not by it, so that an agent that forgets is found out.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::operator::Counts;

/// What happened with one build on one device, and when first, in milliseconds since 1970 of the device's world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) offered: Option<i64>,
    pub(crate) downloaded: Option<i64>,
    pub(crate) verify_failed: Option<i64>,
    pub(crate) install_failed: Option<i64>,
    pub(crate) installed: Option<i64>,
    /// The server has a report about it.
    pub(crate) acknowledged: bool,
}

/// One device's books.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    pub(crate) accounts: BTreeMap<i64, Account>,
    /// Polls that were answered.
    pub(crate) checks: u64,
    /// When the last of them was.
    pub(crate) last_check: Option<i64>,
    /// Their answers: `offered`, or the reason for nothing.
    pub(crate) answers: BTreeMap<String, u64>,
    /// Acknowledged reports by status and reason.
    pub(crate) reports: BTreeMap<(String, String), u64>,
    /// Requests that were made to fail, by how.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Answers that contradict the formula of shares, in words.
    pub(crate) contradictions: Vec<String>,
    /// What tells an acknowledged report from another.
    known: BTreeSet<(i64, String, u32, String)>,
}

/// A report, as it goes over the wire.
#[derive(Debug, Deserialize)]
pub(crate) struct Reported {
    build_id: i64,
    status: String,
    #[serde(default)]
    reason: Option<String>,
    attempt: u32,
    request_id: String,
}

impl Books {
    /// A poll was answered with an offer, or with a reason for none.
    pub(crate) fn polled(&mut self, answer: Result<i64, &str>, at: i64) {
        self.checks += 1;
        self.last_check = Some(at);
        let words = match answer {
            Ok(build) => {
                self.accounts.entry(build).or_default().offered.get_or_insert(at);
                "offered"
            }
            Err(reason) => reason,
        };
        *self.answers.entry(words.to_owned()).or_default() += 1;
    }

    /// The server has acknowledged a report; perhaps not for the first time.
    pub(crate) fn acknowledged(&mut self, report: Reported, at: i64) {
        let Reported {
            build_id,
            status,
            reason,
            attempt,
            request_id,
        } = report;
        let account = self.accounts.entry(build_id).or_default();
        account.acknowledged = true;
        let moment = match status.as_str() {
            "downloaded" => Some(&mut account.downloaded),
            "verify_failed" => Some(&mut account.verify_failed),
            "install_failed" => Some(&mut account.install_failed),
            "install_success" => Some(&mut account.installed),
            _ => None,
        };
        if let Some(moment) = moment {
            moment.get_or_insert(at);
        }
        if self.known.insert((build_id, status.clone(), attempt, request_id)) {
            let key = (status, reason.unwrap_or_default());
            *self.reports.entry(key).or_default() += 1;
        }
    }

    /// Whether the server was told something about everything that it offered.
    pub(crate) fn are_told(&self) -> bool {
        self.accounts
            .values()
            .all(|account| account.acknowledged || account.offered.is_none())
    }
}

/// What the server has to have counted for a build, by the books of all devices. `total_checks` is left at 0.
pub(crate) fn counts<'a>(books: impl Iterator<Item = &'a Books>, build: i64) -> Counts {
    let mut counts = Counts::default();
    for account in books.filter_map(|books| books.accounts.get(&build)) {
        // Whoever reports about a build was offered it.
        counts.total_eligible += u64::from(account.offered.is_some() || account.acknowledged);
        counts.total_downloads += u64::from(account.downloaded.is_some());
        counts.installs_success += u64::from(account.installed.is_some());
        counts.installs_failed += u64::from(account.install_failed.is_some());
        counts.verify_failed += u64::from(account.verify_failed.is_some());
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(status: &str, request_id: &str) -> Reported {
        Reported {
            build_id: 4,
            status: status.to_owned(),
            reason: None,
            attempt: 1,
            request_id: request_id.to_owned(),
        }
    }

    #[test]
    fn a_report_that_was_sent_twice_counts_once() {
        let mut books = Books::default();
        books.polled(Ok(4), 10);
        books.polled(Ok(4), 20);
        assert!(!books.are_told());
        books.acknowledged(report("install_failed", "a"), 30);
        books.acknowledged(report("install_failed", "a"), 31);
        books.acknowledged(report("install_failed", "b"), 32);
        books.acknowledged(report("install_success", "c"), 33);
        assert!(books.are_told());
        let failed = ("install_failed".to_owned(), String::new());
        assert_eq!((books.reports[&failed], books.checks), (2, 2));
        let counts = counts([&books].into_iter(), 4);
        assert_eq!(
            (
                counts.total_eligible,
                counts.installs_failed,
                counts.installs_success
            ),
            (1, 1, 1)
        );
        assert_eq!(books.accounts[&4].offered, Some(10));
    }

    #[test]
    fn nothing_offered_is_nothing_to_tell() {
        let mut books = Books::default();
        books.polled(Err("not_in_cohort"), 10);
        assert!(books.are_told());
        assert_eq!(books.answers["not_in_cohort"], 1);
    }
}
