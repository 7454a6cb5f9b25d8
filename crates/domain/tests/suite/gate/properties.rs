//! What holds for all counts.

use proptest::prelude::*;
use tidegate_domain::gate::{
    Arms, DeviceOutcome, GateAction, GateFacts, GateMode, GateSettings, Logrank, Look, Segment, StepCounts,
    StepProgress, StepWeights, Tolerance, e_bad, e_good, judge,
};

use super::facts_of;
use super::segments::{at, counts as counts_of};
use crate::property::check_often;

const FLEET: u64 = 1_000_000_000;

/// So large a part of it, rounded down.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of a whole"
)]
fn part(whole: u64, part: f64) -> u64 {
    (whole as f64 * part) as u64
}

fn tolerances() -> impl Strategy<Value = Tolerance> {
    (1_u32..=5_000)
        .prop_map(|hundredths| Tolerance::of_percent("tolerance", f64::from(hundredths) / 100.0).unwrap())
}

/// Failures and devices, of all sizes alike.
fn counts() -> impl Strategy<Value = (u64, u64)> {
    (0_u32..=30, 0.0..=1.0_f64, 0.0..=1.0_f64).prop_map(|(doublings, devices, failures)| {
        let devices = (1_u64 << doublings) + part(1 << doublings, devices);
        let devices = devices.min(FLEET);
        (devices, part(devices, failures.powi(4)))
    })
}

fn looks() -> impl Strategy<Value = Vec<Look>> {
    let look = (1_u64..=100_000, 1_u64..=100_000, 0.0..=0.1_f64, 0.0..=0.1_f64).prop_map(
        |(treated, control, of_treated, of_control)| Look {
            treated,
            control,
            treated_events: part(treated, of_treated),
            control_events: part(control, of_control),
        },
    );
    prop::collection::vec(look, 1..20)
}

fn test_of(looks: &[Look]) -> Logrank {
    let mut test = Logrank::default();
    for look in looks {
        test.add(*look);
    }
    test
}

#[test]
fn evidence_is_a_number_for_any_fleet() {
    check_often(
        900,
        &(counts(), tolerances()),
        |((devices, failures), tolerance)| {
            prop_assert!(e_bad(devices, failures, tolerance).ln().is_finite());
            prop_assert!(e_good(devices, failures, tolerance).ln().is_finite());
            Ok(devices > 0)
        },
    );
    for tolerance in [
        Tolerance::FAILED,
        Tolerance::of_percent("tolerance", 50.0).unwrap(),
    ] {
        for (devices, failures) in [(0, 0), (FLEET, 0), (FLEET, FLEET), (0, FLEET)] {
            assert!(e_bad(devices, failures, tolerance).ln().is_finite());
            assert!(e_good(devices, failures, tolerance).ln().is_finite());
        }
    }
}

#[test]
fn each_failure_speaks_against_the_build_and_each_success_for_it() {
    check_often(
        900,
        &(counts(), tolerances()),
        |((devices, failures), tolerance)| {
            let (bad, good) = (
                e_bad(devices, failures, tolerance),
                e_good(devices, failures, tolerance),
            );
            // Of 10⁹ devices one more is at the edge of what a double holds.
            let slack = 1e-12 * bad.ln().abs().max(good.ln().abs());
            if failures < devices {
                prop_assert!(e_bad(devices, failures + 1, tolerance).ln() > bad.ln() - slack);
                prop_assert!(e_good(devices, failures + 1, tolerance).ln() < good.ln() + slack);
            }
            prop_assert!(e_bad(devices + 1, failures, tolerance).ln() < bad.ln() + slack);
            prop_assert!(e_good(devices + 1, failures, tolerance).ln() > good.ln() - slack);
            Ok(failures < devices)
        },
    );
}

#[test]
fn a_bet_is_fair_at_the_tolerance() {
    // Whatever came before, what a bet is worth after one more device is on average what it was: that is all that the
    // promise rests on.
    let few = (0_u64..=2_000, 0_u64..=60, tolerances());
    check_often(900, &few, |(devices, failures, tolerance)| {
        let failures = failures.min(devices);
        let share = tolerance.fraction();
        let now = e_bad(devices, failures, tolerance).ln();
        let failing = (e_bad(devices + 1, failures + 1, tolerance).ln() - now).exp();
        let passing = (e_bad(devices + 1, failures, tolerance).ln() - now).exp();
        let mean = share * failing + (1.0 - share) * passing;
        prop_assert!((mean - 1.0).abs() < 1e-9, "{mean}");
        Ok(devices > failures)
    });
}

#[test]
fn a_comparison_is_fair_at_the_tolerated_ratio() {
    let arms = (looks(), 1_u64..=10_000, 1_u64..=10_000);
    check_often(900, &arms, |(looks, treated, control)| {
        let before = test_of(&looks);
        let after = |treated_events: u64| {
            let mut test = before;
            test.add(Look {
                treated,
                control,
                treated_events,
                control_events: 1 - treated_events,
            });
            (test.evidence().ln() - before.evidence().ln()).exp()
        };
        let (of_treated, of_control) = (1.25 * treated as f64, control as f64);
        let mean = (of_treated * after(1) + of_control * after(0)) / (of_treated + of_control);
        prop_assert!((mean - 1.0).abs() < 1e-9, "{mean}");
        // What happens to both alike loses the bet.
        let alike = (treated as f64 * after(1) + of_control * after(0)) / (treated as f64 + of_control);
        prop_assert!(alike < 1.0 + 1e-12, "{alike}");
        Ok(true)
    });
}

#[test]
fn a_comparison_is_a_number_and_each_treated_event_speaks_against_the_build() {
    check_often(900, &(looks(), 0_usize..20), |(mut looks, one)| {
        let before = test_of(&looks).evidence().ln();
        prop_assert!(before.is_finite());
        let one = one % looks.len();
        let look = &mut looks[one];
        if look.treated_events == look.treated {
            return Ok(false);
        }
        look.treated_events += 1;
        prop_assert!(test_of(&looks).evidence().ln() > before);
        looks[one].treated_events -= 1;
        looks[one].control_events += 1;
        prop_assert!(test_of(&looks).evidence().ln() < before);
        Ok(true)
    });
}

#[test]
fn looks_without_events_and_arms_without_devices_change_nothing() {
    check_often(900, &looks(), |looks| {
        let mut test = test_of(&looks);
        let before = test;
        test.add(Look {
            treated: 7,
            control: 70,
            ..Look::default()
        });
        test.add(Look {
            treated: 7,
            treated_events: 3,
            ..Look::default()
        });
        test.add(Look {
            control: 7,
            control_events: 3,
            ..Look::default()
        });
        prop_assert_eq!(test, before);
        Ok(true)
    });
}

#[test]
fn a_look_may_come_as_several_with_the_same_risk_set() {
    check_often(500, &looks(), |looks| {
        let halves = looks.iter().flat_map(|look| {
            let (treated_events, control_events) = (look.treated_events / 2, look.control_events / 2);
            let rest = Look {
                treated_events: look.treated_events - treated_events,
                control_events: look.control_events - control_events,
                ..*look
            };
            [
                Look {
                    treated_events,
                    control_events,
                    ..*look
                },
                rest,
            ]
        });
        let split = test_of(&halves.collect::<Vec<_>>()).evidence().ln();
        let whole = test_of(&looks).evidence().ln();
        prop_assert!((split - whole).abs() < 1e-9 + 1e-12 * whole.abs());
        Ok(whole != 0.0)
    });
}

#[test]
fn steps_added_later_leave_the_evidence_as_it_is() {
    let plans = (
        prop::collection::vec(counts(), 1..6),
        1_usize..6,
        1_usize..10,
        tolerances(),
    );
    check_often(700, &plans, |(begun, later, then, tolerance)| {
        let steps = || {
            begun
                .iter()
                .map(|(devices, failures)| e_bad(*devices, *failures, tolerance))
        };
        let mut weights = StepWeights::equal(begun.len() + later).unwrap();
        let before = weights.mean(steps()).ln();
        weights.change(begun.len(), begun.len() + then).unwrap();
        let after = weights.mean(steps()).ln();
        prop_assert!((after - before).abs() < 1e-9);
        Ok(later != then)
    });
}

/// Any facts of a step to which nobody was offered the build, or none of whom has told that it runs.
fn unconfirmed() -> impl Strategy<Value = GateFacts> {
    let progress = prop_oneof![
        Just(StepProgress::Ramping),
        Just(StepProgress::Baking),
        Just(StepProgress::Over)
    ];
    (
        0_u64..5_000,
        0_u64..5_000,
        0.0..=1.0_f64,
        progress,
        0_u64..100_000,
        1_u64..400_000,
    )
        .prop_map(|(reached, sent, failing, progress, fleet, waited_seconds)| {
            let sent = sent.min(reached);
            let in_trouble = part(sent, failing);
            let step = StepCounts {
                reached,
                begun: sent,
                sent,
                in_trouble,
                ..StepCounts::default()
            };
            GateFacts {
                progress,
                fleet,
                waited_seconds,
                ..facts_of(step)
            }
        })
}

#[test]
fn no_evidence_and_pending_retries_never_advance() {
    check_often(200, &unconfirmed(), |facts| {
        for mode in [GateMode::Hold, GateMode::Act] {
            let settings = GateSettings {
                mode,
                ..GateSettings::default()
            };
            prop_assert_ne!(judge(&settings, &facts).action, GateAction::Advance);
        }
        Ok(facts.progress == StepProgress::Over && facts.step().in_trouble > 0)
    });
}

#[test]
fn undecided_devices_never_halt() {
    check_often(900, &unconfirmed(), |facts| {
        let reading = judge(&GateSettings::default(), &facts);
        prop_assert_ne!(reading.action, GateAction::Halt);
        prop_assert!(reading.failed.ln_e.ln() <= 0.0);
        Ok(facts.step().reached > 0)
    });
}

#[test]
fn what_is_said_to_halt_halts_and_one_less_does_not() {
    let arms = (1_u64..=2_000, 1_u64..=2_000, looks());
    check_often(300, &arms, |(treated, control, looks)| {
        let mut facts = facts_of(StepCounts::default());
        facts.lost.short = test_of(&looks[..1]);
        facts.lost_arms = Arms {
            treated,
            control,
            treated_at_risk: treated,
            control_at_risk: control,
        };
        let Some(more) = judge(&GateSettings::default(), &facts).lost.halts_after else {
            return Ok(false);
        };
        let after = |more: u64| {
            let mut facts = facts.clone();
            for before in 0..more {
                let look = Look {
                    treated: treated - before,
                    control,
                    treated_events: 1,
                    control_events: 0,
                };
                facts.lost.short.add(look);
                facts.lost.long.add(look);
            }
            judge(&GateSettings::default(), &facts).action
        };
        prop_assert_eq!(after(more), GateAction::Halt);
        if more > 0 {
            prop_assert_ne!(after(more - 1), GateAction::Halt);
        }
        Ok(more > 0)
    });
}

fn outcome() -> impl Strategy<Value = DeviceOutcome> {
    (0_u8..=3, 0_u8..=3).prop_map(|(way, told)| DeviceOutcome {
        begun: way >= 1,
        sent: way >= 2,
        failed: told == 3,
        corrupt: told == 2,
        in_trouble: told >= 1,
        confirmed: way == 3 && told == 0,
    })
}

#[test]
fn whatever_is_still_told_of_earlier_devices_does_not_trip_a_resumed_rollout() {
    let devices = prop::collection::vec((1_i64..=1_000, outcome()), 0..200);
    check_often(300, &(devices, 1_i64..=1_000), |(devices, resumed)| {
        let segment = Segment::first(at(resumed));
        let (pending, new): (Vec<_>, Vec<_>) = devices.iter().partition(|(offered, _)| *offered <= resumed);
        prop_assert_eq!(counts_of(segment, &devices), counts_of(segment, &new));
        let reading = judge(&GateSettings::default(), &facts_of(counts_of(segment, &pending)));
        prop_assert_ne!(reading.action, GateAction::Halt);
        let before = judge(
            &GateSettings::default(),
            &facts_of(counts_of(Segment::first(at(0)), &pending)),
        );
        Ok(before.action == GateAction::Halt)
    });
}
