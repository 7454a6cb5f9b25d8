//! When silence makes a device lost.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::gate::{Look, LostTest, Patience, lost_at};

fn at(hours: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
}

#[test]
fn in_the_dense_phase_an_hour_and_a_half_or_six_are_long() {
    assert_eq!(
        lost_at(at(0), at(0), true, Patience::Short),
        at(0) + TimeDelta::minutes(90)
    );
    assert_eq!(lost_at(at(0), at(2), true, Patience::Long), at(8));
}

#[test]
fn afterwards_it_takes_eighteen_hours() {
    for patience in Patience::ALL {
        assert_eq!(lost_at(at(0), at(3), true, patience), at(21));
        assert_eq!(lost_at(at(0), at(30), true, patience), at(48));
        assert_eq!(
            lost_at(at(0), at(1), false, patience),
            at(19),
            "an agent that can't wake often is not missed sooner"
        );
    }
}

#[test]
fn the_test_is_the_mean_of_both_patiences_and_shows_the_clearer_one() {
    let mut test = LostTest::default();
    let look = Look {
        treated: 600,
        control: 5_990,
        treated_events: 1,
        control_events: 0,
    };
    for _ in 0..8 {
        test.long.add(look);
    }
    assert_eq!(
        LostTest::default().clearer().0,
        Patience::Short,
        "both say nothing"
    );
    let mean = (test.long.evidence().value() + 1.0) / 2.0;
    assert!((test.evidence().value() / mean - 1.0).abs() < 1e-12);
    assert_eq!(test.clearer().0, Patience::Long);
}

#[test]
fn the_counts_that_are_shown_are_enough_to_halt_where_one_tests_are() {
    let mut test = LostTest::default();
    // Three in each arm say little.
    test.short.add(Look {
        treated: 100,
        control: 300,
        treated_events: 3,
        control_events: 3,
    });
    // Two among the treated alone say more, and are too few.
    test.long.add(Look {
        treated: 100,
        control: 10_000,
        treated_events: 2,
        control_events: 0,
    });
    assert!(test.long.evidence() > test.short.evidence());
    assert_eq!(test.clearer().0, Patience::Short);
}
