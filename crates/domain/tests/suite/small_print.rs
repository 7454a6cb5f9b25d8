//! What the verbs of a track promise by the way: the longest that they take, what they call the same, what stays.

use tidegate_domain::gate::{GateSettings, GateTerms, OnHalt};
use tidegate_domain::{
    Approval, Audience, BuildId, By, Error, MAX_PRIORITY, MAX_ROLLOUT_NAME_BYTES, MAX_SALT_BYTES, Phase,
    Plan, PlanStep, Promotion, RolloutDraft, RolloutEdit, RolloutId, RolloutSettings, RolloutState, Slice,
    Span, Stage,
};

use crate::fleet::{at, percent};
use crate::plans::by_plan;
use crate::store::{BY_ADA, Store, to};
use RolloutState::{Active, Completed, Scheduled};

const FIRST: RolloutId = RolloutId(1);
const SECOND: RolloutId = RolloutId(2);

fn by(actor: &'static str, seconds: i64) -> By<'static> {
    By {
        actor,
        on_behalf_of: None,
        now: at(seconds),
    }
}

fn step(share: i64) -> PlanStep {
    PlanStep::to(percent(share), Span::hours(1))
}

fn plan(steps: impl IntoIterator<Item = PlanStep>) -> Plan {
    Plan::new(steps.into_iter().collect()).unwrap()
}

/// Build 1 is everybody's, and changes need a second person from now on.
fn with(approval: Approval) -> Store {
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    store.approval = approval;
    store
}

#[test]
fn names_salts_and_priorities_are_taken_up_to_their_limits() {
    let name_of = |length| "n".repeat(length);
    let salt_of = |length| Some("s".repeat(length));
    for (name, salt, priority, refused) in [
        (
            name_of(MAX_ROLLOUT_NAME_BYTES),
            salt_of(MAX_SALT_BYTES),
            MAX_PRIORITY,
            None,
        ),
        (name_of(MAX_ROLLOUT_NAME_BYTES + 1), None, 1, Some("name")),
        (String::new(), salt_of(MAX_SALT_BYTES + 1), 1, Some("salt")),
        (String::new(), salt_of(0), 1, Some("salt")),
        (String::new(), salt_of(1), MAX_PRIORITY + 1, Some("priority")),
    ] {
        let mut store = with(Approval::Never);
        let build = store.build(2).clone();
        let settings = RolloutSettings {
            salt,
            ..RolloutSettings::to(percent(10))
        };
        let draft = RolloutDraft {
            name,
            priority,
            promotion: Promotion { settings, ..to(10) },
        };
        let made = store.run(|track| track.create(&build, &draft, 0, BY_ADA));
        assert_eq!(made.err().and_then(|error| error.field()), refused);
        assert_eq!(store.rollouts.len(), 1 + usize::from(refused.is_none()));
    }
}

#[test]
fn above_the_base_are_those_with_a_priority() {
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    assert_eq!(store.track().above_base().count(), 0);
    store.create(2, 1, to(10)).unwrap();
    store.create(3, 7, to(10)).unwrap();
    let above: Vec<BuildId> = store
        .track()
        .above_base()
        .map(|release| release.build.id)
        .collect();
    assert_eq!(above, [BuildId(3), BuildId(2)]);
}

#[test]
fn a_release_that_waits_is_asked_for_anew_to_keep_what_serves() {
    let mut store = with(Approval::Always);
    store.promote(2, &to(50)).unwrap();
    assert!(store.promote(2, &to(50)).unwrap().is_empty(), "the same again");
    assert!(!store.release_beside(2, 50).is_empty(), "to serve beside build 1");
    assert!(store.rollouts.last().unwrap().spec.keep_previous);
}

#[test]
fn what_has_begun_since_it_was_asked_for_is_not_released_again() {
    let mut store = with(Approval::Never);
    let later = by_plan(plan([PlanStep {
        not_before: Some(at(60)),
        ..step(10)
    }]));
    assert_eq!(store.promote(2, &later).unwrap().after.state, Scheduled);
    assert!(store.promote(2, &later).unwrap().is_empty(), "it is scheduled");
    let due = store.track().due(at(60)).unwrap();
    store.apply(&due);
    assert_eq!(store.serving(), [(2, Active)]);
    assert!(store.promote(2, &later).unwrap().is_empty(), "it has begun");
    store.run(|track| track.pause(BuildId(2), BY_ADA)).unwrap();
    assert!(
        !store.promote(2, &later).unwrap().is_empty(),
        "it was stopped since"
    );
}

#[test]
fn who_saw_an_earlier_revision_or_step_is_refused() {
    let mut store = with(Approval::Never);
    store.promote(2, &by_plan(plan([step(10), step(100)]))).unwrap();
    let track = store.track();
    assert_eq!(track.require_revision(SECOND, None), Ok(()));
    assert_eq!(track.require_revision(SECOND, Some(1)), Ok(()));
    assert_eq!(
        track.require_revision(SECOND, Some(2)),
        Err(Error::RevisionMismatch {
            rollout: SECOND,
            seen: 2,
            revision: 1
        })
    );
    assert_eq!(track.require_step(SECOND, None), Ok(()));
    assert_eq!(
        track.require_step(SECOND, Some(1)),
        Ok(()),
        "they are counted from 1"
    );
    store.run(|track| track.advance(SECOND, BY_ADA)).unwrap();
    let track = store.track();
    assert_eq!(track.require_step(SECOND, Some(2)), Ok(()));
    for seen in [0, 1, 3] {
        let refused = Err(Error::StepMismatch {
            rollout: SECOND,
            seen,
            step: 2,
        });
        assert_eq!(track.require_step(SECOND, Some(seen)), refused);
    }
    store.release_to(3, 10);
    let without_plan = RolloutId(3);
    assert_eq!(store.track().require_step(without_plan, Some(1)), Ok(()));
}

#[test]
fn nothing_is_denied_where_nothing_waits() {
    let mut store = with(Approval::Never);
    let rollout = SECOND;
    store.promote(2, &by_plan(plan([step(10), step(100)]))).unwrap();
    assert_eq!(
        store.run(|track| track.deny(rollout, by("eve", 60))),
        Err(Error::NothingToApprove { rollout })
    );
    assert!(
        !store.current().spec.plan.unwrap().progress.held,
        "the plan goes on"
    );
}

#[test]
fn what_has_begun_waits_with_each_change_that_widens_it() {
    let edit = RolloutEdit::default;
    let slice = Slice::of_percents(10.0, 50.0).unwrap();
    let terms = GateTerms {
        settings: GateSettings::default(),
        on_halt: OnHalt::Hold,
        roll_back_forced: false,
    };
    for (what, edit, waits) in [
        ("a larger share", RolloutEdit::percent(percent(60)), true),
        ("a smaller share", RolloutEdit::percent(percent(40)), false),
        (
            "other devices",
            RolloutEdit {
                audience: Some(Audience::parse("sdk >= 30").unwrap()),
                ..edit()
            },
            true,
        ),
        (
            "other places",
            RolloutEdit {
                slice: Some(slice),
                ..edit()
            },
            true,
        ),
        (
            "asked earlier",
            RolloutEdit {
                priority: Some(8),
                ..edit()
            },
            true,
        ),
        (
            "asked later",
            RolloutEdit {
                priority: Some(6),
                ..edit()
            },
            false,
        ),
        (
            "a plan",
            RolloutEdit {
                plan: Some(plan([step(50)])),
                ..edit()
            },
            true,
        ),
        (
            "a gate",
            RolloutEdit {
                gate: Some(Some(terms)),
                ..edit()
            },
            true,
        ),
        (
            "a name",
            RolloutEdit {
                name: Some("spring".to_owned()),
                ..edit()
            },
            false,
        ),
    ] {
        let mut store = with(Approval::Never);
        store.create(2, 7, to(50)).unwrap();
        store.approval = Approval::Always;
        store
            .run(|track| track.edit(SECOND, edit, 1, by("eve", 60)))
            .unwrap();
        let consent = &store.rollouts[1].spec.consent;
        assert_eq!(consent.request.is_some(), waits, "{what}");
    }
}

#[test]
fn a_proposed_release_may_be_started_once_the_package_asks_for_nobody() {
    let mut store = with(Approval::Always);
    store.promote(2, &to(50)).unwrap();
    let refused = store.run(|track| track.start(SECOND, BY_ADA));
    assert_eq!(refused, Err(Error::ApprovalRequired { rollout: SECOND }));
    store.approval = Approval::Never;
    store.run(|track| track.start(SECOND, BY_ADA)).unwrap();
    assert_eq!(store.serving(), [(2, Active)]);
}

#[test]
fn a_step_asks_by_itself_or_by_its_share_until_the_release_is_approved() {
    let mut store = with(Approval::Never);
    let own = PlanStep {
        approve: true,
        ..step(5)
    };
    store.promote(2, &by_plan(plan([step(1), step(50)]))).unwrap();
    let asked = |store: &Store, step: &PlanStep| store.track().asks(&store.current().spec, step);
    assert!(asked(&store, &own));
    assert!(!asked(&store, &step(100)), "the package asks for nobody");
    store.approval = Approval::Above(percent(10));
    assert!(!asked(&store, &step(10)) && asked(&store, &step(11)));
}

#[test]
fn only_what_serves_wakes_devices_at_its_step() {
    let mut store = with(Approval::Never);
    let waking = PlanStep {
        nudge: true,
        ..step(10)
    };
    store.promote(2, &by_plan(plan([waking, step(100)]))).unwrap();
    let woken = |store: &Store| -> Vec<RolloutId> {
        let track = store.track();
        track.nudging(at(0)).map(|rollout| rollout.id).collect()
    };
    assert_eq!(woken(&store), [SECOND]);
    store.run(|track| track.pause(BuildId(2), BY_ADA)).unwrap();
    assert!(woken(&store).is_empty());
}

#[test]
fn a_release_that_is_completed_by_hand_has_gone_through_its_plan() {
    let mut store = with(Approval::Never);
    store.promote(2, &by_plan(plan([step(10), step(100)]))).unwrap();
    store.run(|track| track.advance(SECOND, BY_ADA)).unwrap();
    store.run(|track| track.complete(BuildId(2), BY_ADA)).unwrap();
    let spec = store.current().spec;
    assert_eq!((spec.state, spec.phase()), (Completed, None::<Phase>));
    assert_eq!(spec.plan.unwrap().progress.stage, Stage::Done);
}

#[test]
fn what_is_offered_again_is_a_new_rollout_with_the_terms_of_the_old_one() {
    let mut store = Store::with_builds(3);
    let settings = RolloutSettings {
        ignore_freeze: true,
        ..RolloutSettings::to(percent(50))
    };
    let terms = GateTerms {
        settings: GateSettings::default(),
        on_halt: OnHalt::Hold,
        roll_back_forced: false,
    };
    let first = Promotion {
        settings,
        gate: Some(terms),
        ..to(50)
    };
    store.promote(1, &first).unwrap();
    store.approval = Approval::Always;
    store
        .run(|track| track.edit(FIRST, RolloutEdit::percent(percent(60)), 1, BY_ADA))
        .unwrap();
    assert!(store.current().spec.consent.request.is_some());
    store.approval = Approval::Never;
    store.release_beside(2, 10);
    store.run(|track| track.roll_back(false, by("eve", 600))).unwrap();
    let spec = store.current().spec;
    assert_eq!((spec.build, spec.priority, spec.revision), (BuildId(1), 0, 1));
    assert!(!spec.settings.ignore_freeze, "it was allowed for the other one");
    assert_eq!(
        spec.consent.request, None,
        "what waited then is not asked for now"
    );
    let gate = spec.gate.unwrap();
    assert_eq!(
        (gate.terms, gate.segment.began),
        (terms, at(600)),
        "it begins anew"
    );
}

#[test]
fn an_approved_first_step_leaves_the_share_of_the_others_free() {
    let mut store = with(Approval::Never);
    let asking = PlanStep {
        approve: true,
        ..step(10)
    };
    store.promote(2, &by_plan(plan([asking, step(50)]))).unwrap();
    store
        .run(|track| track.approve(SECOND, None, None, by("eve", 60)))
        .unwrap();
    let widened = |store: &mut Store, rollout: RolloutId, revision: u32| {
        let edit = RolloutEdit::percent(percent(30));
        store
            .run(|track| track.edit(rollout, edit, revision, by("ada", 120)))
            .unwrap();
        store.rollouts.last().unwrap().spec.consent.request.is_none()
    };
    assert!(widened(&mut store, SECOND, 2), "it has been approved");
    let later = PlanStep {
        approve: true,
        ..step(20)
    };
    store.promote(3, &by_plan(plan([step(10), later]))).unwrap();
    assert!(!widened(&mut store, RolloutId(3), 1), "the second step asks");
}

#[test]
fn control_is_counted_in_the_slice_that_a_rollout_has() {
    let mut store = with(Approval::Never);
    let half = RolloutSettings {
        slice: Slice::of_percents(0.0, 50.0).unwrap(),
        ..RolloutSettings::to(percent(1))
    };
    let promotion = Promotion {
        settings: half,
        ..to(1)
    };
    store.create(2, 7, promotion).unwrap();
    // Of ten million devices five are in the slice; fifty thousand are one in a hundred of those.
    let range = store.rollouts[1].spec.gate_range(10_000_000);
    assert_eq!(range.target, percent(1).share());
    assert_eq!(range.control, percent(2).share());
}

#[test]
fn what_a_step_does_not_say_is_not_written() {
    let plain = PlanStep::to(percent(10), Span::NONE);
    assert_eq!(
        serde_json::to_value(&plain).unwrap(),
        serde_json::json!({"percent": 10})
    );
    let baking = serde_json::json!({"percent": 10, "bake": "1h"});
    assert_eq!(serde_json::to_value(step(10)).unwrap(), baking);
    for stage in [Stage::Ramping, Stage::Baking, Stage::WaitingApproval, Stage::Done] {
        assert_eq!(stage.to_string(), Phase::from(stage).as_str());
    }
}

#[test]
fn a_share_set_by_hand_holds_the_plan_only_where_it_is_another_one() {
    let mut store = with(Approval::Never);
    store.promote(2, &by_plan(plan([step(10), step(100)]))).unwrap();
    let mut set = |share, revision| {
        let edit = RolloutEdit::percent(percent(share));
        store
            .run(|track| track.edit(SECOND, edit, revision, by("ada", 60)))
            .unwrap();
        store.current().spec.plan.unwrap().progress.held
    };
    assert!(!set(10, 1), "that is the share now");
    assert!(set(20, 1));
    let later = PlanStep {
        not_before: Some(at(600)),
        ..step(10)
    };
    store.promote(3, &by_plan(plan([later]))).unwrap();
    let edit = RolloutEdit::percent(percent(10));
    let refused = store.run(|track| track.edit(RolloutId(3), edit, 1, by("ada", 60)));
    assert_eq!(refused.unwrap_err().field(), Some("rollout_percent"));
}

#[test]
fn a_release_gets_a_plan_that_begins_with_its_share_or_above() {
    for (first, refused) in [(9, Some("plan")), (10, None), (11, None)] {
        let mut store = with(Approval::Never);
        store.release_to(2, 10);
        let edit = RolloutEdit {
            plan: Some(plan([step(first), step(100)])),
            ..RolloutEdit::default()
        };
        let edited = store.run(|track| track.edit(SECOND, edit, 1, by("ada", 60)));
        assert_eq!(edited.err().and_then(|error| error.field()), refused, "{first}");
    }
}

#[test]
fn a_gated_plan_is_not_changed_where_it_has_begun() {
    let mut store = with(Approval::Never);
    let gated = Promotion {
        gate: Some(GateTerms {
            settings: GateSettings::default(),
            on_halt: OnHalt::Hold,
            roll_back_forced: false,
        }),
        ..by_plan(plan([step(10)]))
    };
    store.promote(2, &gated).unwrap();
    for (steps, field) in [
        (plan([step(20)]), "plan"),
        (plan([step(10), step(20)]), "plan.steps"),
    ] {
        let edit = RolloutEdit {
            plan: Some(steps),
            ..RolloutEdit::default()
        };
        let refused = store.run(|track| track.edit(SECOND, edit, 1, by("ada", 60)));
        assert_eq!(refused.unwrap_err().field(), Some(field));
    }
}
