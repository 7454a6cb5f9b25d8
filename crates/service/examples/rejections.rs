//! What a rejecting report costs, and how long another replica takes to hear of it, when half a million devices gave
//! the build up already, against the same when none did:
//! `cargo run --release -p tidegate-service --example rejections -- [DEVICES]`.
//!
//! Two databases of each engine take turns, round by round. The throwaway PostgreSQL runs without fsync.

#![allow(clippy::disallowed_methods, reason = "it measures real time")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it is a program that prints, and stops at the first fault"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use tidegate_domain::{
    Build, BuildFacts, By, DeviceFacts, DeviceId, PackageName, Percent, Promotion, Provenance, Report,
    ReportStatus, RolloutId, RolloutSettings, Sha256, SignerFingerprint, Signers, VersionCode,
};
use tidegate_service::{
    ActivityBuffer, Counters, MAX_REPORTS_PER_COMMIT, NewReport, Reports, Snapshots, SystemClock,
};
use tidegate_signing::{KeyRing, MasterKey, OfferClaim};
use tidegate_storage::{self as storage, Actor, DeviceImport, ImportedDevice, Settings, Store};
use tidegate_testkit::postgres;

/// How often each database is measured.
const ROUNDS: usize = 21;

/// Single reports whose arrival at the other replica is timed, in each round.
const SINGLE: usize = 5;

#[tokio::main]
async fn main() {
    let before: usize = std::env::args()
        .nth(1)
        .map_or(500_000, |word| word.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    measure("sqlite", [file("none.db"), file("many.db")], before).await;
    let [none, many] = ["none", "many"].map(postgres::database);
    measure("postgres", [none.url(), many.url()], before).await;
}

async fn measure(engine: &str, databases: [String; 2], before: usize) {
    let [none, many] = databases;
    let mut none = Fleet::open(&none, 0).await;
    let mut many = Fleet::open(&many, before).await;
    for _ in 0..ROUNDS {
        none.round().await;
        many.round().await;
    }
    for (fleet, rejected) in [(&none, 0), (&many, before)] {
        let (report, reread) = (median(&fleet.reports), median(&fleet.rereads));
        println!(
            "{engine:9} {rejected:>8} rejected before: a report {report:>9.1?}, a reread of one {reread:>9.1?}"
        );
    }
    let ratio = median(&many.reports).as_secs_f64() / median(&none.reports).as_secs_f64();
    println!("{engine:9} a report costs {ratio:.2} times as much");
}

/// A database, the server that writes to it and another that reads what the first wrote.
struct Fleet {
    reports: Vec<Duration>,
    rereads: Vec<Duration>,
    next: usize,
    keys: Arc<KeyRing>,
    build: Build,
    rollout: RolloutId,
    filing: Reports,
    reading: Snapshots,
}

impl Fleet {
    /// A fleet of which so many gave the build up.
    async fn open(database: &str, rejected: usize) -> Self {
        let store = Store::open(&Settings::new(database)).await.unwrap();
        let build = upload(&store).await;
        let rollout = release(&store, &build).await;
        add_devices(&store, rejected + ROUNDS * (MAX_REPORTS_PER_COMMIT + SINGLE)).await;
        let begun = Instant::now();
        for first in (0..rejected).step_by(MAX_REPORTS_PER_COMMIT) {
            let last = rejected.min(first + MAX_REPORTS_PER_COMMIT);
            let batch = (first..last).map(|n| rejecting(n, &build, rollout)).collect();
            store.record_reports(batch).await.unwrap();
        }
        println!(
            "{rejected} devices gave the build up after {:.1?}",
            begun.elapsed()
        );
        let begun = Instant::now();
        let reading = Snapshots::load(store.clone(), Arc::new(SystemClock))
            .await
            .unwrap();
        println!("a server read all of it in {:.1?}", begun.elapsed());
        let snapshots = Arc::new(
            Snapshots::load(store.clone(), Arc::new(SystemClock))
                .await
                .unwrap(),
        );
        let keys = Arc::new(KeyRing::new(&MasterKey::generate().unwrap(), None));
        let (filing, writer) = Reports::new(
            store,
            snapshots,
            Arc::new(ActivityBuffer::new(1)),
            Arc::clone(&keys),
            Arc::new(Counters::default()),
            Arc::new(SystemClock),
        );
        tokio::spawn(writer.run());
        Self {
            reports: vec![],
            rereads: vec![],
            next: rejected,
            keys,
            build,
            rollout,
            filing,
            reading,
        }
    }

    async fn round(&mut self) {
        let begun = Instant::now();
        let filed = join_all((0..MAX_REPORTS_PER_COMMIT).map(|n| self.file(self.next + n)));
        for answer in filed.await {
            answer.unwrap();
        }
        self.reports
            .push(begun.elapsed() / u32::try_from(MAX_REPORTS_PER_COMMIT).unwrap());
        self.next += MAX_REPORTS_PER_COMMIT;
        self.reading.catch_up().await.unwrap();
        for _ in 0..SINGLE {
            self.file(self.next).await.unwrap();
            self.next += 1;
            let begun = Instant::now();
            self.reading.catch_up().await.unwrap();
            self.rereads.push(begun.elapsed());
        }
    }

    async fn file(&self, n: usize) -> Result<(), tidegate_service::Error> {
        let device = device(n);
        let offer = self.keys.sign_offer(&OfferClaim {
            device: device.as_str(),
            rollout: self.rollout,
            build: self.build.id,
            attempt: 1,
        });
        let report = NewReport {
            build: self.build.id,
            status: ReportStatus::VerifyFailed,
            reason: Some("wrong_signer".into()),
            android_status: None,
            message: None,
            attempt: Some(1),
            request_id: Some(format!("bench-{n:08}")),
            rollout: Some(self.rollout),
            offer: Some(offer),
            patch: None,
        };
        self.filing.submit(device, report).await
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

fn device(n: usize) -> DeviceId {
    DeviceId::parse(&format!("device-{n:08}")).unwrap()
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(1_800_000_000)
}

fn actor() -> Actor {
    Actor {
        subject: "bench".into(),
        role: "admin".into(),
        request_id: None,
        now: now(),
    }
}

fn rejecting(n: usize, build: &Build, rollout: RolloutId) -> storage::NewReport {
    storage::NewReport {
        device: device(n),
        report: Report {
            build: build.id,
            status: ReportStatus::VerifyFailed,
            reason: Some("wrong_signer".into()),
            android_status: None,
            message: None,
            retry_generation: 1,
            request_id: Some(format!("bench-{n:08}")),
        },
        rollout: Some(rollout),
        attempt: Some(1),
        patch: None,
        at: now(),
    }
}

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
        lineage: vec![],
        warnings: vec![],
        installability: None,
    };
    let provenance = Provenance {
        notes: String::new(),
        build_type: String::new(),
        ci_run_id: String::new(),
        git_sha: String::new(),
        uploaded_by: "bench".into(),
        uploaded_at: now(),
    };
    let note = actor().note("ota.upload", "package/com.example.app");
    store.insert_build(facts, provenance, None, note).await.unwrap()
}

async fn release(store: &Store, build: &Build) -> RolloutId {
    let promoted = build.clone();
    let change = store.change_track(build.facts.package.clone(), actor(), move |track, attempts| {
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
            now: now(),
        };
        track.promote(&promoted, &promotion, attempts.of(promoted.id), by)
    });
    change.await.unwrap().inserted[0].id
}

/// How many devices are written at once.
const DEVICES_AT_ONCE: usize = 10_000;

/// Writes so many devices.
async fn add_devices(store: &Store, count: usize) {
    for first in (0..count).step_by(DEVICES_AT_ONCE) {
        let last = count.min(first + DEVICES_AT_ONCE);
        let import = DeviceImport {
            devices: (first..last).map(imported).collect(),
            dry_run: false,
            now: now(),
        };
        let note = actor().note("device.import", "import");
        store.import_devices(import, note).await.unwrap();
    }
}

fn imported(n: usize) -> ImportedDevice {
    ImportedDevice {
        id: device(n),
        alias: None,
        facts: DeviceFacts::default(),
        fcm_token: None,
        installed: vec![],
        previous_token: None,
    }
}
