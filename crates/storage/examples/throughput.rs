//! How many rows a second the two hot batches write, on both engines:
//! `cargo run --release -p tidegate-storage --example throughput`.
//!
//! The throwaway PostgreSQL runs without fsync, so its figures show what the statements cost and not what its
//! disk does; SQLite's include every sync.

#![allow(clippy::disallowed_methods, reason = "it measures real time")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it is a program that prints, and stops at the first fault"
)]

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{
    Build, BuildFacts, BuildId, By, DeviceFacts, DeviceId, PackageName, Percent, Promotion, Provenance,
    Report, ReportStatus, RolloutId, RolloutSettings, Sha256, SignerFingerprint, Signers, VersionCode,
};
use tidegate_storage::{
    Activity, Actor, EnrollCredential, Enrollment, NewEnrollToken, NewReport, Seen, Settings, Standing, Store,
};
use tidegate_testkit::postgres;

const DEVICES: usize = 5_000;
const ROUNDS: i64 = 5;
const REPORT_BATCH: usize = 500;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidegate.db");
    measure("sqlite", Settings::new(file.to_str().unwrap())).await;
    let database = postgres::database("throughput");
    measure("postgres", Settings::new(database.url())).await;
}

async fn measure(engine: &str, settings: Settings) {
    let store = Store::open(&settings).await.unwrap();
    let build = upload(&store).await;
    let (rollout, build) = (release(&store, &build).await, build.id);
    let begun = Instant::now();
    let devices = enroll(&store).await;
    print(engine, "enrol, one by one", DEVICES, begun.elapsed());

    for round in 0..ROUNDS {
        let begun = Instant::now();
        let seen = devices.iter().map(|device| Seen {
            device: device.clone(),
            at: at(round),
            package: package(),
            installed: VersionCode::new(1).unwrap(),
            facts: DeviceFacts::default(),
            crashes: None,
            told: Standing::Offered { rollout, build },
            watch: None,
            is_member: false,
            has_file: false,
        });
        let batch = Activity {
            seen: seen.collect(),
            checks: vec![],
        };
        store.record_activity(batch).await.unwrap();
        let what = if round == 0 {
            "record_activity, all offers new"
        } else {
            "record_activity, offers known"
        };
        print(engine, what, DEVICES, begun.elapsed());
    }
    for status in [ReportStatus::Downloaded, ReportStatus::InstallSuccess] {
        let begun = Instant::now();
        for devices in devices.chunks(REPORT_BATCH) {
            let batch = devices.iter().map(|device| NewReport {
                device: device.clone(),
                report: report(build, status),
                rollout: Some(rollout),
                attempt: None,
                patch: None,
                at: at(9),
            });
            store.record_reports(batch.collect()).await.unwrap();
        }
        let what = format!("record_reports, {status}, {REPORT_BATCH} a batch");
        print(engine, &what, DEVICES, begun.elapsed());
    }
}

fn print(engine: &str, what: &str, rows: usize, took: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand rows")]
    let rate = rows as f64 / took.as_secs_f64();
    println!("{engine:9} {what:50} {rate:>9.0} rows/s");
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_800_000_000 + second)
}

fn package() -> PackageName {
    PackageName::parse("com.example.app").unwrap()
}

fn actor() -> Actor {
    Actor {
        subject: "bench".into(),
        role: "admin".into(),
        request_id: None,
        now: at(0),
    }
}

fn report(build: BuildId, status: ReportStatus) -> Report {
    Report {
        build,
        status,
        reason: None,
        android_status: None,
        message: None,
        retry_generation: 1,
        request_id: Some("0b9d5a52-5e0c-4f43-9c9c-2d4f5c1a7a10".into()),
    }
}

async fn upload(store: &Store) -> Build {
    let facts = BuildFacts {
        package: package(),
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
    store.insert_build(facts, provenance, None, note).await.unwrap()
}

async fn release(store: &Store, build: &Build) -> RolloutId {
    let promoted = build.clone();
    let change = store.change_track(package(), actor(), move |track, attempts| {
        let promotion = Promotion {
            settings: RolloutSettings::to(Percent::EVERYBODY),
            keep_previous: false,
            retry_failed: false,
            auto_start: false,
            plan: None,
            gate: None,
        };
        let by = By {
            on_behalf_of: None,
            actor: "bench",
            now: at(0),
        };
        track.promote(&promoted, &promotion, attempts.of(promoted.id), by)
    });
    change.await.unwrap().inserted[0].id
}

async fn enroll(store: &Store) -> Vec<DeviceId> {
    let token = NewEnrollToken {
        hash: [7; 32],
        uses: u32::MAX,
        expires_at: at(86_400),
        allow_known: false,
        created_by: "bench".into(),
        note: String::new(),
    };
    let note = actor().note("device.enroll_token", "enroll-token");
    store.create_enroll_token(token, note).await.unwrap();
    let mut devices = Vec::with_capacity(DEVICES);
    for n in 0..DEVICES {
        let device = DeviceId::parse(&format!("device-{n:08}")).unwrap();
        let enrollment = Enrollment {
            credential: EnrollCredential::Token([7; 32]),
            device: device.clone(),
            key_hash: None,
            facts: DeviceFacts::default(),
            alias: None,
            fcm_token: None,
            package: None,
            erased_tags: vec![],
            now: at(0),
        };
        store.enroll(enrollment).await.unwrap();
        devices.push(device);
    }
    devices
}
