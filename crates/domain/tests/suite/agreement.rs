//! For any catalog and any device: the explanation is that of the decision, and an offer breaks no rule.

use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;
use tidegate_domain::{
    Audience, Build, BuildId, BuildRejection, BuildSteps, Catalog, Decision, Installability, Levels, Plan,
    PlanRun, PlanStep, Promotion, Reason, Rejection, Release, RolloutId, RolloutSettings, RolloutState,
    Signers, Slice, Span, Subject, VersionCode, decide, explain,
};

use crate::fleet::{PACKAGE, Phone, at, build, catalog_with, percent, phone, release, those_of, version};
use crate::property::check_often;
use crate::store::{BY_ADA, Store, to};

fn signers() -> impl Strategy<Value = Signers> {
    prop_oneof![5 => Just(0xaa_u8), 1 => Just(0xbb)]
        .prop_map(|byte| Signers::one(tidegate_domain::SignerFingerprint([byte; 32])))
}

pub(crate) fn audiences() -> impl Strategy<Value = Audience> {
    prop_oneof![
        3 => Just(Audience::default()),
        1 => Just(those_of(&["DE"], &[])),
        1 => Just(those_of(&[], &["Pixel"])),
        #[cfg(feature = "expressions")]
        2 => prop::sample::select(&[
            r#""canary" in tags"#,
            r#"sdk >= 24 && "canary" in tags"#,
            r#""lab" in tags && "canary" in tags"#,
            r#"!("lab" in tags)"#,
            r#""lab" in tags || region == "DE""#,
        ][..]).prop_map(|text| Audience::parse(text).unwrap()),
    ]
}

fn installabilities() -> impl Strategy<Value = Option<Installability>> {
    let ranges = prop::collection::vec((18..38_u32, 0..8_u32), 0..3).prop_map(|ranges| Installability {
        installs_on: ranges
            .into_iter()
            .map(|(from_sdk, more)| Levels {
                from_sdk,
                to_sdk: from_sdk + more,
            })
            .collect(),
        findings: vec![],
    });
    prop_oneof![2 => Just(None), 1 => ranges.prop_map(Some)]
}

/// A ramp to the share of these settings that began at 0 and takes so many seconds.
fn ramp(settings: &RolloutSettings, seconds: u64) -> PlanRun {
    let step = PlanStep {
        percent: settings.percent.max(percent(1)),
        over: Span::new(std::time::Duration::from_secs(seconds)).unwrap(),
        ..PlanStep::to(settings.percent, Span::NONE)
    };
    PlanRun::begun(Plan::new(vec![step]).unwrap(), percent(0).share(), at(0))
}

fn releases() -> impl Strategy<Value = Release> {
    let abis = prop_oneof![2 => Just(vec![]), 1 => Just(vec!["arm64-v8a".to_owned()])];
    let state = prop_oneof![
        4 => Just(RolloutState::Active),
        1 => prop::sample::select(&RolloutState::ALL[..]),
    ];
    let salt = prop_oneof![2 => Just(None), 1 => Just(Some("salt".to_owned()))];
    let steps = (
        prop::bool::weighted(0.3),
        prop::option::weighted(0.2, (0..6_i64).prop_map(|id| version(10 * id))),
    );
    let facts = (1..6_i64, signers(), 20..36_u32, abis, installabilities(), steps);
    let slice = prop_oneof![
        2 => Just(Slice::WHOLE),
        1 => (0..100_u8, 1..=100_u8).prop_map(|(start, width)| Slice::of_percents(start.into(), width.into()).unwrap()),
    ];
    (
        facts,
        state,
        (0..=100_i64, slice),
        salt,
        audiences(),
        prop::option::of((2..5_i64).prop_map(|id| version(10 * id))),
        (1..4_u32, prop::option::weighted(0.3, 0..300_u64)),
    )
        .prop_map(
            |(
                (id, signers, min_sdk, abis, installability, (barrier, min_from_version)),
                state,
                (share, slice),
                salt,
                audience,
                takes_back,
                (retry_generation, plan),
            )| {
                let mut build = build(id);
                build.facts.signers = signers;
                build.facts.min_sdk = min_sdk;
                build.facts.abis = abis;
                build.facts.installability = installability;
                build.steps = BuildSteps {
                    barrier,
                    min_from_version,
                };
                let mut release = release(build);
                let spec = &mut release.rollout.spec;
                spec.state = state;
                spec.retry_generation = retry_generation;
                spec.settings.percent = percent(share);
                spec.settings.slice = slice;
                spec.settings.salt = salt;
                spec.settings.audience = audience;
                spec.takes_back = takes_back;
                spec.plan = plan.map(|over| ramp(&spec.settings, over));
                release
            },
        )
}

fn rejections() -> impl Strategy<Value = Vec<BuildRejection>> {
    let one =
        (1..6_i64, 1..4_u32, prop::option::of(0..200_i64)).prop_map(|(build, retry_generation, until)| {
            let until = until.map(at);
            let rejection = Rejection {
                retry_generation,
                until,
            };
            (BuildId(build), rejection)
        });
    prop::collection::vec(one, 0..3)
}

pub(crate) fn devices() -> impl Strategy<Value = Phone> {
    let stated = |values: &'static [&'static str]| prop::option::of(prop::sample::select(values));
    (
        "[a-z0-9-]{1,20}",
        // Half of them run a version that a rollout may take back.
        prop_oneof![0..70_i64, (2..5_i64).prop_map(|id| 10 * id)],
        prop::option::of(18..37_u32),
        stated(&["DE", "FR"]),
        stated(&["Pixel", "Fold"]),
        stated(&["arm64-v8a,armeabi-v7a", "x86_64"]),
        rejections(),
        prop::sample::subsequence(vec!["canary", "lab"], 0..=2),
    )
        .prop_map(|(id, installed, sdk, region, model, abis, rejections, tags)| {
            let mut device = phone(&id, installed);
            device.facts.sdk = sdk;
            device.facts.region = region.map(Into::into);
            device.facts.model = model.map(Into::into);
            device.facts.abis = abis.map(Into::into);
            device.rejections = rejections;
            device.tagged(&tags)
        })
}

/// Up to four rollouts, of which several may offer the same build.
pub(crate) fn catalogs() -> impl Strategy<Value = Catalog> {
    let stored = (1..7_i64, signers()).prop_map(|(id, signers)| {
        let mut build = build(id);
        build.facts.signers = signers;
        build.steps.barrier = id % 2 == 0;
        build
    });
    let serving = prop::collection::vec(releases(), 0..5);
    (serving, prop::collection::vec(stored, 0..6)).prop_map(|(mut serving, mut stored)| {
        // A version code exists once, so a build has one signer wherever it turns up.
        for at in 0..serving.len() {
            serving[at].rollout.id = RolloutId(i64::try_from(at).unwrap() + 1);
            let id = serving[at].build.id;
            let first = serving.iter().find(|release| release.build.id == id).unwrap();
            serving[at].build = Arc::clone(&first.build);
        }
        let serves: Vec<BuildId> = serving.iter().map(|release| release.build.id).collect();
        stored.retain(|build| !serves.contains(&build.id));
        stored.sort_by_key(|build| build.id);
        stored.dedup_by_key(|build| build.id);
        catalog_with(serving, &stored)
    })
}

fn serving(catalog: &Catalog) -> &[Release] {
    &catalog.track(PACKAGE).unwrap().serving
}

/// Says again, in the words of the requirements, whether the device can install a build.
fn is_fit(device: &Phone, release: &Release) -> bool {
    let (spec, build) = (&release.rollout.spec, &release.build.facts);
    let abis = device.facts.abis.as_deref();
    device.facts.sdk.is_none_or(|sdk| sdk >= build.min_sdk)
        && device.facts.sdk.is_none_or(|sdk| {
            build.installability.as_ref().is_none_or(|found| {
                let mut on = found.installs_on.iter();
                on.any(|levels| levels.from_sdk <= sdk && sdk <= levels.to_sdk)
            })
        })
        && (build.abis.is_empty() || abis.is_none_or(|abis| abis.contains(&build.abis[0])))
        && !device.rejections.iter().any(|(build, rejection)| {
            *build == spec.build && rejection.applies_to(spec.retry_generation, at(100))
        })
}

/// The same of the rollout's share and audience, which an ordinary offer heeds.
fn is_member(device: &Phone, release: &Release) -> bool {
    let settings = &release.rollout.spec.settings;
    let (start, width) = (settings.slice.start.get(), u64::from(settings.slice.width.get()));
    let place = (settings.position(&device.id).get() + 100_000_000 - start) % 100_000_000;
    let share = match &release.rollout.spec.plan {
        None => u64::from(settings.percent.hundredths()) * 10_000,
        // A ramp from nothing, of which 100 seconds are over.
        Some(run) => {
            let (target, over) = (
                u64::from(run.step().percent.hundredths()) * 10_000,
                run.step().over.seconds(),
            );
            match over {
                0..=100 => target,
                over => target * 100 / u64::from(over),
            }
        }
    };
    let taken = width * share / 100_000_000;
    let subject = Subject {
        facts: &device.facts,
        installed: device.installed,
        tags: device.overlay.tags(),
    };
    settings.audience.includes(&subject) && u64::from(place) < taken
}

fn is_offered(release: &Release) -> bool {
    let state = release.rollout.spec.state;
    matches!(state, RolloutState::Active | RolloutState::Completed)
}

/// Whether the rollout wants the device to run the version that it runs. One that has not begun wants nothing.
fn is_home(device: &Phone, release: &Release) -> bool {
    !matches!(
        release.rollout.spec.state,
        RolloutState::Proposed | RolloutState::Scheduled
    ) && device.installed == release.build.facts.version_code
        && is_member(device, release)
}

/// Whether an ordinary offer of this rollout would be fair.
fn may_be_offered(device: &Phone, release: &Release) -> bool {
    is_offered(release)
        && device.installed < release.build.facts.version_code
        && is_fit(device, release)
        && is_member(device, release)
}

/// The build that the device is to take so that it comes to the released one, if it can take that.
fn next_build<'c>(
    catalog: &'c Catalog,
    device: &Phone,
    release: &'c Release,
    forced: bool,
) -> Option<&'c Build> {
    let (from, to) = (device.installed, release.build.facts.version_code);
    if forced || from == version(0) {
        return Some(&release.build);
    }
    let barriers = catalog.track(PACKAGE).unwrap().barriers.iter();
    let lowest = barriers
        .filter(|build| from < build.facts.version_code && build.facts.version_code < to)
        .min_by_key(|build| build.facts.version_code);
    let next = lowest.unwrap_or(&release.build);
    let mut as_released = release.clone();
    as_released.build = Arc::clone(next);
    as_released.rollout.spec.build = next.id;
    let old_enough = next.steps.min_from_version.is_none_or(|least| from >= least);
    (old_enough && is_fit(device, &as_released)).then_some(next)
}

/// Whether a forced roll-back concerns the device: it runs the version that is taken back, can install the build, and
/// knows its signer. The devices of a rollout that has begun, is asked earlier and offers this very version are not
/// concerned.
fn is_taken_back(catalog: &Catalog, device: &Phone, release: &Release) -> bool {
    let sdk = device.facts.sdk;
    let mut earlier = serving(catalog)
        .iter()
        .take_while(|earlier| earlier.rollout.id != release.rollout.id);
    if earlier.any(|earlier| is_home(device, earlier)) {
        return false;
    }
    let mut known = catalog.track(PACKAGE).unwrap().known_signers.iter();
    release.rollout.spec.takes_back == Some(device.installed)
        && is_fit(device, release)
        && known.any(|(version, signers): &(VersionCode, Signers)| {
            *version == device.installed && signers.seen_by(sdk) == release.build.facts.signers.seen_by(sdk)
        })
}

#[test]
fn the_explanation_is_that_of_the_decision() {
    check_often(400, &(catalogs(), devices()), |(catalog, device)| {
        let explanation = explain(&catalog, &device.poll(), at(100));
        prop_assert_eq!(&explanation.decision, &decide(&catalog, &device.poll(), at(100)));
        let last = explanation.steps.last().unwrap();
        match explanation.decision {
            Decision::Offer(offer) => {
                prop_assert!(last.passed, "the last rule that was asked lets the device pass");
                prop_assert_eq!(last.rollout, Some(offer.rollout.id));
                prop_assert_eq!(last.build, Some(offer.rollout.spec.build));
            }
            Decision::NoUpdate(_) => {
                let failed = explanation.steps.iter().filter(|step| !step.passed).count();
                prop_assert!(failed > 0, "a refusal names the rule that refused");
            }
        }
        Ok(explanation.steps.len() > 1)
    });
}

#[test]
fn an_offer_breaks_no_rule() {
    check_often(30, &(catalogs(), devices()), |(catalog, device)| {
        let Decision::Offer(offer) = decide(&catalog, &device.poll(), at(100)) else {
            return Ok(false);
        };
        let mut serving = serving(&catalog).iter();
        let release = serving.find(|release| release.rollout == *offer.rollout).unwrap();
        prop_assert!(is_offered(release));
        let fair = if offer.forced {
            is_taken_back(&catalog, &device, release)
        } else {
            may_be_offered(&device, release)
        };
        prop_assert!(fair);
        prop_assert_eq!(
            offer.build,
            next_build(&catalog, &device, release, offer.forced).unwrap()
        );
        prop_assert_eq!(offer.signer, offer.build.facts.signers.seen_by(device.facts.sdk));
        Ok(true)
    });
}

#[test]
fn a_forced_roll_back_takes_exactly_the_devices_that_it_concerns() {
    check_often(10, &(catalogs(), devices()), |(catalog, device)| {
        let decision = decide(&catalog, &device.poll(), at(100));
        let mut concerned = serving(&catalog)
            .iter()
            .filter(|release| is_taken_back(&catalog, &device, release));
        match (concerned.next(), decision) {
            (Some(first), Decision::Offer(offer)) => {
                prop_assert!(is_offered(first) && offer.forced);
                prop_assert_eq!(offer.rollout, &first.rollout);
                return Ok(true);
            }
            (Some(first), Decision::NoUpdate(_)) => prop_assert!(!is_offered(first)),
            (None, Decision::Offer(offer)) => prop_assert!(!offer.forced),
            (None, Decision::NoUpdate(_)) => {}
        }
        Ok(false)
    });
}

#[test]
fn a_current_build_that_may_be_offered_is() {
    check_often(15, &(catalogs(), devices()), |(catalog, device)| {
        let decision = decide(&catalog, &device.poll(), at(100));
        let Some(current) = serving(&catalog).first() else {
            prop_assert_eq!(decision, Decision::NoUpdate(Reason::NoCurrentBuild));
            return Ok(false);
        };
        let mut serving = serving(&catalog).iter();
        if serving.any(|release| is_taken_back(&catalog, &device, release)) {
            return Ok(false);
        }
        let offered = matches!(decision, Decision::Offer(offer) if offer.rollout == &current.rollout);
        let may_be =
            may_be_offered(&device, current) && next_build(&catalog, &device, current, false).is_some();
        prop_assert_eq!(offered, may_be);
        Ok(may_be)
    });
}

/// The devices of a fleet of a thousand that are offered something.
fn offered(store: &Store) -> HashSet<u32> {
    let catalog = store.catalog();
    let is_offered = |n: &u32| {
        let device = phone(&format!("device-{n}"), 0);
        matches!(decide(&catalog, &device.poll(), at(0)), Decision::Offer(_))
    };
    (0..1_000).filter(is_offered).collect()
}

/// Raises the share of build 1 step by step, and sees each step add devices and lose none.
fn raise_to_everybody(salt: Option<&str>, raise: impl Fn(&mut Store, Promotion)) {
    let share = |share| Promotion {
        settings: RolloutSettings {
            salt: salt.map(str::to_owned),
            ..RolloutSettings::to(percent(share))
        },
        ..to(share)
    };
    let mut store = Store::with_builds(1);
    store.promote(1, &share(1)).unwrap();
    let mut before = offered(&store);
    assert!(!before.is_empty(), "a hundredth of a thousand devices");
    for more in [2, 5, 10, 25, 50, 75, 99, 100] {
        raise(&mut store, share(more));
        assert_eq!(store.current().spec.settings.percent, percent(more));
        let after = offered(&store);
        assert!(before.is_subset(&after), "{more} % under {salt:?} lost devices");
        assert!(before.len() < after.len(), "{more} % under {salt:?} added nobody");
        before = after;
    }
    assert_eq!(before.len(), 1_000, "everybody is everybody");
}

#[test]
fn raising_a_share_takes_an_offer_from_nobody() {
    for salt in [None, Some("spring-release")] {
        raise_to_everybody(salt, |store, to| {
            let share = to.settings.percent;
            store
                .run(|track| track.adjust(BuildId(1), share, BY_ADA))
                .unwrap();
        });
        raise_to_everybody(salt, |store, to| {
            store.promote(1, &to).unwrap();
        });
    }
}

#[test]
fn raising_a_share_takes_an_offer_from_no_device_whatever_else_is_asked_of_it() {
    let strategy = (releases(), devices(), 0..=100_i64);
    check_often(30, &strategy, |(release, device, more)| {
        let offered = |release: &Release| {
            let catalog = catalog_with(vec![release.clone()], &[]);
            matches!(decide(&catalog, &device.poll(), at(100)), Decision::Offer(_))
        };
        let mut raised = release.clone();
        let share = &mut raised.rollout.spec.settings.percent;
        *share = percent(more).max(*share);
        let was_offered = offered(&release);
        prop_assert!(!was_offered || offered(&raised));
        Ok(was_offered)
    });
}
