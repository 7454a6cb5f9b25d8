//! What became of a build on a device, and how a report changes it. Pure: the queries load and store it.

use diesel::prelude::*;
use serde::Serialize;
use tidegate_domain::{BuildId, Consequence, Rejection, Report, ReportStatus};

use crate::Error;
use crate::reports::{MAX_NEWS_PER_BUILD, MAX_REPORTS_PER_BUILD};
use crate::rows::{clean_if, small};
use crate::schema::device_builds;
use crate::tally::Tally;
use crate::time::{micros, moment_if};

/// A row of `device_builds`.
#[derive(Clone, Default, Queryable, QueryableByName, Selectable, Serialize)]
#[diesel(table_name = device_builds)]
pub(crate) struct DeviceBuildRow {
    pub(crate) device_id: i64,
    pub(crate) build_id: i64,
    pub(crate) offered_at: Option<i64>,
    pub(crate) downloaded_at: Option<i64>,
    pub(crate) verify_failed_at: Option<i64>,
    pub(crate) install_failed_at: Option<i64>,
    pub(crate) installed_at: Option<i64>,
    pub(crate) failure_generation: i64,
    pub(crate) failures: i64,
    pub(crate) reports: i64,
    pub(crate) last_status: Option<String>,
    pub(crate) last_reason: Option<String>,
    pub(crate) last_at: Option<i64>,
    pub(crate) rejected_generation: Option<i64>,
    pub(crate) rejected_until_at: Option<i64>,
}

/// The columns of `device_builds` with PostgreSQL's names of their types.
pub(crate) const COLUMNS: [(&str, &str); 15] = [
    ("device_id", "bigint"),
    ("build_id", "bigint"),
    ("offered_at", "bigint"),
    ("downloaded_at", "bigint"),
    ("verify_failed_at", "bigint"),
    ("install_failed_at", "bigint"),
    ("installed_at", "bigint"),
    ("failure_generation", "bigint"),
    ("failures", "bigint"),
    ("reports", "bigint"),
    ("last_status", "text"),
    ("last_reason", "text"),
    ("last_at", "bigint"),
    ("rejected_generation", "bigint"),
    ("rejected_until_at", "bigint"),
];

/// What an account still takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capacity {
    ForAll,
    /// The first of its status in its retry_generation.
    ForNews,
    None,
}

impl DeviceBuildRow {
    pub(crate) fn new(device_id: i64, build_id: i64) -> Self {
        Self {
            device_id,
            build_id,
            ..Self::default()
        }
    }

    /// Notes that the device was offered the build, if that is news.
    pub(crate) fn offer(&mut self, at: i64, tally: &mut Tally) {
        if first(&mut self.offered_at, at) {
            tally.at(self.build_id, at).total_eligible += 1;
        }
    }

    /// Notes that the device has the whole file, and returns whether that is news.
    pub(crate) fn download(&mut self, at: i64, tally: &mut Tally) -> bool {
        self.offer(at, tally);
        let news = first(&mut self.downloaded_at, at);
        if news {
            tally.at(self.build_id, at).total_downloads += 1;
        }
        news
    }

    /// Whether there is room for a report that was not taken before.
    pub(crate) fn room_for(&self, status: ReportStatus) -> Capacity {
        let first_on_the_device = match status {
            ReportStatus::Downloaded => self.downloaded_at.is_none(),
            ReportStatus::VerifyFailed => self.verify_failed_at.is_none(),
            ReportStatus::InstallFailed => self.install_failed_at.is_none(),
            ReportStatus::InstallSuccess => self.installed_at.is_none(),
            ReportStatus::Deferred => false,
        };
        if self.reports < MAX_REPORTS_PER_BUILD || first_on_the_device {
            Capacity::ForAll
        } else if status != ReportStatus::Deferred
            && self.reports < MAX_REPORTS_PER_BUILD + MAX_NEWS_PER_BUILD
        {
            Capacity::ForNews
        } else {
            Capacity::None
        }
    }

    /// Takes a report that was not taken before, and for which there is room.
    pub(crate) fn take(
        &mut self,
        report: &Report,
        at: chrono::DateTime<chrono::Utc>,
        tally: &mut Tally,
    ) -> Consequence {
        self.reports += 1;
        let now = micros(at);
        self.offer(now, tally);
        let build = self.build_id;
        match report.status {
            ReportStatus::Downloaded => {
                self.download(now, tally);
            }
            ReportStatus::VerifyFailed if first(&mut self.verify_failed_at, now) => {
                tally.at(build, now).verify_failed += 1;
            }
            ReportStatus::InstallFailed if first(&mut self.install_failed_at, now) => {
                tally.at(build, now).installs_failed += 1;
            }
            ReportStatus::InstallSuccess if first(&mut self.installed_at, now) => {
                tally.at(build, now).installs_success += 1;
            }
            _ => {}
        }
        // Reports that waited in a device's queue may come after younger ones.
        if self.last_at.is_none_or(|last| last <= now) {
            self.last_status = Some(report.status.as_str().into());
            self.last_reason = clean_if(report.reason.as_deref());
            self.last_at = Some(now);
        }
        let consequence = report.consequence(self.earlier_failures(report.retry_generation), at);
        self.bear(consequence, report.retry_generation);
        // A weaker rejection than the one that is held must not replace it in anybody's memory either.
        match (consequence, self.rejection()) {
            (Consequence::Rejected(_), Ok(Some(held))) => Consequence::Rejected(held),
            _ => consequence,
        }
    }

    /// Failures of this retry_generation so far. Those of an retry_generation before the last are not kept.
    fn earlier_failures(&self, retry_generation: u32) -> u32 {
        if i64::from(retry_generation) == self.failure_generation {
            u32::try_from(self.failures).unwrap_or(u32::MAX)
        } else {
            0
        }
    }

    fn bear(&mut self, consequence: Consequence, retry_generation: u32) {
        match consequence {
            Consequence::None => {}
            Consequence::Failed => self.count_failure(retry_generation),
            Consequence::Rejected(rejection) => {
                self.count_failure(retry_generation);
                self.reject(&rejection);
            }
            Consequence::Forgiven => {
                self.failures = 0;
                self.rejected_generation = None;
                self.rejected_until_at = None;
            }
        }
    }

    fn count_failure(&mut self, retry_generation: u32) {
        let retry_generation = i64::from(retry_generation);
        if retry_generation > self.failure_generation {
            self.failure_generation = retry_generation;
            self.failures = 0;
        }
        if retry_generation == self.failure_generation {
            self.failures += 1;
        }
    }

    /// The stronger one stays: that of the higher retry_generation, of equal ones that which lasts longer.
    fn reject(&mut self, rejection: &Rejection) {
        let retry_generation = i64::from(rejection.retry_generation);
        let until = rejection.until.map(micros);
        let weight = |until: Option<i64>| until.unwrap_or(i64::MAX);
        let stronger = match self.rejected_generation {
            None => true,
            Some(held) if held == retry_generation => weight(until) > weight(self.rejected_until_at),
            Some(held) => retry_generation > held,
        };
        if stronger {
            self.rejected_generation = Some(retry_generation);
            self.rejected_until_at = until;
        }
    }

    /// What keeps the build from the device.
    pub(crate) fn rejection(&self) -> Result<Option<Rejection>, Error> {
        rejection(self.build_id, self.rejected_generation, self.rejected_until_at)
    }
}

/// A rejection as it stands in its two columns.
pub(crate) fn rejection(
    build: i64,
    retry_generation: Option<i64>,
    until: Option<i64>,
) -> Result<Option<Rejection>, Error> {
    let Some(retry_generation) = retry_generation else {
        return Ok(None);
    };
    Ok(Some(Rejection {
        build: BuildId(build),
        retry_generation: small("device_builds.rejected_generation", retry_generation)?,
        until: moment_if(until)?,
    }))
}

fn first(slot: &mut Option<i64>, at: i64) -> bool {
    let news = slot.is_none();
    slot.get_or_insert(at);
    news
}
