//! Fills an empty database with a large fleet, for measuring pages:
//! `cargo run --release -p tidegate-storage --example seed -- FILE [DEVICES] [BUILDS]`.
//!
//! Builds, statistics and the charts' past go through the store. Devices are written in bulk beneath it, because
//! enrolling a million of them one by one is a million commits; they end up as enrolling would have left them.

#![allow(clippy::disallowed_methods, reason = "it measures real time")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it is a program that prints, and stops at the first fault"
)]

use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use tidegate_domain::{
    BuildFacts, BuildId, By, CampaignState, DeviceId, NudgeOrder, PackageName, Percent, Promotion,
    Provenance, Reason, RolloutId, RolloutSettings, Sha256, SignerFingerprint, Signers, VersionCode, cohort,
};
use tidegate_storage::{Activity, Actor, Checks, NewCampaign, Settings, Standing, Store};

/// Devices written in one transaction.
const BATCH: u64 = 10_000;

/// Where devices work.
const REGIONS: [&str; 4] = ["north", "south", "east", "west"];

/// How many versions back the slowest devices are.
const SPREAD: u64 = 12;

/// How many campaigns for chosen devices there were, of this many devices each.
const CAMPAIGNS: u64 = 200;
const CHOSEN: u64 = 20;

/// How often the last rollout's share was changed: each is an entry of the audit log.
const ADJUSTMENTS: usize = 10_000;

/// The statistics, which reports would have counted as they came.
const COUNT: &str = "
    UPDATE deployment_stats SET (total_eligible, total_downloads, installs_success, installs_failed) =
      (SELECT count(*), count(downloaded_at), count(installed_at), count(install_failed_at)
       FROM device_builds AS d WHERE d.build_id = deployment_stats.build_id);
    INSERT INTO deployment_stat_hours (build_id, hour_at, total_eligible, total_downloads, installs_success,
      installs_failed)
    SELECT build_id, offered_at / 3600000000 * 3600000000 AS hour_at, count(*), count(downloaded_at),
      count(installed_at), count(install_failed_at)
    FROM device_builds WHERE true GROUP BY build_id, hour_at
    ON CONFLICT (build_id, hour_at) DO UPDATE SET total_eligible = excluded.total_eligible,
      total_downloads = excluded.total_downloads, installs_success = excluded.installs_success,
      installs_failed = excluded.installs_failed;
    UPDATE deployment_stats SET last_updated_at =
      (SELECT max(last_at) FROM device_builds AS d WHERE d.build_id = deployment_stats.build_id);
    INSERT INTO device_rollouts (device_id, rollout_id, build_id, offered_at, downloaded_at, verify_failed_at,
      install_failed_at, installed_at, last_status, last_reason, last_at)
    SELECT device_id, offered_rollout_id, build_id, offered_at, downloaded_at, verify_failed_at, install_failed_at,
      installed_at, last_status, last_reason, last_at
    FROM device_builds WHERE offered_rollout_id IS NOT NULL;
    INSERT INTO rollout_stats (rollout_id, build_id, total_checks, total_eligible, total_downloads, installs_success,
      installs_failed, verify_failed, last_updated_at)
    SELECT (SELECT max(id) FROM rollouts AS r WHERE r.build_id = s.build_id), build_id, total_checks, total_eligible,
      total_downloads, installs_success, installs_failed, verify_failed, last_updated_at
    FROM deployment_stats AS s WHERE true
    ON CONFLICT (rollout_id, build_id) DO UPDATE SET total_checks = excluded.total_checks,
      total_eligible = excluded.total_eligible, total_downloads = excluded.total_downloads,
      installs_success = excluded.installs_success, installs_failed = excluded.installs_failed,
      last_updated_at = excluded.last_updated_at;
    INSERT INTO rollout_stat_hours (rollout_id, build_id, hour_at, total_checks, total_eligible, total_downloads,
      installs_success, installs_failed, verify_failed)
    SELECT (SELECT max(id) FROM rollouts AS r WHERE r.build_id = h.build_id), build_id, hour_at, total_checks,
      total_eligible, total_downloads, installs_success, installs_failed, verify_failed
    FROM deployment_stat_hours AS h WHERE true
    ON CONFLICT (rollout_id, build_id, hour_at) DO UPDATE SET total_eligible = excluded.total_eligible,
      total_downloads = excluded.total_downloads, installs_success = excluded.installs_success,
      installs_failed = excluded.installs_failed;
    INSERT INTO rollout_reasons (rollout_id, build_id, status, reason, reports, last_at)
    SELECT offered_rollout_id, build_id, last_status, last_reason, count(*), max(last_at)
    FROM device_builds WHERE last_reason IS NOT NULL GROUP BY offered_rollout_id, build_id, last_status, last_reason";

/// How many hours the charts reach back.
const HOURS: i64 = 168;

#[tokio::main]
async fn main() {
    let mut words = std::env::args().skip(1);
    let file = words.next().expect("usage: seed FILE [DEVICES] [BUILDS]");
    let devices: u64 = words.next().map_or(1_000_000, |word| word.parse().unwrap());
    let builds: i64 = words.next().map_or(200, |word| word.parse().unwrap());
    let begun = Instant::now();
    let store = Store::open(&Settings::new(&file)).await.unwrap();
    let ids = upload(&store, builds).await;
    let rollouts = release(&store, &ids).await;
    println!("{builds} builds after {:.1?}", begun.elapsed());
    let mut conn = SqliteConnection::establish(&file).unwrap();
    conn.batch_execute(
        "PRAGMA busy_timeout = 10000; PRAGMA synchronous = OFF; PRAGMA foreign_keys = ON; PRAGMA cache_size = -1000000",
    )
    .unwrap();
    let aside = set_aside(&mut conn);
    for first in (0..devices).step_by(usize::try_from(BATCH).unwrap()) {
        let last = devices.min(first + BATCH);
        write(&mut conn, first..last, builds);
        if last.is_multiple_of(100_000) {
            println!("{last} devices after {:.1?}", begun.elapsed());
        }
    }
    for sql in aside {
        conn.batch_execute(&sql).unwrap();
    }
    println!("their indexes after {:.1?}", begun.elapsed());
    past(&store, &ids, &rollouts).await;
    conn.batch_execute(COUNT).unwrap();
    println!("the charts' past after {:.1?}", begun.elapsed());
    nudge(&store, devices).await;
    println!("campaigns after {:.1?}", begun.elapsed());
    adjust(&store, ids[ids.len() - 1]).await;
    println!("audit entries after {:.1?}", begun.elapsed());
    conn.batch_execute("PRAGMA wal_checkpoint(TRUNCATE); ANALYZE")
        .unwrap();
    println!("done after {:.1?}", begun.elapsed());
}

/// Takes away what slows the writing of many rows down, and returns what brings it back: an index is built at once in a
/// fraction of the time that its entries take one by one in no order.
fn set_aside(conn: &mut SqliteConnection) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Made {
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Text)]
        sql: String,
    }
    let indexes = diesel::sql_query(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL
           AND tbl_name IN ('devices', 'device_packages', 'device_builds', 'device_search')",
    );
    let indexes: Vec<Made> = indexes.load(conn).unwrap();
    let words = diesel::sql_query("SELECT name, sql FROM sqlite_schema WHERE name = 'device_words_insert'");
    let words: Made = words.get_result(conn).unwrap();
    for index in &indexes {
        conn.batch_execute(&format!("DROP INDEX {}", index.name)).unwrap();
    }
    conn.batch_execute(&format!("DROP TRIGGER {}", words.name))
        .unwrap();
    let rebuilt = "INSERT INTO device_words (device_words) VALUES ('rebuild')".to_owned();
    indexes
        .into_iter()
        .map(|index| index.sql)
        .chain([rebuilt, words.sql])
        .collect()
}

fn package() -> PackageName {
    PackageName::parse("com.example.app").unwrap()
}

fn actor(now: DateTime<Utc>) -> Actor {
    Actor {
        subject: "seed".into(),
        role: "admin".into(),
        request_id: None,
        now,
    }
}

async fn upload(store: &Store, builds: i64) -> Vec<BuildId> {
    let mut ids = Vec::new();
    for code in 1..=builds {
        let at = Utc::now() - TimeDelta::days(builds - code);
        let mut sha256 = [0; 32];
        sha256[..8].copy_from_slice(&code.to_be_bytes());
        let facts = BuildFacts {
            package: package(),
            version_code: VersionCode::new(code).unwrap(),
            version_name: format!("1.{code}.0"),
            sha256: Sha256(sha256),
            size: 48_000_000,
            signers: Signers::one(SignerFingerprint([1; 32])),
            schemes: vec!["v2".into(), "v3".into()],
            min_sdk: 24,
            target_sdk: 35,
            abis: vec!["arm64-v8a".into()],
            debuggable: false,
            installability: None,
            lineage: vec![],
            warnings: vec![],
        };
        let provenance = Provenance {
            notes: "Fixes and improvements.".into(),
            build_type: "release".into(),
            ci_run_id: format!("{}", 10_000 + code),
            git_sha: format!("{code:040x}"),
            uploaded_by: "ci".into(),
            uploaded_at: at,
        };
        let note = actor(at).note("ota.upload", "package/com.example.app");
        ids.push(
            store
                .insert_build(facts, provenance, None, note)
                .await
                .unwrap()
                .id,
        );
    }
    ids
}

/// Every build was current once; the last is out to half of the fleet.
async fn release(store: &Store, ids: &[BuildId]) -> Vec<RolloutId> {
    let mut rollouts = Vec::new();
    for id in ids {
        let build = store.build(*id).await.unwrap();
        let now = build.provenance.uploaded_at;
        let percent = if Some(id) == ids.last() { 50 } else { 100 };
        let promotion = Promotion {
            settings: RolloutSettings::to(Percent::new(percent).unwrap()),
            keep_previous: false,
            retry_failed: false,
            auto_start: false,
            plan: None,
            gate: None,
        };
        let change = store.change_track(package(), actor(now), move |track, attempts| {
            let by = By {
                on_behalf_of: None,
                actor: "seed",
                now,
            };
            track.promote(&build, &promotion, attempts.of(build.id), by)
        });
        rollouts.push(change.await.unwrap().inserted[0].id);
    }
    rollouts
}

/// Devices, what they run, and what became of the last build on those that were offered it.
fn write(conn: &mut SqliteConnection, numbers: std::ops::Range<u64>, builds: i64) {
    let now = Utc::now().timestamp_micros();
    let rows: Vec<serde_json::Value> = numbers
        .map(|number| {
            let name = format!("device-{number:07}");
            // A plain mixing of the number, so that nothing lines up with anything.
            let dice = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33;
            let behind = i64::try_from(dice % SPREAD).unwrap();
            let offered = cohort(&name) < 50;
            let version = if offered && dice % 4 != 0 {
                builds
            } else {
                (builds - 1 - behind).max(1)
            };
            let standing = match (version == builds, offered) {
                (true, _) => Reason::AlreadyCurrent.as_str(),
                (false, true) => Standing::OFFERED,
                (false, false) => Reason::NotInCohort.as_str(),
            };
            let seen = now - i64::try_from(dice % 129_600).unwrap() * 1_000_000;
            serde_json::json!({
                "number": number + 1, "name": name, "alias": format!("Till {number}"),
                "token": (dice % 10 != 0).then(|| format!("token-{number}")),
                "cohort": cohort(&name), "version": version, "seen": seen, "offered": offered,
                "standing": standing, "sdk": 29 + dice % 6, "region": REGIONS[usize::try_from(dice / 7 % 4).unwrap()],
                "model": if dice % 997 == 0 { "Tab S6" } else { "Tab A9" },
                "failed": offered && version != builds && dice % 50 == 0,
            })
        })
        .collect();
    let rows = serde_json::Value::Array(rows).to_string();
    let from = "FROM json_each(?1)";
    conn.immediate_transaction(|conn| {
        for sql in [
            format!(
                "INSERT INTO devices (id, name, alias, alias_key, model, manufacturer, sdk, android_version, region,
                   tags_json, enrolled_at, last_seen_at, fcm_token, fcm_token_at)
                 SELECT value ->> 'number', value ->> 'name', value ->> 'alias', lower(value ->> 'alias'),
                   value ->> 'model', 'Example', value ->> 'sdk', '14', value ->> 'region', '[\"shop\"]', value ->> 'number',
                   value ->> 'seen',
                   value ->> 'token', iif(value ->> 'token' IS NULL, NULL, 0) {from}"
            ),
            format!(
                "INSERT INTO device_packages (device_id, package_id, version_code, seen_at, cohort, standing)
                 SELECT value ->> 'number', 1, value ->> 'version', value ->> 'seen', value ->> 'cohort',
                   value ->> 'standing' {from}"
            ),
            format!(
                "INSERT INTO device_builds (device_id, build_id, offered_at, downloaded_at, installed_at, install_failed_at,
                   failures, reports, last_status, last_reason, last_at, offered_rollout_id)
                 SELECT value ->> 'number', ?2, value ->> 'seen', iif(value ->> 'version' = ?2, value ->> 'seen', NULL),
                   iif(value ->> 'version' = ?2, value ->> 'seen', NULL),
                   iif(value ->> 'failed', value ->> 'seen', NULL), value ->> 'failed', 1,
                   iif(value ->> 'failed', 'install_failed', 'install_success'),
                   iif(value ->> 'failed', 'storage_low', NULL), value ->> 'seen',
                   (SELECT max(id) FROM rollouts WHERE build_id = ?2)
                 {from} WHERE value ->> 'offered'"
            ),
        ] {
            let with_build = sql.contains("?2");
            let query = diesel::sql_query(sql).bind::<Text, _>(&rows);
            if with_build {
                query.bind::<BigInt, _>(builds).execute(conn)?;
            } else {
                query.execute(conn)?;
            }
        }
        QueryResult::Ok(())
    })
    .unwrap();
}

/// Campaigns for chosen devices, then one for everybody that is under way; a tenth of the fleet cannot be woken.
async fn nudge(store: &Store, devices: u64) {
    let mut request = 0;
    let mut campaign = |order| {
        request += 1;
        let new = NewCampaign {
            order,
            request_id: format!("request-{request}"),
            idempotency_key: None,
        };
        store.create_campaign(new, actor(Utc::now()))
    };
    for number in 0..CAMPAIGNS {
        let chosen = (0..CHOSEN).map(|at| (number * 4_999 + at * 7) % devices);
        let chosen = chosen.map(|number| DeviceId::parse(&format!("device-{number:07}")).unwrap());
        let order = NudgeOrder {
            devices: Some(chosen.collect()),
            ..NudgeOrder::everybody()
        };
        let (made, _) = campaign(order).await.unwrap();
        let note = actor(Utc::now()).note("ota.nudge.cancel", format!("campaign/{}", made.id));
        let ended = store
            .change_campaign(made.id, CampaignState::Canceled, note)
            .await;
        ended.unwrap();
    }
    campaign(NudgeOrder::everybody()).await.unwrap();
}

/// What makes the audit log long.
async fn adjust(store: &Store, id: BuildId) {
    for percent in [49, 50].into_iter().cycle().take(ADJUSTMENTS) {
        let percent = Percent::new(percent).unwrap();
        let change = store.change_track(package(), actor(Utc::now()), move |track, _| {
            let by = By {
                actor: "seed",
                on_behalf_of: None,
                now: DateTime::UNIX_EPOCH,
            };
            track.adjust(id, percent, by)
        });
        change.await.unwrap();
    }
}

/// What the charts show: a week in which the fleet moved on, and a month of polls.
async fn past(store: &Store, ids: &[BuildId], rollouts: &[RolloutId]) {
    let now = Utc::now();
    let census = store.census(now - TimeDelta::hours(24)).await.unwrap();
    for hour in (0..=HOURS).rev() {
        let mut then = census.clone();
        for package in &mut then.packages {
            if let Some(last) = package.versions.last_mut() {
                for devices in last.cohorts.iter_mut() {
                    *devices -= *devices / 200 * u32::try_from(hour).unwrap();
                }
            }
        }
        store
            .record_census(then, now - TimeDelta::hours(hour))
            .await
            .unwrap();
    }
    for (age, (id, rollout)) in ids.iter().zip(rollouts).rev().enumerate() {
        let day = TimeDelta::days(i64::try_from(age).unwrap());
        let checks = (0..24).map(|hour| Checks {
            rollout: *rollout,
            build: *id,
            at: now - day - TimeDelta::hours(hour),
            count: 160_000,
        });
        let batch = Activity {
            seen: vec![],
            checks: checks.collect(),
        };
        store.record_activity(batch).await.unwrap();
    }
}
