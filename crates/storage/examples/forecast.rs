//! How long a forecast takes over a large fleet on SQLite:
//!
//! `cargo run --release -p tidegate-storage --example forecast -- 1000000`
//!
//! Every device has polled, said five things of itself, and runs version 1. The forecast is of the careful plan of six
//! steps, for an audience, under a gate.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, SqliteConnection};
use tidegate_domain::gate::GateTerms;
use tidegate_domain::{
    Audience, Build, BuildFacts, PackageName, Percent, Plan, Promotion, Provenance, RolloutDraft,
    RolloutSettings, Sha256, SignerFingerprint, Signers, VersionCode,
};
use tidegate_storage::{Actor, ForecastOrder, Settings, Store};

type Fault = Box<dyn std::error::Error>;

/// 2026-11-23T00:00:00Z, in microseconds since 1970.
const MIDNIGHT: i64 = 1_795_392_000_000_000;

#[tokio::main]
#[expect(clippy::print_stderr, reason = "for whoever started this")]
async fn main() -> ExitCode {
    let count = std::env::args().nth(1).unwrap_or_else(|| "1000000".to_owned());
    match measure(&count).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("{fault}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "its result")]
#[allow(clippy::disallowed_methods, reason = "how long it really takes")]
async fn measure(count: &str) -> Result<(), Fault> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("fleet.db");
    let store = Store::open(&Settings::new(format!("sqlite://{}", path.display()))).await?;
    let build = upload(&store).await?;
    fleet(&path, count.parse()?)?;
    let now = DateTime::from_timestamp_micros(MIDNIGHT).ok_or("a moment")?;
    for round in 1..=3 {
        let begun = Instant::now();
        let order = order(&build, now)?;
        let forecast = store.forecast(order, || true).await?.ok_or("nobody waited")?;
        println!(
            "round {round}: {} devices, {} steps, {:.2} s",
            forecast.devices,
            forecast.steps.len(),
            begun.elapsed().as_secs_f64()
        );
    }
    Ok(())
}

fn order(build: &Build, at: DateTime<Utc>) -> Result<ForecastOrder, Fault> {
    Ok(ForecastOrder {
        build: build.clone(),
        draft: RolloutDraft {
            name: String::new(),
            priority: 0,
            promotion: Promotion {
                settings: RolloutSettings {
                    audience: Audience::of_lists(vec!["eu-north".to_owned(), "eu-west".to_owned()], vec![])?,
                    ..RolloutSettings::to(Percent::NOBODY)
                },
                keep_previous: false,
                retry_failed: false,
                auto_start: false,
                plan: Some(Plan::careful()),
                gate: Some(GateTerms::default()),
            },
        },
        actor: "ann".to_owned(),
        on_behalf_of: None,
        at,
        interval: Duration::from_secs(6 * 3_600),
        most: u64::MAX,
    })
}

async fn upload(store: &Store) -> Result<Build, Fault> {
    let facts = BuildFacts {
        package: PackageName::parse("com.example.app")?,
        version_code: VersionCode::new(2)?,
        version_name: "2".to_owned(),
        sha256: Sha256([2; 32]),
        size: 20_000_000,
        signers: Signers::one(SignerFingerprint([1; 32])),
        schemes: vec![],
        lineage: vec![],
        warnings: vec![],
        min_sdk: 21,
        target_sdk: 35,
        abis: vec!["arm64-v8a".to_owned()],
        debuggable: false,
        installability: None,
    };
    let at = DateTime::UNIX_EPOCH;
    let provenance = Provenance {
        notes: String::new(),
        build_type: "release".to_owned(),
        ci_run_id: String::new(),
        git_sha: String::new(),
        uploaded_by: "ann".to_owned(),
        uploaded_at: at,
    };
    let actor = Actor {
        subject: "ann".to_owned(),
        role: "operator".to_owned(),
        request_id: None,
        now: at,
    };
    let note = actor.note("ota.upload", "package/com.example.app");
    Ok(store.insert_build(facts, provenance, None, note).await?)
}

fn fleet(path: &std::path::Path, devices: u32) -> Result<(), Fault> {
    let last = devices.saturating_sub(1);
    SqliteConnection::establish(&path.display().to_string())?.batch_execute(&format!(
        r#"WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})
         INSERT INTO devices (name, tags_json, enrolled_at, last_seen_at, polled_json)
         SELECT printf('device-%07d', n), '[]', {MIDNIGHT}, {MIDNIGHT} - n % 21600 * 1000000,
                '{{"sdk":34,"model":"Buoy 4","region":"' || CASE n % 3 WHEN 0 THEN 'us-east' ELSE 'eu-north' END ||
                '","abis":"arm64-v8a,armeabi-v7a","zone":"Europe/Helsinki","protocol":2}}' FROM numbers;
         INSERT INTO device_packages (device_id, package_id, version_code, seen_at, counted)
         SELECT devices.id, packages.id, 1, devices.last_seen_at, true FROM devices CROSS JOIN packages;"#
    ))?;
    Ok(())
}
