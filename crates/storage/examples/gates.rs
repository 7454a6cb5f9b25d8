//! What a gate costs, on both engines: `cargo run --release -p tidegate-storage --example gates -- [DEVICES]`.
//!
//! Polls of the same second are written to a database whose rollout has a gate and to one whose rollout has none, in turn.
//! Then a gate of 100,000 members is asked what it asks each second.

#![allow(clippy::disallowed_methods, reason = "it measures real time")]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it is a program that prints, and stops at the first fault"
)]

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection, SqliteConnection};
use tidegate_domain::gate::{Arm, BlindTimes, GateTerms, Segment, Watch};
use tidegate_domain::{
    Build, BuildFacts, BuildId, By, DeviceFacts, DeviceId, PackageName, Percent, Promotion, Provenance,
    Reason, RolloutId, RolloutSettings, Sha256, Share, SignerFingerprint, Signers, VersionCode,
};
use tidegate_storage::{Activity, Actor, GateAtHand, GateLooks, Seen, Settings, Standing, Store};
use tidegate_testkit::postgres;

/// Polls of a second.
const POLLS: usize = 5_000;
const ROUNDS: usize = 12;
/// Members of each arm.
const MEMBERS: usize = 50_000;

/// A database with a release, to which so many devices belong.
struct Side {
    url: String,
    store: Store,
    rollout: RolloutId,
    build: BuildId,
    gated: bool,
}

impl Side {
    /// Tells PostgreSQL's planner of the members, as autovacuum does a minute after they came.
    fn analyze(&self) {
        if self.url.starts_with("postgres") {
            let mut conn = PgConnection::establish(&self.url).unwrap();
            conn.batch_execute("ANALYZE gate_members").unwrap();
        }
    }
}

#[tokio::main]
async fn main() {
    let devices = std::env::args().nth(1);
    let devices: usize = devices.map_or(200_000, |word| word.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| format!("sqlite://{}", folder.path().join(name).to_str().unwrap());
    measure("sqlite", [file("gated.db"), file("plain.db")], devices).await;
    let databases = ["gates_gated", "gates_plain"].map(postgres::database);
    measure(
        "postgres",
        databases.each_ref().map(|database| database.url()),
        devices,
    )
    .await;
}

async fn measure(engine: &str, [gated, plain]: [String; 2], devices: usize) {
    let gated = side(&gated, devices, true).await;
    let plain = side(&plain, devices, false).await;
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let second = i64::try_from(round).unwrap();
        // Whoever comes first meets colder files: so they take turns.
        let order = if round % 2 == 0 {
            [&gated, &plain]
        } else {
            [&plain, &gated]
        };
        let mut took = [0.0; 2];
        for side in order {
            let batch = polls_of_a_second(side, round, second);
            let begun = Instant::now();
            side.store.record_activity(batch).await.unwrap();
            took[usize::from(!side.gated)] = begun.elapsed().as_secs_f64();
        }
        if round > 1 {
            ratios.push(took[0] / took[1]);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{engine:9} a second's polls with a gate, as a multiple of those without: median {:.2}, from {:.2} to {:.2}",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1]
    );
    enter(engine, &gated).await;
    gated.analyze();
    ask(engine, &gated).await;
}

/// Of a hundred devices, ten run the build, ten are offered it, thirty are control, and fifty neither. One of each arm's
/// hundred enters with this poll; the others did before.
fn polls_of_a_second(side: &Side, round: usize, second: i64) -> Activity {
    let polls = (0..POLLS).map(|n| {
        let number = round % 4 * POLLS + n;
        let is_new = number % 1_000 / 10 == round;
        match number % 100 {
            0..10 => seen(number, second, 2, Standing::Refused(Reason::AlreadyCurrent)),
            10..20 => arm(side, seen(number, second, 1, offer(side)), Arm::Treated, !is_new),
            20..50 => {
                let told = Standing::Refused(Reason::NotInCohort);
                arm(side, seen(number, second, 1, told), Arm::Control, !is_new)
            }
            _ => seen(number, second, 1, Standing::Refused(Reason::NotInCohort)),
        }
    });
    Activity {
        seen: polls.collect(),
        ..Activity::default()
    }
}

fn offer(side: &Side) -> Standing {
    Standing::Offered {
        rollout: side.rollout,
        build: side.build,
    }
}

fn arm(side: &Side, seen: Seen, arm: Arm, is_member: bool) -> Seen {
    let watch = Watch {
        rollout: side.rollout,
        segment: 1,
        step: 0,
        arm,
        takes_at: Share::WHOLE,
    };
    Seen {
        watch: side.gated.then_some(watch),
        is_member,
        ..seen
    }
}

fn seen(number: usize, second: i64, installed: i64, told: Standing) -> Seen {
    Seen {
        device: DeviceId::parse(&format!("device-{number:08}")).unwrap(),
        at: at(second),
        facts: DeviceFacts {
            dense: true,
            ..DeviceFacts::default()
        },
        package: package(),
        installed: VersionCode::new(installed).unwrap(),
        crashes: Some(0),
        told,
        watch: None,
        is_member: false,
        has_file: false,
    }
}

/// Fills both arms.
async fn enter(engine: &str, side: &Side) {
    let begun = Instant::now();
    for first in (0..2 * MEMBERS).step_by(POLLS) {
        let polls = (first..first + POLLS).map(|number| match number < MEMBERS {
            true => arm(side, seen(number, 100, 1, offer(side)), Arm::Treated, false),
            false => {
                let told = Standing::Refused(Reason::NotInCohort);
                arm(side, seen(number, 100, 1, told), Arm::Control, false)
            }
        });
        let batch = Activity {
            seen: polls.collect(),
            ..Activity::default()
        };
        side.store.record_activity(batch).await.unwrap();
    }
    println!(
        "{engine:9} {} devices entered in {:.1} s",
        2 * MEMBERS,
        begun.elapsed().as_secs_f64()
    );
}

/// The questions of a second: where nothing is due, where 2,000 members are due that were heard since, and where all of
/// them are lost.
async fn ask(engine: &str, side: &Side) {
    let mut looks = GateLooks::default();
    for (what, second) in [
        ("nothing is due", 200),
        ("nothing is due, again", 5_000),
        ("2,000 are due", 5_501),
        ("2,000 are due, again", 5_502),
        ("2,000 are lost, in one stratum", 30_000),
        ("2,000 are lost, again", 30_001),
    ] {
        if second == 5_501 {
            heard(side).await;
        }
        let at_hand = GateAtHand {
            rollout: side.rollout.0,
            segment: Segment::first(at(0)),
            step: 0,
            share: Percent::new(10).unwrap().share(),
            now: at(second),
        };
        let begun = Instant::now();
        let found = side
            .store
            .observe_gate(at_hand, BlindTimes::default(), TimeDelta::hours(6), looks)
            .await
            .unwrap();
        print(engine, what, begun.elapsed());
        looks = found.looks;
    }
}

async fn heard(side: &Side) {
    for first in (0..2 * MEMBERS).step_by(POLLS) {
        let told = Standing::Refused(Reason::NotInCohort);
        let polls = (first..first + POLLS).map(|number| seen(number, 5_400, 1, told));
        let batch = Activity {
            seen: polls.collect(),
            ..Activity::default()
        };
        side.store.record_activity(batch).await.unwrap();
    }
}

fn print(engine: &str, what: &str, took: Duration) {
    println!(
        "{engine:9} a look where {what:32} {:>7.1} ms",
        took.as_secs_f64() * 1e3
    );
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

async fn side(url: &str, devices: usize, gated: bool) -> Side {
    let store = Store::open(&Settings::new(url.to_owned())).await.unwrap();
    let build = upload(&store).await;
    let rollout = release(&store, &build, gated).await;
    let (last, since) = (devices - 1, at(-86_400).timestamp_micros());
    let fill = format!(
        "INSERT INTO devices (name, tags_json, enrolled_at)
         SELECT 'device-' || digits, '[]', {since} FROM numbered;
         INSERT INTO device_packages (device_id, package_id, version_code, seen_at, cohort, counted)
         SELECT id, 1, 1, {since}, 1, true FROM devices"
    );
    match url.strip_prefix("sqlite://") {
        Some(path) => {
            let mut conn = SqliteConnection::establish(path).unwrap();
            conn.batch_execute(&format!(
                "CREATE TEMP TABLE numbered AS
                 WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})
                 SELECT printf('%08d', n) AS digits FROM numbers; {fill}; ANALYZE"
            ))
            .unwrap();
        }
        None => {
            let mut conn = PgConnection::establish(url).unwrap();
            conn.batch_execute(&format!(
                "CREATE TEMP TABLE numbered AS
                 SELECT lpad(n::text, 8, '0') AS digits FROM generate_series(0, {last}) AS n; {fill}; ANALYZE"
            ))
            .unwrap();
        }
    }
    Side {
        url: url.to_owned(),
        store,
        rollout,
        build: build.id,
        gated,
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

async fn release(store: &Store, build: &Build, gated: bool) -> RolloutId {
    let promoted = build.clone();
    let change = store.change_track(package(), actor(), move |track, attempts| {
        let promotion = Promotion {
            settings: RolloutSettings::to(Percent::new(10).unwrap()),
            keep_previous: false,
            retry_failed: false,
            auto_start: false,
            plan: None,
            gate: gated.then(GateTerms::default),
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
