//! Polls: what a device is offered, and why it is offered nothing.

use chrono::TimeDelta;
use tidegate_domain::{
    Percent, Position, Promotion, REJECTION_COOL_DOWN_HOURS, RETRY_BUDGET, Reason, ReportStatus,
};
use tidegate_service::{Clock, NewReport, Standing};

use crate::instance::{Instance, id, operator, package, to, version};
use crate::offers::Offer;

#[tokio::test]
async fn a_device_is_offered_what_is_newer_than_its_version() {
    let instance = Instance::start().await;
    let build = instance.build(2).await;
    instance.promote(build, to(100)).await;
    for (installed, told) in [
        (0, Ok(build)),
        (1, Ok(build)),
        (2, Err(Reason::AlreadyCurrent)),
        (3, Err(Reason::NewerInstalled)),
    ] {
        assert_eq!(instance.told("phone", installed), told, "{installed}");
    }
}

/// A fleet that is enrolled before its first release is alive all the same.
#[tokio::test]
async fn polls_before_the_first_release_are_kept() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let standings = async || {
        instance.activity.flush(&instance.store).await.unwrap();
        let view = instance.devices.get(&id("phone")).await.unwrap();
        let unseen = instance.clock.now() - view.device.last_seen_at.unwrap();
        assert!(unseen < TimeDelta::seconds(1), "{unseen}");
        view.standings
    };
    assert_eq!(instance.told("phone", 1), Err(Reason::NoCurrentBuild));
    assert_eq!(standings().await, [], "the package is unknown");
    instance.build(2).await;
    instance.clock.advance(TimeDelta::minutes(5));
    assert_eq!(instance.told("phone", 1), Err(Reason::NoCurrentBuild));
    let told = (package(), Reason::NoCurrentBuild.to_string());
    assert_eq!(standings().await, [told]);
}

#[tokio::test]
async fn a_share_takes_the_devices_of_its_cohorts() {
    let instance = Instance::start().await;
    let build = instance.build(1).await;
    let names: Vec<String> = (0..40).map(|number| format!("device-{number}")).collect();
    for percent in [30, 60, 100] {
        instance.promote(build, to(percent)).await;
        let share = Percent::new(percent).unwrap();
        for name in &names {
            let is_taken = Position::of(name, None).is_within(share);
            let told = is_taken.then_some(build).ok_or(Reason::NotInCohort);
            assert_eq!(instance.told(name, 0), told, "{name} at {percent} %");
        }
    }
}

#[tokio::test]
async fn what_is_told_is_explained_and_noted() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let build = instance.release(2).await;
    let offer = instance.poll("phone", 1).unwrap();
    instance.activity.flush(&instance.store).await.unwrap();

    let (phone, package) = (id("phone"), package());
    let explained = instance.devices.explain(&phone, &package, None);
    let explained = explained.await.unwrap();
    assert_eq!((explained.installed, explained.outcome), (version(1), Ok(build)));
    let view = instance.devices.get(&phone).await.unwrap();
    assert_eq!(view.device.installed, [(package.clone(), version(1))]);
    assert_eq!(view.standings, [(package, Standing::OFFERED.to_owned())]);
    assert_eq!(view.rollouts[0].rollout, offer.rollout);
    let stats = instance.stats(build).await;
    assert_eq!((stats.total_checks, stats.total_eligible), (1, 1));
}

#[tokio::test]
async fn a_build_that_failed_too_often_is_withheld_for_a_day() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let build = instance.release(1).await;
    let offer = instance.poll("phone", 0).unwrap();
    instance.fail(&offer, RETRY_BUDGET - 1).await;
    assert_eq!(instance.told("phone", 0), Ok(build), "it has a try left");
    instance.fail(&offer, 1).await;
    assert_eq!(instance.told("phone", 0), Err(Reason::RejectedByDevice));
    assert_eq!(instance.told("other", 0), Ok(build));

    let minute = TimeDelta::minutes(1);
    instance
        .clock
        .advance(TimeDelta::hours(REJECTION_COOL_DOWN_HOURS) - minute);
    assert_eq!(instance.told("phone", 0), Err(Reason::RejectedByDevice));
    instance.clock.advance(minute);
    assert_eq!(instance.told("phone", 0), Ok(build));

    // One more failure begins the next pause.
    instance.fail(&offer, 1).await;
    assert_eq!(instance.told("phone", 0), Err(Reason::RejectedByDevice));
}

/// Reports a failure that no other try can change.
async fn refuse_for_good(instance: &Instance, offer: &Offer) {
    let report = NewReport {
        reason: Some("installed_signer_mismatch".to_owned()),
        ..offer.report(ReportStatus::VerifyFailed)
    };
    instance.report(&offer.device, report).await.unwrap();
}

#[tokio::test]
async fn a_build_that_a_device_can_never_take_is_withheld_until_it_is_released_anew() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let build = instance.release(1).await;
    let offer = instance.poll("phone", 0).unwrap();
    refuse_for_good(&instance, &offer).await;
    instance.clock.advance(TimeDelta::days(365));
    assert_eq!(instance.told("phone", 0), Err(Reason::RejectedByDevice));

    instance.promote(build, to(50)).await;
    instance.promote(build, to(100)).await;
    assert_eq!(
        instance.told("phone", 0),
        Err(Reason::RejectedByDevice),
        "the same attempt"
    );
    let anew = Promotion {
        retry_failed: true,
        ..to(100)
    };
    instance.promote(build, anew).await;
    let offer = instance.poll("phone", 0).unwrap();
    assert_eq!((offer.build, offer.attempt), (build, 2));
    refuse_for_good(&instance, &offer).await;
    assert_eq!(instance.told("phone", 0), Err(Reason::RejectedByDevice));
}

#[tokio::test]
async fn a_device_that_an_operator_lets_try_again_is_offered_the_build_and_told_so() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let build = instance.release(1).await;
    let offer = instance.poll("phone", 0).unwrap();
    assert!(!offer.retry_granted);
    refuse_for_good(&instance, &offer).await;
    assert_eq!(instance.told("phone", 0), Err(Reason::RejectedByDevice));

    let phone = id("phone");
    let builds = instance.devices.retry(operator(), &phone, Some(build));
    assert_eq!(builds.await.unwrap(), 1);
    let offer = instance.poll("phone", 0).unwrap();
    assert!(offer.retry_granted);
    assert_eq!(offer.build, build);
}
