//! Removing what is older than its time, a bounded batch in each transaction.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::Conn;
use crate::Removed;
use crate::error::Fault;
use crate::schema::{nudge_campaigns, nudge_counts, nudge_deliveries, nudge_unknown_devices, reports};
use crate::time::micros;

/// Reports come in the order of their numbers, nearly that of their times: so no index on the largest table is needed.
pub(crate) fn reports(
    conn: &mut Conn,
    before: DateTime<Utc>,
    after: i64,
    limit: u32,
) -> Result<Removed, Fault> {
    let before = micros(before);
    let next: Vec<(i64, i64)> = reports::table
        .filter(reports::id.gt(after))
        .order(reports::id)
        .limit(limit.into())
        .select((reports::id, reports::reported_at))
        .load(conn)?;
    let old: Vec<i64> = next
        .iter()
        .filter(|(_, at)| *at < before)
        .map(|(id, _)| *id)
        .collect();
    let rows = diesel::delete(reports::table.filter(reports::id.eq_any(&old))).execute(conn)?;
    Ok(Removed {
        rows: rows as u64,
        next: next.last().filter(|_| !old.is_empty()).map(|(id, _)| *id),
    })
}

pub(crate) fn stat_hours(conn: &mut Conn, before: DateTime<Utc>, limit: u32) -> Result<u64, Fault> {
    let mut rows = 0;
    for (table, key, at) in [
        ("deployment_stat_hours", "build_id, hour_at", "hour_at"),
        ("rollout_stat_hours", "rollout_id, build_id, hour_at", "hour_at"),
        ("gate_readings", "rollout_id, minute_at", "minute_at"),
    ] {
        rows += oldest(conn, (table, key, at), before, limit)?;
    }
    Ok(rows)
}

pub(crate) fn tag_changes(conn: &mut Conn, before: DateTime<Utc>, limit: u32) -> Result<u64, Fault> {
    oldest(
        conn,
        ("tag_changes", "device_id, tag", "changed_at"),
        before,
        limit,
    )
}

/// Removes the oldest rows of a table, which has this key and this column of their time.
fn oldest(
    conn: &mut Conn,
    (table, key, at): (&str, &str, &str),
    before: DateTime<Utc>,
    limit: u32,
) -> Result<u64, Fault> {
    let before = micros(before);
    let removed = diesel::sql_query(format!(
        "DELETE FROM {table} WHERE ({key}) IN
         (SELECT {key} FROM {table} WHERE {at} < {before} ORDER BY {at} LIMIT {limit})"
    ));
    Ok(removed.execute(conn)? as u64)
}

/// The oldest campaign that ended before then loses its deliveries, and after the last of them it goes itself. One that
/// polls and installations still count for is left.
pub(crate) fn campaigns(conn: &mut Conn, before: DateTime<Utc>, limit: u32) -> Result<u64, Fault> {
    let before = micros(before);
    let oldest: Option<i64> = nudge_campaigns::table
        .filter(nudge_campaigns::ended_at.lt(before))
        .filter(nudge_campaigns::followed_until_at.lt(before))
        .order(nudge_campaigns::id)
        .select(nudge_campaigns::id)
        .first(conn)
        .optional()?;
    let Some(campaign) = oldest else { return Ok(0) };
    let mut rows = 0;
    for table in ["nudge_deliveries", "nudge_unknown_devices"] {
        let key = if table == "nudge_deliveries" {
            "device_id"
        } else {
            "name"
        };
        rows += diesel::sql_query(format!(
            "DELETE FROM {table} WHERE campaign_id = {campaign} AND {key} IN
             (SELECT {key} FROM {table} WHERE campaign_id = {campaign} ORDER BY {key} LIMIT {limit})"
        ))
        .execute(conn)?;
    }
    let deliveries = nudge_deliveries::table.filter(nudge_deliveries::campaign_id.eq(campaign));
    let unknown = nudge_unknown_devices::table.filter(nudge_unknown_devices::campaign_id.eq(campaign));
    let has_more: bool = diesel::select(diesel::dsl::exists(deliveries)).get_result(conn)?;
    let has_unknown: bool = diesel::select(diesel::dsl::exists(unknown)).get_result(conn)?;
    if !has_more && !has_unknown {
        diesel::delete(nudge_counts::table.filter(nudge_counts::campaign_id.eq(campaign))).execute(conn)?;
        rows += diesel::delete(nudge_campaigns::table.find(campaign)).execute(conn)?;
    }
    Ok(rows as u64)
}
