//! What a gate's readings make of a rollout: it goes on, waits, halts, or is taken back.

use std::sync::Arc;

use tidegate_domain::gate::{
    BlindTimes, GateAction, GateCounts, GateFacts, GateMode, GateReading, GateSettings, GateState, GateTerms,
    Look, NotRolledBack, OnHalt, RolloutGate, Segment, StepCounts, StepProgress, WaitsFor, judge,
};
use tidegate_domain::{
    By, Phase, Plan, PlanStep, Promotion, Reason, Resume, Rollout, RolloutEdit, RolloutId, RolloutState,
    SignerFingerprint, Signers, Span, decide,
};

use super::{facts_of, step_of};
use crate::fleet::{at, percent, phone};
use crate::store::{Store, to};

const HOUR: i64 = 3_600;

const GATED: RolloutId = RolloutId(2);

fn tidegate(seconds: i64) -> By<'static> {
    By {
        actor: "tidegate",
        on_behalf_of: None,
        now: at(seconds),
    }
}

fn plan() -> Plan {
    let step = |share| PlanStep::to(percent(share), Span::hours(1));
    Plan::new(vec![step(10), step(100)]).unwrap()
}

fn terms(mode: GateMode, on_halt: OnHalt) -> GateTerms {
    GateTerms {
        settings: GateSettings {
            mode,
            ..GateSettings::default()
        },
        on_halt,
        roll_back_forced: false,
    }
}

fn gated(terms: GateTerms) -> Promotion {
    Promotion {
        plan: Some(plan()),
        gate: Some(terms),
        ..to(1)
    }
}

/// Build 2 goes out by a plan with a gate, build 1 is everybody's. The first step bakes until an hour has passed.
fn released(terms: GateTerms) -> Store {
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    store.promote(2, &gated(terms)).unwrap();
    let due = store.track().due(at(0)).unwrap();
    store.apply(&due);
    store
}

fn rollout(store: &Store, id: RolloutId) -> &Rollout {
    store.rollouts.iter().find(|rollout| rollout.id == id).unwrap()
}

fn reading(terms: GateTerms, facts: &GateFacts) -> GateReading {
    judge(&terms.settings, facts)
}

fn bad(terms: GateTerms) -> GateReading {
    let reading = reading(terms, &facts_of(step_of(100, 30, 20)));
    assert_eq!(
        reading.action == GateAction::Halt,
        terms.settings.mode == GateMode::Act
    );
    reading
}

fn good(terms: GateTerms) -> GateReading {
    let reading = reading(terms, &facts_of(step_of(300, 0, 300)));
    assert_eq!(reading.action, GateAction::Advance);
    reading
}

fn no_news(terms: GateTerms) -> GateReading {
    reading(terms, &facts_of(step_of(300, 0, 20)))
}

fn blind(terms: GateTerms, progress: StepProgress) -> GateReading {
    let facts = GateFacts {
        polls_seen: 0,
        progress,
        ..facts_of(step_of(300, 0, 20))
    };
    reading(terms, &facts)
}

/// Lays a reading before the track, and returns whether it changed something.
fn lay(store: &mut Store, reading: &GateReading, seconds: i64) -> bool {
    let change = store.track().judged(GATED, reading, tidegate(seconds));
    if let Some(change) = &change {
        store.apply(change);
    }
    change.is_some()
}

#[test]
fn a_step_that_is_over_goes_on_by_the_gates_word_only() {
    let terms = terms(GateMode::Act, OnHalt::Hold);
    let mut store = released(terms);
    assert_eq!(
        store.track().due(at(2 * HOUR)),
        None,
        "time alone takes it nowhere"
    );
    assert!(!lay(&mut store, &good(terms), HOUR / 2), "the bake is not over");
    assert!(lay(&mut store, &no_news(terms), HOUR));
    let spec = &rollout(&store, GATED).spec;
    assert_eq!(spec.phase(), Some(Phase::WaitingEvidence));
    assert_eq!(spec.revision, 1, "nobody edited its terms");
    assert!(
        !lay(&mut store, &no_news(terms), HOUR + 1),
        "the same again is no news"
    );

    assert!(lay(&mut store, &good(terms), 5 * HOUR));
    let spec = &rollout(&store, GATED).spec;
    assert_eq!(
        (spec.phase(), spec.settings.percent),
        (Some(Phase::Ramping), percent(100))
    );
    assert_eq!(spec.gate.unwrap().waits, None);
}

#[test]
fn a_gate_that_only_shows_leaves_a_plan_to_its_time() {
    let terms = terms(GateMode::Watch, OnHalt::RollBack);
    let mut store = released(terms);
    assert!(!lay(&mut store, &bad(terms), HOUR / 2));
    let due = store.track().due(at(HOUR)).unwrap();
    store.apply(&due);
    assert_eq!(
        rollout(&store, GATED).spec.phase(),
        Some(Phase::Ramping),
        "the second step"
    );
}

#[test]
fn a_gate_that_holds_keeps_a_bad_build_where_it_is() {
    let terms = terms(GateMode::Hold, OnHalt::RollBack);
    let mut store = released(terms);
    assert!(!lay(&mut store, &bad(terms), HOUR / 2), "offers go on");
    assert!(lay(&mut store, &bad(terms), HOUR));
    let spec = &rollout(&store, GATED).spec;
    assert_eq!(
        (spec.state, spec.phase()),
        (RolloutState::Active, Some(Phase::WaitingEvidence))
    );
}

#[test]
fn a_bad_build_is_halted_and_its_devices_wait() {
    let terms = terms(GateMode::Act, OnHalt::Hold);
    let mut store = released(terms);
    let halts = store.track().judged(GATED, &bad(terms), tidegate(60)).unwrap();
    assert!(
        halts.after.gate.unwrap().halted.is_some(),
        "the audit is told why"
    );
    assert!(lay(&mut store, &bad(terms), 60));
    assert_eq!(rollout(&store, GATED).spec.state, RolloutState::Halted);
    assert!(!lay(&mut store, &bad(terms), 61), "who asks twice halts once");
    let (catalog, device) = (store.catalog(), canary());
    assert_eq!(
        decide(&catalog, &device.poll(), at(62)),
        tidegate_domain::Decision::NoUpdate(Reason::Halted)
    );
}

/// A device of the first step that runs build 1's predecessor.
fn canary() -> crate::fleet::Phone {
    let mut ids = (0..).map(|n| format!("device-{n}"));
    let is_first = |id: &String| tidegate_domain::Position::of(id, None).as_percent() < 10.0;
    phone(&ids.find(is_first).unwrap(), 5)
}

#[test]
fn a_bad_build_is_taken_back_where_a_healthy_one_is_left() {
    let terms = terms(GateMode::Act, OnHalt::RollBack);
    let mut store = released(terms);
    assert!(lay(&mut store, &bad(terms), 60));
    assert_eq!(rollout(&store, GATED).spec.state, RolloutState::RolledBack);
    let current = store.current();
    assert_eq!(
        (current.spec.build.0, current.spec.state),
        (1, RolloutState::Active)
    );
    assert_eq!(
        current.spec.takes_back, None,
        "nobody is forced who did not ask for it"
    );
    let (catalog, device) = (store.catalog(), canary());
    match decide(&catalog, &device.poll(), at(61)) {
        tidegate_domain::Decision::Offer(offer) => assert_eq!(offer.build.id.0, 1),
        refused => panic!("{refused:?}"),
    }
}

#[test]
fn a_forced_roll_back_takes_the_version_from_its_devices() {
    let asked = GateTerms {
        roll_back_forced: true,
        ..terms(GateMode::Act, OnHalt::RollBack)
    };
    let mut store = released(asked);
    assert!(lay(&mut store, &bad(asked), 60));
    let version = store.build(2).facts.version_code;
    assert_eq!(store.current().spec.takes_back, Some(version));
}

#[test]
fn without_a_healthy_release_to_go_back_to_it_is_only_halted() {
    let asked = terms(GateMode::Act, OnHalt::RollBack);
    // The first release ever.
    let mut store = Store::with_builds(2);
    store.promote(1, &gated(asked)).unwrap();
    let change = store
        .track()
        .judged(RolloutId(1), &bad(asked), tidegate(60))
        .unwrap();
    store.apply(&change);
    assert_eq!(store.current().spec.state, RolloutState::Halted);
    let told = |rollout: &Rollout| {
        let gate = rollout.spec.gate.unwrap();
        gate.upheld(bad(asked)).sentence("1.1")
    };
    assert_eq!(
        told(&store.current()),
        "Halted: 30 of 100 phones that fetched 1.1 failed to install it, 2 % is tolerated. It was not rolled back: \
         there is no earlier release to go back to."
    );

    // One whose predecessor was stopped as bad.
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store
        .run(|track| track.halt(RolloutId(1), crate::store::BY_ADA))
        .unwrap();
    store.promote(2, &gated(asked)).unwrap();
    let before = store.current();
    let change = store
        .track()
        .judged(before.id, &bad(asked), tidegate(60))
        .unwrap();
    store.apply(&change);
    let halted = rollout(&store, before.id);
    assert_eq!(halted.spec.state, RolloutState::Halted);
    assert!(told(halted).ends_with("there is no earlier release to go back to."));

    // One above a base that was stopped as bad: its devices would be handed to that.
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.create(2, 100, gated(asked)).unwrap();
    store
        .run(|track| track.halt(RolloutId(1), crate::store::BY_ADA))
        .unwrap();
    assert!(lay(&mut store, &bad(asked), 60));
    let halted = rollout(&store, GATED);
    assert_eq!(halted.spec.state, RolloutState::Halted);
    assert!(told(halted).ends_with("the release to go back to is stopped itself."));
}

#[test]
fn a_forced_roll_back_that_cannot_be_says_why() {
    let asked = GateTerms {
        roll_back_forced: true,
        ..terms(GateMode::Act, OnHalt::RollBack)
    };
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    store.release_to(2, 100);
    store.roll_back(true).unwrap();
    let base = store.current().id;
    store.create(3, 100, gated(asked)).unwrap();
    let canary = store.rollouts.last().unwrap().id;
    let change = store.track().judged(canary, &bad(asked), tidegate(60)).unwrap();
    store.apply(&change);
    let gate = rollout(&store, canary).spec.gate.unwrap();
    assert_eq!(rollout(&store, canary).spec.state, RolloutState::Halted);
    assert_eq!(rollout(&store, base).spec.state, RolloutState::Active);
    assert_eq!(
        gate.halted.unwrap().not_rolled_back,
        Some(NotRolledBack::TakesBackAnother)
    );
}

/// Why a bad canary above the base was only halted, of a store whose last rollout it is.
fn why_only_halted(store: &mut Store, asked: GateTerms) -> Option<NotRolledBack> {
    let canary = store.rollouts.last().unwrap().id;
    let change = store.track().judged(canary, &bad(asked), tidegate(60)).unwrap();
    store.apply(&change);
    let spec = &rollout(store, canary).spec;
    assert_eq!(spec.state, RolloutState::Halted);
    spec.gate.unwrap().halted.unwrap().not_rolled_back
}

#[test]
fn a_build_of_another_signer_or_that_serves_elsewhere_is_not_forced_back() {
    let asked = GateTerms {
        roll_back_forced: true,
        ..terms(GateMode::Act, OnHalt::RollBack)
    };
    let mut store = Store::with_builds(2);
    let other = SignerFingerprint([0xbb; 32]);
    Arc::make_mut(&mut store.builds[1]).facts.signers = Signers::one(other);
    store.release_to(1, 100);
    store.create(2, 100, gated(asked)).unwrap();
    assert_eq!(
        why_only_halted(&mut store, asked),
        Some(NotRolledBack::OtherSigner)
    );

    // A base of before goes on serving it.
    let mut store = Store::with_builds(2);
    store.release_to(2, 100);
    store.release_beside(1, 100);
    store.create(2, 100, gated(asked)).unwrap();
    assert_eq!(
        why_only_halted(&mut store, asked),
        Some(NotRolledBack::SeveralServing)
    );
}

#[test]
fn a_halt_by_silence_is_told_with_the_counts_of_its_moment() {
    let asked = terms(GateMode::Act, OnHalt::Hold);
    let mut store = released(asked);
    let mut facts = facts_of(step_of(600, 0, 590));
    for silent in 0..8 {
        let look = Look {
            treated: 600 - silent,
            control: 5_990,
            treated_events: 1,
            control_events: 0,
        };
        facts.lost.short.add(look);
        facts.lost.long.add(look);
    }
    assert!(lay(&mut store, &reading(asked, &facts), 60));
    facts.lost_arms.treated = 700;
    let gate = rollout(&store, GATED).spec.gate.unwrap();
    assert_eq!(
        gate.upheld(reading(asked, &facts)).sentence("1.2"),
        "Halted: 8 of 600 phones with 1.2 fell silent, 0 of 5,990 without it. By now it is 8 of 700."
    );
}

#[test]
fn a_halt_keeps_its_reason_whatever_is_counted_later() {
    let asked = terms(GateMode::Act, OnHalt::Hold);
    let mut store = released(asked);
    assert!(lay(&mut store, &bad(asked), 60));
    // Who was offered the build before goes on to install it.
    let later = reading(asked, &facts_of(step_of(5_000, 31, 4_900)));
    assert_eq!(later.action, GateAction::Advance, "by the numbers alone");
    let gate = rollout(&store, GATED).spec.gate.unwrap();
    let told = gate.upheld(later);
    assert_eq!((told.verdict.as_str(), told.action), ("bad", GateAction::Halt));
    assert_eq!(told.failed.halts_after, None, "it is halted");
    assert_eq!(told.failures(), 31, "the counts go on: who resumes has seen them");
    assert_eq!(
        told.sentence("1.2"),
        "Halted: 30 of 100 phones that fetched 1.2 failed to install it, 2 % is tolerated. By now it is 31 of 5,000."
    );

    let resume = Resume {
        acknowledged_failures: Some(31),
        remark: Some("a bad cable".to_owned()),
    };
    let much = Resume {
        acknowledged_failures: Some(1_000_000),
        ..resume.clone()
    };
    let failures = |_| 31;
    let refused = store.run(|track| track.resume(GATED, &much, failures, tidegate(100)));
    assert!(
        refused.unwrap_err().to_string().contains("which is 31"),
        "nobody has seen what was not counted"
    );
    store
        .run(|track| track.resume(GATED, &resume, failures, tidegate(100)))
        .unwrap();
    assert_eq!(rollout(&store, GATED).spec.gate.unwrap().halted, None);
}

#[test]
fn a_rollout_above_the_base_is_taken_back_alone() {
    let asked = terms(GateMode::Act, OnHalt::RollBack);
    let mut store = Store::with_builds(2);
    store.release_to(1, 100);
    store.create(2, 100, gated(asked)).unwrap();
    assert!(lay(&mut store, &bad(asked), 60));
    assert_eq!(rollout(&store, GATED).spec.state, RolloutState::RolledBack);
    assert_eq!(rollout(&store, RolloutId(1)).spec.state, RolloutState::Active);
}

#[test]
fn a_gate_that_sees_nothing_lets_nobodys_time_pass() {
    let terms = terms(GateMode::Act, OnHalt::Hold);
    let mut store = released(terms);
    assert!(lay(&mut store, &blind(terms, StepProgress::Baking), HOUR / 2));
    assert_eq!(rollout(&store, GATED).spec.phase(), Some(Phase::Blind));
    assert!(
        !lay(&mut store, &blind(terms, StepProgress::Baking), 9 * HOUR),
        "the bake stands still"
    );
    let baking = GateFacts {
        progress: StepProgress::Baking,
        ..facts_of(step_of(300, 0, 300))
    };
    assert!(lay(&mut store, &reading(terms, &baking), 10 * HOUR));
    let run = rollout(&store, GATED).spec.plan.clone().unwrap();
    assert_eq!(
        run.progress.until,
        at(10 * HOUR + HOUR / 2),
        "half an hour was left"
    );
    assert_eq!(rollout(&store, GATED).spec.phase(), Some(Phase::Baking));
}

#[test]
fn who_resumes_a_rollout_that_sees_nothing_lets_no_time_pass() {
    let terms = terms(GateMode::Act, OnHalt::Hold);
    let mut store = released(terms);
    let sees_nothing = blind(terms, StepProgress::Baking);
    assert!(lay(&mut store, &sees_nothing, HOUR / 2));
    let by = |seconds| By {
        actor: "ada",
        ..tidegate(seconds)
    };
    store.run(|track| track.pause(GATED, by(HOUR))).unwrap();
    store
        .run(|track| track.resume(GATED, &tidegate_domain::Resume::default(), |_| 0, by(2 * HOUR)))
        .unwrap();
    assert!(lay(&mut store, &sees_nothing, 2 * HOUR + 1));
    assert!(!lay(&mut store, &sees_nothing, 9 * HOUR));
    let run = rollout(&store, GATED).spec.plan.clone().unwrap();
    assert_eq!(run.progress.stopped, Some(at(2 * HOUR + 1)));
}

#[test]
fn a_plan_gets_no_more_steps_once_its_gates_bets_are_placed() {
    let terms = terms(GateMode::Act, OnHalt::Hold);
    let of = |shares: &[i64]| {
        let step = |share: &i64| PlanStep::to(percent(*share), Span::hours(1));
        Plan::new(shares.iter().map(step).collect()).unwrap()
    };
    let edit = |shares: &[i64]| RolloutEdit {
        plan: Some(of(shares)),
        ..RolloutEdit::default()
    };
    let by = crate::store::BY_ADA;
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    let short = Promotion {
        plan: Some(of(&[10])),
        ..gated(terms)
    };
    store.create(2, 100, short).unwrap();
    let refused = store.run(|track| track.edit(GATED, edit(&[10, 50]), 1, by));
    assert!(
        matches!(&refused, Err(tidegate_domain::Error::Invalid { field, .. }) if *field == "plan.steps"),
        "{refused:?}"
    );
    let without = RolloutEdit {
        gate: Some(None),
        ..RolloutEdit::default()
    };
    store.run(|track| track.edit(GATED, without, 1, by)).unwrap();
    store
        .run(|track| track.edit(GATED, edit(&[10, 50]), 2, by))
        .unwrap();
}

#[test]
fn paused_and_ended_rollouts_are_not_judged() {
    let terms = terms(GateMode::Act, OnHalt::Hold);
    for stop in [RolloutState::Paused, RolloutState::Canceled] {
        let mut store = released(terms);
        let by = crate::store::BY_ADA;
        store
            .run(|track| match stop {
                RolloutState::Paused => track.pause(GATED, by),
                _ => track.cancel(GATED, by),
            })
            .unwrap();
        assert!(!lay(&mut store, &bad(terms), 60), "{stop}");
    }
}

#[test]
fn a_complete_rollout_can_still_be_halted() {
    let terms = terms(GateMode::Act, OnHalt::Hold);
    let mut store = released(terms);
    assert!(lay(&mut store, &good(terms), HOUR));
    let due = store.track().due(at(HOUR)).unwrap();
    store.apply(&due);
    assert!(lay(&mut store, &good(terms), 2 * HOUR));
    assert_eq!(rollout(&store, GATED).spec.state, RolloutState::Completed);
    assert!(lay(&mut store, &bad(terms), 3 * HOUR));
    assert_eq!(rollout(&store, GATED).spec.state, RolloutState::Halted);
}

#[test]
fn a_gate_is_a_term_that_may_change_and_go() {
    let before = terms(GateMode::Watch, OnHalt::Hold);
    let after = terms(GateMode::Act, OnHalt::RollBack);
    let mut store = released(before);
    let edit = |gate| RolloutEdit {
        gate: Some(gate),
        ..RolloutEdit::default()
    };
    let by = crate::store::BY_ADA;
    store
        .run(|track| track.edit(GATED, edit(Some(after)), 1, by))
        .unwrap();
    let gate = rollout(&store, GATED).spec.gate.unwrap();
    assert_eq!((gate.terms, gate.segment.number), (after, 1));
    store.run(|track| track.edit(GATED, edit(None), 2, by)).unwrap();
    assert_eq!(rollout(&store, GATED).spec.gate, None);
    assert!(
        store.track().due(at(HOUR)).is_some(),
        "time alone takes it on again"
    );
}

#[test]
fn a_look_goes_on_from_the_one_before_within_its_segment() {
    let store = released(terms(GateMode::Act, OnHalt::Hold));
    let spec = &rollout(&store, GATED).spec;
    let first = Segment::first(at(0));
    let mut state = GateState::default().at(first, 1, 2);
    assert_eq!(state.weights.steps(), 2);
    assert!(state.is_to_search(at(0)));
    assert!(state.note_polls((100, 90), at(0)));
    assert!(!state.is_to_search(at(59)) && state.is_to_search(at(60)));
    assert!(!state.note_polls((100, 3), at(60)), "blind");
    state.lost.short.add(tidegate_domain::gate::Look {
        treated: 100,
        control: 100,
        treated_events: 3,
        control_events: 0,
    });
    let again = state.clone().at(first, 1, 3);
    assert_eq!((again.weights.steps(), again.lost), (3, state.lost));

    let resumed = state.at(first.next(at(600)), 1, 2);
    assert_eq!(resumed.lost, Default::default(), "all evidence is 1 again");
    assert!(resumed.blind.is_blind(), "and still it sees nothing");
    let counts = || GateCounts {
        fleet: 5_000,
        steps: vec![StepCounts::default()],
    };
    let facts = resumed.facts(spec, counts(), at(HOUR + 600));
    assert_eq!(facts.progress, StepProgress::Over);
    assert_eq!(facts.waited_seconds, 0, "no time has passed on the gate's clock");
    let mut seeing = resumed;
    seeing.note_polls((100, 90), at(2 * HOUR));
    assert_eq!(seeing.facts(spec, counts(), at(3 * HOUR)).waited_seconds, 3_600);
}

#[test]
fn the_gates_clock_stands_still_while_it_is_blind() {
    let mut blind = BlindTimes::default();
    assert!(!blind.note(false, at(0)));
    assert!(blind.note(true, at(0)) && blind.note(false, at(0)));
    assert_eq!(blind, BlindTimes::default(), "for no time at all");
    assert!(blind.note(true, at(100)) && !blind.note(true, at(150)));
    assert_eq!(blind.passed(at(0), at(400)).num_seconds(), 100);
    assert!(blind.note(false, at(300)));
    assert_eq!(blind.passed(at(0), at(400)).num_seconds(), 200);
    assert_eq!(blind.passed(at(200), at(250)).num_seconds(), 0);
    assert_eq!(blind.passed(at(350), at(400)).num_seconds(), 50);
    for n in 0..300 {
        blind.note(n % 2 == 0, at(1_000 + n));
    }
    assert_eq!(
        blind.stood(at(0), at(2_000)).num_seconds(),
        100,
        "the last hundred are remembered"
    );
}

#[test]
fn a_look_counts_from_the_beginning_of_its_segment_on() {
    let asked = terms(GateMode::Act, OnHalt::Hold);
    let gate = RolloutGate::begun(asked, at(60));
    let facts = facts_of(step_of(300, 0, 300));
    assert_eq!(gate.reading(at(59), &facts), None, "what was seen before it");
    for seconds in [60, 61] {
        assert_eq!(gate.reading(at(seconds), &facts), Some(good(asked)));
    }
}

#[test]
fn a_plan_is_stuck_only_once_its_step_is_over() {
    let asked = terms(GateMode::Act, OnHalt::Hold);
    let facts = GateFacts {
        waited_seconds: 72 * 3_600,
        ..facts_of(step_of(300, 0, 20))
    };
    let stuck = reading(asked, &facts);
    assert_eq!(WaitsFor::of(&stuck, true), Some(WaitsFor::Stuck));
    assert_eq!(WaitsFor::of(&stuck, false), None);
    assert_eq!(WaitsFor::of(&no_news(asked), true), Some(WaitsFor::Evidence));
    assert_eq!(WaitsFor::of(&no_news(asked), false), None);
    for is_over in [true, false] {
        let sees_nothing = blind(asked, StepProgress::Over);
        assert_eq!(WaitsFor::of(&sees_nothing, is_over), Some(WaitsFor::Blind));
    }
}
