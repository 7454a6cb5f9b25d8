//! The ways along an index by which devices are listed: each tells devices' numbers in its order, and goes on behind
//! the last one that was looked at.

use std::ops::RangeInclusive;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::census::HAS_FAILED;
use super::overdue::{self, Late};
use super::statement::Statement;
use super::{Conn, words};
use crate::device_filter::FailureFate;
use crate::error::Fault;
use crate::page::Key;

/// What a walk answers of a filter, so that nobody asks it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing: it only gives an order.
    Nothing,
    /// What the device said of itself, by the name of the column.
    Fact(&'static str),
    Tag,
    Trouble,
    Failing,
    Overdue,
    Told,
    Runs,
    Silent,
    SeenSince,
}

/// One way along an index.
#[derive(Clone)]
pub(super) struct Walk {
    pub(super) asked: Asked,
    /// Whether it meets devices of the fleet alone, and not those that were retired.
    pub(super) in_fleet: bool,
    from: &'static str,
    filter: Statement,
    /// The columns of the device's number, and of what it is sorted by before that.
    id: &'static str,
    by: By,
    descending: bool,
    overdue: Option<Late>,
}

#[derive(Clone, Copy)]
enum By {
    Id,
    /// By this number, then the device's.
    Number(&'static str),
    /// By this text, which no two share.
    Text(&'static str),
}

/// A device's place in the list: on which of the ways, and what that is sorted by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the ways that answer the filter was chosen, and whether what it gave was sorted afterwards.
    pub(super) way: usize,
    pub(super) sorted: bool,
    pub(super) leg: usize,
    /// Whether it is the place before the walk's first device.
    pub(super) begins: bool,
    pub(super) number: i64,
    pub(super) id: i64,
    pub(super) text: String,
}

impl Place {
    pub(super) fn before(&self, leg: usize) -> Self {
        Self {
            way: self.way,
            sorted: self.sorted,
            leg,
            begins: true,
            ..Self::default()
        }
    }
}

impl Key for Place {
    fn write(&self) -> String {
        format!(
            "{} {} {} {} {} {} {}",
            self.way,
            u8::from(self.sorted),
            self.leg,
            u8::from(self.begins),
            self.number,
            self.id,
            self.text
        )
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(7, ' ');
        Some(Self {
            way: parts.next()?.parse().ok()?,
            sorted: parts.next()? == "1",
            leg: parts.next()?.parse().ok()?,
            begins: parts.next()? == "1",
            number: parts.next()?.parse().ok()?,
            id: parts.next()?.parse().ok()?,
            text: parts.next().filter(|text| !text.contains('\0'))?.to_owned(),
        })
    }
}

/// A device that a walk met.
#[derive(QueryableByName)]
pub(super) struct Candidate {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    text: String,
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    devices: i64,
}

/// Of the devices of the fleet, or of those that were retired.
pub(super) const fn standing(retired: bool) -> &'static str {
    match retired {
        true => "retired_at IS NOT NULL",
        false => "retired_at IS NULL",
    }
}

impl Walk {
    fn over(asked: Asked, from: &'static str, id: &'static str, filter: Statement) -> Self {
        Self {
            asked,
            in_fleet: false,
            from,
            filter,
            id,
            by: By::Id,
            descending: false,
            overdue: None,
        }
    }

    fn within_fleet(mut self) -> Self {
        self.in_fleet = true;
        self
    }

    /// For a condition, of which these are not all and others are met.
    pub(super) fn unasked(mut self) -> Self {
        self.asked = Asked::Nothing;
        self
    }

    fn by(mut self, column: &'static str, descending: bool) -> Self {
        self.by = By::Number(column);
        self.descending = descending;
        self
    }

    /// By id.
    pub(super) fn names(retired: bool, descending: bool) -> Self {
        let mut walk = Self::over(Asked::Nothing, "devices", "id", standing(retired).into());
        walk.by = By::Text("name");
        walk.descending = descending;
        walk.within_fleet()
    }

    /// By enrolment.
    pub(super) fn enrolled(descending: bool) -> Self {
        Self::over(Asked::Nothing, "device_search", "device_id", "true".into()).by("enrolled_at", descending)
    }

    /// By number, those whose id or alias may hold these words: a superset, where they are long enough for the index.
    pub(super) fn words(search: &str) -> Self {
        Self::over(Asked::Nothing, words::FROM, words::ID, words::filter(search))
    }

    /// By number, those that say this of themselves.
    pub(super) fn fact(column: &'static str, value: &str) -> Self {
        let filter = Statement::of(format!("{column} = ")).text(value);
        Self::over(Asked::Fact(column), "device_search", "device_id", filter)
    }

    /// By API level and number.
    pub(super) fn sdk(levels: &RangeInclusive<u32>) -> Self {
        let filter = format!("sdk BETWEEN {} AND {}", levels.start(), levels.end());
        Self::over(Asked::Fact("sdk"), "device_search", "device_id", filter.into()).by("sdk", false)
    }

    /// By number, those that have the tag of this number.
    pub(super) fn tag(tag: i64) -> Self {
        Self::over(
            Asked::Tag,
            "device_tags",
            "device_id",
            format!("tag_id = {tag}").into(),
        )
    }

    /// By number, those that had this trouble with a build.
    pub(super) fn trouble(condition: Statement) -> Self {
        Self::over(Asked::Trouble, "device_builds", "device_id", condition)
    }

    /// By number, those that fail with this build.
    pub(super) fn failing(build: i64) -> Self {
        let filter = format!("build_id = {build} AND {HAS_FAILED}");
        Self::over(Asked::Failing, "device_builds", "device_id", filter.into())
    }

    /// By number, those that are overdue with this rollout.
    pub(super) fn overdue(of: Late) -> Self {
        let mut walk = Self::over(Asked::Overdue, "devices", "id", "true".into());
        walk.overdue = Some(of);
        walk.within_fleet()
    }

    /// By number, those that fail with one of these builds, each once.
    pub(super) fn failing_with_any(builds: &[i64]) -> Self {
        let builds: Vec<String> = builds.iter().map(ToString::to_string).collect();
        let builds = builds.join(", ");
        let filter = format!(
            "build_id IN ({builds}) AND {HAS_FAILED} AND NOT EXISTS (SELECT 1 FROM device_builds AS other
             WHERE other.device_id = device_builds.device_id AND other.build_id IN ({builds})
             AND other.build_id < device_builds.build_id AND other.failures > 0)"
        );
        Self::over(Asked::Nothing, "device_builds", "device_id", filter.into())
    }

    /// By version and number, those whose last poll for the package was told this, and that run one of these versions.
    pub(super) fn told(package: i64, condition: &Statement, versions: &RangeInclusive<i64>) -> Self {
        let between = format!(
            " AND version_code BETWEEN {} AND {}",
            versions.start(),
            versions.end()
        );
        let filter = Statement::of(format!("counted AND package_id = {package} AND "))
            .then(condition)
            .and_then(&between);
        Self::over(Asked::Told, "device_packages", "device_id", filter)
            .by("version_code", false)
            .within_fleet()
    }

    /// By version and number, those that run the package.
    pub(super) fn running(package: i64, versions: &RangeInclusive<i64>) -> Self {
        let filter = format!(
            "counted AND package_id = {package} AND version_code BETWEEN {} AND {}",
            versions.start(),
            versions.end()
        );
        Self::over(Asked::Runs, "device_packages", "device_id", filter.into())
            .by("version_code", false)
            .within_fleet()
    }

    /// By number, those that never came.
    pub(super) fn never_seen(asked: Asked) -> Self {
        let filter = "retired_at IS NULL AND last_seen_at IS NULL";
        Self::over(asked, "devices", "id", filter.into()).within_fleet()
    }

    /// By the last poll, those that came last between these moments.
    pub(super) fn seen(asked: Asked, between: RangeInclusive<i64>, descending: bool) -> Self {
        let filter = format!(
            "retired_at IS NULL AND last_seen_at BETWEEN {} AND {}",
            between.start(),
            between.end()
        );
        Self::over(asked, "devices", "id", filter.into())
            .by("last_seen_at", descending)
            .within_fleet()
    }

    /// The devices behind a place, in the walk's order.
    pub(super) fn candidates(
        &self,
        conn: &mut Conn,
        after: &Place,
        limit: usize,
    ) -> Result<Vec<Place>, Fault> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        if let Some(of) = self.overdue {
            let ids = overdue::devices(conn, of, after.id, limit)?;
            let met = ids.into_iter().map(|id| self.place(after, 0, id, String::new()));
            return Ok(met.collect());
        }
        let (number, text) = match self.by {
            By::Id => ("0", "''"),
            By::Number(column) => (column, "''"),
            By::Text(column) => ("0", column),
        };
        let id = self.id;
        let statement = Statement::of(format!(
            "SELECT CAST({number} AS BIGINT) AS number, {id} AS id, {text} AS text FROM {} WHERE ",
            self.from
        ));
        let statement = self.behind(statement.then(&self.filter), after);
        let statement = statement.and_then(&format!(" ORDER BY {} LIMIT {limit}", self.order()));
        let met: Vec<Candidate> = statement.load(conn)?;
        let met = met
            .into_iter()
            .map(|met| self.place(after, met.number, met.id, met.text));
        Ok(met.collect())
    }

    fn place(&self, after: &Place, number: i64, id: i64, text: String) -> Place {
        Place {
            begins: false,
            number,
            id,
            text,
            ..after.clone()
        }
    }

    /// One bound and not two: SQLite would walk up from the lower one.
    fn behind(&self, statement: Statement, after: &Place) -> Statement {
        if after.begins {
            return statement;
        }
        let than = if self.descending { "<" } else { ">" };
        let (id, number) = (self.id, after.number);
        match self.by {
            By::Id => statement.and_then(&format!(" AND {id} {than} {}", after.id)),
            By::Number(column) => {
                statement.and_then(&format!(" AND ({column}, {id}) {than} ({number}, {})", after.id))
            }
            By::Text(column) => statement
                .and_then(&format!(" AND {column} {than} "))
                .text(&after.text),
        }
    }

    fn order(&self) -> String {
        let way = if self.descending { " DESC" } else { "" };
        match self.by {
            By::Id => format!("{}{way}", self.id),
            By::Number(column) => format!("{column}{way}, {}{way}", self.id),
            By::Text(column) => format!("{column}{way}"),
        }
    }

    /// How many devices the walk meets, up to a bound.
    pub(super) fn count(&self, conn: &mut Conn, bound: usize) -> Result<usize, Fault> {
        if let Some(of) = self.overdue {
            let bound = i64::try_from(bound).unwrap_or(i64::MAX);
            return Ok(overdue::devices(conn, of, 0, bound)?.len());
        }
        let statement = Statement::of(format!(
            "SELECT count(*) AS devices FROM (SELECT 1 AS one FROM {} WHERE ",
            self.from
        ));
        let statement = statement
            .then(&self.filter)
            .and_then(&format!(" LIMIT {bound}) AS met"));
        let counted: Vec<Counted> = statement.load(conn)?;
        let devices = counted.first().map_or(0, |counted| counted.devices);
        Ok(usize::try_from(devices).unwrap_or(0))
    }
}

/// What became of the devices that had trouble with a build, in the words of the partial indexes.
pub(super) const fn fate(fate: FailureFate) -> &'static str {
    match fate {
        FailureFate::Failing => "device_builds.failures > 0 AND rejected_generation IS NULL",
        FailureFate::GivenUp => "rejected_generation IS NOT NULL",
        FailureFate::Recovered => {
            "installed_at IS NOT NULL AND failures = 0 AND coalesce(install_failed_at, verify_failed_at) IS NOT NULL"
        }
    }
}
