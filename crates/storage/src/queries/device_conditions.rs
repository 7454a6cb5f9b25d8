//! What a filter asks of a device that a walk met, in SQL: `d` is its row.

use std::ops::RangeInclusive;

use tidegate_domain::PackageName;

use super::device_walks::{Asked, fate, standing};
use super::overdue::{self, Late};
use super::statement::Statement;
use super::{Conn, builds, devices as device_queries};
use crate::device_filter::Trouble;
use crate::error::Fault;
use crate::time::micros;
use crate::{DeviceFilter, Error, Told};

/// How a question about one device ends. With an offset PostgreSQL asks it of each device by its key; without, it would
/// make a join of it, and read the whole table for some thousand devices.
pub(super) const ALONE: &str = " LIMIT 1 OFFSET 0)";

/// What has to be looked up once before a filter can be asked.
pub(super) struct Known {
    /// The package's number; `None` when none is named, and when nobody knows it.
    pub(super) package: Option<i64>,
    pub(super) tag: Option<i64>,
    /// The rollout with which devices are to be overdue; none before its deadline, and once it has ended.
    pub(super) late: Option<Late>,
    /// Whether something is named that does not exist, so that no device can match.
    pub(super) none_matches: bool,
}

impl Known {
    pub(super) fn look_up(conn: &mut Conn, filter: &DeviceFilter) -> Result<Self, Fault> {
        let package = match &filter.package {
            Some(name) => package_id(conn, name)?,
            None => None,
        };
        let tag = match &filter.tag {
            Some(tag) => super::tags::number(conn, tag)?,
            None => None,
        };
        let late = match filter.overdue {
            Some((rollout, now)) => overdue::named(conn, rollout, now)?,
            None => None,
        };
        let trouble = filter.trouble.as_ref().map(|trouble| trouble.build);
        for build in [filter.failing, trouble].into_iter().flatten() {
            if builds::versions(conn, &[build.0])?.is_empty() {
                return Err(Error::not_found(format!("build {build}")).into());
            }
        }
        let none_matches = (filter.package.is_some() && package.is_none())
            || (filter.tag.is_some() && tag.is_none())
            || (filter.overdue.is_some() && late.is_none());
        Ok(Self {
            package,
            tag,
            late,
            none_matches,
        })
    }
}

fn package_id(conn: &mut Conn, package: &PackageName) -> Result<Option<i64>, Fault> {
    let ids = device_queries::package_ids(conn, &[package.as_str()])?;
    Ok(ids.get(package.as_str()).copied())
}

/// Any version runs; 0 says that the package is not installed.
pub(super) fn versions(filter: &DeviceFilter) -> RangeInclusive<i64> {
    match &filter.versions {
        Some(range) => range.start().get()..=range.end().get(),
        None => 1..=i64::MAX,
    }
}

/// What was told, as the column says it.
pub(super) fn told(told: Told) -> Statement {
    match told.stored() {
        Some(word) => Statement::of("standing = ").text(word),
        None => "standing IS NULL".into(),
    }
}

/// The trouble with a build, of a row of `device_builds`.
pub(super) fn trouble(of: &Trouble) -> Statement {
    let mut statement = Statement::of(format!("build_id = {}", of.build.0));
    if let Some(reason) = &of.reason {
        statement = statement.and_then(" AND last_reason = ").text(reason);
    }
    if let Some(became) = of.fate {
        statement = statement.and_then(&format!(" AND {}", fate(became)));
    }
    if of.reason.is_none() && of.fate.is_none() {
        statement = statement.and_then(" AND last_reason IS NOT NULL");
    }
    statement
}

/// Whether the filter asks for versions that run. Those that stand in some way need not run the package, unless
/// versions are named as well.
pub(super) fn asks_version(filter: &DeviceFilter) -> bool {
    filter.package.is_some()
        && (filter.versions.is_some() || (filter.told.is_none() && filter.condition.is_none()))
}

/// All that the filter asks, and by which walk it would be answered.
pub(super) fn all(filter: &DeviceFilter, known: &Known) -> Vec<(Asked, Statement)> {
    let mut all = vec![];
    if let Some(search) = &filter.search {
        all.push((Asked::Nothing, search_of(search)));
    }
    all.extend(facts(filter));
    all.extend(of_package(filter, known));
    let builds = |of: &Statement| {
        let begin = "EXISTS (SELECT 1 FROM device_builds WHERE device_id = d.id AND ";
        Statement::of(begin).then(of).and_then(ALONE)
    };
    if let Some(of) = &filter.trouble {
        all.push((Asked::Trouble, builds(&trouble(of))));
    }
    if let Some(build) = filter.failing {
        let of = format!("build_id = {} AND failures > 0", build.0).into();
        all.push((Asked::Failing, builds(&of)));
    }
    if let Some(tag) = known.tag {
        let has =
            format!("EXISTS (SELECT 1 FROM device_tags WHERE device_id = d.id AND tag_id = {tag}{ALONE}");
        all.push((Asked::Tag, has.into()));
    }
    if let Some(late) = known.late {
        all.push((Asked::Overdue, overdue::condition(late).into()));
    }
    if let Some(since) = filter.silent_since {
        let silent = format!("(d.last_seen_at IS NULL OR d.last_seen_at < {})", micros(since));
        all.push((Asked::Silent, silent.into()));
    }
    if let Some(since) = filter.seen_since {
        let seen = format!("d.last_seen_at >= {}", micros(since));
        all.push((Asked::SeenSince, seen.into()));
    }
    if let Some(can_be) = filter.can_be_nudged {
        let not = if can_be { "NOT NULL" } else { "NULL" };
        all.push((Asked::Nothing, format!("d.fcm_token IS {not}").into()));
    }
    all
}

/// Of the fleet, or retired; a package's devices are those that count, as in the lists that its index gives.
pub(super) fn present(filter: &DeviceFilter) -> String {
    let counts = match filter.retired || filter.package.is_none() {
        true => "",
        false => " AND d.inactive_at IS NULL",
    };
    format!("d.{}{counts}", standing(filter.retired))
}

/// In whatever case. What is not ASCII is in lower case in the alias alone.
fn search_of(search: &str) -> Statement {
    let find = super::FIND;
    Statement::of(format!(
        "EXISTS (SELECT 1 FROM device_search s WHERE s.device_id = d.id AND ({find}(s.words, "
    ))
    .text(&search.to_lowercase())
    .and_then(&format!(") > 0 OR {find}(d.name, "))
    .text(search)
    .and_then(&format!(") > 0){ALONE}"))
}

fn facts(filter: &DeviceFilter) -> Vec<(Asked, Statement)> {
    let says = |of: Statement| {
        let begin = "EXISTS (SELECT 1 FROM device_search s WHERE s.device_id = d.id AND s.";
        Statement::of(begin).then(&of).and_then(ALONE)
    };
    let mut all = vec![];
    for (column, value) in filter.facts() {
        let equals = Statement::of(format!("{column} = ")).text(value);
        all.push((Asked::Fact(column), says(equals)));
    }
    if let Some(levels) = &filter.sdk {
        let between = format!("sdk BETWEEN {} AND {}", levels.start(), levels.end());
        all.push((Asked::Fact("sdk"), says(between.into())));
    }
    all
}

fn of_package(filter: &DeviceFilter, known: &Known) -> Vec<(Asked, Statement)> {
    let Some(package) = known.package else {
        return vec![];
    };
    let runs = |of: Statement| {
        let begin = "EXISTS (SELECT 1 FROM device_packages WHERE device_id = d.id AND package_id = ";
        Statement::of(format!("{begin}{package} AND "))
            .then(&of)
            .and_then(ALONE)
    };
    let mut all = vec![];
    if let Some(word) = filter.told {
        all.push((Asked::Told, runs(told(word))));
    }
    if asks_version(filter) {
        let range = versions(filter);
        let between = format!("version_code BETWEEN {} AND {}", range.start(), range.end());
        all.push((Asked::Runs, runs(between.into())));
    }
    all
}
