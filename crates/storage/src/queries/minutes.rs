//! The last day by the minute.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use tidegate_domain::{BuildId, PackageName};

use super::Conn;
use super::census::{CountRow, note};
use crate::error::Fault;
use crate::rows::version;
use crate::schema::{build_minutes, packages, version_minutes};
use crate::time::{micros, minute, moment};
use crate::{BuildMinute, Error, MINUTES_KEPT, VersionMinute};

/// Notes this minute's versions and counts in place of what was noted for it before, and forgets what is too old.
pub(super) fn record(conn: &mut Conn, counts: &[CountRow], at: DateTime<Utc>) -> Result<(), Fault> {
    let (now, oldest) = (minute(micros(at)), micros(at - MINUTES_KEPT));
    diesel::delete(version_minutes::table.filter(version_minutes::minute_at.lt(oldest))).execute(conn)?;
    diesel::delete(build_minutes::table.filter(build_minutes::minute_at.lt(oldest))).execute(conn)?;
    note(conn, ("version_minutes", "minute_at"), now, counts)?;
    diesel::sql_query(format!(
        "INSERT INTO build_minutes (build_id, minute_at, eligible, downloads, installed)
         SELECT s.build_id, {now}, s.total_eligible, s.total_downloads, s.installs_success
         FROM deployment_stats s
         WHERE EXISTS (SELECT 1 FROM rollouts r WHERE r.build_id = s.build_id AND r.serving)
         ORDER BY s.build_id
         ON CONFLICT (build_id, minute_at) DO UPDATE SET
           eligible = excluded.eligible, downloads = excluded.downloads, installed = excluded.installed"
    ))
    .execute(conn)?;
    Ok(())
}

pub(crate) fn versions(
    conn: &mut Conn,
    package: &PackageName,
    from: DateTime<Utc>,
) -> Result<Vec<VersionMinute>, Fault> {
    let rows: Vec<(i64, i64, i64)> = version_minutes::table
        .inner_join(packages::table)
        .filter(packages::name.eq(package.as_str()))
        .filter(version_minutes::minute_at.ge(micros(from)))
        .filter(version_minutes::devices.gt(0))
        .order((version_minutes::minute_at, version_minutes::version_code))
        .select((
            version_minutes::minute_at,
            version_minutes::version_code,
            version_minutes::devices,
        ))
        .load(conn)?;
    let minutes = rows.into_iter().map(|(minute, code, devices)| {
        Ok::<_, Error>(VersionMinute {
            minute: moment(minute)?,
            version: Some(version(code)?).filter(|version| version.get() > 0),
            devices,
        })
    });
    Ok(minutes.collect::<Result<_, Error>>()?)
}

pub(crate) fn of_build(
    conn: &mut Conn,
    build: BuildId,
    from: DateTime<Utc>,
) -> Result<Vec<BuildMinute>, Fault> {
    let rows: Vec<(i64, i64, i64, i64)> = build_minutes::table
        .filter(build_minutes::build_id.eq(build.0))
        .filter(build_minutes::minute_at.ge(micros(from)))
        .order(build_minutes::minute_at)
        .select((
            build_minutes::minute_at,
            build_minutes::eligible,
            build_minutes::downloads,
            build_minutes::installed,
        ))
        .load(conn)?;
    let minutes = rows.into_iter().map(|(minute, eligible, downloads, installed)| {
        Ok::<_, Error>(BuildMinute {
            minute: moment(minute)?,
            eligible,
            downloads,
            installed,
        })
    });
    Ok(minutes.collect::<Result<_, Error>>()?)
}
