//! A few runs of each case: the full number is for `tidegate-sim gate`.

use super::*;

/// With so few runs a single false halt would be more than 1 %, so null cases allow none.
const FEW: u32 = 2;

/// Plays those scenarios that it holds for.
fn assert_met(holds: fn(Target) -> bool) {
    let scenarios = scenario::all()
        .into_iter()
        .filter(|scenario| holds(scenario.target));
    let rows: Vec<_> = scenarios.map(|scenario| play(&scenario, FEW, 7)).collect();
    assert!(rows.len() > 3, "{rows:#?}");
    let missed: Vec<_> = rows.iter().filter(|row| row.met == Some(false)).collect();
    assert!(missed.is_empty(), "{missed:#?}");
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
    assert_met(|target| matches!(target, Target::FalseHalts | Target::Advances { .. }));
}

#[test]
fn what_is_bad_is_halted_and_what_shows_nothing_waits() {
    assert_met(|target| !matches!(target, Target::FalseHalts | Target::Advances { .. }));
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
