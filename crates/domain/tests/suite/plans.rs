//! A release that plans its own steps, and the clocks that it is read by.

use chrono::TimeDelta;
use proptest::prelude::*;
use tidegate_domain::{
    By, Catalog, Change, Coming, DevicesPerHour, Error, Percent, Phase, Plan, PlanRun, PlanStep, Position,
    Promotion, Reason, Resume, RolloutEdit, RolloutId, RolloutState, Share, Span, Stage, decide, explain,
};

use crate::fleet::{Phone, answer, at, percent, phone};
use crate::property::check_often;
use crate::store::{Store, to};

const HOUR: i64 = 3_600;

fn by(seconds: i64) -> By<'static> {
    By {
        actor: "ada",
        on_behalf_of: None,
        now: at(seconds),
    }
}

fn step(share: i64, over: u16, bake: u16) -> PlanStep {
    PlanStep {
        over: Span::hours(over),
        ..PlanStep::to(percent(share), Span::hours(bake))
    }
}

/// 10 % over two hours, an hour's bake, everybody over ten hours, an hour's bake.
fn two_steps() -> Plan {
    Plan::new(vec![step(10, 2, 1), step(100, 10, 1)]).unwrap()
}

pub(crate) fn by_plan(plan: Plan) -> Promotion {
    Promotion {
        plan: Some(plan),
        ..to(1)
    }
}

/// Build 2 goes out by a plan, build 1 is everybody's.
fn released(plan: Plan) -> Store {
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    store.promote(2, &by_plan(plan)).unwrap();
    store
}

/// Lets what is due happen, at each of these times.
fn clerk(store: &mut Store, times: impl IntoIterator<Item = i64>) -> Vec<(i64, &'static str, Option<Phase>)> {
    let mut seen = Vec::new();
    for time in times {
        if let Some(change) = store.track().due(at(time)) {
            store.apply(&change);
            seen.push((time, change.action, store.current().spec.phase()));
        }
    }
    seen
}

fn share_at(store: &Store, seconds: i64) -> f64 {
    store.current().spec.share(at(seconds)).as_percent()
}

/// A device at this position of the fleet.
fn device_at(place: impl Fn(f64) -> bool) -> Phone {
    let id = (0..)
        .map(|n| format!("device-{n}"))
        .find(|id| place(Position::of(id, None).as_percent()));
    phone(&id.unwrap(), 10)
}

fn answer_at(catalog: &Catalog, phone: &Phone, seconds: i64) -> Result<i64, Reason> {
    match decide(catalog, &phone.poll(), at(seconds)) {
        tidegate_domain::Decision::Offer(offer) => Ok(offer.build.id.0),
        tidegate_domain::Decision::NoUpdate(reason) => Err(reason),
    }
}

#[test]
fn a_plan_ramps_bakes_and_is_complete_by_itself() {
    let mut store = released(two_steps());
    assert_eq!(store.current().spec.settings.percent, percent(10));
    for (seconds, share) in [(0, 0.0), (HOUR, 5.0), (2 * HOUR, 10.0), (9 * HOUR, 10.0)] {
        assert_eq!(
            share_at(&store, seconds).to_bits(),
            f64::to_bits(share),
            "{seconds}"
        );
    }
    let told = clerk(&mut store, (0..20 * HOUR).step_by(60));
    assert_eq!(
        told,
        [
            (2 * HOUR, "ota.rollout.step", Some(Phase::Baking)),
            (3 * HOUR, "ota.rollout.step", Some(Phase::Ramping)),
            (13 * HOUR, "ota.rollout.step", Some(Phase::Baking)),
            (14 * HOUR, "ota.rollout.complete", None),
        ]
    );
    let done = store.current().spec;
    assert_eq!(
        (done.state, done.settings.percent),
        (RolloutState::Completed, Percent::EVERYBODY)
    );
    assert_eq!(done.revision, 1, "nobody edited its terms");
}

#[test]
fn a_device_is_offered_the_build_from_the_moment_at_which_the_line_passes_it() {
    let store = released(two_steps());
    let catalog = store.catalog();
    let (early, late) = (
        device_at(|place| (4.0..5.0).contains(&place)),
        device_at(|place| place > 50.0),
    );
    let poll = early.poll();
    assert_eq!(answer_at(&catalog, &early, HOUR / 2), Err(Reason::Ramping));
    assert_eq!(answer_at(&catalog, &early, HOUR), Ok(2));
    assert_eq!(
        answer_at(&catalog, &late, HOUR),
        Err(Reason::NotInCohort),
        "not in this step"
    );
    let told = explain(&catalog, &poll, at(60))
        .steps
        .into_iter()
        .find(|step| step.rule == "cohort")
        .unwrap();
    assert!(
        told.answer.contains("; the ramp reaches it at 1970-01-01T00:5"),
        "{}",
        told.answer
    );
    assert!(told.inputs.contains(&("phase".into(), "ramping".into())));
    assert_eq!(
        answer_at(&catalog, &early.clone(), -HOUR),
        Err(Reason::Ramping),
        "a clock set back"
    );
    assert_eq!(answer(&catalog, &late), Err(Reason::NotInCohort));
}

#[test]
fn a_server_that_was_away_takes_one_step_at_a_time_and_each_its_whole_time() {
    let mut store = released(two_steps());
    let back = 1_000 * HOUR;
    let times = (0..).map(|second| back + second);
    let told = clerk(&mut store, times.take(60));
    assert_eq!(
        told,
        [(back, "ota.rollout.step", Some(Phase::Baking))],
        "the bake begins only now"
    );
    let told = clerk(&mut store, [back + HOUR, back + HOUR + 1]);
    assert_eq!(told.len(), 1);
    assert_eq!(share_at(&store, back + 6 * HOUR).to_bits(), 55.0_f64.to_bits());
}

#[test]
fn what_a_pause_takes_is_no_time_of_the_plans() {
    let mut store = released(two_steps());
    store.run(|track| track.pause(RolloutId(2), by(HOUR))).unwrap();
    assert!(clerk(&mut store, (HOUR..30 * HOUR).step_by(600)).is_empty());
    assert_eq!(share_at(&store, 30 * HOUR).to_bits(), 5.0_f64.to_bits());
    store
        .run(|track| track.resume(RolloutId(2), &Resume::default(), |_| 0, by(30 * HOUR)))
        .unwrap();
    assert_eq!(share_at(&store, 30 * HOUR + 1_800).to_bits(), 7.5_f64.to_bits());
    assert_eq!(
        clerk(&mut store, [31 * HOUR - 1, 31 * HOUR]).len(),
        1,
        "an hour was left"
    );
    store
        .run(|track| track.halt(RolloutId(2), by(31 * HOUR + 1_800)))
        .unwrap();
    store
        .run(|track| track.resume(RolloutId(2), &Resume::default(), |_| 0, by(50 * HOUR)))
        .unwrap();
    assert!(clerk(&mut store, [50 * HOUR + 1_799]).is_empty());
    assert_eq!(
        clerk(&mut store, [50 * HOUR + 1_800]).len(),
        1,
        "half of the bake was left"
    );
}

#[test]
fn an_operator_holds_starts_and_advances() {
    let mut store = released(two_steps());
    store.run(|track| track.hold(RolloutId(2), by(HOUR))).unwrap();
    assert!(
        store
            .run(|track| track.hold(RolloutId(2), by(HOUR + 5)))
            .unwrap()
            .is_empty()
    );
    let spec = store.current().spec;
    assert_eq!(
        (spec.state, spec.phase()),
        (RolloutState::Active, Some(Phase::Held))
    );
    assert_eq!(share_at(&store, 90 * HOUR).to_bits(), 5.0_f64.to_bits());
    store
        .run(|track| track.pause(RolloutId(2), by(91 * HOUR)))
        .unwrap();
    store
        .run(|track| track.resume(RolloutId(2), &Resume::default(), |_| 0, by(92 * HOUR)))
        .unwrap();
    assert_eq!(
        store.current().spec.phase(),
        Some(Phase::Held),
        "resuming does not end a hold"
    );
    store
        .run(|track| track.start(RolloutId(2), by(100 * HOUR)))
        .unwrap();
    assert!(
        store
            .run(|track| track.start(RolloutId(2), by(100 * HOUR)))
            .unwrap()
            .is_empty()
    );
    assert_eq!(share_at(&store, 101 * HOUR).to_bits(), 10.0_f64.to_bits());
    store
        .run(|track| track.advance(RolloutId(2), by(100 * HOUR + 1_800)))
        .unwrap();
    let run = store.current().spec.plan.unwrap();
    assert_eq!(
        (run.progress.step, run.progress.from.as_percent().to_bits()),
        (1, 7.5_f64.to_bits())
    );
    store
        .run(|track| track.advance(RolloutId(2), by(101 * HOUR)))
        .unwrap();
    assert_eq!(share_at(&store, 101 * HOUR).to_bits(), 100.0_f64.to_bits());
    let nothing_left = store.run(|track| track.advance(RolloutId(2), by(102 * HOUR)));
    assert_eq!(
        nothing_left,
        Err(Error::PlanDone {
            rollout: RolloutId(2)
        })
    );
}

#[test]
fn a_share_set_by_hand_holds_the_plan_which_goes_on_from_there() {
    let plan = Plan::new(vec![
        step(1, 0, 1),
        step(10, 0, 1),
        step(50, 2, 1),
        step(100, 0, 1),
    ])
    .unwrap();
    let mut store = released(plan);
    clerk(&mut store, [0]);
    store
        .run(|track| track.adjust(RolloutId(2), percent(20), by(10)))
        .unwrap();
    let spec = store.current().spec;
    assert_eq!(
        (spec.phase(), spec.percent(at(999))),
        (Some(Phase::Held), percent(20))
    );
    assert!(clerk(&mut store, (10..50 * HOUR).step_by(600)).is_empty());
    store
        .run(|track| track.start(RolloutId(2), by(50 * HOUR)))
        .unwrap();
    assert_eq!(store.current().spec.phase(), Some(Phase::Baking));
    clerk(&mut store, [51 * HOUR]);
    assert_eq!(
        share_at(&store, 52 * HOUR).to_bits(),
        35.0_f64.to_bits(),
        "half way from 20 to 50"
    );
    store
        .run(|track| track.adjust(RolloutId(2), percent(5), by(52 * HOUR)))
        .unwrap();
    assert_eq!(
        share_at(&store, 52 * HOUR).to_bits(),
        5.0_f64.to_bits(),
        "lowering is possible"
    );
    store
        .run(|track| track.start(RolloutId(2), by(53 * HOUR)))
        .unwrap();
    assert_eq!(
        share_at(&store, 54 * HOUR).to_bits(),
        27.5_f64.to_bits(),
        "the ramp to 50 begins anew"
    );
}

#[test]
fn only_what_lies_ahead_of_a_plan_can_be_changed() {
    let mut store = released(two_steps());
    let edit = |plan| RolloutEdit {
        plan: Some(plan),
        ..RolloutEdit::default()
    };
    let other_first = Plan::new(vec![step(20, 2, 1), step(100, 10, 1)]).unwrap();
    let refused = store.run(|track| track.edit(RolloutId(2), edit(other_first), 1, by(60)));
    assert_eq!(refused.unwrap_err().field(), Some("plan"));
    let longer = Plan::new(vec![step(10, 2, 1), step(40, 0, 1), step(100, 10, 1)]).unwrap();
    store
        .run(|track| track.edit(RolloutId(2), edit(longer.clone()), 1, by(60)))
        .unwrap();
    assert_eq!(store.current().spec.plan.unwrap().plan, longer);
    let again = store
        .run(|track| track.edit(RolloutId(2), edit(longer), 1, by(70)))
        .unwrap();
    assert!(again.is_empty(), "asked for twice");
    let mut plain = Store::with_builds(2);
    plain.release_to(2, 20);
    let below = plain.run(|track| track.edit(RolloutId(1), edit(two_steps()), 1, by(60)));
    assert_eq!(
        below.unwrap_err().field(),
        Some("plan"),
        "the share is 20 % already"
    );
    let above = Plan::new(vec![step(60, 2, 1)]).unwrap();
    plain
        .run(|track| track.edit(RolloutId(1), edit(above), 1, by(60)))
        .unwrap();
    assert_eq!(share_at(&plain, 60 + HOUR).to_bits(), 40.0_f64.to_bits());
    clerk(&mut plain, [60 + 2 * HOUR, 60 + 3 * HOUR]);
    let spec = plain.current().spec;
    assert_eq!(
        (spec.state, spec.phase()),
        (RolloutState::Active, Some(Phase::Done)),
        "60 % is not everybody"
    );
}

#[test]
fn a_release_that_is_scheduled_replaces_nothing_before_its_time() {
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    let mut first = step(100, 0, 1);
    first.not_before = Some(at(100));
    store
        .promote(2, &by_plan(Plan::new(vec![first]).unwrap()))
        .unwrap();
    assert_eq!(
        store.serving(),
        [(1, RolloutState::Active), (2, RolloutState::Scheduled)]
    );
    let phone = phone("anybody", 10);
    assert_eq!(
        answer_at(&store.catalog(), &phone, 50),
        Err(Reason::AlreadyCurrent)
    );
    assert_eq!(store.rollouts[1].spec.percent(at(50)), Percent::NOBODY);
    assert!(clerk(&mut store, [99]).is_empty());
    assert_eq!(clerk(&mut store, [100]).len(), 1);
    assert_eq!(store.serving(), [(2, RolloutState::Active)]);
    assert_eq!(answer_at(&store.catalog(), &phone, 100), Ok(2));
    store.roll_back(false).unwrap();
    assert_eq!(
        store.serving(),
        [(1, RolloutState::Active)],
        "it knows what it replaced"
    );
}

#[test]
fn a_later_promotion_ends_what_is_scheduled_and_an_operator_starts_it_early() {
    let scheduled = || {
        let mut store = Store::with_builds(3);
        store.release_to(1, 100);
        let mut first = step(100, 0, 1);
        first.not_before = Some(at(100));
        let plan = by_plan(Plan::new(vec![first]).unwrap());
        store.promote(2, &plan).unwrap();
        assert!(store.promote(2, &plan).unwrap().is_empty(), "asked for twice");
        store
    };
    let mut replaced = scheduled();
    replaced.release_to(3, 100);
    assert_eq!(replaced.serving(), [(3, RolloutState::Active)]);
    let mut beside = scheduled();
    beside.release_beside(3, 10);
    assert_eq!(
        beside.serving(),
        [(3, RolloutState::Active), (1, RolloutState::Active)]
    );
    let mut early = scheduled();
    early.run(|track| track.start(RolloutId(2), by(10))).unwrap();
    assert_eq!(early.serving(), [(2, RolloutState::Active)]);
    let mut canceled = scheduled();
    canceled.run(|track| track.cancel(RolloutId(2), by(10))).unwrap();
    assert_eq!(canceled.serving(), [(1, RolloutState::Active)]);
    assert!(canceled.track().due(at(1_000)).is_none());
}

#[test]
fn a_scheduled_rollout_above_the_base_ends_nobodys_poll() {
    let mut store = Store::with_builds(3);
    store.release_to(3, 100);
    let mut first = step(100, 0, 1);
    first.not_before = Some(at(100));
    store
        .create(2, 10, by_plan(Plan::new(vec![first]).unwrap()))
        .unwrap();
    let on_two = phone("anybody", 20);
    assert_eq!(
        answer_at(&store.catalog(), &on_two, 50),
        Ok(3),
        "it runs the scheduled build already"
    );
}

#[test]
fn a_plan_that_is_offered_again_keeps_its_share_until_somebody_starts_it() {
    let mut store = released(two_steps());
    store
        .run(|track| track.promote(&track_build(3), &to(100), 0, by(HOUR)))
        .unwrap();
    store.run(|track| track.roll_back(false, by(90 * HOUR))).unwrap();
    let spec = store.current().spec;
    assert_eq!((spec.build.0, spec.phase()), (2, Some(Phase::Held)));
    assert_eq!(share_at(&store, 200 * HOUR).to_bits(), 5.0_f64.to_bits());
}

fn track_build(id: i64) -> tidegate_domain::Build {
    crate::fleet::build(id)
}

#[test]
fn what_is_not_a_plan_is_refused() {
    for steps in [
        vec![],
        vec![step(10, 0, 0); 2],
        vec![step(10, 0, 0), step(5, 0, 0)],
        vec![step(0, 0, 0)],
    ] {
        assert_eq!(Plan::new(steps).unwrap_err().field(), Some("plan"));
    }
    let many = (1..=21).map(|share| step(share, 0, 0)).collect();
    assert!(Plan::new(many).is_err());
    let read = |text: &str| serde_json::from_str::<Plan>(text);
    let plan = read(
        r#"{"steps": [{"percent": 0.5, "over": "90m"}, {"percent": 100, "bake": "1day", "approve": true}]}"#,
    );
    let plan = plan.unwrap();
    assert_eq!(plan.first().over.seconds(), 5_400);
    assert_eq!(read(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
    for bad in [
        r#"{"steps": []}"#,
        r#"{"steps": [{"percent": 5, "over": "-1h"}]}"#,
        r#"{"steps": [{"percent": 5, "over": "366days"}]}"#,
        r#"{"steps": [{"percent": 5, "ovr": "1h"}]}"#,
        r#"{"steps": [{"percent": 5.001}]}"#,
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
    assert_eq!(Plan::careful().steps().len(), 6);
}

/// A plan of up to six steps, with spans of minutes.
fn plans() -> impl Strategy<Value = Plan> {
    let span =
        || (0_u64..90).prop_map(|minutes| Span::new(std::time::Duration::from_secs(minutes * 60)).unwrap());
    let step = (1_i64..2_000, span(), span(), proptest::option::of(0_i64..20_000));
    proptest::collection::vec(step, 1..6).prop_map(|steps| {
        let mut share = 0;
        let steps = steps.into_iter().map(|(grows, over, bake, not_before)| {
            share += grows;
            PlanStep {
                percent: Percent::of_hundredths(share).unwrap(),
                over,
                bake,
                not_before: not_before.map(at),
                approve: false,
                nudge: false,
            }
        });
        Plan::new(steps.collect()).unwrap()
    })
}

#[test]
fn the_share_never_falls_whatever_the_clock_does_as_long_as_floors_are_kept() {
    let ticks = proptest::collection::vec(-2_000_i64..4_000, 30);
    check_often(300, &(plans(), ticks), |(plan, ticks)| {
        let mut store = released(plan);
        let (mut now, mut reached, mut set_back) = (0, Share::new(0).unwrap(), false);
        for tick in ticks {
            set_back |= tick < 0;
            now += tick;
            if let Some(change) = store.track().due(at(now)) {
                store.apply(&change);
            }
            for floor in store.track().floors(at(now)) {
                let id = floor.id;
                *store
                    .rollouts
                    .iter_mut()
                    .find(|rollout| rollout.id == id)
                    .unwrap() = floor;
            }
            let Some(current) = store.track().current().map(|release| release.rollout.clone()) else {
                continue;
            };
            if current.spec.build.0 == 2 {
                let share = current.spec.share(at(now));
                prop_assert!(share >= reached, "fell from {reached:?} to {share:?}");
                reached = share;
            }
        }
        Ok(set_back && reached > Share::new(0).unwrap())
    });
}

#[test]
fn the_ramp_reaches_a_device_exactly_when_it_is_said_to() {
    check_often(400, &(plans(), 0_u32..100_000_000), |(plan, position)| {
        let store = released(plan);
        let Some(release) = store.track().current().cloned() else {
            return Ok(false);
        };
        let spec = release.rollout.spec;
        let (Some(run), position) = (&spec.plan, Position::new(position).unwrap()) else {
            return Ok(false);
        };
        let Some(reached) = run.reaches(spec.settings.slice, position) else {
            let end = run.progress.until;
            prop_assert!(!spec.takes(position, end) || run.progress.stage != Stage::Ramping);
            return Ok(true);
        };
        prop_assert!(spec.takes(position, reached));
        let before = reached - TimeDelta::milliseconds(1);
        prop_assert!(reached == run.progress.since || !spec.takes(position, before));
        Ok(true)
    });
}

#[test]
fn what_is_foretold_is_what_happens_and_nothing_else() {
    check_often(400, &plans(), |plan| {
        let mut store = released(plan);
        let foretold: Vec<Coming> = {
            let track = store.track();
            let release = track
                .serving
                .iter()
                .find(|release| release.build.id.0 == 2)
                .unwrap();
            track.coming(release)
        };
        for coming in &foretold {
            let now = coming.at.unwrap();
            let due = |now| store.track().due(now);
            prop_assert!(due(now - TimeDelta::seconds(1)).is_none() || due(at(0)).is_some());
            let change = due(now).unwrap();
            store.apply(&change);
            let progress = &store.rollouts[1].spec.plan.as_ref().unwrap().progress;
            prop_assert_eq!((coming.step, coming.stage), (progress.step + 1, progress.stage));
        }
        prop_assert!(store.track().due(at(1 << 40)).is_none());
        Ok(foretold.len() > 3)
    });
}

#[test]
fn a_verb_of_plans_says_what_it_needs() {
    let mut store = Store::with_builds(1);
    store.release_to(1, 10);
    type Verb = fn(&tidegate_domain::Track, RolloutId, By<'static>) -> Result<Change, Error>;
    let verbs: [Verb; 2] = [
        |track, rollout, by| track.hold(rollout, by),
        |track, rollout, by| track.advance(rollout, by),
    ];
    for verb in verbs {
        assert_eq!(
            store
                .run(|track| verb(track, RolloutId(1), by(5)))
                .unwrap_err()
                .code(),
            "no_plan"
        );
        store.run(|track| track.pause(RolloutId(1), by(5))).unwrap();
        assert_eq!(
            store
                .run(|track| verb(track, RolloutId(1), by(5)))
                .unwrap_err()
                .code(),
            "wrong_state"
        );
        store
            .run(|track| track.resume(RolloutId(1), &Resume::default(), |_| 0, by(5)))
            .unwrap();
        assert_eq!(
            store
                .run(|track| verb(track, RolloutId(9), by(5)))
                .unwrap_err()
                .code(),
            "rollout_ended"
        );
    }
}

#[test]
fn a_step_that_wakes_devices_does_so_once_its_share_is_reached() {
    let nudge = |step: PlanStep| PlanStep { nudge: true, ..step };
    let plan = Plan::new(vec![
        nudge(step(10, 2, 1)),
        nudge(step(50, 0, 1)),
        step(100, 1, 0),
    ])
    .unwrap();
    let run = PlanRun::begun(plan, Percent::NOBODY.share(), at(0));
    let two_hours = 2 * HOUR;
    assert_eq!(
        [two_hours - 1, two_hours].map(|now| run.nudges(at(now))),
        [false, true],
        "when the ramp has ended"
    );
    let baking = run.stepped(at(two_hours), |_| false).unwrap();
    assert!(!baking.nudges(at(two_hours)), "it was done before the bake began");
    let mut stopped = run;
    stopped.stop(at(HOUR));
    assert!(!stopped.nudges(at(two_hours)), "time stands still");
    let second = baking.stepped(at(3 * HOUR), |_| false).unwrap();
    assert!(second.nudges(at(3 * HOUR)), "without a ramp at once");
    let third = second.advanced(at(4 * HOUR));
    assert!(!third.nudges(at(9 * HOUR)), "it does not ask for it");
}

#[test]
fn an_approval_holds_for_the_later_steps_unless_they_ask_for_their_own() {
    let asks = |step: &PlanStep| step.approve || step.percent > percent(20);
    let own = PlanStep {
        approve: true,
        ..step(100, 0, 1)
    };
    let plan = Plan::new(vec![step(10, 0, 1), step(30, 0, 1), step(50, 0, 1), own]).unwrap();
    let run = PlanRun::begun(plan, Percent::NOBODY.share(), at(0));
    let waits = |coming: Vec<Coming>| -> Vec<usize> {
        let waits = coming.iter().filter(|at| at.stage == Stage::WaitingApproval);
        waits.map(|at| at.step).collect()
    };
    // Told of the step before.
    assert_eq!(waits(run.coming(asks)), [1, 3]);
    assert_eq!(
        waits(run.coming_from_start(true, asks)),
        [3],
        "approved to begin with"
    );
}

#[test]
fn a_plan_that_is_pulled_back_by_hand_stays_there_though_its_steps_have_no_ramp() {
    let plan = Plan::new(vec![step(50, 0, 24), step(100, 0, 0)]).unwrap();
    let mut store = released(plan);
    clerk(&mut store, [0]);
    let adjust = |store: &mut Store, share: i64, seconds: i64| {
        store
            .run(|track| track.adjust(RolloutId(2), percent(share), by(seconds)))
            .unwrap();
        assert_eq!(
            store.current().spec.percent(at(seconds + HOUR)),
            percent(share),
            "for as long as it is held"
        );
    };
    adjust(&mut store, 5, 10);
    let outside = device_at(|place| (5.0..50.0).contains(&place));
    assert_eq!(
        answer_at(&store.catalog(), &outside, HOUR),
        Err(Reason::NotInCohort)
    );
    adjust(&mut store, 100, 20);
    adjust(&mut store, 30, 30);

    store
        .run(|track| track.start(RolloutId(2), by(2 * HOUR)))
        .unwrap();
    assert_eq!(
        store.current().spec.percent(at(2 * HOUR)),
        percent(100),
        "the step at hand, which has no ramp"
    );
    clerk(&mut store, [2 * HOUR, 3 * HOUR, 4 * HOUR]);
    assert_eq!(store.current().spec.state, RolloutState::Completed);
    let pulled = store.run(|track| track.adjust(RolloutId(2), percent(1), by(5 * HOUR)));
    assert!(pulled.is_err(), "a completed rollout is everybody's");
}

#[test]
fn a_rate_is_a_ramp_that_never_takes_more_devices_an_hour() {
    let rate = |devices| DevicesPerHour::new(devices).unwrap();
    for (devices, added, seconds) in [
        (1_000, 0, 0),
        (1_000, 1, 4),
        (1_000, 500, 1_800),
        (1_000, 501, 1_804),
        (1_000, 10_000, 36_000),
        (7_200, 1, 1),
        (1, 8_760, 365 * 86_400),
    ] {
        let ramp = rate(devices).ramp(added).unwrap();
        assert_eq!(ramp.seconds(), seconds, "{added} devices at {devices} an hour");
        assert!(u64::from(ramp.seconds()) * u64::try_from(devices).unwrap() >= added * 3_600);
    }
    let too_long = rate(1).ramp(8_761).unwrap_err().to_string();
    assert!(
        too_long.contains("8761 devices") && too_long.contains("1 devices an hour"),
        "{too_long}"
    );
    for none in [0, -1, i64::from(u32::MAX) + 1] {
        assert!(
            matches!(DevicesPerHour::new(none), Err(Error::Invalid { .. })),
            "{none}"
        );
    }
    assert!(DevicesPerHour::new(u32::MAX.into()).is_ok());
}

#[test]
fn only_steps_with_a_rate_get_another_ramp() {
    let plan = Plan::new(vec![step(10, 2, 1), step(50, 3, 0), step(100, 0, 0)]).unwrap();
    let rates = [None, DevicesPerHour::new(100).ok(), DevicesPerHour::new(50).ok()];
    let paced = plan.paced(&rates, &[1_000, 400, 500]).unwrap();
    let hours: Vec<u32> = paced
        .steps()
        .iter()
        .map(|step| step.over.seconds() / 3_600)
        .collect();
    assert_eq!(hours, [2, 4, 10]);
    assert_eq!(plan.paced(&[], &[]).unwrap(), plan);
    let fault = plan.paced(&rates, &[0, 0, 1_000_000]).unwrap_err().to_string();
    assert!(fault.contains("step 3"), "{fault}");
}
