//! The numbers of the vectors, to their last digit.

use serde::Deserialize;
use tidegate_domain::gate::{Evidence, Logrank, Look, StepWeights, Tolerance, e_bad, e_good};

#[derive(Deserialize)]
struct Vectors {
    proportion: Vec<Proportion>,
    steps: Vec<Plan>,
    logrank: Vec<Compared>,
}

#[derive(Deserialize)]
struct Proportion {
    failures: u64,
    devices: u64,
    tolerance: f64,
    log_e_bad: f64,
    log_e_good: f64,
}

#[derive(Deserialize)]
struct Plan {
    tolerance: f64,
    steps: Vec<Option<Counted>>,
    log_e_bad: f64,
}

#[derive(Deserialize)]
struct Counted {
    failures: u64,
    devices: u64,
}

#[derive(Deserialize)]
struct Compared {
    name: String,
    looks: Vec<LookVector>,
    log_e: Vec<f64>,
}

#[derive(Clone, Copy, Deserialize)]
struct LookVector {
    mt: u64,
    mc: u64,
    dt: u64,
    dc: u64,
}

impl LookVector {
    fn look(self) -> Look {
        Look {
            treated: self.mt,
            control: self.mc,
            treated_events: self.dt,
            control_events: self.dc,
        }
    }
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../../vectors/gate.json")).unwrap()
}

fn tolerance(fraction: f64) -> Tolerance {
    Tolerance::of_percent("tolerance", fraction * 100.0).unwrap()
}

fn assert_same(found: Evidence, expected: f64, what: impl std::fmt::Display) {
    let off = (found.ln() - expected).abs();
    assert!(
        off <= 1e-9 + 1e-12 * expected.abs(),
        "{what}: {} instead of {expected}",
        found.ln()
    );
}

#[test]
fn shares_are_those_of_the_vectors() {
    let cases = vectors().proportion;
    assert!(cases.len() > 400);
    for case in cases {
        let what = format!("{} of {} at {}", case.failures, case.devices, case.tolerance);
        let tolerance = tolerance(case.tolerance);
        assert_same(
            e_bad(case.devices, case.failures, tolerance),
            case.log_e_bad,
            format!("bad {what}"),
        );
        assert_same(
            e_good(case.devices, case.failures, tolerance),
            case.log_e_good,
            format!("good {what}"),
        );
    }
}

#[test]
fn plans_are_those_of_the_vectors() {
    let plans = vectors().steps;
    assert!(!plans.is_empty());
    for plan in plans {
        let weights = StepWeights::equal(plan.steps.len()).unwrap();
        let begun = plan.steps.iter().flatten();
        let evidence =
            weights.mean(begun.map(|step| e_bad(step.devices, step.failures, tolerance(plan.tolerance))));
        assert_same(
            evidence,
            plan.log_e_bad,
            format!("a plan of {} steps", plan.steps.len()),
        );
    }
}

#[test]
fn comparisons_are_those_of_the_vectors_after_each_look() {
    let comparisons = vectors().logrank;
    assert!(comparisons.len() > 10);
    for comparison in comparisons {
        assert_eq!(comparison.looks.len(), comparison.log_e.len());
        let mut test = Logrank::default();
        for (number, (look, expected)) in comparison.looks.iter().zip(comparison.log_e).enumerate() {
            test.add(look.look());
            assert_same(
                test.evidence(),
                expected,
                format!("{}, look {number}", comparison.name),
            );
        }
    }
}

#[test]
fn looks_of_several_strata_add_up_in_any_order() {
    for comparison in vectors().logrank {
        let (mut forth, mut back) = (Logrank::default(), Logrank::default());
        for look in &comparison.looks {
            forth.add(look.look());
        }
        for look in comparison.looks.iter().rev() {
            back.add(look.look());
        }
        assert_same(forth.evidence(), back.evidence().ln(), comparison.name);
        assert_eq!(forth.treated_events(), back.treated_events());
    }
}
