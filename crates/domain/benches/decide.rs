//! What a poll's decision costs. Targets on one core: a cohort below 100 ns, a decision below 250 ns.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use criterion::{Criterion, criterion_group, criterion_main};
use tidegate_domain::gate::{Arm, GateTerms, RolloutGate};
use tidegate_domain::{
    Audience, Build, BuildFacts, BuildId, BuildSteps, Calendar, CalendarName, CalendarTerms, CalendarZone,
    Catalog, CompiledCalendars, Consent, Decision, DeviceFacts, Freeze, Overlay, PackageName, Percent,
    PollRequest, Position, Provenance, Release, Rollout, RolloutId, RolloutSettings, RolloutSpec,
    RolloutState, Sha256, SignerFingerprint, Signers, Subject, Tag, Track, VersionCode, Window, ZoneName,
    cohort, decide, decide_until, explain,
};

const PACKAGES: usize = 50;
const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn build(package: &PackageName, id: i64) -> Build {
    Build {
        id: BuildId(id),
        facts: BuildFacts {
            package: package.clone(),
            version_code: version(id),
            version_name: String::new(),
            sha256: Sha256([1; 32]),
            size: 1,
            signers: Signers::one(SignerFingerprint([1; 32])),
            schemes: vec![],
            min_sdk: 21,
            target_sdk: 35,
            abis: vec!["arm64-v8a".to_owned(), "armeabi-v7a".to_owned()],
            debuggable: false,
            installability: None,
            lineage: vec![],
            warnings: vec![],
        },
        provenance: Provenance {
            notes: String::new(),
            build_type: String::new(),
            ci_run_id: String::new(),
            git_sha: String::new(),
            uploaded_by: String::new(),
            uploaded_at: NOW,
        },
        steps: BuildSteps::default(),
    }
}

fn release(package: &PackageName, id: i64, share: i64) -> Release {
    let spec = RolloutSpec {
        name: String::new(),
        priority: 0,
        revision: 1,
        package: package.clone(),
        build: BuildId(id),
        state: RolloutState::Active,
        is_current: false,
        settings: RolloutSettings::to(Percent::new(share).expect("a share")),
        retry_generation: 1,
        previous: None,
        rolled_back_from: None,
        takes_back: None,
        experiment: None,
        plan: None,
        gate: None,
        consent: Consent::default(),
        keep_previous: false,
        created_by: String::new(),
        created_at: NOW,
    };
    Release {
        rollout: Rollout {
            id: RolloutId(id),
            spec,
        },
        build: Arc::new(build(package, id)),
    }
}

/// Fifty packages, each with a current rollout and others beside it, to these shares.
fn catalog(shares: &[i64]) -> Catalog {
    let track = |n: usize| {
        let name = PackageName::parse(&format!("com.example.app{n}")).expect("a name");
        let serving = (0_i64..)
            .zip(shares)
            .map(|(at, share)| release(&name, 9 - at, *share))
            .collect();
        Track {
            serving,
            known_signers: vec![(version(9), Signers::one(SignerFingerprint([1; 32])))],
            ..Track::empty(name)
        }
    };
    Catalog::new((0..PACKAGES).map(track))
}

fn version(code: i64) -> VersionCode {
    VersionCode::new(code).expect("a version code")
}

/// What a device states that states all that is judged.
fn facts() -> DeviceFacts<'static> {
    DeviceFacts {
        sdk: Some(34),
        region: Some("DE".into()),
        model: Some("Pixel 8".into()),
        abis: Some("arm64-v8a,armeabi-v7a,armeabi".into()),
        ..DeviceFacts::default()
    }
}

fn poll<'a>(device_id: &'a str, installed: i64, facts: &'a DeviceFacts<'a>) -> PollRequest<'a> {
    PollRequest::new(
        device_id,
        "com.example.app7",
        version(installed),
        facts,
        &[],
        Overlay::none(),
    )
}

fn cohorts(c: &mut Criterion) {
    c.bench_function("cohort", |b| b.iter(|| cohort(black_box("f2a74de452e6b438"))));
    c.bench_function("position, salted", |b| {
        b.iter(|| Position::of(black_box("f2a74de452e6b438"), black_box(Some("spring-release"))));
    });
}

/// A rollout that goes by the night of each device's own zone, and polls by day and by night; and what it costs to work a
/// calendar out for all zones.
fn windows(c: &mut Criterion) {
    let name = CalendarName::parse("nights").expect("a name");
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let calendar = Calendar {
        name: name.clone(),
        terms: CalendarTerms {
            zone: CalendarZone::Device {
                fallback: ZoneName::utc(),
            },
            windows: vec![Window::parse(&days, "22:00", "04:00").expect("a window")],
            freezes: vec![Freeze::parse("12-20", "01-06", true).expect("a freeze")],
        },
    };
    let package = PackageName::parse("com.example.app7").expect("a name");
    let mut nightly = release(&package, 9, 100);
    nightly.rollout.spec.settings.calendars.download = Some(name);
    let track = Track {
        serving: vec![nightly],
        ..Track::empty(package)
    };
    let plain = Catalog::new([track]).with_calendars(CompiledCalendars::new([calendar]));
    let by_day = NOW + chrono::TimeDelta::hours(60 * 24 + 12);
    let catalog = plain.clone().with_openings(by_day, &CompiledCalendars::default());
    let facts = DeviceFacts {
        zone: Some("Europe/Berlin".into()),
        protocol: 2,
        ..facts()
    };
    let request = poll("0c5c7fd0a6a3a450", 1, &facts);
    let by_night = NOW + chrono::TimeDelta::hours(60 * 24 + 22);
    assert!(matches!(decide(&catalog, &request, by_night), Decision::Offer(_)));
    c.bench_function("decide, by a calendar: an offer", |b| {
        b.iter(|| decide_until(&catalog, black_box(&request), by_night));
    });
    assert!(matches!(
        decide(&catalog, &request, by_day),
        Decision::NoUpdate(_)
    ));
    c.bench_function("decide, by a calendar: outside of the window", |b| {
        b.iter(|| decide_until(&catalog, black_box(&request), by_day));
    });
    let mut slow = c.benchmark_group("calendars");
    slow.sample_size(10);
    slow.bench_function("worked out for all zones", |b| {
        b.iter(|| plain.clone().with_openings(by_day, &CompiledCalendars::default()));
    });
    slow.finish();
}

fn decisions(c: &mut Criterion) {
    // Cohorts 6 and 89: taken by a tenth, and not.
    let facts = facts();
    let inside = poll("0c5c7fd0a6a3a450", 1, &facts);
    let outside = poll("dev-001", 1, &facts);
    let tenth = catalog(&[10]);
    assert!(matches!(decide(&tenth, &inside, NOW), Decision::Offer(_)));
    assert!(matches!(decide(&tenth, &outside, NOW), Decision::NoUpdate(_)));
    c.bench_function("decide, 10 %: an offer", |b| {
        b.iter(|| decide(&tenth, black_box(&inside), NOW));
    });
    c.bench_function("decide, 10 %: outside of the share", |b| {
        b.iter(|| decide(&tenth, black_box(&outside), NOW));
    });
    let current = poll("0c5c7fd0a6a3a450", 9, &facts);
    c.bench_function("decide, 10 %: already current", |b| {
        b.iter(|| decide(&tenth, black_box(&current), NOW));
    });
    let chain = catalog(&[10, 20, 30, 100]);
    c.bench_function("decide, three others: the last one takes it", |b| {
        b.iter(|| decide(&chain, black_box(&outside), NOW));
    });
    c.bench_function("explain, three others", |b| {
        b.iter(|| explain(&chain, black_box(&outside), NOW));
    });
}

/// A rollout to a tenth with a gate, and devices that it offers its build to, that are control, and that are neither. The
/// last one must cost what it does without a gate.
fn watched(c: &mut Criterion) {
    let name = PackageName::parse("com.example.app7").expect("a name");
    let mut gated = release(&name, 9, 10);
    gated.rollout.spec.gate = Some(RolloutGate::begun(GateTerms::default(), NOW));
    let serving = |release: Release| {
        let track = Track {
            serving: vec![release],
            known_signers: vec![(version(9), Signers::one(SignerFingerprint([1; 32])))],
            ..Track::empty(name.clone())
        };
        // Control are the next 5 %.
        Catalog::new([track]).with_fleets(&HashMap::from([(name.clone(), 1_000_000)]))
    };
    let (with, without) = (serving(gated), serving(release(&name, 9, 10)));
    let facts = facts();
    let id_at = |cohorts: std::ops::Range<u8>| {
        let mut ids = (0..).map(|n| format!("device-{n:016x}"));
        ids.find(|id| cohorts.contains(&cohort(id))).expect("one of many")
    };
    for (what, cohorts, arm) in [
        ("treated", 0..10, Some(Arm::Treated)),
        ("control", 10..15, Some(Arm::Control)),
        ("neither", 15..100, None),
    ] {
        let id = id_at(cohorts);
        let request = poll(&id, 1, &facts);
        let watch = decide_until(&with, &request, NOW).watch;
        assert_eq!(watch.map(|watch| watch.arm), arm);
        c.bench_function(&format!("decide, with a gate: {what}"), |b| {
            b.iter(|| decide_until(&with, black_box(&request), NOW));
        });
        c.bench_function(&format!("decide, without a gate: {what}"), |b| {
            b.iter(|| decide_until(&without, black_box(&request), NOW));
        });
    }
}

/// How many rollouts are asked before the base.
const ABOVE: u32 = 50;
const OVERLAYS: usize = 100_000;

/// A base, and fifty rollouts above it whose audiences are all asked: each wants another tag, in one of two regions.
fn fifty_above() -> Catalog {
    let name = PackageName::parse("com.example.app7").expect("a name");
    let above = (0..ABOVE).rev().map(|ring| {
        let mut rollout = release(&name, 9, 10);
        rollout.rollout.spec.priority = ring + 1;
        let text = format!(r#"region in ["eu-north", "eu-west"] && sdk >= 30 && "ring-{ring}" in tags"#);
        rollout.rollout.spec.settings.audience = Audience::parse(&text).expect("an audience");
        rollout
    });
    let mut base = release(&name, 8, 100);
    base.rollout.spec.is_current = true;
    Catalog::new([Track {
        serving: above.chain([base]).collect(),
        known_signers: vec![(version(9), Signers::one(SignerFingerprint([1; 32])))],
        ..Track::empty(name)
    }])
}

/// Target: below 300 ns, with the lookup of what operators gave to the device.
fn among_many(c: &mut Criterion) {
    let catalog = fifty_above();
    let facts = DeviceFacts {
        region: Some("eu-north".into()),
        ..facts()
    };
    let ids: Vec<String> = (0..OVERLAYS).map(|n| format!("device-{n:016x}")).collect();
    // As a server keeps them: each tag and each set of them once. A few devices are in one of the rings that are asked.
    let tag = |name: &str| Tag::parse(name).expect("a tag");
    let shop = tag("shop");
    let sets: Vec<Arc<Overlay>> = (0..5_000)
        .map(|ring| Arc::new(Overlay::new([shop.clone(), tag(&format!("ring-{ring}"))])))
        .collect();
    let overlays: HashMap<&str, Arc<Overlay>> = ids
        .iter()
        .enumerate()
        .map(|(n, id)| (id.as_str(), Arc::clone(&sets[n % sets.len()])))
        .collect();
    let mut next = 0;
    c.bench_function("decide, fifty above the base, one of 100,000 overlays", |b| {
        b.iter(|| {
            next = (next + 7_919) % OVERLAYS;
            let id = ids[next].as_str();
            let overlay = overlays.get(id).map_or(Overlay::none(), |overlay| &**overlay);
            let request = PollRequest::new(id, "com.example.app7", version(1), &facts, &[], overlay);
            black_box(decide(&catalog, &request, NOW));
        });
    });
    let none = PollRequest::new(
        &ids[0],
        "com.example.app7",
        version(1),
        &facts,
        &[],
        Overlay::none(),
    );
    c.bench_function("decide, fifty above the base, no overlay", |b| {
        b.iter(|| decide(&catalog, black_box(&none), NOW));
    });
}

/// Target: below 30 ns.
fn audiences(c: &mut Criterion) {
    let facts = DeviceFacts {
        region: Some("eu-north".into()),
        ..facts()
    };
    let tags = [
        Tag::parse("lab").expect("a tag"),
        Tag::parse("canary").expect("a tag"),
    ];
    let subject = Subject {
        facts: &facts,
        installed: version(1),
        tags: &tags,
    };
    let text = r#"region in ["eu-north"] && sdk >= 30 && "canary" in tags"#;
    let audience = Audience::parse(text).expect("an audience");
    assert!(audience.includes(&subject));
    c.bench_function("audience, three clauses", |b| {
        b.iter(|| audience.includes(black_box(&subject)));
    });
    let regions = (0..1_000).map(|number| format!("eu-{number}")).collect();
    let listed = Audience::of_lists(regions, vec![]).expect("an audience");
    c.bench_function("audience, one of a thousand regions", |b| {
        b.iter(|| listed.includes(black_box(&subject)));
    });
    c.bench_function("audience, reading it", |b| {
        b.iter(|| Audience::parse(black_box(text)));
    });
}

criterion_group!(
    benches, cohorts, decisions, windows, watched, among_many, audiences
);
criterion_main!(benches);
