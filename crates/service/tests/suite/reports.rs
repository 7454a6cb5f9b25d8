//! Reports: which count, for what, and how often.

use chrono::TimeDelta;
use tidegate_domain::{BuildId, MAX_REPORTS_PER_BUILD, ReportStatus, VersionCode};
use tidegate_service::{Kind, NewReport};

use crate::instance::{Instance, id, package, refusal, to, version};
use crate::offers::unproven;

use ReportStatus::{Deferred, Downloaded, InstallFailed, InstallSuccess};

#[tokio::test]
async fn a_report_that_proves_its_offer_counts_for_build_and_rollout() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let build = instance.release(1).await;
    // Nothing of the poll is written yet.
    let offer = instance.poll("phone", 0).unwrap();
    instance.report_on(&offer, Downloaded).await.unwrap();
    instance.report_on(&offer, InstallSuccess).await.unwrap();

    let told = instance.builds.stats(build, 0).await.unwrap();
    for stats in [told.stats, told.rollouts[0].stats] {
        let counts = (
            stats.total_eligible,
            stats.total_downloads,
            stats.installs_success,
        );
        assert_eq!(counts, (1, 1, 1));
    }
    assert_eq!(told.rollouts[0].rollout, offer.rollout);
    assert_eq!(instance.counters.reports(InstallSuccess), 1);
    assert_eq!(installed(&instance).await, [version(1)]);
}

/// The versions of the package that the device runs.
async fn installed(instance: &Instance) -> Vec<VersionCode> {
    let device = instance.devices.get(&id("phone")).await.unwrap().device;
    let installed = device.installed.into_iter();
    installed
        .filter(|(name, _)| *name == package())
        .map(|(_, version)| version)
        .collect()
}

#[tokio::test]
async fn a_proven_report_counts_for_the_rollout_that_made_the_offer() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let build = instance.build(1).await;
    instance.promote(build, to(100)).await;
    let first = instance.poll("phone", 0).unwrap();
    instance.promote(build, to(99)).await;
    instance.promote(build, to(100)).await;
    let last = instance.poll("phone", 0).unwrap();
    assert_ne!(first.rollout, last.rollout);
    instance.activity.flush(&instance.store).await.unwrap();
    instance.report_on(&first, InstallSuccess).await.unwrap();

    let rollouts = instance.builds.stats(build, 0).await.unwrap().rollouts;
    let installs = |id| {
        rollouts
            .iter()
            .find(|told| told.rollout == id)
            .unwrap()
            .stats
            .installs_success
    };
    assert_eq!((installs(first.rollout), installs(last.rollout)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_report_without_an_offer_is_refused_and_counts_for_nothing() {
    let instance = Instance::start().await;
    for name in ["phone", "other"] {
        instance.enrol(name).await;
    }
    let build = instance.release(1).await;
    let borrowed = instance.poll("other", 0).unwrap().report(InstallSuccess);
    let forged = NewReport {
        offer: Some("AAAA".to_owned()),
        patch: None,
        ..borrowed.clone()
    };
    for report in [unproven(build, InstallSuccess), borrowed, forged] {
        let refused = refusal(instance.report("phone", report).await);
        assert_eq!(refused, (Kind::Conflict, "not_offered"));
    }
    let stats = instance.stats(build).await;
    assert_eq!(
        (stats.total_eligible, stats.installs_success),
        (1, 0),
        "the poll of the other one"
    );
    assert_eq!(installed(&instance).await, []);
    assert_eq!(instance.counters.reports(InstallSuccess), 0);
}

#[tokio::test]
async fn an_agent_that_proves_nothing_is_believed_as_far_as_its_polls_were_noted() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let build = instance.release(1).await;
    instance.poll("phone", 0).unwrap();
    instance
        .report("phone", unproven(build, InstallSuccess))
        .await
        .unwrap();
    assert_eq!(instance.stats(build).await.installs_success, 1);
}

#[tokio::test]
async fn a_report_that_is_sent_again_is_taken_once_and_another_try_counts() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let build = instance.release(1).await;
    let offer = instance.poll("phone", 0).unwrap();
    let of_try = |name: &str| NewReport {
        request_id: Some(name.to_owned()),
        ..offer.report(InstallFailed)
    };
    for _ in 0..5 {
        instance.report("phone", of_try("first")).await.unwrap();
        instance.clock.advance(TimeDelta::minutes(1));
    }
    assert_eq!(instance.counters.reports(InstallFailed), 1);
    assert_eq!(instance.told("phone", 0), Ok(build), "one failure, not five");
    instance.report("phone", of_try("second")).await.unwrap();
    assert_eq!(instance.counters.reports(InstallFailed), 2);
    assert_eq!(instance.stats(build).await.installs_failed, 1, "one device");
}

#[tokio::test]
async fn a_success_forgives_the_failures_before_it() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let build = instance.release(1).await;
    let offer = instance.poll("phone", 0).unwrap();
    instance.fail(&offer, 2).await;
    instance.report_on(&offer, InstallSuccess).await.unwrap();
    instance.fail(&offer, 2).await;
    assert_eq!(instance.told("phone", 0), Ok(build));
    let stats = instance.stats(build).await;
    assert_eq!((stats.installs_success, stats.installs_failed), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_beyond_the_rollouts_is_refused() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let build = instance.release(1).await;
    let offer = instance.poll("phone", 0).unwrap();
    let beyond = NewReport {
        attempt: Some(offer.attempt + 1),
        ..offer.report(InstallFailed)
    };
    let refused = instance.report("phone", beyond).await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.field.as_deref()),
        (Kind::Invalid, Some("attempt"))
    );
    assert_eq!(instance.stats(build).await.installs_failed, 0);
    let unstated = NewReport {
        attempt: None,
        ..offer.report(InstallFailed)
    };
    instance.report("phone", unstated).await.unwrap();
    assert_eq!(instance.stats(build).await.installs_failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_report_names_a_known_device_and_build_and_keeps_its_bounds() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let build = instance.release(1).await;
    let stranger = instance.report("stranger", unproven(build, Deferred)).await;
    assert_eq!(refusal(stranger), (Kind::Unauthenticated, "unknown_device"));
    let unknown = instance.report("phone", unproven(BuildId(99), Deferred)).await;
    assert_eq!(refusal(unknown), (Kind::NotFound, "unknown_build"));
    let long = NewReport {
        reason: Some("x".repeat(65)),
        ..unproven(build, Deferred)
    };
    let refused = instance.report("phone", long).await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.field.as_deref()),
        (Kind::Invalid, Some("reason"))
    );
}

#[tokio::test]
async fn a_device_reports_one_build_so_often_and_its_outcome_all_the_same() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let build = instance.release(1).await;
    let offer = instance.poll("phone", 0).unwrap();
    let deferred = |number: u32| NewReport {
        request_id: Some(format!("try-{number}")),
        ..offer.report(Deferred)
    };
    for number in 0..MAX_REPORTS_PER_BUILD {
        instance.report("phone", deferred(number)).await.unwrap();
    }
    let beyond = instance.report("phone", deferred(MAX_REPORTS_PER_BUILD)).await;
    assert_eq!(refusal(beyond), (Kind::Conflict, "too_many_reports"));
    instance.report_on(&offer, InstallSuccess).await.unwrap();
    assert_eq!(instance.stats(build).await.installs_success, 1);
}
