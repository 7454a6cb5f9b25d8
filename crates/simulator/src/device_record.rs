//! The books of one device: what it was offered, what it reported, and what its phone did. They do not depend on what the
//! agent remembers nor on what the server accepts, so that an agent that forgets and a server that refuses are found out.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::operator::Counts;
use crate::phone::Deeds;

/// The reason of the one failure that an agent decides on without asking Android.
const DOWNGRADE_REFUSED: &str = "downgrade_refused";

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
    /// The same for each rollout and build, by what the device was offered and what it reported.
    pub(crate) by_rollout: BTreeMap<(i64, i64), Account>,
    /// Polls that were answered.
    pub(crate) checks: u64,
    /// When the last of them was.
    pub(crate) last_check: Option<i64>,
    /// Their answers: `offered`, or the reason for nothing.
    pub(crate) answers: BTreeMap<String, u64>,
    /// Requests that were made to fail, by how.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Answers that contradict the formula of shares, in words.
    pub(crate) contradictions: Vec<String>,
    /// Every report that was sent, by what tells it from others: build, status, attempt, request id.
    said: BTreeMap<(i64, String, u32, String), Said>,
}

/// What became of a report.
#[derive(Clone, Debug, Default)]
struct Said {
    reason: String,
    acknowledged: bool,
    /// With which status it was refused last.
    refused: Option<u16>,
}

/// A report, as it goes over the wire.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Reported {
    build_id: i64,
    #[serde(default)]
    rollout_id: Option<i64>,
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

    /// A rollout offered a build.
    pub(crate) fn offered_by(&mut self, rollout: i64, build: i64, at: i64) {
        let account = self.by_rollout.entry((rollout, build)).or_default();
        account.offered.get_or_insert(at);
    }

    /// The device sends a report, perhaps not for the first time.
    pub(crate) fn says(&mut self, report: &Reported, at: i64) {
        let account = self.accounts.entry(report.build_id).or_default();
        let reason = report.reason.as_deref().unwrap_or_default();
        let moment = match (report.status.as_str(), reason) {
            ("downloaded", _) => Some(&mut account.downloaded),
            ("verify_failed", _) => Some(&mut account.verify_failed),
            // The agent decides on this one itself; the phone has no part in it.
            ("install_failed", DOWNGRADE_REFUSED) => Some(&mut account.install_failed),
            _ => None,
        };
        if let Some(moment) = moment {
            moment.get_or_insert(at);
        }
        self.says_of_rollout(report, at);
        self.said.entry(report.key()).or_insert_with(|| Said {
            reason: reason.to_owned(),
            ..Said::default()
        });
    }

    fn says_of_rollout(&mut self, report: &Reported, at: i64) {
        let Some(rollout) = report.rollout_id else { return };
        let account = self.by_rollout.entry((rollout, report.build_id)).or_default();
        let moment = match report.status.as_str() {
            "downloaded" => &mut account.downloaded,
            "verify_failed" => &mut account.verify_failed,
            "install_failed" => &mut account.install_failed,
            "install_success" => &mut account.installed,
            _ => return,
        };
        moment.get_or_insert(at);
    }

    /// The server has answered it with this status.
    pub(crate) fn heard(&mut self, report: &Reported, status: http::StatusCode) {
        let said = self.said.entry(report.key()).or_default();
        if status.is_success() {
            said.acknowledged = true;
            self.accounts.entry(report.build_id).or_default().acknowledged = true;
        } else {
            said.refused = Some(status.as_u16());
        }
    }

    /// What happened with a build, with what the phone did with its version.
    pub(crate) fn account(&self, build: i64, deeds: Deeds) -> Account {
        let account = self.accounts.get(&build).copied().unwrap_or_default();
        Account {
            installed: deeds.installed,
            install_failed: deeds.refused.or(account.install_failed),
            ..account
        }
    }

    /// Acknowledged reports by status and reason.
    pub(crate) fn acknowledged(&self) -> BTreeMap<(String, String), u64> {
        let mut counts = BTreeMap::new();
        for ((_, status, ..), said) in &self.said {
            if said.acknowledged {
                *counts.entry((status.clone(), said.reason.clone())).or_default() += 1;
            }
        }
        counts
    }

    /// Reports that were sent and that the server never took, by status and by how it refused them last.
    pub(crate) fn unheard(&self) -> BTreeMap<(String, Option<u16>), u64> {
        let mut counts = BTreeMap::new();
        for ((_, status, ..), said) in &self.said {
            if !said.acknowledged {
                *counts.entry((status.clone(), said.refused)).or_default() += 1;
            }
        }
        counts
    }

    /// Whether the server was told something about everything that it offered.
    pub(crate) fn are_told(&self) -> bool {
        self.accounts
            .values()
            .all(|account| account.acknowledged || account.offered.is_none())
    }
}

impl Reported {
    fn key(&self) -> (i64, String, u32, String) {
        let (status, request) = (self.status.clone(), self.request_id.clone());
        (self.build_id, status, self.attempt, request)
    }
}

/// What the server has to have counted for a build, by its accounts of all devices. `total_checks` is left at 0.
pub(crate) fn counts(accounts: impl Iterator<Item = Account>) -> Counts {
    let mut counts = Counts::default();
    for account in accounts {
        // A device that reports about a build was offered it.
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
            rollout_id: Some(9),
            status: status.to_owned(),
            reason: None,
            attempt: 1,
            request_id: request_id.to_owned(),
        }
    }

    const TAKEN: http::StatusCode = http::StatusCode::OK;

    #[test]
    fn a_report_that_was_sent_twice_counts_once() {
        let mut books = Books::default();
        books.polled(Ok(4), 10);
        books.polled(Ok(4), 20);
        assert!(!books.are_told());
        for (request_id, at) in [("a", 30), ("a", 31), ("b", 32)] {
            books.says(&report("verify_failed", request_id), at);
            books.heard(&report("verify_failed", request_id), TAKEN);
        }
        assert!(books.are_told());
        let failed = ("verify_failed".to_owned(), String::new());
        assert_eq!((books.acknowledged()[&failed], books.checks), (2, 2));
        let account = books.account(4, Deeds::default());
        assert_eq!((account.offered, account.verify_failed), (Some(10), Some(30)));
        assert_eq!(books.by_rollout[&(9, 4)].verify_failed, Some(30));
        let counts = counts([account].into_iter());
        assert_eq!((counts.total_eligible, counts.verify_failed), (1, 1));
    }

    /// What the phone did counts, whatever the agent says and however the server takes it.
    #[test]
    fn what_the_server_refuses_to_hear_happened_all_the_same() {
        let mut books = Books::default();
        books.polled(Ok(4), 10);
        let deeds = Deeds {
            installed: Some(50),
            refused: Some(40),
        };
        let silent = counts([books.account(4, deeds)].into_iter());
        assert_eq!((silent.installs_success, silent.installs_failed), (1, 1));
        books.says(&report("install_success", "a"), 51);
        books.heard(
            &report("install_success", "a"),
            http::StatusCode::SERVICE_UNAVAILABLE,
        );
        books.heard(&report("install_success", "a"), http::StatusCode::BAD_REQUEST);
        let refused = ("install_success".to_owned(), Some(400));
        assert_eq!(books.unheard(), [(refused, 1)].into());
        books.heard(&report("install_success", "a"), TAKEN);
        assert!(books.unheard().is_empty());
        let only_said = counts([books.account(4, Deeds::default())].into_iter());
        assert_eq!(only_said.installs_success, 0);
    }

    #[test]
    fn nothing_offered_is_nothing_to_tell() {
        let mut books = Books::default();
        books.polled(Err("not_in_cohort"), 10);
        assert!(books.are_told());
        assert_eq!(books.answers["not_in_cohort"], 1);
    }
}
