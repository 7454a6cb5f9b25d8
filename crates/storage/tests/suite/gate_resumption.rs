//! What gates found: kept, read, and asked for when somebody resumes.

use tidegate_domain::gate::{Arms, GateFacts, GateTerms, StepCounts, StepProgress};
use tidegate_domain::{
    Build, By, Error as Refusal, Promotion, ReportStatus, Resume, RolloutId, RolloutState, Track,
};
use tidegate_storage::{Error, GateLook, Store};

use crate::gate_members::offered_to;
use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, actor, at, by, downloaded, enroll_many, package, poll, promote, promotion, proven, report,
    rollout_of, upload,
};

on_both_engines!(a_halted_rollout_is_resumed_by_the_failures_that_its_gate_has_counted_by_then);

/// What a gate finds of so many failures among a hundred devices.
pub(crate) fn found(failed: u64) -> GateFacts {
    let step = StepCounts {
        reached: 100,
        begun: 100,
        sent: 100,
        failed,
        in_trouble: failed,
        ..StepCounts::default()
    };
    GateFacts {
        fleet: 10_000,
        weights: Default::default(),
        steps: vec![step],
        lost_arms: Arms::default(),
        lost: Default::default(),
        crashing_arms: None,
        crashing: Default::default(),
        polls_expected: 0,
        polls_seen: 0,
        progress: StepProgress::Ramping,
        waited_seconds: 0,
    }
}

async fn halted(store: &Store) -> (Build, RolloutId) {
    let build = upload(store, APP, 1).await;
    let watched = Promotion {
        gate: Some(GateTerms::default()),
        ..promotion(100)
    };
    let rollout = rollout_of(&promote(store, &build, watched).await);
    let halt = move |track: &Track, _: &_| track.halt(rollout, by());
    store
        .change_track(package(APP), actor("ann"), halt)
        .await
        .unwrap();
    (build, rollout)
}

/// A device gets a damaged file, after the gate's last look.
async fn gets_a_damaged_file(store: &Store, build: &Build, rollout: RolloutId) {
    let device = enroll_many(store, 1).await.remove(0);
    poll(store, vec![offered_to(&device, 40, (build, rollout))]).await;
    let sent = downloaded(&device, build.id, rollout, 41);
    store.record_downloads(vec![sent]).await.unwrap();
    let damaged = proven(&device, rollout, report(build.id, ReportStatus::VerifyFailed), 42);
    store.record_reports(vec![damaged]).await.unwrap();
}

async fn resume(store: &Store, rollout: RolloutId, acknowledged: u64) -> Result<RolloutState, Error> {
    let said = Resume {
        acknowledged_failures: Some(acknowledged),
        remark: Some("seen".into()),
    };
    let by = By { now: at(60), ..by() };
    let change = store.resume_rollout(package(APP), actor("ann"), move |track, failures| {
        track.resume(rollout, &said, |rollout| failures.of(rollout), by)
    });
    change.await.map(|change| change.change.after.state)
}

async fn a_halted_rollout_is_resumed_by_the_failures_that_its_gate_has_counted_by_then(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = halted(&store).await;
    assert_eq!(store.gate_look(rollout).await.unwrap(), None);
    let look = GateLook {
        at: at(30),
        facts: found(12),
    };
    store.keep_gate_look(rollout, look.clone()).await.unwrap();
    assert_eq!(store.gate_look(rollout).await.unwrap(), Some(look));

    let refused = resume(&store, rollout, 11).await.unwrap_err();
    let grown = Refusal::FailuresGrew {
        rollout,
        acknowledged: 11,
        failures: 12,
    };
    assert_eq!(refused, Error::Rule(grown));
    let kept = store.rollout(rollout).await.unwrap();
    assert_eq!(kept.spec.state, RolloutState::Halted);
    // What is told after the look counts as well.
    gets_a_damaged_file(&store, &build, rollout).await;
    let grown = Refusal::FailuresGrew {
        rollout,
        acknowledged: 12,
        failures: 13,
    };
    assert_eq!(resume(&store, rollout, 12).await, Err(Error::Rule(grown)));
    assert_eq!(resume(&store, rollout, 13).await, Ok(RolloutState::Active));

    // The next halt counts from the resumption: that look was before it.
    let halt = move |track: &Track, _: &_| track.halt(rollout, by());
    store
        .change_track(package(APP), actor("ann"), halt)
        .await
        .unwrap();
    assert_eq!(resume(&store, rollout, 0).await, Ok(RolloutState::Active));
    let gate = store.rollout(rollout).await.unwrap().spec.gate.unwrap();
    assert_eq!((gate.segment.number, gate.segment.began), (3, at(60)));
}
