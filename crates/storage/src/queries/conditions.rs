//! The fleet counted by the condition of its devices.
//!
//! The count reads the index of answers from end to end, grouped by answer and version, and then only those devices
//! again that are silent or failing. All versions that no rollout names are alike above the current build, and alike
//! below it, so that the groups are few whatever devices claim to run.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use tidegate_domain::{BuildId, RolloutId, RolloutState};

use super::census::HAS_FAILED;
use super::{Conn, Db};
use crate::condition::{Condition, ConditionFacts, MAX_TAKEN_BACK, Releases, TakenBack};
use crate::error::Fault;
use crate::rows::version;
use crate::schema::{builds, rollout_events, rollouts};
use crate::time::{micros, moment};
use crate::{Error, Told};

/// A limit that limits nothing: without one, SQLite leaves the order out.
const EVERY_ROW: i64 = i64::MAX;
/// Stands for every version above the current build's that is not told apart.
const ANY_ABOVE: i64 = i64::MAX;
/// Stands for every version below it.
const ANY_BELOW: i64 = 0;

/// The devices of a package, counted.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) told: HashMap<Told, u64>,
    pub(super) conditions: HashMap<Condition, u64>,
    pub(super) taken_back: Vec<TakenBack>,
}

/// Devices that are alike: what they were told, and the version that stands for theirs.
type Groups = HashMap<(Told, i64), u64>;

/// The devices of every package.
pub(super) fn count(conn: &mut Conn, silent_before: DateTime<Utc>) -> Result<HashMap<i64, Counted>, Fault> {
    let releases = releases(conn, None)?;
    let all = everybody(conn, &releases)?;
    let silent = silent(conn, &releases, micros(silent_before))?;
    let failing = failing(conn, &releases, micros(silent_before))?;
    let (none, nothing) = (Groups::new(), Releases::default());
    let mut found = HashMap::new();
    for (package, groups) in &all {
        let of = releases.get(package).unwrap_or(&nothing);
        let silent = silent.get(package).unwrap_or(&none);
        let failing = failing.get(package).unwrap_or(&none);
        let mut counted = added_up(groups, silent, failing, of);
        if counted.conditions.contains_key(&Condition::Stranded) {
            counted.taken_back = taken_back(conn, *package, groups, of)?;
        }
        found.insert(*package, counted);
    }
    Ok(found)
}

fn added_up(all: &Groups, silent: &Groups, failing: &Groups, releases: &Releases) -> Counted {
    let mut counted = Counted::default();
    for (group, devices) in all {
        let (told, version) = *group;
        *counted.told.entry(told).or_default() += devices;
        let of = |groups: &Groups| groups.get(group).copied().unwrap_or(0);
        let (silent, failing) = (of(silent), of(failing));
        let parts = [
            (true, false, silent),
            (false, true, failing),
            (false, false, devices.saturating_sub(silent + failing)),
        ];
        for (is_silent, is_failing, devices) in parts.into_iter().filter(|(.., devices)| *devices > 0) {
            let facts = ConditionFacts {
                version,
                told,
                is_silent,
                is_failing,
            };
            let condition = Condition::of(&facts, releases);
            *counted.conditions.entry(condition).or_default() += devices;
        }
    }
    counted
}

/// What packages release and took back; of those without a rollout nothing.
pub(super) fn releases(conn: &mut Conn, package: Option<i64>) -> Result<BTreeMap<i64, Releases>, Fault> {
    let mut query = rollouts::table
        .inner_join(builds::table)
        .filter(rollouts::serving.or(rollouts::state.eq(RolloutState::RolledBack.as_str())))
        .select((
            rollouts::package_id,
            builds::version_code,
            rollouts::is_current,
            rollouts::serving,
            rollouts::state,
        ))
        .distinct()
        .into_boxed::<Db>();
    if let Some(package) = package {
        query = query.filter(rollouts::package_id.eq(package));
    }
    let rows: Vec<(i64, i64, bool, bool, String)> = query.load(conn)?;
    let mut found: BTreeMap<i64, Releases> = BTreeMap::new();
    for (package, version, is_current, serving, state) in rows {
        let releases = found.entry(package).or_default();
        if !serving {
            releases.taken_back.push(version);
            continue;
        }
        releases.serves = true;
        if is_current {
            releases.current = Some(version);
        }
        if state.parse().is_ok_and(RolloutState::has_begun) {
            releases.serving.push(version);
        }
    }
    Ok(found)
}

#[derive(QueryableByName)]
struct GroupRow {
    #[diesel(sql_type = BigInt)]
    package_id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    standing: Option<String>,
    #[diesel(sql_type = BigInt)]
    version: i64,
    #[diesel(sql_type = BigInt)]
    devices: i64,
}

/// The version that stands for a row's, in SQL.
fn representative(releases: &Releases) -> String {
    let named: Vec<String> = releases.named().iter().map(ToString::to_string).collect();
    let mut cases = String::new();
    if !named.is_empty() {
        cases.push_str(&format!(
            " WHEN version_code IN ({}) THEN version_code",
            named.join(", ")
        ));
    }
    if let Some(current) = releases.current {
        cases.push_str(&format!(" WHEN version_code > {current} THEN {ANY_ABOVE}"));
    }
    match cases.is_empty() {
        true => format!("CAST({ANY_BELOW} AS BIGINT)"),
        false => format!("CASE{cases} ELSE {ANY_BELOW} END"),
    }
}

/// The same where rows of several packages are read at once.
fn representative_by_package(all: &BTreeMap<i64, Releases>) -> String {
    let cases = all
        .iter()
        .map(|(package, of)| format!(" WHEN {package} THEN {}", representative(of)));
    match all.is_empty() {
        true => representative(&Releases::default()),
        false => format!(
            "CASE package_id{} ELSE {ANY_BELOW} END",
            cases.collect::<String>()
        ),
    }
}

fn load(conn: &mut Conn, sql: String, into: &mut HashMap<i64, Groups>) -> Result<(), Fault> {
    let rows: Vec<GroupRow> = diesel::sql_query(sql).load(conn)?;
    for row in rows {
        let told = Told::of_stored(row.standing.as_deref());
        let groups = into.entry(row.package_id).or_default();
        *groups.entry((told, row.version)).or_default() += u64::try_from(row.devices).unwrap_or(0);
    }
    Ok(())
}

/// All devices that count. Package by package, so that versions are compared with one package's; and in the order of the
/// index first, for which nothing is sorted.
fn everybody(conn: &mut Conn, releases: &BTreeMap<i64, Releases>) -> Result<HashMap<i64, Groups>, Fault> {
    let mut found = HashMap::new();
    let mut of = |version: &str, condition: &str| {
        let sql = format!(
            "SELECT package_id, standing, {version} AS version, CAST(sum(devices) AS BIGINT) AS devices FROM (
               SELECT package_id, standing, version_code, count(*) AS devices FROM device_packages
               WHERE counted{condition} GROUP BY package_id, standing, version_code) AS running
             GROUP BY 1, 2, 3"
        );
        load(conn, sql, &mut found)
    };
    for (package, releases) in releases {
        of(&representative(releases), &format!(" AND package_id = {package}"))?;
    }
    let ids: Vec<String> = releases.keys().map(ToString::to_string).collect();
    let others = match ids.is_empty() {
        true => String::new(),
        false => format!(" AND package_id NOT IN ({})", ids.join(", ")),
    };
    of(&representative(&Releases::default()), &others)?;
    Ok(found)
}

/// Those of them that were not seen since then, or never. SQLite takes the tables of a CROSS JOIN in their order: of each
/// silent device it finds the packages, which is twice as fast in the order of their table.
fn silent(
    conn: &mut Conn,
    releases: &BTreeMap<i64, Releases>,
    before: i64,
) -> Result<HashMap<i64, Groups>, Fault> {
    let version = representative_by_package(releases);
    let mut found = HashMap::new();
    // One after the other, for each is along an index.
    for seen in ["IS NULL".to_owned(), format!("< {before}")] {
        let sql = format!(
            "SELECT package_id, standing, {version} AS version, count(*) AS devices FROM (
               SELECT id FROM devices WHERE retired_at IS NULL AND last_seen_at {seen}
               ORDER BY id LIMIT {EVERY_ROW}) AS silent CROSS JOIN device_packages
             WHERE device_packages.device_id = silent.id AND counted GROUP BY 1, 2, 3"
        );
        load(conn, sql, &mut found)?;
    }
    Ok(found)
}

/// Those that fail, and were seen since then. One that fails with several builds counts once.
fn failing(
    conn: &mut Conn,
    releases: &BTreeMap<i64, Releases>,
    seen_since: i64,
) -> Result<HashMap<i64, Groups>, Fault> {
    let version = representative_by_package(releases);
    let mut found = HashMap::new();
    for (package, asked) in terms_of_all(conn)? {
        let any: Vec<String> = asked.iter().map(Term::in_sql).collect();
        let any = any.join(" OR ");
        let builds: Vec<String> = asked.iter().map(|term| term.build.to_string()).collect();
        let builds = builds.join(", ");
        let sql = format!(
            "SELECT package_id, standing, {version} AS version, count(*) AS devices FROM (
               SELECT DISTINCT device_packages.package_id, device_packages.device_id, standing, version_code
               FROM device_builds CROSS JOIN device_packages CROSS JOIN devices
               WHERE device_packages.device_id = device_builds.device_id AND devices.id = device_builds.device_id
               AND device_builds.build_id IN ({builds}) AND {HAS_FAILED}
               AND device_packages.package_id = {package} AND counted
               AND devices.last_seen_at >= {seen_since} AND ({any})) AS failing
             GROUP BY 1, 2, 3"
        );
        load(conn, sql, &mut found)?;
    }
    Ok(found)
}

/// A build that is being released, as far as devices fail with it. Those that run its version or a higher one have no
/// need of it any more, but for those that a forced roll-back takes back, and these are stranded first of all.
#[derive(Clone, Copy)]
pub(super) struct Term {
    pub(super) build: i64,
    version: i64,
}

impl Term {
    /// Whether the failures of a device that runs this are still in its way.
    pub(super) fn concerns(&self, runs: i64) -> bool {
        runs < self.version
    }

    /// The same in SQL, with the failures being of this build.
    fn in_sql(&self) -> String {
        format!(
            "(device_builds.build_id = {} AND version_code < {})",
            self.build, self.version
        )
    }
}

pub(super) fn terms(conn: &mut Conn, package: Option<i64>) -> Result<Vec<(i64, Term)>, Fault> {
    let mut query = rollouts::table
        .inner_join(builds::table)
        .filter(rollouts::serving)
        .filter(rollouts::state.ne(RolloutState::Proposed.as_str()))
        .filter(rollouts::state.ne(RolloutState::Scheduled.as_str()))
        .select((rollouts::package_id, builds::id, builds::version_code))
        .distinct()
        .into_boxed::<Db>();
    if let Some(package) = package {
        query = query.filter(rollouts::package_id.eq(package));
    }
    let rows: Vec<(i64, i64, i64)> = query.load(conn)?;
    let of_row = |(package, build, version)| (package, Term { build, version });
    Ok(rows.into_iter().map(of_row).collect())
}

fn terms_of_all(conn: &mut Conn) -> Result<BTreeMap<i64, Vec<Term>>, Fault> {
    let mut found: BTreeMap<i64, Vec<Term>> = BTreeMap::new();
    for (package, term) in terms(conn, None)? {
        found.entry(package).or_default().push(term);
    }
    Ok(found)
}

/// The versions that were taken back and that devices run, most devices first.
fn taken_back(
    conn: &mut Conn,
    package: i64,
    groups: &Groups,
    releases: &Releases,
) -> Result<Vec<TakenBack>, Fault> {
    let running = |code: i64| {
        let of_version = groups.iter().filter(|((_, version), _)| *version == code);
        of_version.map(|(_, devices)| devices).sum::<u64>()
    };
    let mut versions: Vec<(i64, u64)> = releases.stranded_on().map(|code| (code, running(code))).collect();
    versions.sort_unstable_by_key(|(code, devices)| (std::cmp::Reverse(*devices), *code));
    versions.dedup();
    versions.retain(|(_, devices)| *devices > 0);
    versions.truncate(MAX_TAKEN_BACK);
    let forced: Vec<Option<i64>> = rollouts::table
        .filter(rollouts::package_id.eq(package))
        .filter(rollouts::serving)
        .filter(rollouts::is_current)
        .select(rollouts::takes_back_version)
        .load(conn)?;
    let mut found = Vec::with_capacity(versions.len());
    for (code, devices) in versions {
        let Some(mut of) = last_rolled_back(conn, package, code)? else {
            continue;
        };
        of.is_forced = forced.contains(&Some(code));
        of.devices = devices;
        found.push(of);
    }
    Ok(found)
}

/// The rollout of this version that was rolled back last.
fn last_rolled_back(conn: &mut Conn, package: i64, code: i64) -> Result<Option<TakenBack>, Fault> {
    let state = RolloutState::RolledBack.as_str();
    let last: Option<(i64, i64, String)> = rollouts::table
        .inner_join(builds::table)
        .filter(rollouts::package_id.eq(package))
        .filter(rollouts::state.eq(state))
        .filter(builds::version_code.eq(code))
        .order(rollouts::id.desc())
        .select((rollouts::id, builds::id, builds::version_name))
        .first(conn)
        .optional()?;
    let Some((rollout, build, name)) = last else {
        return Ok(None);
    };
    let event: Option<(i64, String)> = rollout_events::table
        .filter(rollout_events::rollout_id.eq(rollout))
        .filter(rollout_events::state.eq(state))
        .order(rollout_events::id)
        .select((rollout_events::at, rollout_events::actor))
        .first(conn)
        .optional()?;
    let rolled_back = event
        .map(|(at, by)| Ok::<_, Error>((moment(at)?, by)))
        .transpose()?;
    Ok(Some(TakenBack {
        version: version(code)?,
        build: BuildId(build),
        name,
        rollout: RolloutId(rollout),
        rolled_back,
        is_forced: false,
        devices: 0,
    }))
}
