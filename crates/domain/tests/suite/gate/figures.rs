//! Each figure that is told to people is what the formulas say.

use tidegate_domain::gate::{
    HALT_AT, HALT_EVENTS, SMALL_FLEET_STEP_DEVICES, Tolerance, census_sentence, chance_of_halt,
    chance_of_passing, e_bad, e_good, failures_to_halt, row_of_treated, successes_to_advance,
};

fn percent(percent: f64) -> Tolerance {
    Tolerance::of_percent("tolerance", percent).unwrap()
}

/// The most devices among which so many failures halt one step.
fn halts_among(failures: u64, tolerance: Tolerance) -> u64 {
    let halts = |devices: &u64| e_bad(*devices, failures, tolerance).reaches(HALT_AT);
    (failures..).take_while(halts).last().unwrap()
}

#[test]
fn at_two_percent_three_of_nine_six_of_49_and_ten_of_133_halt() {
    for (failures, devices) in [(3, 9), (6, 49), (10, 133)] {
        assert_eq!(halts_among(failures, Tolerance::FAILED), devices);
    }
}

#[test]
fn at_two_percent_none_of_189_one_of_325_and_two_of_426_pass() {
    for (failures, decided) in [(0, 189), (1, 325), (2, 426)] {
        let missing = successes_to_advance(failures, failures, Tolerance::FAILED);
        assert_eq!(missing, Some(decided - failures));
        assert!(!e_good(decided - 1, failures, Tolerance::FAILED).reaches(20.0));
    }
}

#[test]
fn evidence_needs_75_successes_at_five_percent_and_189_at_two() {
    assert_eq!(successes_to_advance(0, 0, percent(5.0)), Some(75));
    assert_eq!(successes_to_advance(0, 0, percent(2.0)), Some(189));
    assert_eq!(successes_to_advance(189, 0, percent(2.0)), Some(0));
    assert!(successes_to_advance(0, 0, percent(0.01)).unwrap() > 30_000);
}

#[test]
fn the_higher_the_share_the_longer_the_row_that_halts() {
    for (treated, control, row) in [(500, 500, 10), (750, 250, 24), (900, 100, 63), (950, 50, 125)] {
        assert_eq!(row_of_treated(treated, control), Some(row), "{treated}:{control}");
    }
    assert_eq!(
        row_of_treated(5, 5),
        None,
        "five phones are too few, whatever happens to them"
    );
    assert_eq!(row_of_treated(1_000, 0), None, "nothing to compare with");
}

#[test]
fn ten_devices_halt_a_build_that_breaks_30_percent_in_54_of_100() {
    for (devices, hundredths) in [(10, 54), (25, 93), (50, 100)] {
        let chance = chance_of_halt(devices, 0.3, Tolerance::FAILED, 1).unwrap();
        assert_eq!((chance * 100.0).round(), f64::from(hundredths), "{devices}");
    }
}

#[test]
fn ten_of_a_hundred_failing_halt_within_200_downloads_in_95_of_100() {
    let chance = chance_of_halt(200, 0.1, Tolerance::FAILED, 5).unwrap();
    assert_eq!((chance * 100.0).round(), 95.0);
}

#[test]
fn at_its_tolerance_a_step_is_halted_in_less_than_one_of_200() {
    let one = chance_of_halt(3_000, 0.02, Tolerance::FAILED, 1).unwrap();
    assert!((0.001..0.005).contains(&one), "{one}");
    let five = chance_of_halt(3_000, 0.02, Tolerance::FAILED, 5).unwrap();
    assert!(five < one && 5.0 * five < 0.01, "{five}");
}

#[test]
fn ten_good_devices_tell_little() {
    let sentence = "If all ten succeed, a build that breaks one in ten would still have passed in 35 of 100.";
    assert_eq!(census_sentence(SMALL_FLEET_STEP_DEVICES), sentence);
    assert!(census_sentence(25).starts_with("If all 25 succeed"));
    assert_eq!(chance_of_passing(0, 1.0), Ok(1.0));
    assert_eq!(chance_of_passing(1, 1.0), Ok(0.0));
}

#[test]
fn ten_thousand_good_devices_do_not_hide_a_later_step() {
    let one_account =
        (0..).find(|failures| e_bad(10_000 + 20 * failures, 50 + failures, percent(2.0)).reaches(100.0));
    let later_devices = 20 * one_account.unwrap();
    assert!((7_000..9_000).contains(&later_devices), "{later_devices}");

    let two_steps = tidegate_domain::gate::StepWeights::equal(2).unwrap();
    let of_its_own = |failures: u64| {
        let later = e_bad(20 * failures, failures, percent(2.0));
        two_steps
            .mean([e_bad(10_000, 50, percent(2.0)), later])
            .reaches(100.0)
    };
    let devices = 20 * (0..).find(|failures| of_its_own(*failures)).unwrap();
    assert!(devices <= 600, "{devices}");
}

#[test]
fn what_would_halt_is_what_halts() {
    let weights = tidegate_domain::gate::StepWeights::equal(3).unwrap();
    let steps = [(200, 1), (100, 2)];
    let more = failures_to_halt(&weights, &steps, Tolerance::FAILED).unwrap();
    let after = |more: u64| {
        weights
            .mean([
                e_bad(200, 1, Tolerance::FAILED),
                e_bad(100 + more, 2 + more, Tolerance::FAILED),
            ])
            .reaches(HALT_AT)
    };
    assert!(after(more) && !after(more - 1));
    let from_nothing = failures_to_halt(&Default::default(), &[], percent(0.01));
    assert_eq!(
        from_nothing,
        Some(HALT_EVENTS),
        "three, however surprising two are"
    );
}

#[test]
fn chances_refuse_what_is_none() {
    for breaks in [-0.1, 1.1, f64::NAN] {
        assert!(chance_of_halt(10, breaks, Tolerance::FAILED, 1).is_err());
        assert!(chance_of_passing(10, breaks).is_err());
    }
    assert!(chance_of_halt(10_001, 0.1, Tolerance::FAILED, 1).is_err());
    assert!(chance_of_halt(10, 0.1, Tolerance::FAILED, 0).is_err());
    assert_eq!(chance_of_halt(10_000, 0.0, Tolerance::FAILED, 1), Ok(0.0));
    assert_eq!(chance_of_halt(3, 1.0, Tolerance::FAILED, 1), Ok(1.0));
    assert_eq!(
        chance_of_halt(2, 1.0, Tolerance::FAILED, 1),
        Ok(0.0),
        "two are too few"
    );
    assert_eq!(chance_of_passing(10, 0.0), Ok(1.0));
}
