//! Rollouts that were kept beside the current one, for the devices that it does not take.

use tidegate_domain::{
    Audience, Catalog, Decision, PollRequest, Reason, Rejection, Release, RolloutSpec, RolloutState, decide,
    explain,
};

use crate::fleet::{
    IN_7_PERCENT, IN_23_PERCENT, IN_90_PERCENT, at, build, catalog, of, percent, poll, release, with,
};

fn answer(catalog: &Catalog, request: &PollRequest<'_>) -> Result<i64, Reason> {
    match decide(catalog, request, at(0)) {
        Decision::Offer(offer) => Ok(offer.build.id.0),
        Decision::NoUpdate(reason) => Err(reason),
    }
}

/// Build 3 is current for 10 %, build 2 was kept for 50 %.
fn beside(edit: impl FnOnce(&mut RolloutSpec)) -> Vec<Release> {
    let current = with(release(build(3)), |spec| spec.settings.percent = percent(10));
    let kept = with(release(build(2)), |spec| spec.settings.percent = percent(50));
    vec![with(current, edit), kept]
}

#[test]
fn each_device_is_served_by_the_first_rollout_that_takes_it() {
    let catalog = catalog(beside(|_| ()));
    assert_eq!(answer(&catalog, &poll(IN_7_PERCENT, 10)), Ok(3));
    assert_eq!(answer(&catalog, &poll(IN_23_PERCENT, 10)), Ok(2));
    assert_eq!(
        answer(&catalog, &poll(IN_90_PERCENT, 10)),
        Err(Reason::NotInCohort)
    );
}

#[test]
fn without_a_kept_rollout_the_others_get_nothing() {
    let catalog = catalog(beside(|_| ()).into_iter().take(1).collect());
    assert_eq!(
        answer(&catalog, &poll(IN_23_PERCENT, 10)),
        Err(Reason::NotInCohort)
    );
}

#[test]
fn a_chain_of_kept_rollouts_is_asked_to_its_end() {
    let shares = [(5, 1), (4, 7), (3, 23), (2, 90)];
    let chain =
        shares.map(|(id, share)| with(release(build(id)), |spec| spec.settings.percent = percent(share)));
    let catalog = catalog(chain.into());
    assert_eq!(answer(&catalog, &poll(IN_7_PERCENT, 0)), Ok(4));
    assert_eq!(answer(&catalog, &poll(IN_23_PERCENT, 0)), Ok(3));
    assert_eq!(answer(&catalog, &poll(IN_90_PERCENT, 0)), Ok(2));
    let rollouts: Vec<_> = explain(&catalog, &poll(IN_23_PERCENT, 0), at(0))
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
        assert_eq!(answer(&catalog, &poll(device, 30)), Err(Reason::AlreadyCurrent));
        assert_eq!(answer(&catalog, &poll(device, 35)), Err(Reason::AlreadyCurrent));
    }
}

#[test]
fn a_device_on_the_kept_build_stays_there() {
    let catalog = catalog(beside(|_| ()));
    assert_eq!(
        answer(&catalog, &poll(IN_23_PERCENT, 20)),
        Err(Reason::AlreadyCurrent)
    );
}

#[test]
fn holding_the_current_rollout_holds_its_own_devices_and_no_others() {
    for (state, reason) in [
        (RolloutState::Paused, Reason::Paused),
        (RolloutState::Halted, Reason::Halted),
        (RolloutState::Scheduled, Reason::Scheduled),
    ] {
        let catalog = catalog(beside(|spec| spec.state = state));
        assert_eq!(answer(&catalog, &poll(IN_7_PERCENT, 10)), Err(reason));
        assert_eq!(answer(&catalog, &poll(IN_23_PERCENT, 10)), Ok(2));
        assert_eq!(
            answer(&catalog, &poll(IN_90_PERCENT, 10)),
            Err(reason),
            "the current one's reason is told"
        );
    }
}

#[test]
fn a_held_rollout_alone_answers_everybody_with_its_reason() {
    for (state, reason) in [
        (RolloutState::Paused, Reason::Paused),
        (RolloutState::Halted, Reason::Halted),
    ] {
        let catalog = catalog(beside(|spec| spec.state = state).into_iter().take(1).collect());
        for device in [IN_7_PERCENT, IN_23_PERCENT, IN_90_PERCENT] {
            assert_eq!(answer(&catalog, &poll(device, 10)), Err(reason));
        }
    }
}

#[test]
fn holding_a_kept_rollout_leaves_the_current_one_alone() {
    let mut serving = beside(|_| ());
    serving[1].rollout.spec.state = RolloutState::Paused;
    let catalog = catalog(serving);
    assert_eq!(answer(&catalog, &poll(IN_7_PERCENT, 10)), Ok(3));
    assert_eq!(answer(&catalog, &poll(IN_23_PERCENT, 10)), Err(Reason::Paused));
    assert_eq!(
        answer(&catalog, &poll(IN_90_PERCENT, 10)),
        Err(Reason::NotInCohort),
        "a device outside of both is told the current one's reason"
    );
}

#[test]
fn pausing_takes_no_device_back_to_a_kept_build() {
    // The kept rollout came of a forced rollback. Lowering the current share put a device that has the current
    // build outside of it; pausing must not hand that device on.
    let paused = |state| {
        let mut serving = beside(|spec| {
            spec.state = state;
            spec.settings.percent = percent(1);
        });
        serving[1].rollout.spec.settings.force_downgrade = true;
        catalog(serving)
    };
    let on_current = poll(IN_7_PERCENT, 30);
    assert_eq!(
        answer(&paused(RolloutState::Active), &on_current),
        Err(Reason::AlreadyCurrent)
    );
    assert_eq!(
        answer(&paused(RolloutState::Paused), &on_current),
        Err(Reason::Paused)
    );
    assert_eq!(
        answer(&paused(RolloutState::Halted), &on_current),
        Err(Reason::Halted)
    );
}

#[test]
fn whatever_speaks_against_the_current_build_hands_the_device_on() {
    let gave_up = [Rejection {
        build: tidegate_domain::BuildId(3),
        retry_generation: 1,
        until: None,
    }];
    let current = of(release(build(3)), |facts| {
        facts.min_sdk = 30;
        facts.abis = vec!["arm64-v8a".to_owned()];
    });
    let current = with(current, |spec| {
        spec.settings.audience = Audience {
            regions: vec!["DE".to_owned()],
            models: vec![],
        };
    });
    let catalog = catalog(vec![current, release(build(2))]);
    let welcome = PollRequest {
        sdk: Some(30),
        abis: Some("arm64-v8a"),
        region: Some("DE"),
        ..poll(IN_90_PERCENT, 0)
    };
    assert_eq!(answer(&catalog, &welcome), Ok(3));
    for refused in [
        PollRequest {
            sdk: Some(29),
            ..welcome
        },
        PollRequest {
            abis: Some("x86"),
            ..welcome
        },
        PollRequest {
            region: None,
            ..welcome
        },
        PollRequest {
            rejections: &gave_up,
            ..welcome
        },
    ] {
        assert_eq!(answer(&catalog, &refused), Ok(2), "{refused:?}");
    }
}

#[test]
fn when_none_takes_a_device_the_current_rollouts_reason_is_told() {
    let current = of(release(build(3)), |facts| facts.min_sdk = 34);
    let kept = with(release(build(2)), |spec| spec.settings.percent = percent(1));
    let catalog = catalog(vec![current, kept]);
    let request = PollRequest {
        sdk: Some(30),
        ..poll(IN_90_PERCENT, 0)
    };
    assert_eq!(answer(&catalog, &request), Err(Reason::IncompatibleSdk));
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
    // `abc123` has bucket 2263, and 2798 under the salt `release-42`.
    assert_eq!(answer(&catalog(serving.clone()), &poll(IN_23_PERCENT, 0)), Ok(3));
    let wider = with(serving[1].clone(), |spec| spec.settings.percent = percent(28));
    let wider = vec![serving[0].clone(), wider, serving[2].clone()];
    assert_eq!(answer(&catalog(wider), &poll(IN_23_PERCENT, 0)), Ok(4));
}
