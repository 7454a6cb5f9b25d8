//! One rollout asked about one device: every reason, the order of the rules, and what each of them says.

use std::collections::HashSet;

use tidegate_domain::{
    Audience, Catalog, Decision, PollRequest, Reason, Rejection, RolloutState, decide, explain,
};

use crate::fleet::{
    IN_7_PERCENT, IN_23_PERCENT, IN_90_PERCENT, SIGNER, at, build, catalog, of, percent, poll, release, with,
};

/// The build offered, or why none is; asked both ways, which must agree.
pub(crate) fn answer(catalog: &Catalog, request: &PollRequest<'_>) -> Result<i64, Reason> {
    let decision = decide(catalog, request, at(0));
    assert_eq!(explain(catalog, request, at(0)).decision, decision);
    match decision {
        Decision::Offer(offer) => Ok(offer.build.id.0),
        Decision::NoUpdate(reason) => Err(reason),
    }
}

pub(crate) fn gave_up(build: i64, retry_generation: u32) -> Rejection {
    Rejection {
        build: tidegate_domain::BuildId(build),
        retry_generation,
        until: None,
    }
}

fn to_germany() -> Audience {
    Audience {
        regions: vec!["DE".to_owned()],
        models: vec![],
    }
}

#[test]
fn a_device_that_runs_something_older_is_offered_the_current_build() {
    let catalog = catalog(vec![release(build(2))]);
    for installed in [0, 1, 10, 19] {
        assert_eq!(answer(&catalog, &poll(IN_23_PERCENT, installed)), Ok(2));
    }
    let Decision::Offer(offer) = decide(&catalog, &poll(IN_23_PERCENT, 0), at(0)) else {
        panic!("nothing was offered");
    };
    assert_eq!(offer.rollout.id.0, 2);
    assert_eq!(offer.signer, SIGNER);
}

#[test]
fn every_reason_can_be_reached() {
    let current = || release(build(2));
    let held = |state| catalog(vec![with(current(), |spec| spec.state = state)]);
    let rejections = [gave_up(2, 1)];
    let stated = PollRequest {
        sdk: Some(20),
        abis: Some("x86_64,x86"),
        region: Some("FR"),
        rejections: &rejections,
        ..poll(IN_23_PERCENT, 10)
    };
    let plain = poll(IN_23_PERCENT, 10);
    let table = [
        (Reason::NoCurrentBuild, catalog(vec![]), plain),
        (Reason::NoCurrentBuild, Catalog::default(), plain),
        (
            Reason::AlreadyCurrent,
            catalog(vec![current()]),
            poll(IN_23_PERCENT, 20),
        ),
        (
            Reason::AlreadyCurrent,
            catalog(vec![current()]),
            poll(IN_23_PERCENT, 21),
        ),
        (
            Reason::NotInCohort,
            catalog(vec![with(current(), |spec| spec.settings.percent = percent(22))]),
            plain,
        ),
        (
            Reason::NotInAudience,
            catalog(vec![with(current(), |spec| {
                spec.settings.audience = to_germany()
            })]),
            PollRequest {
                rejections: &[],
                sdk: None,
                ..stated
            },
        ),
        (Reason::Paused, held(RolloutState::Paused), plain),
        (Reason::Halted, held(RolloutState::Halted), plain),
        (Reason::Scheduled, held(RolloutState::Scheduled), plain),
        (
            Reason::IncompatibleSdk,
            catalog(vec![current()]),
            PollRequest {
                rejections: &[],
                ..stated
            },
        ),
        (
            Reason::IncompatibleAbi,
            catalog(vec![of(current(), |facts| {
                facts.abis = vec!["arm64-v8a".to_owned()];
            })]),
            PollRequest {
                rejections: &[],
                sdk: Some(21),
                ..stated
            },
        ),
        (Reason::RejectedByDevice, catalog(vec![current()]), stated),
    ];
    let mut reached = HashSet::new();
    for (reason, catalog, request) in &table {
        assert_eq!(answer(catalog, request), Err(*reason));
        reached.insert(*reason);
    }
    assert_eq!(reached, HashSet::from(Reason::ALL));
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
    let rejections = [gave_up(2, 1)];
    let mut request = PollRequest {
        sdk: Some(20),
        abis: Some("x86"),
        region: Some("FR"),
        rejections: &rejections,
        ..poll(IN_23_PERCENT, 20)
    };
    assert_eq!(answer(&Catalog::default(), &request), Err(Reason::NoCurrentBuild));
    assert_eq!(
        answer(&catalog(vec![current.clone()]), &request),
        Err(Reason::Paused)
    );
    current = with(current, |spec| spec.state = RolloutState::Active);
    let paused_no_more = catalog(vec![current]);
    assert_eq!(answer(&paused_no_more, &request), Err(Reason::AlreadyCurrent));
    request.installed = crate::fleet::version(10);
    assert_eq!(answer(&paused_no_more, &request), Err(Reason::RejectedByDevice));
    request.rejections = &[];
    assert_eq!(answer(&paused_no_more, &request), Err(Reason::IncompatibleSdk));
    request.sdk = Some(21);
    assert_eq!(answer(&paused_no_more, &request), Err(Reason::IncompatibleAbi));
    request.abis = Some("arm64-v8a");
    assert_eq!(answer(&paused_no_more, &request), Err(Reason::NotInAudience));
    request.region = Some("DE");
    assert_eq!(answer(&paused_no_more, &request), Err(Reason::NotInCohort));
    request.device_id = IN_7_PERCENT;
    assert_eq!(answer(&paused_no_more, &request), Ok(2));
    let asked: Vec<_> = explain(&paused_no_more, &request, at(0))
        .steps
        .iter()
        .map(|step| step.rule)
        .collect();
    let order = [
        "current_rollout",
        "state",
        "version",
        "rejection",
        "sdk",
        "abi",
        "audience",
        "cohort",
    ];
    assert_eq!(asked, order);
}

#[test]
fn another_package_is_another_matter() {
    let catalog = catalog(vec![release(build(2))]);
    let request = PollRequest {
        package: "com.example.other",
        ..poll(IN_23_PERCENT, 0)
    };
    assert_eq!(answer(&catalog, &request), Err(Reason::NoCurrentBuild));
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
            answer(&catalog, &poll(device, 0)),
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
            .filter(|n| answer(catalog, &poll(&format!("device-{n}"), 0)).is_ok())
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
        answer(&catalog(vec![picky.clone()]), &poll(IN_23_PERCENT, 0)),
        Ok(2)
    );
    let addressed = catalog(vec![with(picky, |spec| spec.settings.audience = to_germany())]);
    assert_eq!(
        answer(&addressed, &poll(IN_23_PERCENT, 0)),
        Err(Reason::NotInAudience)
    );
}

#[test]
fn an_audience_asks_for_region_and_model_exactly() {
    let audience = Audience {
        regions: vec!["DE".to_owned(), "AT".to_owned()],
        models: vec!["Pixel 8".to_owned()],
    };
    let catalog = catalog(vec![with(release(build(2)), |spec| {
        spec.settings.audience = audience;
    })]);
    let ask = |region, model| {
        let request = PollRequest {
            region,
            model,
            ..poll(IN_23_PERCENT, 0)
        };
        answer(&catalog, &request)
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
    let ask = |abis| {
        let request = PollRequest {
            abis: Some(abis),
            ..poll(IN_23_PERCENT, 0)
        };
        answer(&catalog, &request)
    };
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
        let request = PollRequest {
            sdk: Some(sdk),
            ..poll(IN_23_PERCENT, 0)
        };
        assert_eq!(answer(&catalog, &request), expected, "API level {sdk}");
    }
}

#[test]
fn a_build_given_up_is_offered_again_when_its_attempt_rises() {
    let rejections = [gave_up(2, 3), gave_up(7, 9)];
    let request = PollRequest {
        rejections: &rejections,
        ..poll(IN_23_PERCENT, 0)
    };
    for (retry_generation, expected) in [
        (1, Err(Reason::RejectedByDevice)),
        (3, Err(Reason::RejectedByDevice)),
        (4, Ok(2)),
    ] {
        let catalog = catalog(vec![with(release(build(2)), |spec| {
            spec.retry_generation = retry_generation
        })]);
        assert_eq!(
            answer(&catalog, &request),
            expected,
            "retry_generation {retry_generation}"
        );
    }
}

#[test]
fn a_device_that_rests_is_offered_the_build_when_the_rest_is_over() {
    let rejections = [Rejection {
        until: Some(at(100)),
        ..gave_up(2, 1)
    }];
    let request = PollRequest {
        rejections: &rejections,
        ..poll(IN_23_PERCENT, 0)
    };
    let catalog = catalog(vec![release(build(2))]);
    for (now, rests) in [(0, true), (99, true), (100, false), (101, false)] {
        let refused = Decision::NoUpdate(Reason::RejectedByDevice);
        assert_eq!(decide(&catalog, &request, at(now)) == refused, rests, "at {now}");
    }
}

#[test]
fn a_completed_rollout_still_serves_latecomers_and_an_ended_one_nobody() {
    let in_state = |state| catalog(vec![with(release(build(2)), |spec| spec.state = state)]);
    let ask = |state| answer(&in_state(state), &poll(IN_23_PERCENT, 0));
    assert_eq!(ask(RolloutState::Completed), Ok(2));
    assert_eq!(ask(RolloutState::Superseded), Err(Reason::NoCurrentBuild));
    assert_eq!(ask(RolloutState::RolledBack), Err(Reason::NoCurrentBuild));
}
