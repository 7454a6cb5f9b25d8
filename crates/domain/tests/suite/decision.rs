//! One rollout asked about one device: every reason, the order of the rules, and what each of them says.

use std::collections::HashSet;
use std::sync::Arc;

use tidegate_domain::gate::{GateSettings, GateTerms, RolloutGate};
use tidegate_domain::{
    Audience, Build, BuildSteps, Catalog, Decision, Finding, Hold, Installability, Levels, Overlay, Percent,
    Plan, PlanRun, PlanStep, PolicySet, PolicySubject, PollRequest, Reason, Release, RolloutSettings,
    RolloutState, Slice, Span, decide, explain,
};

use crate::fleet::{
    IN_7_PERCENT, IN_23_PERCENT, IN_90_PERCENT, SIGNER, answer, at, build, catalog, of, percent, phone,
    policy, release, those_of, version, with,
};

fn to_germany() -> Audience {
    those_of(&["DE"], &[])
}

#[test]
fn a_device_that_runs_something_older_is_offered_the_current_build() {
    let catalog = catalog(vec![release(build(2))]);
    for installed in [0, 1, 10, 19] {
        assert_eq!(answer(&catalog, &phone(IN_23_PERCENT, installed)), Ok(2));
    }
    let Decision::Offer(offer) = decide(&catalog, &phone(IN_23_PERCENT, 0).poll(), at(0)) else {
        panic!("nothing was offered");
    };
    assert_eq!((offer.rollout.id.0, offer.build.id.0), (2, 2));
    assert_eq!(offer.signer, SIGNER);
    assert!(!offer.forced);
}

/// A ramp to this share that has just begun.
fn ramping_to(settings: &mut RolloutSettings, share: i64) -> PlanRun {
    settings.percent = percent(share);
    let step = PlanStep {
        over: Span::hours(1),
        ..PlanStep::to(settings.percent, Span::NONE)
    };
    PlanRun::begun(Plan::new(vec![step]).unwrap(), Percent::NOBODY.share(), at(0))
}

#[test]
fn every_reason_can_be_reached() {
    let current = || release(build(2));
    let native = || of(current(), |facts| facts.abis = vec!["arm64-v8a".to_owned()]);
    let stopped = |state| with(current(), |spec| spec.state = state);
    let plain = || phone(IN_23_PERCENT, 10);
    let outside = with(current(), |spec| spec.settings.percent = percent(22));
    let picky = Release {
        build: Arc::new(Build {
            steps: BuildSteps {
                min_from_version: Some(version(15)),
                barrier: false,
            },
            ..build(2)
        }),
        ..current()
    };
    let elsewhere = with(current(), |spec| spec.settings.audience = to_germany());
    let ramping = with(current(), |spec| {
        spec.plan = Some(ramping_to(&mut spec.settings, 23));
    });
    let held_back = with(current(), |spec| {
        spec.plan = Some(ramping_to(&mut spec.settings, 100));
        let terms = GateTerms {
            settings: GateSettings {
                holdback: true,
                ..GateSettings::default()
            },
            ..GateTerms::default()
        };
        spec.gate = Some(RolloutGate::begun(terms, at(0)));
        // Its place is at 22 %: the last twentieth of this slice.
        spec.settings.slice = Slice::of_percents(27.0, 100.0).unwrap();
    });
    // A calendar that is not there is never open.
    let closed = with(current(), |spec| {
        spec.settings.calendars.download = Some("none".parse().unwrap());
    });
    let table = [
        (Reason::Ramping, Some(ramping), plain()),
        (Reason::HeldBack, Some(held_back), plain()),
        (Reason::NoCurrentBuild, None, plain()),
        (Reason::AlreadyCurrent, Some(current()), phone(IN_23_PERCENT, 20)),
        (Reason::NewerInstalled, Some(current()), phone(IN_23_PERCENT, 21)),
        (Reason::NotInCohort, Some(outside), plain()),
        (Reason::NotInAudience, Some(elsewhere), plain().region("FR")),
        (Reason::Paused, Some(stopped(RolloutState::Paused)), plain()),
        (Reason::Halted, Some(stopped(RolloutState::Halted)), plain()),
        (Reason::Scheduled, Some(stopped(RolloutState::Scheduled)), plain()),
        (Reason::IncompatibleSdk, Some(current()), plain().sdk(20)),
        (
            Reason::IncompatibleAbi,
            Some(native()),
            plain().abis("x86_64,x86"),
        ),
        (Reason::RejectedByDevice, Some(current()), plain().gave_up(2, 1)),
        (Reason::NeedsIntermediate, Some(picky), plain()),
        (Reason::OutsideWindow, Some(closed), plain()),
    ];
    let mut reached = HashSet::new();
    for (reason, release, phone) in table {
        assert_eq!(
            answer(&catalog(release.into_iter().collect()), &phone),
            Err(reason)
        );
        reached.insert(reason);
    }
    assert_eq!(
        answer(&Catalog::default(), &plain()),
        Err(Reason::NoCurrentBuild),
        "the package is not even known"
    );
    for (reason, max_version, hold) in [
        (Reason::AboveCeiling, Some(19), None),
        (Reason::HeldByPolicy, None, Some(Hold::UntilLifted)),
    ] {
        let policies = PolicySet::new([policy(1, PolicySubject::Everybody, max_version, hold)]);
        let catalog = catalog(vec![current()]).with_policies(policies);
        assert_eq!(answer(&catalog, &plain()), Err(reason));
        reached.insert(reason);
    }
    assert_eq!(reached, HashSet::from(Reason::ALL));
}

#[test]
fn a_device_on_a_newer_version_is_told_so_and_not_that_it_is_up_to_date() {
    let catalog = catalog(vec![release(build(2))]);
    for (installed, expected) in [
        (19, Ok(2)),
        (20, Err(Reason::AlreadyCurrent)),
        (21, Err(Reason::NewerInstalled)),
        (i64::MAX, Err(Reason::NewerInstalled)),
    ] {
        assert_eq!(
            answer(&catalog, &phone(IN_23_PERCENT, installed)),
            expected,
            "on {installed}"
        );
    }
}

#[test]
fn the_rules_are_asked_in_their_order() {
    // A device against which everything speaks; the faults are taken away one by one.
    let mut current = with(release(build(2)), |spec| {
        spec.state = RolloutState::Paused;
        spec.settings.percent = percent(22);
        spec.settings.audience = to_germany();
    });
    current = of(current, |facts| facts.abis = vec!["arm64-v8a".to_owned()]);
    let mut device = phone(IN_23_PERCENT, 20)
        .sdk(20)
        .abis("x86")
        .region("FR")
        .gave_up(2, 1);
    assert_eq!(answer(&Catalog::default(), &device), Err(Reason::NoCurrentBuild));
    let paused = catalog(vec![current.clone()]);
    assert_eq!(answer(&paused, &device), Err(Reason::NotInAudience));
    device = device.region("DE");
    assert_eq!(answer(&paused, &device), Err(Reason::NotInCohort));
    device.id = IN_7_PERCENT.to_owned();
    assert_eq!(answer(&paused, &device), Err(Reason::AlreadyCurrent));
    device.installed = version(10);
    assert_eq!(answer(&paused, &device), Err(Reason::Paused));
    current = with(current, |spec| spec.state = RolloutState::Active);
    let paused_no_more = catalog(vec![current]);
    assert_eq!(answer(&paused_no_more, &device), Err(Reason::RejectedByDevice));
    device.rejections.clear();
    assert_eq!(answer(&paused_no_more, &device), Err(Reason::IncompatibleSdk));
    device = device.sdk(21);
    assert_eq!(answer(&paused_no_more, &device), Err(Reason::IncompatibleAbi));
    device = device.abis("arm64-v8a");
    assert_eq!(answer(&paused_no_more, &device), Ok(2));
    let asked: Vec<_> = explain(&paused_no_more, &device.poll(), at(0))
        .steps
        .iter()
        .map(|step| step.rule)
        .collect();
    let order = [
        "current_rollout",
        "audience",
        "cohort",
        "version",
        "state",
        "rejection",
        "sdk",
        "abi",
    ];
    assert_eq!(asked, order);
}

#[test]
fn another_package_is_another_matter() {
    let catalog = catalog(vec![release(build(2))]);
    let device = phone(IN_23_PERCENT, 0);
    let request = PollRequest::new(
        &device.id,
        "com.example.other",
        device.installed,
        &device.facts,
        &[],
        Overlay::none(),
    );
    let nothing = Decision::NoUpdate(Reason::NoCurrentBuild);
    assert_eq!(decide(&catalog, &request, at(0)), nothing);
}

#[test]
fn a_share_takes_the_devices_below_it() {
    for (share, device, expected) in [
        (22, IN_23_PERCENT, Err(Reason::NotInCohort)),
        (23, IN_23_PERCENT, Ok(2)),
        (89, IN_90_PERCENT, Err(Reason::NotInCohort)),
        (90, IN_90_PERCENT, Ok(2)),
        (1, IN_7_PERCENT, Err(Reason::NotInCohort)),
        (100, IN_90_PERCENT, Ok(2)),
    ] {
        let catalog = catalog(vec![with(release(build(2)), |spec| {
            spec.settings.percent = percent(share);
        })]);
        assert_eq!(
            answer(&catalog, &phone(device, 0)),
            expected,
            "{device} at {share} %"
        );
    }
}

#[test]
fn a_salt_meets_other_canaries() {
    let salted = |salt: &str| {
        let salt = Some(salt.to_owned());
        catalog(vec![with(release(build(2)), |spec| {
            spec.settings.percent = percent(10);
            spec.settings.salt = salt;
        })])
    };
    let offered = |catalog: &Catalog| -> HashSet<u32> {
        (0..1_000)
            .filter(|n| answer(catalog, &phone(&format!("device-{n}"), 0)).is_ok())
            .collect()
    };
    let [one, two] = ["one", "two"].map(|salt| offered(&salted(salt)));
    assert!(one.len() > 60 && two.len() > 60);
    assert!(
        one.intersection(&two).count() < 30,
        "a tenth of a tenth of 1,000 is 10"
    );
}

#[test]
fn attributes_that_are_not_stated_are_not_judged_unless_an_audience_demands_them() {
    let picky = of(release(build(2)), |facts| {
        facts.min_sdk = 34;
        facts.abis = vec!["arm64-v8a".to_owned()];
    });
    assert_eq!(
        answer(&catalog(vec![picky.clone()]), &phone(IN_23_PERCENT, 0)),
        Ok(2)
    );
    let addressed = catalog(vec![with(picky, |spec| spec.settings.audience = to_germany())]);
    assert_eq!(
        answer(&addressed, &phone(IN_23_PERCENT, 0)),
        Err(Reason::NotInAudience)
    );
}

#[test]
fn an_audience_asks_for_region_and_model_exactly() {
    let audience = those_of(&["DE", "AT"], &["Pixel 8"]);
    let catalog = catalog(vec![with(release(build(2)), |spec| {
        spec.settings.audience = audience;
    })]);
    let ask = |region: Option<&'static str>, model: Option<&'static str>| {
        let mut device = phone(IN_23_PERCENT, 0);
        device.facts.region = region.map(Into::into);
        device.facts.model = model.map(Into::into);
        answer(&catalog, &device)
    };
    assert_eq!(ask(Some("DE"), Some("Pixel 8")), Ok(2));
    assert_eq!(ask(Some("AT"), Some("Pixel 8")), Ok(2));
    for (region, model) in [
        (Some("DE"), Some("Pixel 8 Pro")),
        (Some("de"), Some("Pixel 8")),
        (Some("DE"), None),
        (None, Some("Pixel 8")),
        (Some(""), Some("")),
    ] {
        assert_eq!(
            ask(region, model),
            Err(Reason::NotInAudience),
            "{region:?} {model:?}"
        );
    }
}

#[test]
fn one_instruction_set_in_common_is_enough() {
    let native = of(release(build(2)), |facts| {
        facts.abis = vec!["arm64-v8a".to_owned(), "armeabi-v7a".to_owned()];
    });
    let catalog = catalog(vec![native]);
    let ask = |abis| answer(&catalog, &phone(IN_23_PERCENT, 0).abis(abis));
    for abis in [
        "arm64-v8a",
        "x86,armeabi-v7a",
        "x86, armeabi-v7a",
        "arm64-v8a,armeabi-v7a,armeabi",
    ] {
        assert_eq!(ask(abis), Ok(2), "{abis}");
    }
    for abis in ["x86_64", "arm64", "arm64-v8ax", ",", "ARM64-V8A"] {
        assert_eq!(ask(abis), Err(Reason::IncompatibleAbi), "{abis}");
    }
}

#[test]
fn the_lowest_api_level_is_enough() {
    let catalog = catalog(vec![of(release(build(2)), |facts| facts.min_sdk = 26)]);
    for (sdk, expected) in [(25, Err(Reason::IncompatibleSdk)), (26, Ok(2)), (36, Ok(2))] {
        let device = phone(IN_23_PERCENT, 0).sdk(sdk);
        assert_eq!(answer(&catalog, &device), expected, "API level {sdk}");
    }
}

#[test]
fn a_build_given_up_is_offered_again_when_its_retry_generation_rises() {
    let device = phone(IN_23_PERCENT, 0).gave_up(7, 9).gave_up(2, 3);
    for (retry_generation, expected) in [
        (1, Err(Reason::RejectedByDevice)),
        (3, Err(Reason::RejectedByDevice)),
        (4, Ok(2)),
    ] {
        let catalog = catalog(vec![with(release(build(2)), |spec| {
            spec.retry_generation = retry_generation;
        })]);
        assert_eq!(
            answer(&catalog, &device),
            expected,
            "retry generation {retry_generation}"
        );
    }
}

#[test]
fn a_device_is_offered_the_build_again_when_its_cool_down_is_over() {
    let device = phone(IN_23_PERCENT, 0).rejects(2, 1, Some(100));
    let catalog = catalog(vec![release(build(2))]);
    for (now, is_refused) in [(0, true), (99, true), (100, false), (101, false)] {
        let refused = Decision::NoUpdate(Reason::RejectedByDevice);
        assert_eq!(
            decide(&catalog, &device.poll(), at(now)) == refused,
            is_refused,
            "at {now}"
        );
    }
}

#[test]
fn a_completed_rollout_still_serves_latecomers_and_an_ended_one_nobody() {
    let in_state = |state| catalog(vec![with(release(build(2)), |spec| spec.state = state)]);
    let ask = |state| answer(&in_state(state), &phone(IN_23_PERCENT, 0));
    assert_eq!(ask(RolloutState::Completed), Ok(2));
    assert_eq!(ask(RolloutState::Superseded), Err(Reason::NoCurrentBuild));
    assert_eq!(ask(RolloutState::RolledBack), Err(Reason::NoCurrentBuild));
}

/// A build that devices from API level 30 on refuse.
fn refused_from_30() -> Installability {
    Installability {
        installs_on: vec![Levels {
            from_sdk: 21,
            to_sdk: 29,
        }],
        findings: vec![Finding {
            code: "resources-compressed".to_owned(),
            blocks: true,
            levels: Levels {
                from_sdk: 30,
                to_sdk: u32::MAX,
            },
            message: "resources.arsc: is compressed".to_owned(),
        }],
    }
}

#[test]
fn a_build_goes_only_to_levels_that_install_it() {
    let examined = of(release(build(2)), |facts| {
        facts.installability = Some(refused_from_30());
    });
    let examined = catalog(vec![examined]);
    let unexamined = catalog(vec![release(build(2))]);
    for (sdk, expected) in [
        (20, Err(Reason::IncompatibleSdk)),
        (21, Ok(2)),
        (29, Ok(2)),
        (30, Err(Reason::IncompatibleSdk)),
        (36, Err(Reason::IncompatibleSdk)),
    ] {
        let device = phone(IN_23_PERCENT, 0).sdk(sdk);
        assert_eq!(answer(&examined, &device), expected, "API level {sdk}");
        let as_before = if sdk < 21 { expected } else { Ok(2) };
        assert_eq!(
            answer(&unexamined, &device),
            as_before,
            "API level {sdk}, not examined"
        );
    }
    assert_eq!(
        answer(&examined, &phone(IN_23_PERCENT, 0)),
        Ok(2),
        "a level that is not stated is not judged"
    );
    let device = phone(IN_23_PERCENT, 0).sdk(33);
    let said = explain(&examined, &device.poll(), at(0));
    let step = said.steps.iter().find(|step| step.rule == "sdk").unwrap();
    assert!(
        step.answer
            .ends_with("resources.arsc: is compressed [resources-compressed]"),
        "{}",
        step.answer
    );
    assert!(
        step.inputs.contains(&("installs_on".into(), "21-29".to_owned())),
        "{:?}",
        step.inputs
    );
}
