//! The counters of campaigns' progress.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;
use serde::Serialize;
use tidegate_domain::DeliveryFailure;

use super::kept::Kept;
use super::{Conn, rows};
use crate::error::Fault;
use crate::schema::nudge_counts as counts;
use crate::{Error, Progress};

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Queued,
    Sent,
    Failed,
    Acknowledged,
    Polled,
    Installed,
    /// Sent, and neither a poll nor an answer came in time.
    Silent,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Acknowledged => "acknowledged",
            Self::Polled => "polled",
            Self::Installed => "installed",
            Self::Silent => "silent",
        }
    }
}

/// What a transaction adds, in the order in which it is to be written.
#[derive(Default)]
pub(crate) struct Changes(BTreeMap<(i64, Kind, String), i64>);

impl Changes {
    pub(crate) fn add(&mut self, campaign: i64, kind: Kind, by: i64) {
        *self.0.entry((campaign, kind, String::new())).or_default() += by;
    }

    pub(crate) fn fail(&mut self, campaign: i64, reason: &str, by: i64) {
        *self
            .0
            .entry((campaign, Kind::Failed, reason.to_owned()))
            .or_default() += by;
    }

    pub(crate) fn write(self, conn: &mut Conn) -> Result<(), Fault> {
        #[derive(Serialize)]
        struct Change {
            campaign_id: i64,
            kind: &'static str,
            reason: String,
            count: i64,
        }
        let changes: Vec<Change> = self
            .0
            .into_iter()
            .filter(|(_, count)| *count != 0)
            .map(|((campaign_id, kind, reason), count)| Change {
                campaign_id,
                kind: kind.as_str(),
                reason,
                count,
            })
            .collect();
        if changes.is_empty() {
            return Ok(());
        }
        let source = rows(&[
            ("campaign_id", "bigint"),
            ("kind", "text"),
            ("reason", "text"),
            ("count", "bigint"),
        ]);
        let sql = format!(
            "INSERT INTO nudge_counts (campaign_id, kind, reason, count)
             SELECT campaign_id, kind, reason, count FROM {source} WHERE true
             ON CONFLICT (campaign_id, kind, reason) DO UPDATE SET count = nudge_counts.count + excluded.count"
        );
        Kept::on(&sql, &changes)?.run(conn)?;
        Ok(())
    }
}

/// A reason as it was written, perhaps by a newer version that knew more of them.
pub(crate) fn failure(reason: &str) -> DeliveryFailure {
    reason.parse().unwrap_or(DeliveryFailure::Other)
}

/// How far these campaigns are; `queued` is what was never ended, also of a canceled one.
pub(crate) fn progress(conn: &mut Conn, campaigns: &[i64]) -> Result<HashMap<i64, Progress>, Fault> {
    let rows: Vec<(i64, String, String, i64)> = counts::table
        .filter(counts::campaign_id.eq_any(campaigns))
        .order((counts::campaign_id, counts::kind, counts::reason))
        .load(conn)?;
    let mut found: HashMap<i64, Progress> = HashMap::new();
    for (campaign, kind, reason, count) in rows {
        let progress = found.entry(campaign).or_default();
        if kind == "silent" {
            // A server of the version before sends without counting here, so the sum may fall below zero.
            progress.silent = u64::try_from(count).unwrap_or(0);
            continue;
        }
        let count = u64::try_from(count).map_err(|fault| Error::corrupt("nudge_counts.count", fault))?;
        match kind.as_str() {
            "queued" => progress.queued = count,
            "sent" => progress.sent = count,
            "failed" => {
                progress.failed += count;
                progress.failed_by.push((failure(&reason), count));
            }
            "acknowledged" => progress.acknowledged = count,
            "polled" => progress.polled = count,
            "installed" => progress.installed = count,
            other => return Err(Error::corrupt("nudge_counts.kind", other).into()),
        }
    }
    for progress in found.values_mut() {
        progress.total = progress.queued + progress.sent + progress.failed;
    }
    Ok(found)
}
