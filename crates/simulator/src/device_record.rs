//! What is recorded of one device: what it was offered, what it reported, and what its phone did. It does not depend on what the
//! agent remembers nor on what the server accepts, so that an agent that forgets and a server that refuses are found out.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::operator::Counts;
use crate::patch_books::PatchRecord;
use crate::phone::Deeds;
use crate::plan_books::Seen;

/// The reason of the one failure that an agent decides on without asking Android.
const DOWNGRADE_REFUSED: &str = "downgrade_refused";

/// What happened with one build on one device, and when first, in milliseconds since 1970 of the device's world.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BuildHistory {
    pub(crate) offered: Option<i64>,
    pub(crate) downloaded: Option<i64>,
    pub(crate) verify_failed: Option<i64>,
    pub(crate) install_failed: Option<i64>,
    pub(crate) installed: Option<i64>,
    /// The server has a report about it.
    pub(crate) acknowledged: bool,
}

/// What is recorded of one device.
#[derive(Clone, Debug, Default)]
pub(crate) struct DeviceRecord {
    pub(crate) histories: BTreeMap<i64, BuildHistory>,
    /// The same for each rollout and build, by what the device was offered and what it reported.
    pub(crate) by_rollout: BTreeMap<(i64, i64), BuildHistory>,
    /// Polls that were answered.
    pub(crate) checks: u64,
    /// When the last of them was.
    pub(crate) last_check: Option<i64>,
    /// What the last of them was answered.
    pub(crate) last_answer: String,
    /// Their answers: `offered`, or the reason for nothing.
    pub(crate) answers: BTreeMap<String, u64>,
    /// Requests that were made to fail, by how.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    /// Answers that contradict the formula of shares, in words.
    pub(crate) contradictions: Vec<String>,
    /// The version that was offered last; 0 before the first offer.
    pub(crate) offered_version: i64,
    /// What the books of a plan are made from.
    pub(crate) seen: Seen,
    /// The patches that it was offered, and what became of them.
    pub(crate) patches: PatchRecord,
    /// Every report that was sent, by what tells it from others: build, status, attempt, request id.
    reports: BTreeMap<(i64, String, u32, String), SentReport>,
}

/// What became of a report.
#[derive(Clone, Debug, Default)]
struct SentReport {
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
    #[serde(default)]
    patch: Option<String>,
}

impl DeviceRecord {
    /// A poll was answered with an offer, or with a reason for none.
    pub(crate) fn polled(&mut self, answer: Result<i64, &str>, at: i64) {
        self.checks += 1;
        self.last_check = Some(at);
        let words = match answer {
            Ok(build) => {
                self.histories.entry(build).or_default().offered.get_or_insert(at);
                "offered"
            }
            Err(reason) => reason,
        };
        words.clone_into(&mut self.last_answer);
        *self.answers.entry(words.to_owned()).or_default() += 1;
    }

    /// A rollout offered a build.
    pub(crate) fn offered_by(&mut self, rollout: i64, build: i64, at: i64) {
        let history = self.by_rollout.entry((rollout, build)).or_default();
        history.offered.get_or_insert(at);
    }

    /// The device sends a report, perhaps not for the first time.
    pub(crate) fn says(&mut self, report: &Reported, at: i64) {
        let history = self.histories.entry(report.build_id).or_default();
        let reason = report.reason.as_deref().unwrap_or_default();
        let moment = match (report.status.as_str(), reason) {
            ("downloaded", _) => Some(&mut history.downloaded),
            ("verify_failed", _) => Some(&mut history.verify_failed),
            // The agent decides on this one itself; the phone has no part in it.
            ("install_failed", DOWNGRADE_REFUSED) => Some(&mut history.install_failed),
            _ => None,
        };
        if let Some(moment) = moment {
            moment.get_or_insert(at);
        }
        self.says_of_rollout(report, at);
        if let Some(outcome) = &report.patch {
            let rollout = report.rollout_id.unwrap_or_default();
            self.patches
                .said(rollout, report.build_id, report.attempt, outcome);
        }
        self.reports.entry(report.key()).or_insert_with(|| SentReport {
            reason: reason.to_owned(),
            ..SentReport::default()
        });
    }

    fn says_of_rollout(&mut self, report: &Reported, at: i64) {
        // An agent of before names no rollout; the server takes the one that offered the build.
        let offered = self.by_rollout.iter().rev();
        let mut offered =
            offered.filter(|((_, build), history)| *build == report.build_id && history.offered.is_some());
        let rollout = report
            .rollout_id
            .or_else(|| offered.next().map(|((rollout, _), _)| *rollout));
        let Some(rollout) = rollout else { return };
        let history = self.by_rollout.entry((rollout, report.build_id)).or_default();
        let moment = match report.status.as_str() {
            "downloaded" => &mut history.downloaded,
            "verify_failed" => &mut history.verify_failed,
            "install_failed" => &mut history.install_failed,
            "install_success" => &mut history.installed,
            _ => return,
        };
        moment.get_or_insert(at);
    }

    /// The rollouts from whose offers it has a build's file.
    pub(crate) fn downloaded_from(&self, build: i64) -> Vec<i64> {
        let of_build = self.by_rollout.iter().filter(|((_, of), _)| *of == build);
        let downloaded = of_build.filter(|(_, history)| history.downloaded.is_some());
        downloaded.map(|((rollout, _), _)| *rollout).collect()
    }

    /// The server has answered it with this status.
    pub(crate) fn heard(&mut self, report: &Reported, status: http::StatusCode) {
        let sent = self.reports.entry(report.key()).or_default();
        if status.is_success() {
            sent.acknowledged = true;
            self.histories.entry(report.build_id).or_default().acknowledged = true;
        } else {
            sent.refused = Some(status.as_u16());
        }
    }

    /// What happened with a build, with what the phone did with its version.
    pub(crate) fn history(&self, build: i64, deeds: Deeds) -> BuildHistory {
        let history = self.histories.get(&build).copied().unwrap_or_default();
        BuildHistory {
            installed: deeds.installed,
            install_failed: deeds.refused.or(history.install_failed),
            ..history
        }
    }

    /// Acknowledged reports by status and reason.
    pub(crate) fn acknowledged(&self) -> BTreeMap<(String, String), u64> {
        let mut counts = BTreeMap::new();
        for ((_, status, ..), sent) in &self.reports {
            if sent.acknowledged {
                *counts.entry((status.clone(), sent.reason.clone())).or_default() += 1;
            }
        }
        counts
    }

    /// Reports that were sent and that the server never took, by status and by how it refused them last.
    pub(crate) fn unheard(&self) -> BTreeMap<(String, Option<u16>), u64> {
        let mut counts = BTreeMap::new();
        for ((_, status, ..), sent) in &self.reports {
            if !sent.acknowledged {
                *counts.entry((status.clone(), sent.refused)).or_default() += 1;
            }
        }
        counts
    }

    /// Whether the device said of a build that it failed.
    pub(crate) fn has_failed(&self, build: i64) -> bool {
        let failures = ["verify_failed", "install_failed"];
        self.reports
            .keys()
            .any(|(of, status, ..)| *of == build && failures.contains(&status.as_str()))
    }

    /// Whether it said of any build that it failed.
    pub(crate) fn has_failed_any(&self) -> bool {
        self.histories.keys().any(|build| self.has_failed(*build))
    }

    /// Whether the server was told something about everything that it offered.
    pub(crate) fn is_told(&self) -> bool {
        self.histories
            .values()
            .all(|history| history.acknowledged || history.offered.is_none())
    }
}

impl Reported {
    fn key(&self) -> (i64, String, u32, String) {
        let (status, request) = (self.status.clone(), self.request_id.clone());
        (self.build_id, status, self.attempt, request)
    }
}

/// What the server has to have counted for a build, by the histories of all devices. `total_checks` is left at 0.
pub(crate) fn counts(histories: impl Iterator<Item = BuildHistory>) -> Counts {
    let mut counts = Counts::default();
    for history in histories {
        // A device that reports about a build was offered it.
        counts.total_eligible += u64::from(history.offered.is_some() || history.acknowledged);
        counts.total_downloads += u64::from(history.downloaded.is_some());
        counts.installs_success += u64::from(history.installed.is_some());
        counts.installs_failed += u64::from(history.install_failed.is_some());
        counts.verify_failed += u64::from(history.verify_failed.is_some());
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
            patch: None,
        }
    }

    const TAKEN: http::StatusCode = http::StatusCode::OK;

    #[test]
    fn a_report_that_was_sent_twice_counts_once() {
        let mut record = DeviceRecord::default();
        record.polled(Ok(4), 10);
        record.polled(Ok(4), 20);
        assert!(!record.is_told());
        for (request_id, at) in [("a", 30), ("a", 31), ("b", 32)] {
            record.says(&report("verify_failed", request_id), at);
            record.heard(&report("verify_failed", request_id), TAKEN);
        }
        assert!(record.is_told());
        let failed = ("verify_failed".to_owned(), String::new());
        assert_eq!((record.acknowledged()[&failed], record.checks), (2, 2));
        let history = record.history(4, Deeds::default());
        assert_eq!((history.offered, history.verify_failed), (Some(10), Some(30)));
        assert_eq!(record.by_rollout[&(9, 4)].verify_failed, Some(30));
        let counts = counts([history].into_iter());
        assert_eq!((counts.total_eligible, counts.verify_failed), (1, 1));
    }

    /// What the phone did counts, whatever the agent says and however the server takes it.
    #[test]
    fn what_the_server_refuses_to_hear_happened_all_the_same() {
        let mut record = DeviceRecord::default();
        record.polled(Ok(4), 10);
        let deeds = Deeds {
            installed: Some(50),
            refused: Some(40),
        };
        let silent = counts([record.history(4, deeds)].into_iter());
        assert_eq!((silent.installs_success, silent.installs_failed), (1, 1));
        record.says(&report("install_success", "a"), 51);
        record.heard(
            &report("install_success", "a"),
            http::StatusCode::SERVICE_UNAVAILABLE,
        );
        record.heard(&report("install_success", "a"), http::StatusCode::BAD_REQUEST);
        let refused = ("install_success".to_owned(), Some(400));
        assert_eq!(record.unheard(), [(refused, 1)].into());
        record.heard(&report("install_success", "a"), TAKEN);
        assert!(record.unheard().is_empty());
        let only_said = counts([record.history(4, Deeds::default())].into_iter());
        assert_eq!(only_said.installs_success, 0);
    }

    #[test]
    fn nothing_offered_is_nothing_to_tell() {
        let mut record = DeviceRecord::default();
        record.polled(Err("not_in_cohort"), 10);
        assert!(record.is_told());
        assert_eq!(record.answers["not_in_cohort"], 1);
    }
}
