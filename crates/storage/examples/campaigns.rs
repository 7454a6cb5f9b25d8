//! What a campaign costs the database, on both engines:
//! `cargo run --release -p tidegate-storage --example campaigns -- 1000000`.
//!
//! The devices are made by one statement; then come a campaign for all of them, one for those that are behind, a
//! sender's claims and outcomes without the sending, and batches of polls beside it. The throwaway PostgreSQL runs
//! without fsync; SQLite's figures include every sync.

#![allow(clippy::disallowed_methods, reason = "it measures real time")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it is a program that prints, and stops at the first fault"
)]

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use tidegate_domain::{
    Build, BuildFacts, By, DeviceFacts, DeviceId, NudgeAudience, NudgeOrder, PackageName, Percent, Promotion,
    Provenance, Reason, RolloutSettings, Sha256, SignerFingerprint, Signers, VersionCode,
};
use tidegate_storage::{
    Activity, Actor, Campaign, DeliveryOutcome, NewCampaign, Outcome, Seen, Settings, Standing, Store,
};
use tidegate_testkit::postgres;

const CLAIM: u32 = 500;
const CLAIMS: u32 = 200;
const POLLS: u32 = 5_000;

#[tokio::main]
async fn main() {
    let devices = std::env::args()
        .nth(1)
        .map_or(100_000, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidegate.db").to_str().unwrap().to_owned();
    let store = Store::open(&Settings::new(&file)).await.unwrap();
    let build = upload(&store).await;
    let source = format!(
        "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {devices}) SELECT n FROM s)"
    );
    SqliteConnection::establish(&file)
        .unwrap()
        .batch_execute(&fleet(&source))
        .unwrap();
    measure("sqlite", &store, &build, devices).await;

    let database = postgres::database("campaigns");
    let store = Store::open(&Settings::new(database.url())).await.unwrap();
    let build = upload(&store).await;
    let source = format!("generate_series(1, {devices}) AS s (n)");
    PgConnection::establish(&database.url())
        .unwrap()
        .batch_execute(&fleet(&source))
        .unwrap();
    measure("postgres", &store, &build, devices).await;
}

/// Every tenth device cannot be woken, and every other one is up to date.
fn fleet(source: &str) -> String {
    format!(
        "INSERT INTO devices (name, tags_json, enrolled_at, fcm_token)
         SELECT 'device-' || n, '[]', 0, CASE n % 10 WHEN 0 THEN NULL ELSE 'token-' || n END FROM {source};
         INSERT INTO device_packages (device_id, package_id, version_code, seen_at)
         SELECT id, 1, 1 + id % 2, 0 FROM devices;"
    )
}

async fn measure(engine: &str, store: &Store, build: &Build, devices: u64) {
    let package = build.facts.package.clone();
    polls(engine, store, &package, "no campaign", 1).await;

    let begun = Instant::now();
    let all = nudge(store, NudgeOrder::everybody()).await;
    assert_eq!(all.progress.total, devices);
    print(engine, "a campaign for all", devices, begun.elapsed());

    let begun = Instant::now();
    let order = NudgeOrder {
        package: Some(package.clone()),
        audience: NudgeAudience::Behind,
        ..NudgeOrder::everybody()
    };
    let behind = nudge(store, order).await;
    let what = format!("a campaign for those behind ({})", behind.progress.total);
    print(engine, &what, devices, begun.elapsed());

    let begun = Instant::now();
    for _ in 0..CLAIMS {
        let claims = store
            .claim_deliveries(all.id, at(10), TimeDelta::seconds(60), CLAIM)
            .await
            .unwrap();
        let outcomes = claims.claims.into_iter().map(|claim| Outcome {
            device: claim.device,
            attempt: claim.attempt,
            result: DeliveryOutcome::Sent,
        });
        store
            .record_deliveries(all.id, outcomes.collect(), at(11))
            .await
            .unwrap();
    }
    let sent = store.campaign(all.id).await.unwrap().progress.sent;
    print(engine, "claimed and recorded, 500 at once", sent, begun.elapsed());

    polls(engine, store, &package, "two campaigns", 20).await;
    polls(engine, store, &package, "two campaigns, polled before", 21).await;
}

async fn polls(engine: &str, store: &Store, package: &PackageName, what: &str, second: i64) {
    let seen = (1..=POLLS).map(|n| Seen {
        device: DeviceId::parse(&format!("device-{n}")).unwrap(),
        at: at(second),
        package: package.clone(),
        installed: VersionCode::new(1 + i64::from(n % 2)).unwrap(),
        facts: DeviceFacts::default(),
        crashes: None,
        told: Standing::Refused(Reason::AlreadyCurrent),
        watch: None,
        is_member: false,
        has_file: false,
    });
    let batch = Activity {
        seen: seen.collect(),
        checks: vec![],
    };
    let begun = Instant::now();
    store.record_activity(batch).await.unwrap();
    print(
        engine,
        &format!("polls flushed, {what}"),
        POLLS.into(),
        begun.elapsed(),
    );
}

fn print(engine: &str, what: &str, rows: u64, took: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "some millions")]
    let rate = rows as f64 / took.as_secs_f64();
    println!("{engine:9} {what:45} {:>8.2} s {rate:>9.0}/s", took.as_secs_f64());
}

async fn nudge(store: &Store, order: NudgeOrder) -> Campaign {
    let new = NewCampaign {
        request_id: format!("{}", order.audience),
        order,
        idempotency_key: None,
    };
    store.create_campaign(new, actor()).await.unwrap().0
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_800_000_000 + second)
}

fn actor() -> Actor {
    Actor {
        subject: "bench".into(),
        role: "operator".into(),
        request_id: None,
        now: at(5),
    }
}

/// A build that is offered to everybody.
async fn upload(store: &Store) -> Build {
    let facts = BuildFacts {
        package: PackageName::parse("com.example.app").unwrap(),
        version_code: VersionCode::new(2).unwrap(),
        version_name: "2.0".into(),
        sha256: Sha256([1; 32]),
        size: 1,
        signers: Signers::one(SignerFingerprint([1; 32])),
        schemes: vec![],
        min_sdk: 24,
        target_sdk: 35,
        abis: vec![],
        debuggable: false,
        installability: None,
        lineage: vec![],
        warnings: vec![],
    };
    let provenance = Provenance {
        notes: String::new(),
        build_type: String::new(),
        ci_run_id: String::new(),
        git_sha: String::new(),
        uploaded_by: "bench".into(),
        uploaded_at: at(0),
    };
    let note = actor().note("ota.upload", "package/com.example.app");
    let build = store.insert_build(facts, provenance, None, note).await.unwrap();
    let promotion = Promotion {
        settings: RolloutSettings::to(Percent::EVERYBODY),
        keep_previous: false,
        retry_failed: false,
        auto_start: false,
        plan: None,
        gate: None,
    };
    let promoted = build.clone();
    let change = store.change_track(build.facts.package.clone(), actor(), move |track, attempts| {
        let by = By {
            on_behalf_of: None,
            actor: "bench",
            now: at(0),
        };
        track.promote(&promoted, &promotion, attempts.of(promoted.id), by)
    });
    change.await.unwrap();
    build
}
