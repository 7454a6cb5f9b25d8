//! Listing devices, a page at a time.
//!
//! A filter is walked along the index that narrows it most, its *legs*, each of which continues behind the last
//! device that was looked at. What the index does not answer is asked of each candidate.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::Bool;
use tidegate_domain::{Device, PackageName, VersionCode};

use super::census::HAS_FAILED;
use super::conditions::{self, Walk};
use super::overdue::{self, Late};
use super::{Conn, Db, devices as device_queries};
use crate::error::Fault;
use crate::page::Key;
use crate::rows::{DeviceRow, clean};
use crate::schema::{device_builds, device_packages, devices};
use crate::time::micros;
use crate::{Condition, DeviceFilter, MAX_CANDIDATES, Page, Paged, Told};

/// How many candidates are fetched at once when some of them will be left out.
const CHUNK: usize = 500;

/// One way along an index.
enum Leg {
    /// By id, those that begin with this.
    Id(String),
    /// By alias, those that begin with this in lower case, and whose id does not begin with that.
    Alias(String, String),
    /// By number, those that fail with this build.
    Failing(i64),
    /// By number, those that are overdue with this rollout.
    Overdue(Late),
    /// By number, those that fail with one of these builds.
    FailingWithAny(Vec<i64>),
    /// By version and number, those whose last poll for the package was told this and that run one of these.
    Told(i64, Told, RangeInclusive<i64>),
    /// By version and number, those that run the package.
    Running(i64, RangeInclusive<i64>),
    /// By number, those that never came.
    NeverSeen,
    /// Those that came last before then, the longest silent first.
    SeenBefore(i64),
}

/// A device's place in the list: in which leg, and what that leg is sorted by.
#[derive(Clone, Default)]
struct Place {
    leg: usize,
    /// Whether it is the place before the leg's first device.
    begins: bool,
    number: i64,
    id: i64,
    text: String,
}

impl Place {
    fn before(leg: usize) -> Self {
        Self {
            leg,
            begins: true,
            ..Self::default()
        }
    }
}

impl Key for Place {
    fn write(&self) -> String {
        format!(
            "{} {} {} {} {}",
            self.leg,
            u8::from(self.begins),
            self.number,
            self.id,
            self.text
        )
    }

    fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(5, ' ');
        Some(Self {
            leg: parts.next()?.parse().ok()?,
            begins: parts.next()? == "1",
            number: parts.next()?.parse().ok()?,
            id: parts.next()?.parse().ok()?,
            text: parts.next().filter(|text| !text.contains('\0'))?.to_owned(),
        })
    }
}

pub(crate) fn list(conn: &mut Conn, filter: &DeviceFilter, page: &Page) -> Result<Paged<Device>, Fault> {
    let legs = legs(conn, filter)?;
    let size = usize::try_from(page.size()).unwrap_or(usize::MAX);
    let exact = is_exact(filter);
    let mut place = page.after::<Place>()?.unwrap_or(Place::before(0));
    let mut items = Vec::new();
    let mut looked_at = 0;
    while let Some(leg) = legs.get(place.leg) {
        if looked_at >= MAX_CANDIDATES {
            return Ok(paged(items, Some(&place)));
        }
        let wanted = if exact { size + 1 - items.len() } else { CHUNK };
        let candidates = candidates(conn, leg, filter.retired, &place, wanted)?;
        looked_at += candidates.len();
        let ends = candidates.len() < wanted;
        let (places, rows): (Vec<Place>, Vec<DeviceRow>) = candidates.into_iter().unzip();
        for (next, device) in places.into_iter().zip(judged(conn, filter, rows)?) {
            if let Some(device) = device {
                if items.len() == size {
                    return Ok(paged(items, Some(&place)));
                }
                items.push(device);
            }
            place = next;
        }
        if ends {
            place = Place::before(place.leg + 1);
        }
    }
    Ok(paged(items, None))
}

fn paged(items: Vec<Device>, after: Option<&Place>) -> Paged<Device> {
    Paged {
        items,
        next_page_token: after.map(Page::token_after),
    }
}

/// Whether the legs alone answer the filter.
fn is_exact(filter: &DeviceFilter) -> bool {
    let asked = [
        filter.search.is_some(),
        filter.failing.is_some(),
        filter.overdue.is_some(),
        told(filter).is_some(),
        filter.versions.is_some() || (filter.package.is_some() && told(filter).is_none()),
        filter.silent_since.is_some(),
    ];
    // A condition's legs hold others as well.
    if condition(filter).is_some() {
        return false;
    }
    // The legs of retired devices know their names alone.
    let retired = filter.retired && filter.search.is_none();
    asked.into_iter().chain([retired]).filter(|asked| *asked).count() <= 1
}

/// What the package's devices are to have been told.
fn told(filter: &DeviceFilter) -> Option<(&PackageName, Told)> {
    filter.package.as_ref().zip(filter.told)
}

/// The condition in which devices are to be with the package.
fn condition(filter: &DeviceFilter) -> Option<(&PackageName, Condition, DateTime<Utc>)> {
    let (condition, silent_before) = filter.condition?;
    Some((filter.package.as_ref()?, condition, silent_before))
}

fn legs_of(
    conn: &mut Conn,
    package: i64,
    condition: Condition,
    silent_before: i64,
) -> Result<Vec<Leg>, Fault> {
    let mut legs = Vec::new();
    for walk in conditions::walks(conn, package, condition)? {
        match walk {
            Walk::Running(versions) => legs.push(Leg::Running(package, versions)),
            Walk::Told(told, versions) => legs.push(Leg::Told(package, told, versions)),
            Walk::Failing(builds) => legs.push(Leg::FailingWithAny(builds)),
            Walk::Silent => legs.extend([Leg::NeverSeen, Leg::SeenBefore(silent_before)]),
        }
    }
    Ok(legs)
}

/// The index that narrows most comes first: a search, then failures, then a condition, then what was told, then what
/// runs, then silence.
fn legs(conn: &mut Conn, filter: &DeviceFilter) -> Result<Vec<Leg>, Fault> {
    if let Some(search) = &filter.search {
        let search = clean(search);
        return Ok(vec![
            Leg::Id(search.clone()),
            Leg::Alias(search.to_lowercase(), search),
        ]);
    }
    if filter.retired {
        return Ok(vec![Leg::Id(String::new())]);
    }
    if let Some(build) = filter.failing {
        return Ok(vec![Leg::Failing(build.0)]);
    }
    if filter.overdue.is_some() {
        return Ok(late(conn, filter)?.map(Leg::Overdue).into_iter().collect());
    }
    if let Some((package, condition, silent_before)) = condition(filter) {
        return match package_id(conn, package)? {
            Some(id) => legs_of(conn, id, condition, micros(silent_before)),
            None => Ok(vec![]),
        };
    }
    if let Some(package) = &filter.package {
        let leg = package_id(conn, package)?.map(|id| match filter.told {
            Some(told) => Leg::Told(id, told, 0..=i64::MAX),
            None => Leg::Running(id, versions(filter)),
        });
        return Ok(leg.into_iter().collect());
    }
    Ok(match filter.silent_since {
        Some(since) => vec![Leg::NeverSeen, Leg::SeenBefore(micros(since))],
        None => vec![Leg::Id(String::new())],
    })
}

/// The rollout with which the devices are to be overdue; none before its deadline, and once it has ended.
fn late(conn: &mut Conn, filter: &DeviceFilter) -> Result<Option<Late>, Fault> {
    match filter.overdue {
        Some((rollout, now)) => overdue::named(conn, rollout, now),
        None => Ok(None),
    }
}

fn package_id(conn: &mut Conn, package: &PackageName) -> Result<Option<i64>, Fault> {
    let ids = device_queries::package_ids(conn, &[package.as_str()])?;
    Ok(ids.get(package.as_str()).copied())
}

/// Any version runs; 0 says that the package is not installed.
fn versions(filter: &DeviceFilter) -> RangeInclusive<i64> {
    match &filter.versions {
        Some(range) => range.start().get()..=range.end().get(),
        None => 1..=i64::MAX,
    }
}

/// The devices behind a place, in the leg's order.
fn candidates(
    conn: &mut Conn,
    leg: &Leg,
    retired: bool,
    after: &Place,
    limit: usize,
) -> Result<Vec<(Place, DeviceRow)>, Fault> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    match leg {
        Leg::Id(prefix) => by_id(conn, prefix, retired, after, limit),
        Leg::Alias(prefix, not_id) => by_alias(conn, (prefix, not_id), retired, after, limit),
        Leg::Failing(build) => failing(conn, *build, after, limit),
        Leg::Overdue(of) => {
            let ids = overdue::devices(conn, *of, after.id, limit)?;
            numbered(conn, &ids, after)
        }
        Leg::FailingWithAny(builds) => {
            let ids = conditions::failing_with(conn, builds, after.id, limit)?;
            numbered(conn, &ids, after)
        }
        Leg::Told(package, told, versions) => were_told(conn, *package, (*told, versions), after, limit),
        Leg::Running(package, versions) => running(conn, *package, versions, after, limit),
        Leg::NeverSeen => never_seen(conn, after, limit),
        Leg::SeenBefore(since) => seen_before(conn, *since, after, limit),
    }
}

/// All texts that begin with this one lie between these two, by their bytes. No text holds the last character.
fn prefix_range(prefix: &str) -> (String, String) {
    (prefix.to_owned(), format!("{prefix}{}", char::MAX))
}

fn place(after: &Place, row: &DeviceRow, number: i64, text: &str) -> Place {
    Place {
        leg: after.leg,
        begins: false,
        number,
        id: row.id,
        text: text.to_owned(),
    }
}

fn by_id(
    conn: &mut Conn,
    prefix: &str,
    retired: bool,
    after: &Place,
    limit: i64,
) -> Result<Vec<(Place, DeviceRow)>, Fault> {
    let (from, to) = prefix_range(prefix);
    let mut query = devices::table
        .filter(devices::name.lt(to))
        .order(devices::name)
        .limit(limit)
        .select(DeviceRow::as_select())
        .into_boxed::<Db>();
    // One bound and not two: SQLite would walk up from the lower one.
    query = if after.begins {
        query.filter(devices::name.ge(from))
    } else {
        query.filter(devices::name.gt(&after.text))
    };
    query = if retired {
        query.filter(devices::retired_at.is_not_null())
    } else {
        query.filter(devices::retired_at.is_null())
    };
    let rows: Vec<DeviceRow> = query.load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| (place(after, &row, 0, &row.name), row))
        .collect())
}

fn by_alias(
    conn: &mut Conn,
    (prefix, not_id): (&str, &str),
    retired: bool,
    after: &Place,
    limit: i64,
) -> Result<Vec<(Place, DeviceRow)>, Fault> {
    let (from, to) = prefix_range(prefix);
    let (id, id_end) = prefix_range(not_id);
    let from = if after.begins { from } else { after.text.clone() };
    let mut query = devices::table
        .filter(devices::alias_key.ge(from))
        .filter(devices::alias_key.lt(to))
        .filter(devices::name.lt(id).or(devices::name.ge(id_end)))
        .order((devices::alias_key, devices::id))
        .limit(limit)
        .select((devices::alias_key, DeviceRow::as_select()))
        .into_boxed::<Db>();
    query = if retired {
        query.filter(devices::retired_at.is_not_null())
    } else {
        query.filter(devices::retired_at.is_null())
    };
    if !after.begins {
        let behind = devices::alias_key
            .gt(&after.text)
            .or(devices::id.gt(after.id).nullable());
        query = query.filter(behind);
    }
    let rows: Vec<(Option<String>, DeviceRow)> = query.load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(alias, row)| (place(after, &row, 0, &alias.unwrap_or_default()), row))
        .collect())
}

fn failing(conn: &mut Conn, build: i64, after: &Place, limit: i64) -> Result<Vec<(Place, DeviceRow)>, Fault> {
    let ids: Vec<i64> = device_builds::table
        .filter(device_builds::build_id.eq(build))
        .filter(diesel::dsl::sql::<Bool>(HAS_FAILED))
        .filter(device_builds::device_id.gt(after.id))
        .order(device_builds::device_id)
        .limit(limit)
        .select(device_builds::device_id)
        .load(conn)?;
    numbered(conn, &ids, after)
}

/// The devices of these numbers, which ascend. Not a join: PostgreSQL would merge the index that is ordered by number
/// with all devices from the first on.
fn numbered(conn: &mut Conn, ids: &[i64], after: &Place) -> Result<Vec<(Place, DeviceRow)>, Fault> {
    let rows: Vec<DeviceRow> = devices::table
        .filter(devices::id.eq_any(ids))
        .order(devices::id)
        .select(DeviceRow::as_select())
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| (place(after, &row, 0, ""), row))
        .collect())
}

fn were_told(
    conn: &mut Conn,
    package: i64,
    asked: (Told, &RangeInclusive<i64>),
    after: &Place,
    limit: i64,
) -> Result<Vec<(Place, DeviceRow)>, Fault> {
    let behind = (!after.begins).then_some((after.number, after.id));
    let found = conditions::told(conn, package, asked, behind, limit)?;
    let ids: Vec<i64> = found.iter().map(|(_, id)| *id).collect();
    let rows: Vec<DeviceRow> = devices::table
        .filter(devices::id.eq_any(ids))
        .select(DeviceRow::as_select())
        .load(conn)?;
    let mut rows: HashMap<i64, DeviceRow> = rows.into_iter().map(|row| (row.id, row)).collect();
    let placed = found.into_iter().filter_map(|(version, id)| {
        let row = rows.remove(&id)?;
        Some((place(after, &row, version, ""), row))
    });
    Ok(placed.collect())
}

fn running(
    conn: &mut Conn,
    package: i64,
    versions: &RangeInclusive<i64>,
    after: &Place,
    limit: i64,
) -> Result<Vec<(Place, DeviceRow)>, Fault> {
    let from = if after.begins {
        *versions.start()
    } else {
        after.number
    };
    let mut query = device_packages::table
        .inner_join(devices::table)
        .filter(device_packages::counted)
        .filter(device_packages::package_id.eq(package))
        .filter(device_packages::version_code.ge(from))
        .filter(device_packages::version_code.le(*versions.end()))
        .order((device_packages::version_code, device_packages::device_id))
        .limit(limit)
        .select((device_packages::version_code, DeviceRow::as_select()))
        .into_boxed::<Db>();
    if !after.begins {
        let behind = device_packages::version_code
            .gt(after.number)
            .or(device_packages::device_id.gt(after.id));
        query = query.filter(behind);
    }
    let rows: Vec<(i64, DeviceRow)> = query.load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(version, row)| (place(after, &row, version, ""), row))
        .collect())
}

fn never_seen(conn: &mut Conn, after: &Place, limit: i64) -> Result<Vec<(Place, DeviceRow)>, Fault> {
    let rows: Vec<DeviceRow> = devices::table
        .filter(devices::retired_at.is_null())
        .filter(devices::last_seen_at.is_null())
        .filter(devices::id.gt(after.id))
        .order(devices::id)
        .limit(limit)
        .select(DeviceRow::as_select())
        .load(conn)?;
    Ok(rows
        .into_iter()
        .map(|row| (place(after, &row, 0, ""), row))
        .collect())
}

fn seen_before(
    conn: &mut Conn,
    since: i64,
    after: &Place,
    limit: i64,
) -> Result<Vec<(Place, DeviceRow)>, Fault> {
    let from = if after.begins { i64::MIN } else { after.number };
    let mut query = devices::table
        .filter(devices::retired_at.is_null())
        .filter(devices::last_seen_at.ge(from))
        .filter(devices::last_seen_at.lt(since))
        .order((devices::last_seen_at, devices::id))
        .limit(limit)
        .select((devices::last_seen_at, DeviceRow::as_select()))
        .into_boxed::<Db>();
    if !after.begins {
        let behind = devices::last_seen_at
            .gt(after.number)
            .or(devices::id.gt(after.id).nullable());
        query = query.filter(behind);
    }
    let rows: Vec<(Option<i64>, DeviceRow)> = query.load(conn)?;
    Ok(rows
        .into_iter()
        .map(|(seen, row)| (place(after, &row, seen.unwrap_or_default(), ""), row))
        .collect())
}

/// The devices in their order; `None` for those that the filter leaves out.
fn judged(
    conn: &mut Conn,
    filter: &DeviceFilter,
    rows: Vec<DeviceRow>,
) -> Result<Vec<Option<Device>>, Fault> {
    let numbers: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let devices = device_queries::with_installed(conn, rows)?;
    if is_exact(filter) {
        return Ok(devices.into_iter().map(Some).collect());
    }
    let failing = match filter.failing {
        Some(build) => failing_of(conn, build.0, &numbers)?,
        None => HashSet::new(),
    };
    let overdue = match filter.overdue {
        Some(_) => match late(conn, filter)? {
            Some(of) => Some(overdue::among(conn, of, &numbers)?),
            None => Some(HashSet::new()),
        },
        None => None,
    };
    let told = match told(filter) {
        Some((package, told)) => Some(told_of(conn, package, told, &numbers)?),
        None => None,
    };
    let conditions = match condition(filter) {
        Some((package, _, silent_before)) => match package_id(conn, package)? {
            Some(id) => conditions::among(conn, id, silent_before, &numbers)?,
            None => HashMap::new(),
        },
        None => HashMap::new(),
    };
    let range = versions(filter);
    let judged = numbers.into_iter().zip(devices).map(|(number, device)| {
        let fails = filter.failing.is_none() || failing.contains(&number);
        let is_overdue = overdue.as_ref().is_none_or(|overdue| overdue.contains(&number));
        let told_so = told.as_ref().is_none_or(|told| told.contains(&number));
        let is_so = condition(filter).is_none_or(|(_, asked, _)| conditions.get(&number) == Some(&asked));
        // Those that stand in some way need not run the package, unless versions are named as well.
        let asks_version = filter.versions.is_some() || (told.is_none() && filter.condition.is_none());
        let package = filter.package.as_ref().filter(|_| asks_version);
        let runs = package.is_none_or(|package| runs(&device.installed, package, &range));
        let silent = filter
            .silent_since
            .is_none_or(|since| device.last_seen_at.is_none_or(|seen| seen < since));
        // A package's devices are those that count, as in the lists that its index gives.
        let counts = filter.retired || filter.package.is_none() || device.inactive_at.is_none();
        (fails && is_overdue && told_so && is_so && runs && silent && counts).then_some(device)
    });
    Ok(judged.collect())
}

fn runs(
    installed: &[(PackageName, VersionCode)],
    package: &PackageName,
    range: &RangeInclusive<i64>,
) -> bool {
    installed
        .iter()
        .any(|(name, version)| name == package && range.contains(&version.get()))
}

fn failing_of(conn: &mut Conn, build: i64, devices: &[i64]) -> Result<HashSet<i64>, Fault> {
    let found: Vec<i64> = device_builds::table
        .filter(device_builds::build_id.eq(build))
        .filter(device_builds::device_id.eq_any(devices))
        .filter(device_builds::failures.gt(0))
        .select(device_builds::device_id)
        .load(conn)?;
    Ok(found.into_iter().collect())
}

/// Those of these devices whose last poll for the package was told this.
fn told_of(
    conn: &mut Conn,
    package: &PackageName,
    told: Told,
    devices: &[i64],
) -> Result<HashSet<i64>, Fault> {
    let Some(package) = package_id(conn, package)? else {
        return Ok(HashSet::new());
    };
    let found: Vec<(i64, Option<String>)> = device_packages::table
        .filter(device_packages::package_id.eq(package))
        .filter(device_packages::device_id.eq_any(devices))
        .select((device_packages::device_id, device_packages::standing))
        .load(conn)?;
    let told_so = found
        .into_iter()
        .filter(|(_, standing)| Told::of_stored(standing.as_deref()) == told);
    Ok(told_so.map(|(device, _)| device).collect())
}
