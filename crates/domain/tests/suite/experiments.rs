//! Experiments: whom each arm has, what an arm may not be changed in, and how all of them end.

use proptest::prelude::*;
use tidegate_domain::{
    ArmDraft, Audience, BuildId, ConclusionDraft, Error, Experiment, ExperimentChange, ExperimentDraft,
    ExperimentFacts, ExperimentId, ExperimentStart, Percent, Position, Reason, Resume, Rollout, RolloutEdit,
    RolloutId, RolloutState, Share, Slice, Winner,
};

use crate::fleet::{answer, percent, phone};
use crate::property::check_often;
use crate::store::{BY_ADA, Store, to};

fn share(percent: f64) -> Share {
    Slice::of_percents(0.0, percent).unwrap().width
}

/// Arms that offer builds 2, 3, … with these widths in percent.
fn draft(widths: &[f64], holdout: Option<f64>) -> ExperimentDraft {
    ExperimentDraft {
        name: "scanner".to_owned(),
        priority: 100,
        audience: Audience::everybody(),
        salt: None,
        arms: (2..)
            .zip(widths)
            .map(|(build, width)| ArmDraft {
                build: BuildId(build),
                width: share(*width),
                name: format!("arm of {build}"),
            })
            .collect(),
        holdout: holdout.map(share),
        start: None,
    }
}

/// A package whose base offers build 1, and its one experiment.
#[derive(Clone, Debug)]
struct Lab {
    store: Store,
    experiment: Option<Experiment>,
}

impl Lab {
    fn new() -> Self {
        let mut store = Store::with_builds(12);
        store.release_to(1, 100);
        Self {
            store,
            experiment: None,
        }
    }

    fn with(draft: &ExperimentDraft) -> Self {
        let mut lab = Self::new();
        lab.start(draft).unwrap();
        lab
    }

    fn start(&mut self, draft: &ExperimentDraft) -> Result<ExperimentStart, Error> {
        let builds: Vec<_> = self.store.builds.iter().map(|build| (**build).clone()).collect();
        let running: Vec<Experiment> = self.experiment.iter().cloned().collect();
        let start = (self.store.track()).start_experiment(draft, &builds, &running, |_| 0, BY_ADA)?;
        if let ExperimentStart::New(change) = &start {
            let mut change = (**change).clone();
            let id = ExperimentId(self.experiment.as_ref().map_or(1, |before| before.id.0 + 1));
            for arm in &mut change.insert {
                arm.experiment = Some(id);
            }
            self.store
                .write(&change.updates, &change.insert, change.next_slice_start);
            self.experiment = Some(Experiment {
                id,
                spec: change.experiment,
            });
        }
        Ok(start)
    }

    fn running(&self) -> &Experiment {
        self.experiment.as_ref().unwrap()
    }

    fn arms(&self) -> Vec<Rollout> {
        let own = |rollout: &&Rollout| rollout.spec.experiment == Some(self.running().id);
        self.store.rollouts.iter().filter(own).cloned().collect()
    }

    fn conclude(&mut self, winner: Option<Winner>, percent: Percent) -> Result<ExperimentChange, Error> {
        let draft = ConclusionDraft { winner, percent };
        let change = (self.store.track()).conclude(self.running(), &self.arms(), draft, |_| 1, BY_ADA)?;
        self.store
            .write(&change.updates, &change.insert, change.next_slice_start);
        if let Some(experiment) = &mut self.experiment {
            experiment.spec = change.experiment.clone();
        }
        Ok(change)
    }

    fn states(&self) -> Vec<RolloutState> {
        self.arms().iter().map(|arm| arm.spec.state).collect()
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    result.unwrap_err().code()
}

/// The arms that have the device at this position, and whether the hold-out has it.
fn who_has(lab: &Lab, position: Position) -> (usize, bool) {
    let arms = lab.arms();
    let takes = arms.iter().filter(|arm| arm.spec.settings.takes(position));
    (takes.count(), lab.running().spec.holds_out(position))
}

#[test]
fn slices_follow_one_another_and_the_hold_out_comes_last() {
    let mut lab = Lab::with(&draft(&[10.0, 20.0], Some(5.0)));
    let slices: Vec<Slice> = lab.arms().iter().map(|arm| arm.spec.settings.slice).collect();
    let slice = |start, width| Slice::of_percents(start, width).unwrap();
    assert_eq!(slices, [slice(0.0, 10.0), slice(10.0, 20.0)]);
    assert_eq!(lab.running().spec.holdout, Some(slice(30.0, 5.0)));
    assert_eq!(lab.store.next_slice_start, slice(35.0, 1.0).start);

    let again = lab.start(&draft(&[10.0, 20.0], Some(5.0))).unwrap();
    assert_eq!(again, ExperimentStart::Running(ExperimentId(1)));
    let other = lab.start(&draft(&[10.0, 20.0], Some(6.0))).unwrap();
    assert!(matches!(other, ExperimentStart::New(_)), "it is another one");
    assert_eq!(lab.running().spec.start, slice(35.0, 1.0).start);

    let named = ExperimentDraft {
        start: Some(slice(95.0, 1.0).start),
        ..draft(&[10.0, 20.0], None)
    };
    let moved = lab.store.next_slice_start;
    lab.start(&named).unwrap();
    assert_eq!(
        lab.store.next_slice_start, moved,
        "a start that is named moves none"
    );
    assert_eq!(lab.arms()[1].spec.settings.slice, slice(5.0, 20.0));
}

#[test]
fn bad_experiments_are_refused_by_the_field_at_fault() {
    let good = || draft(&[10.0, 10.0], None);
    let with = |edit: fn(&mut ExperimentDraft)| {
        let mut draft = good();
        edit(&mut draft);
        draft
    };
    let cases = [
        (draft(&[10.0], None), "arms"),
        (draft(&[1.0; 9], None), "arms"),
        (draft(&[50.0, 50.0], Some(0.000_001)), "arms"),
        (with(|draft| draft.arms[1].build = BuildId(2)), "arms"),
        (with(|draft| draft.arms[1].build = BuildId(99)), "arms"),
        (with(|draft| draft.arms[1].width = Share::new(0).unwrap()), "arms"),
        (
            with(|draft| draft.holdout = Some(Share::new(0).unwrap())),
            "holdout_percent",
        ),
        (with(|draft| draft.priority = 0), "priority"),
        (with(|draft| draft.priority = 1_000_001), "priority"),
        (with(|draft| draft.name = "x".repeat(201)), "name"),
        (with(|draft| draft.arms[0].name = "x".repeat(201)), "name"),
        (with(|draft| draft.salt = Some(String::new())), "salt"),
    ];
    for (draft, field) in cases {
        let mut lab = Lab::new();
        let refused = lab.start(&draft).unwrap_err();
        assert_eq!(refused.field(), Some(field), "{refused}");
        assert!(lab.experiment.is_none());
    }
    let whole = draft(&[50.0, 50.0], None);
    assert!(
        Lab::new().start(&whole).is_ok(),
        "all of the fleet may be given out"
    );
}

#[test]
fn as_many_arms_serve_as_rollouts_may() {
    let mut lab = Lab::new();
    let one_by_one = |lab: &mut Lab, number: u32| {
        let experiment = ExperimentDraft {
            priority: number,
            ..draft(&[1.0; 8], None)
        };
        lab.start(&experiment)
    };
    for number in 1..=7 {
        one_by_one(&mut lab, number).unwrap();
    }
    assert_eq!(
        code(one_by_one(&mut lab, 8)),
        "too_many_serving",
        "57 and 8 are 65"
    );
}

#[test]
fn an_arm_keeps_what_makes_it_comparable() {
    let mut lab = Lab::with(&draft(&[10.0, 20.0], None));
    let arm = lab.arms()[0].id;
    let edits = [
        RolloutEdit {
            priority: Some(7),
            ..RolloutEdit::default()
        },
        RolloutEdit {
            slice: Some(Slice::WHOLE),
            ..RolloutEdit::default()
        },
        RolloutEdit {
            audience: Some(Audience::of_lists(vec!["DE".to_owned()], vec![]).unwrap()),
            ..RolloutEdit::default()
        },
    ];
    for edit in edits {
        assert_eq!(
            code(lab.store.run(|track| track.edit(arm, edit, 1, BY_ADA))),
            "part_of_experiment"
        );
    }
    let lowered = RolloutEdit {
        priority: Some(100),
        ..RolloutEdit::percent(percent(40))
    };
    lab.store
        .run(|track| track.edit(arm, lowered, 1, BY_ADA))
        .unwrap();
    assert_eq!(lab.arms()[0].spec.settings.percent, percent(40));
    lab.store.run(|track| track.pause(arm, BY_ADA)).unwrap();
    lab.store
        .run(|track| track.resume(arm, &Resume::default(), |_| 0, BY_ADA))
        .unwrap();
    lab.store.run(|track| track.halt(arm, BY_ADA)).unwrap();
    lab.store
        .run(|track| track.roll_back_rollout(arm, false, BY_ADA))
        .unwrap();
    assert_eq!(lab.states(), [RolloutState::RolledBack, RolloutState::Active]);
}

#[test]
fn a_rollout_on_the_terms_of_an_arm_is_another_one() {
    let mut lab = Lab::with(&draft(&[100.0 - 1e-6, 1e-6], None));
    let mut promotion = to(100);
    promotion.settings = lab.arms().swap_remove(0).spec.settings;
    let change = lab.store.create(2, 100, promotion).unwrap();
    assert_eq!(change.insert.len(), 1);
    assert_eq!(change.insert[0].experiment, None);
}

#[test]
fn the_winner_becomes_the_base_and_all_arms_end() {
    let mut lab = Lab::with(&draft(&[10.0, 20.0], Some(5.0)));
    let change = lab
        .conclude(Some(Winner::Build(BuildId(3))), percent(25))
        .unwrap();
    assert_eq!(
        change.experiment.conclusion.unwrap().promoted,
        Some((BuildId(3), percent(25)))
    );
    assert_eq!(lab.states(), [RolloutState::Canceled, RolloutState::Superseded]);
    assert_eq!(lab.store.serving(), [(3, RolloutState::Active)]);
    let base = lab.store.current();
    assert_eq!(
        (
            base.spec.settings.slice,
            base.spec.settings.percent,
            base.spec.experiment
        ),
        (Slice::WHOLE, percent(25), None)
    );
    lab.store.roll_back(false).unwrap();
    assert_eq!(
        lab.store.current().spec.build,
        BuildId(1),
        "the way back is the base of before"
    );
}

#[test]
fn the_same_conclusion_changes_nothing_and_another_one_is_refused() {
    let mut lab = Lab::with(&draft(&[10.0, 20.0], None));
    let winner = lab.arms()[1].id;
    lab.conclude(Some(Winner::Rollout(winner)), percent(100)).unwrap();
    let rollouts = lab.store.rollouts.clone();
    let again = lab
        .conclude(Some(Winner::Build(BuildId(3))), percent(100))
        .unwrap();
    assert!(again.updates.is_empty() && again.insert.is_empty());
    for (winner, share) in [
        (Some(Winner::Build(BuildId(2))), 100),
        (Some(Winner::Build(BuildId(3))), 50),
        (None, 100),
    ] {
        assert_eq!(code(lab.conclude(winner, percent(share))), "experiment_ended");
    }
    assert_eq!(lab.store.rollouts, rollouts);
    let facts = ExperimentFacts::of(ExperimentId(1), &lab.running().spec, &lab.arms());
    let json = serde_json::to_value(facts).unwrap();
    assert_eq!(
        (&json["running"], &json["winner_build_id"]),
        (&false.into(), &3.into())
    );
}

#[test]
fn who_is_no_good_arm_does_not_win() {
    let mut lab = Lab::with(&draft(&[10.0, 20.0], None));
    let arms = lab.arms();
    let by_build = |id| Some(Winner::Build(BuildId(id)));
    for stranger in [by_build(1), by_build(99), Some(Winner::Rollout(RolloutId(1)))] {
        assert_eq!(code(lab.conclude(stranger, percent(100))), "invalid_argument");
    }
    assert_eq!(
        code(lab.conclude(by_build(2), Percent::NOBODY)),
        "invalid_argument"
    );
    lab.store.run(|track| track.halt(arms[0].id, BY_ADA)).unwrap();
    let halted = lab.conclude(by_build(2), percent(100)).unwrap_err();
    assert!(halted.to_string().contains("halted"), "{halted}");
    lab.store.run(|track| track.cancel(arms[1].id, BY_ADA)).unwrap();
    assert_eq!(code(lab.conclude(by_build(3), percent(100))), "rollout_ended");
    assert!(lab.running().spec.conclusion.is_none());
    lab.conclude(None, percent(100)).unwrap();
    assert_eq!(lab.states(), [RolloutState::Canceled; 2]);
}

#[test]
fn a_full_package_can_still_be_concluded() {
    let mut lab = Lab::new();
    for number in 1..=7 {
        let experiment = ExperimentDraft {
            priority: number,
            ..draft(&[1.0; 8], None)
        };
        lab.start(&experiment).unwrap();
    }
    for number in 8..=14 {
        lab.store.create(2, number, to(100)).unwrap();
    }
    assert_eq!(lab.store.track().serving.len(), 64);
    lab.store.run(|track| track.cancel(RolloutId(1), BY_ADA)).unwrap();
    lab.store.create(2, 15, to(100)).unwrap();
    lab.conclude(Some(Winner::Build(BuildId(2))), percent(100))
        .unwrap();
    assert_eq!(
        lab.store.current().spec.build,
        BuildId(2),
        "the arms made room for it"
    );
}

#[test]
fn strangers_hear_the_base_and_who_left_keeps_its_version_until_passed_or_forced() {
    let mut lab = Lab::with(&draft(&[10.0, 20.0], Some(30.0)));
    let device = |taken_by: fn(&Lab, Position) -> bool| {
        let mut ids = (0..).map(|number| format!("device-{number}"));
        ids.find(|id| taken_by(&lab, Position::of(id, None))).unwrap()
    };
    let first = device(|lab, at| lab.arms()[0].spec.settings.takes(at));
    let held_out = device(|lab, at| lab.running().spec.holds_out(at));
    let stranger = device(|lab, at| who_has(lab, at) == (0, false));
    let catalog = lab.store.catalog();
    assert_eq!(answer(&catalog, &phone(&first, 10)), Ok(2));
    assert_eq!(answer(&catalog, &phone(&first, 20)), Err(Reason::AlreadyCurrent));
    for other in [&held_out, &stranger] {
        assert_eq!(answer(&catalog, &phone(other, 0)), Ok(1));
        assert_eq!(answer(&catalog, &phone(other, 10)), Err(Reason::AlreadyCurrent));
        assert_eq!(
            answer(&catalog, &phone(other, 20)),
            Err(Reason::NewerInstalled),
            "the arm's build ends no search of its own"
        );
    }

    let mut forced = lab.clone();
    let arm = lab.arms()[0].id;
    lab.conclude(None, percent(100)).unwrap();
    let left = phone(&first, 20);
    assert_eq!(answer(&lab.store.catalog(), &left), Err(Reason::NewerInstalled));
    lab.store.release_to(4, 100);
    assert_eq!(answer(&lab.store.catalog(), &left), Ok(4), "passed");
    forced
        .store
        .run(|track| track.roll_back_rollout(arm, true, BY_ADA))
        .unwrap();
    assert_eq!(answer(&forced.store.catalog(), &left), Ok(1), "forced");
}

/// Widths of 2 to 8 arms and a hold-out in hundred-millionths that fit, and a start.
fn layouts() -> impl Strategy<Value = (Vec<i64>, Option<i64>, u32)> {
    let widths = prop::collection::vec(1..=11_000_000_i64, 2..=8);
    (widths, prop::option::of(1..=11_000_000_i64), 0..100_000_000_u32)
}

fn laid_out((widths, holdout, start): (Vec<i64>, Option<i64>, u32)) -> Lab {
    let mut draft = draft(&vec![1.0; widths.len()], None);
    for (arm, width) in draft.arms.iter_mut().zip(widths) {
        arm.width = Share::new(width).unwrap();
    }
    draft.holdout = holdout.map(|width| Share::new(width).unwrap());
    draft.start = Position::new(start);
    Lab::with(&draft)
}

#[test]
fn a_device_is_in_one_arm_or_held_out_or_neither() {
    let cases = (layouts(), 0..100_000_000_u32);
    check_often(200, &cases, |(layout, position)| {
        let lab = laid_out(layout);
        // Where slices meet is where an overlap would be.
        let mut positions = vec![Position::new(position).unwrap()];
        for arm in lab.arms() {
            let Slice { start, width } = arm.spec.settings.slice;
            let last = (start.get() + width.get() - 1) % 100_000_000;
            let next = (start.get() + width.get()) % 100_000_000;
            positions.extend(
                [Some(start), Position::new(last), Position::new(next)]
                    .into_iter()
                    .flatten(),
            );
            prop_assert_eq!(who_has(&lab, start), (1, false));
        }
        let found: Vec<(usize, bool)> = positions.iter().map(|at| who_has(&lab, *at)).collect();
        prop_assert!(
            found
                .iter()
                .all(|(arms, held_out)| arms + usize::from(*held_out) <= 1)
        );
        Ok(found[0].0 == 1)
    });
}

#[test]
fn an_experiment_may_go_on_beyond_the_last_position() {
    check_often(50, &layouts(), |layout| {
        let lab = laid_out(layout);
        let wraps = lab.arms().iter().any(|arm| {
            let Slice { start, width } = arm.spec.settings.slice;
            start.get() + width.get() > 100_000_000
        });
        prop_assert_eq!(who_has(&lab, lab.running().spec.start), (1, false));
        Ok(wraps)
    });
}

#[test]
fn concluding_ends_all_arms_and_leaves_one_base_that_everybody_is_judged_by() {
    let cases = (layouts(), 0..10_usize, 1..=100_i64, "[a-z]{8}", 0..13_i64);
    check_often(300, &cases, |(layout, winner, share, device, installed)| {
        let mut lab = laid_out(layout);
        let winner = lab.arms().get(winner).map(|arm| Winner::Rollout(arm.id));
        lab.conclude(winner, percent(share)).unwrap();
        prop_assert!(lab.states().iter().all(|state| !state.serves()));
        let track = lab.store.track();
        prop_assert_eq!(track.serving.len(), 1);
        prop_assert!(track.serving[0].rollout.spec.is_current);
        let mut base_alone = lab.store.clone();
        let base = lab.store.current().id;
        base_alone
            .rollouts
            .retain(|rollout| rollout.id == base || rollout.id == RolloutId(1));
        let device = phone(&device, installed * 10);
        prop_assert_eq!(
            answer(&lab.store.catalog(), &device),
            answer(&base_alone.catalog(), &device)
        );
        Ok(winner.is_some())
    });
}
