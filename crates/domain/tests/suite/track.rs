//! Whatever an operator and the health gates do, and in whatever order, the track stays in order.
//!
//! `Store` checks the invariants after every change; what is checked here is what each verb promises besides.

use std::cell::RefCell;
use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tidegate_domain::{
    BuildId, Change, Error, Promotion, Resume, RolloutEdit, RolloutId, RolloutSettings, RolloutState,
};

use crate::fleet::percent;
use crate::property::check_often;
use crate::store::{BY_ADA, Store, to};

const BUILDS: i64 = 10;

#[derive(Clone, Debug)]
enum Verb {
    Promote {
        build: i64,
        share: i64,
        keep_previous: bool,
        retry_failed: bool,
    },
    Adjust(i64, i64),
    Pause(i64),
    Resume(i64),
    Halt(i64),
    Complete(i64),
    RollBack(bool),
    Create {
        build: i64,
        share: i64,
        priority: u32,
        auto_start: bool,
    },
    Edit {
        rollout: i64,
        share: i64,
        stale: bool,
    },
    Cancel(i64),
    RollBackOne(i64, bool),
}

fn verbs() -> impl Strategy<Value = Verb> {
    // Few builds, so that a verb often meets one that serves.
    let build = || prop_oneof![4 => 1..=2_i64, 1 => 1..=BUILDS];
    // Shares of 0 are refused, and shares of 100 lead to completion: both should come up often.
    let share = || prop_oneof![8 => 0..=100_i64, 1 => Just(0), 8 => Just(100)];
    let promote = (build(), share(), any::<bool>(), any::<bool>()).prop_map(
        |(build, share, keep_previous, retry_failed)| Verb::Promote {
            build,
            share,
            keep_previous,
            retry_failed,
        },
    );
    let create =
        (build(), share(), 0..3_u32, any::<bool>()).prop_map(|(build, share, priority, auto_start)| {
            Verb::Create {
                build,
                share,
                priority,
                auto_start,
            }
        });
    let edit =
        (1..12_i64, share(), prop::bool::weighted(0.2)).prop_map(|(rollout, share, stale)| Verb::Edit {
            rollout,
            share,
            stale,
        });
    prop_oneof![
        6 => promote,
        2 => (build(), share()).prop_map(|(build, share)| Verb::Adjust(build, share)),
        2 => build().prop_map(Verb::Pause),
        2 => build().prop_map(Verb::Resume),
        1 => build().prop_map(Verb::Halt),
        1 => build().prop_map(Verb::Complete),
        2 => any::<bool>().prop_map(Verb::RollBack),
        2 => create,
        2 => edit,
        1 => (1..12_i64).prop_map(Verb::Cancel),
        1 => (1..12_i64, any::<bool>()).prop_map(|(rollout, force)| Verb::RollBackOne(rollout, force)),
    ]
}

fn run(store: &mut Store, verb: &Verb) -> Result<Change, Error> {
    match *verb {
        Verb::Promote {
            build,
            share,
            keep_previous,
            retry_failed,
        } => {
            let promotion = Promotion {
                settings: RolloutSettings::to(percent(share)),
                keep_previous,
                retry_failed,
                auto_start: false,
                plan: None,
                gate: None,
            };
            store.promote(build, &promotion)
        }
        Verb::Adjust(build, share) => store.run(|track| track.adjust(BuildId(build), percent(share), BY_ADA)),
        Verb::Pause(build) => store.run(|track| track.pause(BuildId(build), BY_ADA)),
        Verb::Resume(build) => {
            store.run(|track| track.resume(BuildId(build), &Resume::default(), |_| 0, BY_ADA))
        }
        Verb::Halt(build) => store.run(|track| track.halt(BuildId(build), BY_ADA)),
        Verb::Complete(build) => store.run(|track| track.complete(BuildId(build), BY_ADA)),
        Verb::RollBack(force) => store.roll_back(force),
        Verb::Create {
            build,
            share,
            priority,
            auto_start,
        } => {
            let promotion = Promotion {
                auto_start,
                ..to(share)
            };
            store.create(build, priority, promotion)
        }
        Verb::Edit {
            rollout,
            share,
            stale,
        } => {
            let id = RolloutId(rollout);
            let rollout = store.rollouts.iter().find(|rollout| rollout.id == id);
            let seen = rollout.map_or(1, |rollout| rollout.spec.revision) - u32::from(stale);
            store.run(|track| track.edit(id, RolloutEdit::percent(percent(share)), seen, BY_ADA))
        }
        Verb::Cancel(rollout) => store.run(|track| track.cancel(RolloutId(rollout), BY_ADA)),
        Verb::RollBackOne(rollout, force) => {
            store.run(|track| track.roll_back_rollout(RolloutId(rollout), force, BY_ADA))
        }
    }
}

/// Whether a retried request must do no harm. A second rollback goes further back, and a second `retry_failed`
/// asks the devices once more.
fn is_repeatable(verb: &Verb) -> bool {
    !matches!(
        verb,
        Verb::RollBack(_)
            | Verb::RollBackOne(..)
            | Verb::Cancel(_)
            | Verb::Promote {
                retry_failed: true,
                ..
            }
    )
}

fn check_promise(store: &Store, verb: &Verb, change: &Change) {
    match *verb {
        Verb::Promote { build, .. } => {
            let current = store.current();
            assert_eq!(current.spec.build, BuildId(build));
            assert_eq!(current.spec.state, RolloutState::Active);
            assert_eq!(change.after.build_id, BuildId(build));
        }
        Verb::RollBack(force) => {
            let current = store.current();
            let bad = change.before.as_ref().unwrap().build_id;
            let mut bases = store
                .track()
                .serving
                .into_iter()
                .filter(|release| release.rollout.spec.priority == 0);
            assert!(bases.all(|release| release.build.id != bad));
            assert_eq!(current.spec.rolled_back_from, Some(bad));
            let bad = store.build(bad.0).facts.version_code;
            assert_eq!(current.spec.takes_back, force.then_some(bad));
        }
        Verb::Create { priority, build, .. } if priority > 0 => {
            assert!(change.updates.is_empty(), "one above the base ends nothing");
            assert_eq!(change.after.build_id, BuildId(build));
        }
        Verb::Cancel(rollout) | Verb::RollBackOne(rollout, _) => {
            let mut serving = store.track().serving.into_iter();
            assert!(serving.all(|release| release.rollout.id.0 != rollout));
        }
        _ => {}
    }
}

/// The verb's name, by which its successes and refusals are counted.
fn name(verb: &Verb) -> &'static str {
    match verb {
        Verb::Promote {
            keep_previous: true, ..
        } => "promote beside",
        Verb::Promote { .. } => "promote",
        Verb::Adjust(..) => "adjust",
        Verb::Pause(_) => "pause",
        Verb::Resume(_) => "resume",
        Verb::Halt(_) => "halt",
        Verb::Complete(_) => "complete",
        Verb::RollBack(true) => "roll back by force",
        Verb::RollBack(false) => "roll back",
        Verb::Create { .. } => "create",
        Verb::Edit { .. } => "edit",
        Verb::Cancel(_) => "cancel",
        Verb::RollBackOne(_, true) => "roll back one by force",
        Verb::RollBackOne(_, false) => "roll back one",
    }
}

/// How often each verb changed something and was refused.
type Counts = BTreeMap<&'static str, (u32, u32)>;

fn check_sequence(sequence: &[Verb], counts: &mut Counts) -> Result<(), TestCaseError> {
    let mut store = Store::with_builds(BUILDS);
    for verb in sequence {
        let before = store.track();
        let (changed, refused) = counts.entry(name(verb)).or_default();
        match run(&mut store, verb) {
            Ok(change) => {
                prop_assert_eq!(change.is_empty(), store.track() == before);
                *changed += u32::from(!change.is_empty());
                check_promise(&store, verb, &change);
                if is_repeatable(verb) {
                    prop_assert!(run(&mut store, verb).unwrap().is_empty(), "{:?} twice", verb);
                }
            }
            Err(_) => {
                *refused += 1;
                prop_assert_eq!(store.track(), before, "a refusal changes nothing");
            }
        }
    }
    Ok(())
}

#[test]
fn no_sequence_of_verbs_brings_a_line_into_disorder() {
    let counts = RefCell::new(Counts::new());
    let sequences = prop::collection::vec(verbs(), 1..40);
    check_often(500, &sequences, |sequence| {
        check_sequence(&sequence, &mut counts.borrow_mut())?;
        Ok(sequence.len() > 10)
    });
    let counts = counts.into_inner();
    assert_eq!(counts.len(), 14, "{counts:?}");
    for (verb, (changed, refused)) in &counts {
        assert!(
            *changed > 10 && *refused > 10,
            "{verb}: {changed} changes, {refused} refusals"
        );
    }
}

#[test]
fn rolling_back_again_and_again_comes_to_an_end() {
    let releases = prop::collection::vec(1..=BUILDS, 1..30);
    check_often(500, &releases, |builds| {
        let mut store = Store::with_builds(BUILDS);
        for build in &builds {
            store.promote(*build, &to(100)).unwrap();
        }
        let mut steps = 0;
        while store.roll_back(false).is_ok() {
            steps += 1;
            prop_assert!(steps < builds.len());
        }
        let refused = store.roll_back(false).unwrap_err();
        prop_assert_eq!(refused.code(), "no_predecessor");
        let several = builds.iter().any(|build| *build != builds[0]);
        prop_assert_eq!(
            steps > 0,
            several,
            "what was released before another is gone back to"
        );
        Ok(several)
    });
}
