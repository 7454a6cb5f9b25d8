//! A few runs of each case: the full number is for `tidegate-sim gate`.

use super::*;

/// How many rollouts of each case are played. So few say little of a rate.
const FEW: u32 = 3;

fn rows(holds: fn(Target) -> bool) -> Vec<Row> {
    let scenarios = scenario::all()
        .into_iter()
        .filter(|scenario| holds(scenario.target));
    scenarios.map(|scenario| play(&scenario, FEW, 100)).collect()
}

#[test]
fn scenarios_have_names_of_their_own() {
    let mut names: Vec<_> = scenarios().into_iter().map(|(name, _)| name).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn what_is_fine_goes_on() {
    let rows = rows(|target| target == Target::FalseHalts);
    assert!(rows.len() > 10);
    // Even at one of a hundred each, three of all these would be rare.
    let halts: u32 = rows.iter().map(|row| row.halts).sum();
    assert!(halts < 3, "{rows:#?}");
}

#[test]
fn what_is_bad_is_halted_and_what_shows_nothing_waits() {
    let rows = rows(|target| target != Target::FalseHalts);
    assert!(rows.len() > 10);
    let missed: Vec<_> = rows.iter().filter(|row| row.met == Some(false)).collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn the_same_seed_is_the_same_rollout() {
    let remark = |seed| {
        run(Some("bricked-1"), 1, seed, |_| {}).unwrap().0[0]
            .remark
            .clone()
    };
    assert_eq!(remark(3), remark(3));
    assert_ne!(remark(3), remark(4));
    assert!(remark(3).contains("phones with 1.2 fell silent"), "{}", remark(3));
}

#[test]
fn an_unknown_scenario_is_refused_with_the_names_that_there_are() {
    let refusal = run(Some("sunshine"), 1, 1, |_| {}).unwrap_err().to_string();
    assert!(
        refusal.contains("\"sunshine\"") && refusal.contains("nudge"),
        "{refusal}"
    );
}
