//! Statements on the reasons of failures and delays.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::prelude::*;
use serde::Serialize;
use tidegate_domain::BuildId;

use super::kept::Kept;
use super::{BATCH, Conn, rows};
use crate::error::Fault;
use crate::rows::parsed;
use crate::schema::rollout_reasons as reasons;
use crate::time::moment;
use crate::{Error, MAX_REASONS, ReasonCount};

/// Build and rollout.
type Of = (i64, i64);

/// What it is of, status and reason.
type Key = (Of, String, String);

/// What a batch of reports adds, in the order in which it is written.
#[derive(Default)]
pub(crate) struct Reasons(BTreeMap<Key, (i64, i64)>);

impl Reasons {
    pub(crate) fn count(&mut self, of: Of, status: &str, reason: String, at: i64) {
        self.add((of, status.to_owned(), reason), 1, at);
    }

    fn add(&mut self, key: Key, reports: i64, at: i64) {
        let (sum, last) = self.0.entry(key).or_insert((0, at));
        *sum += reports;
        *last = at.max(*last);
    }

    /// The same, with no more reasons of a build and rollout than may be kept apart.
    fn bounded(&self, known: &[Key]) -> Self {
        let mut kept: HashMap<Of, HashSet<&Key>> = HashMap::new();
        for key in known {
            kept.entry(key.0).or_default().insert(key);
        }
        let mut bounded = Self::default();
        for (key, (reports, at)) in &self.0 {
            let kept = kept.entry(key.0).or_default();
            let key = if kept.contains(key) || kept.len() < MAX_REASONS {
                kept.insert(key);
                key.clone()
            } else {
                (key.0, key.1.clone(), String::new())
            };
            bounded.add(key, *reports, *at);
        }
        bounded
    }
}

#[derive(Serialize)]
struct ReasonRow {
    build_id: i64,
    rollout_id: i64,
    status: String,
    reason: String,
    reports: i64,
    last_at: i64,
}

pub(crate) fn add(conn: &mut Conn, new: &Reasons) -> Result<(), Fault> {
    if new.0.is_empty() {
        return Ok(());
    }
    let builds: HashSet<i64> = new.0.keys().map(|((build, _), _, _)| *build).collect();
    let known: Vec<Key> = reasons::table
        .filter(reasons::build_id.eq_any(builds))
        .select((
            (reasons::build_id, reasons::rollout_id),
            reasons::status,
            reasons::reason,
        ))
        .load(conn)?;
    let source = rows(&[
        ("build_id", "bigint"),
        ("rollout_id", "bigint"),
        ("status", "text"),
        ("reason", "text"),
        ("reports", "bigint"),
        ("last_at", "bigint"),
    ]);
    let sql = format!(
        "INSERT INTO rollout_reasons (build_id, rollout_id, status, reason, reports, last_at)
         SELECT build_id, rollout_id, status, reason, reports, last_at FROM {source} WHERE true
         ON CONFLICT (build_id, rollout_id, status, reason) DO UPDATE
         SET reports = rollout_reasons.reports + excluded.reports, last_at = excluded.last_at"
    );
    let added = new.bounded(&known).0.into_iter();
    let added: Vec<ReasonRow> = added
        .map(
            |(((build_id, rollout_id), status, reason), (reports, last_at))| ReasonRow {
                build_id,
                rollout_id,
                status,
                reason,
                reports,
                last_at,
            },
        )
        .collect();
    for added in added.chunks(BATCH) {
        Kept::on(&sql, added)?.run(conn)?;
    }
    Ok(())
}

/// Of all rollouts of the build together.
pub(crate) fn list(conn: &mut Conn, build: BuildId) -> Result<Vec<ReasonCount>, Fault> {
    let rows: Vec<(String, String, i64, i64)> = reasons::table
        .filter(reasons::build_id.eq(build.0))
        .select((
            reasons::status,
            reasons::reason,
            reasons::reports,
            reasons::last_at,
        ))
        .load(conn)?;
    let mut sums: BTreeMap<(String, String), (i64, i64)> = BTreeMap::new();
    for (status, reason, reports, last_at) in rows {
        let (sum, last) = sums.entry((status, reason)).or_insert((0, last_at));
        *sum += reports;
        *last = last_at.max(*last);
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, (reports, _))| std::cmp::Reverse(*reports));
    let counts: Result<Vec<ReasonCount>, Error> = sums
        .into_iter()
        .take(2 * MAX_REASONS)
        .map(|((status, reason), (reports, last_at))| {
            Ok(ReasonCount {
                status: parsed("rollout_reasons.status", status.parse())?,
                reason: Some(reason).filter(|reason| !reason.is_empty()),
                reports,
                last_at: moment(last_at)?,
            })
        })
        .collect();
    Ok(counts?)
}
