//! Rollouts that serve beside the current one, for the devices that it does not take.

use tidegate_domain::{Decision, Reason, Release, RolloutSpec, RolloutState, decide, explain};

use crate::fleet::{
    IN_7_PERCENT, IN_23_PERCENT, IN_90_PERCENT, answer, at, build, catalog, of, percent, phone, release,
    those_of, with,
};

/// Build 3 is current for 10 %, build 2 serves 50 % beside it.
fn beside(edit: impl FnOnce(&mut RolloutSpec)) -> Vec<Release> {
    let current = with(release(build(3)), |spec| spec.settings.percent = percent(10));
    let other = with(release(build(2)), |spec| spec.settings.percent = percent(50));
    vec![with(current, edit), other]
}

#[test]
fn each_device_is_served_by_the_first_rollout_that_takes_it() {
    let catalog = catalog(beside(|_| ()));
    assert_eq!(answer(&catalog, &phone(IN_7_PERCENT, 10)), Ok(3));
    assert_eq!(answer(&catalog, &phone(IN_23_PERCENT, 10)), Ok(2));
    assert_eq!(
        answer(&catalog, &phone(IN_90_PERCENT, 10)),
        Err(Reason::NotInCohort)
    );
}

#[test]
fn without_a_concurrent_rollout_the_others_get_nothing() {
    let catalog = catalog(beside(|_| ()).into_iter().take(1).collect());
    assert_eq!(
        answer(&catalog, &phone(IN_23_PERCENT, 10)),
        Err(Reason::NotInCohort)
    );
}

#[test]
fn a_chain_of_concurrent_rollouts_is_asked_to_its_end() {
    let shares = [(5, 1), (4, 7), (3, 23), (2, 90)];
    let chain =
        shares.map(|(id, share)| with(release(build(id)), |spec| spec.settings.percent = percent(share)));
    let catalog = catalog(chain.into());
    assert_eq!(answer(&catalog, &phone(IN_7_PERCENT, 0)), Ok(4));
    assert_eq!(answer(&catalog, &phone(IN_23_PERCENT, 0)), Ok(3));
    assert_eq!(answer(&catalog, &phone(IN_90_PERCENT, 0)), Ok(2));
    let rollouts: Vec<_> = explain(&catalog, &phone(IN_23_PERCENT, 0).poll(), at(0))
        .steps
        .iter()
        .filter(|step| step.rule == "cohort")
        .map(|step| (step.rollout.unwrap().0, step.passed))
        .collect();
    assert_eq!(rollouts, [(5, false), (4, false), (3, true)]);
}

#[test]
fn a_device_that_runs_the_current_build_is_never_handed_an_older_one() {
    let catalog = catalog(beside(|spec| spec.settings.percent = percent(1)));
    for device in [IN_7_PERCENT, IN_23_PERCENT] {
        for installed in [30, 35] {
            assert_eq!(
                answer(&catalog, &phone(device, installed)),
                Err(Reason::NotInCohort)
            );
        }
    }
}

#[test]
fn a_device_on_a_concurrent_build_stays_there() {
    let catalog = catalog(beside(|_| ()));
    assert_eq!(
        answer(&catalog, &phone(IN_23_PERCENT, 20)),
        Err(Reason::AlreadyCurrent)
    );
}

#[test]
fn stopping_the_current_rollout_stops_its_own_devices_and_no_others() {
    for (state, reason) in [
        (RolloutState::Paused, Reason::Paused),
        (RolloutState::Halted, Reason::Halted),
    ] {
        let catalog = catalog(beside(|spec| spec.state = state));
        assert_eq!(answer(&catalog, &phone(IN_7_PERCENT, 10)), Err(reason));
        assert_eq!(answer(&catalog, &phone(IN_23_PERCENT, 10)), Ok(2));
        assert_eq!(
            answer(&catalog, &phone(IN_90_PERCENT, 10)),
            Err(Reason::NotInCohort),
            "the current one's reason is told"
        );
    }
}

#[test]
fn a_rollout_that_has_not_begun_leaves_its_devices_to_the_others() {
    let catalog = catalog(beside(|spec| spec.state = RolloutState::Scheduled));
    assert_eq!(answer(&catalog, &phone(IN_7_PERCENT, 10)), Ok(2));
    assert_eq!(answer(&catalog, &phone(IN_7_PERCENT, 25)), Err(Reason::Scheduled));
}

#[test]
fn a_stopped_rollout_answers_its_own_devices_with_its_reason() {
    for (state, reason) in [
        (RolloutState::Paused, Reason::Paused),
        (RolloutState::Halted, Reason::Halted),
    ] {
        let catalog = catalog(beside(|spec| spec.state = state).into_iter().take(1).collect());
        assert_eq!(answer(&catalog, &phone(IN_7_PERCENT, 10)), Err(reason));
        for device in [IN_23_PERCENT, IN_90_PERCENT] {
            assert_eq!(answer(&catalog, &phone(device, 10)), Err(Reason::NotInCohort));
        }
    }
}

#[test]
fn stopping_a_concurrent_rollout_leaves_the_current_one_alone() {
    let mut serving = beside(|_| ());
    serving[1].rollout.spec.state = RolloutState::Paused;
    let catalog = catalog(serving);
    assert_eq!(answer(&catalog, &phone(IN_7_PERCENT, 10)), Ok(3));
    assert_eq!(answer(&catalog, &phone(IN_23_PERCENT, 10)), Err(Reason::Paused));
    assert_eq!(
        answer(&catalog, &phone(IN_90_PERCENT, 10)),
        Err(Reason::NotInCohort),
        "a device outside of both is told the current one's reason"
    );
}

#[test]
fn a_device_on_a_newer_version_goes_on_to_the_next_rollout() {
    // An older build is current for most, a newer one serves beside it.
    let newer = with(release(build(4)), |spec| spec.settings.percent = percent(50));
    for state in [RolloutState::Active, RolloutState::Paused] {
        let current = with(release(build(2)), |spec| spec.state = state);
        let catalog = catalog(vec![current, newer.clone()]);
        assert_eq!(answer(&catalog, &phone(IN_23_PERCENT, 30)), Ok(4), "{state}");
        assert_eq!(
            answer(&catalog, &phone(IN_23_PERCENT, 40)),
            Err(Reason::AlreadyCurrent),
            "{state}: it runs the other rollout's version"
        );
        assert_eq!(
            answer(&catalog, &phone(IN_90_PERCENT, 30)),
            Err(Reason::NewerInstalled),
            "{state}: no rollout takes it, and the current one's reason is told"
        );
    }
}

#[test]
fn stopping_the_current_rollout_takes_no_device_back_to_a_concurrent_build() {
    // Lowering the current share put a device that has the current build outside of it.
    let stopped = |state| {
        catalog(beside(|spec| {
            spec.state = state;
            spec.settings.percent = percent(1);
        }))
    };
    for state in [RolloutState::Active, RolloutState::Paused, RolloutState::Halted] {
        let told = answer(&stopped(state), &phone(IN_7_PERCENT, 30));
        assert_eq!(told, Err(Reason::NotInCohort));
    }
}

#[test]
fn two_rollouts_of_one_build_each_take_their_own_devices() {
    let to = |id, region: &str, salt: Option<&str>, share| {
        let mut release = with(release(build(2)), |spec| {
            spec.settings.percent = percent(share);
            spec.settings.salt = salt.map(str::to_owned);
            spec.settings.audience = those_of(&[region], &[]);
        });
        release.rollout.id = tidegate_domain::RolloutId(id);
        release
    };
    // `abc123` has position 22.63 %, and 27.98 % under the salt `release-42`.
    let catalog = catalog(vec![to(8, "DE", None, 22), to(7, "FR", Some("release-42"), 28)]);
    let rollout = |device: &crate::fleet::Phone| match decide(&catalog, &device.poll(), at(0)) {
        Decision::Offer(offer) => Ok((offer.rollout.id.0, offer.build.id.0)),
        Decision::NoUpdate(reason) => Err(reason),
    };
    assert_eq!(rollout(&phone(IN_7_PERCENT, 0).region("DE")), Ok((8, 2)));
    assert_eq!(
        rollout(&phone(IN_23_PERCENT, 0).region("DE")),
        Err(Reason::NotInCohort)
    );
    assert_eq!(rollout(&phone(IN_23_PERCENT, 0).region("FR")), Ok((7, 2)));
    assert_eq!(
        rollout(&phone(IN_23_PERCENT, 0).region("AT")),
        Err(Reason::NotInAudience)
    );
}

#[test]
fn whatever_speaks_against_the_current_build_hands_the_device_on() {
    let current = of(release(build(3)), |facts| {
        facts.min_sdk = 30;
        facts.abis = vec!["arm64-v8a".to_owned()];
    });
    let current = with(current, |spec| {
        spec.settings.audience = those_of(&["DE"], &[]);
    });
    let catalog = catalog(vec![current, release(build(2))]);
    let welcome = phone(IN_90_PERCENT, 0).sdk(30).abis("arm64-v8a").region("DE");
    assert_eq!(answer(&catalog, &welcome), Ok(3));
    for refused in [
        welcome.clone().sdk(29),
        welcome.clone().abis("x86"),
        welcome.clone().region("FR"),
        welcome.gave_up(3, 1),
    ] {
        assert_eq!(answer(&catalog, &refused), Ok(2), "{refused:?}");
    }
}

#[test]
fn when_none_takes_a_device_the_current_rollouts_reason_is_told() {
    let current = of(release(build(3)), |facts| facts.min_sdk = 34);
    let other = with(release(build(2)), |spec| spec.settings.percent = percent(1));
    let catalog = catalog(vec![current, other]);
    let device = phone(IN_90_PERCENT, 0).sdk(30);
    assert_eq!(answer(&catalog, &device), Err(Reason::IncompatibleSdk));
}

#[test]
fn salted_and_unsalted_rollouts_beside_one_another_are_each_judged_by_their_own_buckets() {
    let salted = |id, share, salt: Option<&str>| {
        with(release(build(id)), |spec| {
            spec.settings.percent = percent(share);
            spec.settings.salt = salt.map(str::to_owned);
        })
    };
    let serving = vec![
        salted(5, 22, None),
        salted(4, 27, Some("release-42")),
        salted(3, 23, None),
    ];
    // `abc123` has position 22.63 %, and 27.98 % under the salt `release-42`.
    assert_eq!(answer(&catalog(serving.clone()), &phone(IN_23_PERCENT, 0)), Ok(3));
    let wider = with(serving[1].clone(), |spec| spec.settings.percent = percent(28));
    let wider = vec![serving[0].clone(), wider, serving[2].clone()];
    assert_eq!(answer(&catalog(wider), &phone(IN_23_PERCENT, 0)), Ok(4));
}
