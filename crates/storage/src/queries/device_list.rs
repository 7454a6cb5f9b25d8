//! Listing and counting devices.
//!
//! A filter is walked along the index that narrows it most (`device_walks.rs`), which goes on behind the last device
//! that was looked at. What that index does not answer is asked of each candidate (`device_conditions.rs`). Where few
//! match, they are sorted as asked; where many do, the walk is the one that gives the order.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use tidegate_domain::{self as domain, Device};

use super::condition_walks;
use super::device_conditions::{self as conditions, Known};
use super::device_walks::{Asked, Place, Walk};
use super::statement::Statement;
use super::{BATCH, Conn, devices as device_queries, words};
use crate::device_filter::{CountBound, DeviceCount, DeviceSort};
use crate::error::Fault;
use crate::rows::DeviceRow;
use crate::schema::devices;
use crate::time::micros;
use crate::{Condition, DeviceFilter, Error, MAX_CANDIDATES, MAX_COUNTED, Page, Paged};

/// How many candidates are fetched at once when some of them will be left out: few at first, then more.
const CHUNKS: [usize; 3] = [200, 1_000, 5_000];

/// Below this many devices it does not matter which index narrows more, and the order is the same for every fleet.
const FEW: usize = 500;

/// The most devices that are sorted after they were found.
const MAX_SORTED: usize = 10_000;

/// How a filter is answered.
struct Plan {
    walks: Vec<Walk>,
    /// What the walks leave open.
    open: Vec<Statement>,
    /// The condition that is asked for, with which package.
    condition: Option<(i64, Condition, DateTime<Utc>)>,
    begin: Place,
}

impl Plan {
    /// Whether all that the walks meet match.
    fn is_exact(&self) -> bool {
        self.open.is_empty() && self.condition.is_none()
    }
}

pub(crate) fn list(conn: &mut Conn, filter: &DeviceFilter, page: &Page) -> Result<Paged<Device>, Fault> {
    let after = page.after::<Place>()?;
    let Some(plan) = plan(conn, filter, after.as_ref())? else {
        return paged(conn, &[], None);
    };
    let size = usize::try_from(page.size()).unwrap_or(usize::MAX);
    if plan.begin.sorted {
        return sorted(conn, filter, &plan, after, size);
    }
    let mut place = after.unwrap_or(plan.begin.before(0));
    let (mut found, mut looked_at, mut chunk) = (vec![], 0, 0);
    while let Some(walk) = plan.walks.get(place.leg) {
        if looked_at >= MAX_CANDIDATES {
            return paged(conn, &found, Some(&place));
        }
        let wanted = match plan.is_exact() {
            true => size + 1 - found.len(),
            false => CHUNKS[chunk],
        };
        chunk = (chunk + 1).min(CHUNKS.len() - 1);
        let candidates = walk.candidates(conn, &place, wanted)?;
        looked_at += candidates.len();
        let ends = candidates.len() < wanted;
        let matching = matching(conn, &plan, &candidates)?;
        for next in candidates {
            if matching
                .as_ref()
                .is_none_or(|matching| matching.contains(&next.id))
            {
                if found.len() == size {
                    return paged(conn, &found, Some(&place));
                }
                found.push(next.id);
            }
            place = next;
        }
        if ends {
            place = place.before(place.leg + 1);
        }
    }
    paged(conn, &found, None)
}

pub(crate) fn count(conn: &mut Conn, filter: &DeviceFilter) -> Result<DeviceCount, Fault> {
    let bound = usize::try_from(MAX_COUNTED).unwrap_or(usize::MAX);
    // Whatever the order.
    let filter = DeviceFilter {
        sort: None,
        ..filter.clone()
    };
    let Some(plan) = plan(conn, &filter, None)? else {
        return Ok(counted(0, CountBound::Exact));
    };
    let (mut devices, mut looked_at) = (0, 0);
    for (leg, walk) in plan.walks.iter().enumerate() {
        if plan.is_exact() {
            devices += walk.count(conn, bound + 1 - devices)?;
        }
        let mut place = plan.begin.before(leg);
        let mut ends = plan.is_exact();
        while !ends && devices <= bound {
            if looked_at >= MAX_CANDIDATES {
                return Ok(counted(devices, CountBound::Scanned));
            }
            // No more than can still be counted, where all of them match.
            let wanted = CHUNKS[2].min(bound + 1 - devices).max(CHUNKS[1]);
            let candidates = walk.candidates(conn, &place, wanted)?;
            looked_at += candidates.len();
            ends = candidates.len() < wanted;
            devices += matching(conn, &plan, &candidates)?.map_or(0, |matching| matching.len());
            place = candidates.into_iter().next_back().unwrap_or(place);
        }
        if devices > bound {
            return Ok(counted(bound, CountBound::More));
        }
    }
    Ok(counted(devices, CountBound::Exact))
}

fn counted(devices: usize, bound: CountBound) -> DeviceCount {
    DeviceCount {
        devices: devices as u64,
        bound,
    }
}

/// The plan of a page, or of a count; `None` where no device can match. A page goes the way that the page before it
/// went, whatever became of the fleet meanwhile.
fn plan(conn: &mut Conn, filter: &DeviceFilter, after: Option<&Place>) -> Result<Option<Plan>, Fault> {
    let known = Known::look_up(conn, filter)?;
    if known.none_matches {
        return Ok(None);
    }
    let mut ways = ways(conn, filter, &known)?;
    let (way, is_sorted) = match after {
        Some(place) => (place.way, place.sorted),
        None => choose(conn, filter, &ways)?,
    };
    if way >= ways.len() {
        let fault = domain::Error::invalid("page_token", "must be one that a page before it gave");
        return Err(Error::Rule(fault).into());
    }
    let walks = ways.swap_remove(way);
    let begin = Place {
        way,
        sorted: is_sorted,
        ..Place::default()
    };
    let open = open(filter, &known, &walks);
    let condition = filter.condition.zip(known.package);
    let condition =
        condition.map(|((condition, silent_before), package)| (package, condition, silent_before));
    Ok(Some(Plan {
        walks,
        open,
        condition,
        begin,
    }))
}

/// What the walks leave open of a filter.
fn open(filter: &DeviceFilter, known: &Known, walks: &[Walk]) -> Vec<Statement> {
    let answered = walks.first().map_or(Asked::Nothing, |walk| walk.asked);
    let mut open: Vec<Statement> = conditions::all(filter, known)
        .into_iter()
        .filter(|(asked, _)| *asked == Asked::Nothing || *asked != answered)
        .map(|(_, statement)| statement)
        .collect();
    // An index of a package holds those that count.
    let counts = filter.retired || filter.package.is_none() || matches!(answered, Asked::Told | Asked::Runs);
    if !open.is_empty() || !counts || !walks.iter().all(|walk| walk.in_fleet) {
        open.push(conditions::present(filter).into());
    }
    open
}

/// The ways along indexes that answer a part of the filter; the last one is by id, or in the order that is asked for.
fn ways(conn: &mut Conn, filter: &DeviceFilter, known: &Known) -> Result<Vec<Vec<Walk>>, Fault> {
    let mut ways: Vec<Vec<Walk>> = vec![];
    if let Some(search) = &filter.search
        && words::are_long_enough(search)
        && words::is_indexed(conn)?
    {
        ways.push(vec![Walk::words(search)]);
    }
    // The indexes of retired devices know their names alone.
    if !filter.retired {
        ways.extend(narrowing(filter, known));
        if let (Some(package), Some(condition)) = (known.package, filter.condition) {
            ways.push(condition_walks::walks(conn, package, condition)?);
        }
    }
    ways.push(ordered(filter));
    Ok(ways)
}

fn narrowing(filter: &DeviceFilter, known: &Known) -> Vec<Vec<Walk>> {
    let mut ways = vec![];
    if let Some(of) = &filter.trouble {
        ways.push(vec![Walk::trouble(conditions::trouble(of))]);
    }
    if let Some(build) = filter.failing {
        ways.push(vec![Walk::failing(build.0)]);
    }
    if let Some(late) = known.late {
        ways.push(vec![Walk::overdue(late)]);
    }
    if let Some(tag) = known.tag {
        ways.push(vec![Walk::tag(tag)]);
    }
    if let (Some(package), Some(told)) = (known.package, filter.told) {
        ways.push(vec![Walk::told(
            package,
            &conditions::told(told),
            &(0..=i64::MAX),
        )]);
    }
    if let Some(package) = known.package.filter(|_| conditions::asks_version(filter)) {
        ways.push(vec![Walk::running(package, &conditions::versions(filter))]);
    }
    for (column, value) in filter.facts() {
        ways.push(vec![Walk::fact(column, value)]);
    }
    if let Some(levels) = &filter.sdk {
        ways.push(vec![Walk::sdk(levels)]);
    }
    if let Some(since) = filter.silent_since {
        let before = i64::MIN..=micros(since).saturating_sub(1);
        ways.push(vec![
            Walk::never_seen(Asked::Silent),
            Walk::seen(Asked::Silent, before, false),
        ]);
    }
    if let Some(since) = filter.seen_since {
        ways.push(vec![Walk::seen(Asked::SeenSince, micros(since)..=i64::MAX, true)]);
    }
    ways
}

/// All devices in the order that is asked for.
fn ordered(filter: &DeviceFilter) -> Vec<Walk> {
    let descending = filter.descending;
    match filter.sort {
        Some(DeviceSort::Enrolled) => vec![Walk::enrolled(descending)],
        Some(DeviceSort::LastSeen) if !filter.retired => {
            let seen = Walk::seen(Asked::Nothing, i64::MIN..=i64::MAX, descending);
            let mut walks = vec![Walk::never_seen(Asked::Nothing), seen];
            if descending {
                walks.reverse();
            }
            walks
        }
        _ => vec![Walk::names(filter.retired, descending)],
    }
}

/// Which way, and whether what it gives is to be sorted. The narrowest: how many devices each of them meets is counted
/// up to a bound.
fn choose(conn: &mut Conn, filter: &DeviceFilter, ways: &[Vec<Walk>]) -> Result<(usize, bool), Fault> {
    let by_id = ways.len() - 1;
    let must_sort = filter.sort.is_some();
    let narrowing = ways.get(..by_id).unwrap_or_default();
    if narrowing.is_empty() || (narrowing.len() == 1 && !must_sort) {
        return Ok((0, false));
    }
    let mut narrowest = (MAX_SORTED + 1, 0);
    for (way, walks) in narrowing.iter().enumerate() {
        let mut met = 0;
        for walk in walks {
            met += walk.count(conn, MAX_SORTED + 1)?;
        }
        let met = met.clamp(FEW, MAX_SORTED + 1);
        if met < narrowest.0 {
            narrowest = (met, way);
        }
    }
    let (met, way) = narrowest;
    Ok(match must_sort {
        true if met <= MAX_SORTED => (way, true),
        true => (by_id, false),
        false => (way, false),
    })
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

fn among(candidates: &[Place]) -> String {
    let ids: Vec<String> = candidates.iter().map(|place| place.id.to_string()).collect();
    ids.join(", ")
}

/// Those of these devices that match what is open; `None` for all of them.
fn matching(conn: &mut Conn, plan: &Plan, candidates: &[Place]) -> Result<Option<HashSet<i64>>, Fault> {
    if plan.is_exact() {
        return Ok(None);
    }
    if candidates.is_empty() {
        return Ok(Some(HashSet::new()));
    }
    let statement = asked_of("SELECT d.id", &plan.open, candidates);
    let found: Vec<Number> = statement.load(conn)?;
    let found = found.into_iter().map(|number| number.id).collect();
    Ok(Some(in_condition(conn, plan, found)?.into_iter().collect()))
}

/// Those of these devices that are in the condition which is asked for.
fn in_condition(conn: &mut Conn, plan: &Plan, mut ids: Vec<i64>) -> Result<Vec<i64>, Fault> {
    if let Some((package, condition, silent_before)) = plan.condition {
        let among = condition_walks::among(conn, package, silent_before, &ids)?;
        ids.retain(|id| among.get(id) == Some(&condition));
    }
    Ok(ids)
}

/// By their numbers. Not a join: PostgreSQL would merge the index that is ordered by number with all devices from the
/// first on.
fn asked_of(select: &str, open: &[Statement], candidates: &[Place]) -> Statement {
    let begin = format!("{select} FROM devices d WHERE d.id IN ({})", among(candidates));
    open.iter()
        .fold(Statement::of(begin), |all, open| all.and_then(" AND ").then(open))
}

#[derive(QueryableByName)]
struct SortedRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    enrolled_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    last_seen_at: Option<i64>,
}

/// A page of those that were found first and sorted then. There may have come some since the page before; never so many
/// that the bound would not hold.
fn sorted(
    conn: &mut Conn,
    filter: &DeviceFilter,
    plan: &Plan,
    after: Option<Place>,
    size: usize,
) -> Result<Paged<Device>, Fault> {
    let mut keys = vec![];
    for (leg, walk) in plan.walks.iter().enumerate() {
        let candidates = walk.candidates(conn, &plan.begin.before(leg), 2 * MAX_SORTED)?;
        for candidates in candidates.chunks(CHUNKS[2]) {
            let select = "SELECT d.id, d.name, d.enrolled_at, d.last_seen_at";
            let rows: Vec<SortedRow> = asked_of(select, &plan.open, candidates).load(conn)?;
            let ids = rows.iter().map(|row| row.id).collect();
            let ids: HashSet<i64> = in_condition(conn, plan, ids)?.into_iter().collect();
            let rows = rows.into_iter().filter(|row| ids.contains(&row.id));
            keys.extend(rows.map(|row| sort_key(filter, row)));
        }
    }
    keys.sort_unstable();
    if filter.descending {
        keys.reverse();
    }
    if let Some(after) = after {
        let after = (after.number, after.text, after.id);
        keys.retain(|key| match filter.descending {
            true => *key < after,
            false => *key > after,
        });
    }
    let more = keys.len() > size;
    keys.truncate(size);
    let found: Vec<i64> = keys.iter().map(|(_, _, id)| *id).collect();
    let last = keys.pop().filter(|_| more).map(|(number, text, id)| Place {
        number,
        text,
        id,
        ..plan.begin.clone()
    });
    paged(conn, &found, last.as_ref())
}

fn sort_key(filter: &DeviceFilter, row: SortedRow) -> (i64, String, i64) {
    match filter.sort {
        Some(DeviceSort::Enrolled) => (row.enrolled_at, String::new(), row.id),
        Some(DeviceSort::LastSeen) => (row.last_seen_at.unwrap_or(i64::MIN), String::new(), row.id),
        Some(DeviceSort::Id) | None => (0, row.name, row.id),
    }
}

/// The devices of these numbers in this order.
fn paged(conn: &mut Conn, found: &[i64], after: Option<&Place>) -> Result<Paged<Device>, Fault> {
    let mut by_number = HashMap::new();
    for ids in found.chunks(BATCH) {
        let rows: Vec<DeviceRow> = devices::table
            .filter(devices::id.eq_any(ids))
            .select(DeviceRow::as_select())
            .load(conn)?;
        by_number.extend(rows.into_iter().map(|row| (row.id, row)));
    }
    let rows = found.iter().filter_map(|id| by_number.remove(id)).collect();
    Ok(Paged {
        items: device_queries::with_installed(conn, rows)?,
        next_page_token: after.map(Page::token_after),
    })
}
