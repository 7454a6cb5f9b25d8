//! Who resumes a halted rollout with a gate must have seen its failures; who resumes any other need say nothing.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::gate::{GateSettings, GateTerms, GateWait, OnHalt, WaitsFor};
use tidegate_domain::{
    By, Change, Error, MAX_REMARK_BYTES, Promotion, Resume, RolloutEdit, RolloutId, RolloutState,
};

use crate::store::{BY_ADA, Store, to};

const ROLLOUT: RolloutId = RolloutId(1);

fn later() -> By<'static> {
    By {
        now: DateTime::<Utc>::UNIX_EPOCH + TimeDelta::hours(5),
        ..BY_ADA
    }
}

/// A build that is offered to everybody and watched.
fn watched() -> Store {
    let mut store = Store::with_builds(1);
    let promotion = Promotion {
        gate: Some(GateTerms::default()),
        ..to(100)
    };
    store.promote(1, &promotion).unwrap();
    store
}

fn halted() -> Store {
    let mut store = watched();
    store.run(|track| track.halt(ROLLOUT, BY_ADA)).unwrap();
    store
}

fn said(acknowledged: Option<u64>, remark: Option<&str>) -> Resume {
    Resume {
        acknowledged_failures: acknowledged,
        remark: remark.map(str::to_owned),
    }
}

fn resume(store: &mut Store, said: &Resume, failures: u64) -> Result<Change, Error> {
    store.run(|track| track.resume(ROLLOUT, said, |_| failures, later()))
}

#[test]
fn a_halted_rollout_asks_for_its_failures_and_a_reason() {
    let long = "x".repeat(MAX_REMARK_BYTES + 1);
    for (acknowledged, remark, field) in [
        (None, Some("seen"), "acknowledged_failures"),
        (None, None, "acknowledged_failures"),
        (Some(12), None, "remark"),
        (Some(12), Some(" "), "remark"),
        (Some(12), Some(long.as_str()), "remark"),
        (Some(12), Some("a\u{202e}b"), "remark"),
        // Nobody has seen more than there were.
        (Some(13), Some("seen"), "acknowledged_failures"),
    ] {
        let mut store = halted();
        let refused = resume(&mut store, &said(acknowledged, remark), 12).unwrap_err();
        assert_eq!(refused.field(), Some(field), "{acknowledged:?} {remark:?}");
        assert_eq!(store.serving(), [(1, RolloutState::Halted)]);
    }
    let refused = resume(&mut halted(), &Resume::default(), 12)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("/v1/rollouts/1/gate"), "{refused}");
    let grown = resume(&mut halted(), &said(Some(11), Some("seen")), 12).unwrap_err();
    let told = Error::FailuresGrew {
        rollout: ROLLOUT,
        acknowledged: 11,
        failures: 12,
    };
    assert_eq!(grown, told);
    let change = resume(&mut halted(), &said(Some(12), Some("seen")), 12).unwrap();
    let told = serde_json::to_value(&change.after).unwrap();
    assert_eq!(told["acknowledged_failures"], 12);
    assert_eq!(
        (&told["remark"], &told["state"]),
        (&"seen".into(), &"active".into())
    );
}

#[test]
fn a_resumed_gate_begins_a_new_segment_and_waits_for_nothing() {
    let mut store = halted();
    let waits = Some(GateWait {
        what: WaitsFor::Evidence,
        since: BY_ADA.now,
    });
    store.rollouts[0].spec.gate.as_mut().unwrap().waits = waits;
    resume(&mut store, &said(Some(0), Some("a drill")), 0).unwrap();
    let gate = store.current().spec.gate.unwrap();
    assert_eq!((gate.segment.number, gate.segment.began), (2, later().now));
    assert_eq!(gate.waits, None);
    let again = resume(&mut store, &Resume::default(), 5).unwrap();
    assert!(again.is_empty(), "it goes on already");
    assert_eq!(store.current().spec.gate, Some(gate));
}

#[test]
fn a_paused_rollout_and_one_without_a_gate_go_on_as_ever() {
    let mut store = watched();
    store.run(|track| track.pause(ROLLOUT, BY_ADA)).unwrap();
    resume(&mut store, &Resume::default(), 12).unwrap();
    assert_eq!(store.current().spec.gate.unwrap().segment.number, 1);

    let mut store = Store::with_builds(1);
    store.release_to(1, 100);
    store.run(|track| track.halt(ROLLOUT, BY_ADA)).unwrap();
    resume(&mut store, &Resume::default(), 12).unwrap();
    assert_eq!(store.serving(), [(1, RolloutState::Active)]);
}

#[test]
fn nobody_gets_round_it_by_taking_the_gate_away() {
    let mut store = halted();
    let edit = RolloutEdit {
        gate: Some(None),
        ..RolloutEdit::default()
    };
    let revision = store.current().spec.revision;
    let refused = store.run(|track| track.edit(ROLLOUT, edit.clone(), revision, BY_ADA));
    assert_eq!(refused.unwrap_err().field(), Some("gate"));
    let kept = store.current().spec.gate;
    assert!(kept.is_some());
    resume(&mut store, &said(Some(0), Some("a drill")), 0).unwrap();
    let revision = store.current().spec.revision;
    store
        .run(|track| track.edit(ROLLOUT, edit.clone(), revision, BY_ADA))
        .unwrap();
    assert_eq!(store.current().spec.gate, None);
}

#[test]
fn what_follows_a_halt_stays_where_nothing_is_said_of_it() {
    let forced = GateTerms::default()
        .changed(GateSettings::default(), Some(OnHalt::RollBack), Some(true))
        .unwrap();
    assert_eq!(
        (forced.on_halt, forced.roll_back_forced),
        (OnHalt::RollBack, true)
    );
    let kept = forced.changed(GateSettings::default(), None, None).unwrap();
    assert_eq!(kept, forced);
    let held = forced
        .changed(GateSettings::default(), Some(OnHalt::Hold), None)
        .unwrap();
    assert!(!held.roll_back_forced, "nothing is taken back");
    let refused = held.changed(GateSettings::default(), None, Some(true));
    assert_eq!(refused.unwrap_err().field(), Some("roll_back_forced"));
}
