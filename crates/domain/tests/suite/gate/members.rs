//! Who is watched, in which arm, and until when.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::gate::{Arm, MAX_CONTROL, Member, Place, StepRange, WATCHED_FOR};
use tidegate_domain::{Percent, Position, Share, Slice};

fn share(percent: f64) -> Share {
    Percent::of_decimal(percent).unwrap().share()
}

fn position(percent: f64) -> Position {
    Position::new(share(percent).get()).unwrap()
}

fn range(from: f64, to: f64, devices: u64) -> StepRange {
    StepRange::new(Slice::WHOLE, share(from), share(to), devices, false)
}

fn member(arm: Arm, entered: DateTime<Utc>) -> Member {
    Member {
        arm,
        step: 0,
        entered,
        nudged: false,
    }
}

#[test]
fn control_lies_beyond_the_steps_target() {
    let step = range(0.0, 1.0, 10_000);
    for (at, place) in [
        (0.0, Place::Treated),
        (0.49, Place::Treated),
        (0.5, Place::Awaited),
        (0.99, Place::Awaited),
        (1.0, Place::Control),
        (10.99, Place::Control),
        (11.0, Place::Beyond),
        (99.0, Place::Beyond),
    ] {
        assert_eq!(step.place(position(at), share(0.5)), place, "{at} %");
    }
    assert_eq!(step.arm(position(0.7), share(0.5)), None);
    assert_eq!(step.arm(position(0.7), share(0.8)), Some(Arm::Treated));
    assert_eq!(step.arm(position(5.0), share(0.8)), Some(Arm::Control));
}

#[test]
fn ten_are_compared_with_each_treated_one_of_the_step_and_50_000_in_all() {
    let later = range(10.0, 12.0, 1_000);
    assert_eq!(later.control, share(32.0), "the step treats 2 %");
    let large = range(0.0, 10.0, 10_000_000);
    let control = u64::from(large.control.get() - large.target.get()) / 10;
    assert_eq!(control, MAX_CONTROL);
    assert_eq!(range(0.0, 50.0, 1_000).control, Share::WHOLE);
    assert_eq!(
        range(0.0, 100.0, 1_000).place(position(99.9), share(100.0)),
        Place::Treated
    );
}

#[test]
fn a_slice_has_its_control_within_it() {
    let slice = Slice::of_percents(95.0, 10.0).unwrap();
    let step = StepRange::new(slice, Share::new(0).unwrap(), share(10.0), 1_000, false);
    assert_eq!(step.place(position(95.5), share(10.0)), Place::Treated);
    assert_eq!(
        step.place(position(2.0), share(10.0)),
        Place::Control,
        "it goes on with the first"
    );
    assert_eq!(step.place(position(50.0), share(10.0)), Place::Beyond);
}

#[test]
fn some_stay_back_from_a_step_above_90_percent_where_the_gate_asks_for_it() {
    let step = StepRange::new(Slice::WHOLE, share(50.0), share(100.0), 10_000, true);
    assert_eq!(step.place(position(94.9), share(100.0)), Place::Treated);
    assert_eq!(step.place(position(95.0), share(100.0)), Place::Control);
    let below = StepRange::new(Slice::WHOLE, share(50.0), share(90.0), 10_000, true);
    assert_eq!(below.target, share(90.0));
}

#[test]
fn nothing_that_a_device_does_ends_its_being_watched() {
    let entered = DateTime::UNIX_EPOCH + TimeDelta::hours(10);
    let watched = |arm, step, reached, hours| {
        let now = entered + TimeDelta::hours(hours);
        member(arm, entered).is_watched(position(5.0), Slice::WHOLE, step, share(reached), now)
    };
    assert!(watched(Arm::Control, 0, 4.0, 1));
    assert!(!watched(Arm::Control, 0, 5.01, 1), "the share has reached it");
    assert!(
        !watched(Arm::Control, 1, 4.0, 1),
        "another step has another control"
    );
    assert!(watched(Arm::Treated, 1, 50.0, 1));
    for arm in [Arm::Control, Arm::Treated] {
        let last = WATCHED_FOR.num_hours();
        assert!(watched(arm, 0, 4.0, last - 1) && !watched(arm, 0, 4.0, last));
    }
}

#[test]
fn those_are_compared_that_entered_in_the_same_hour_and_were_called_alike() {
    let nine = DateTime::UNIX_EPOCH + TimeDelta::hours(9);
    let early = member(Arm::Treated, nine).stratum();
    assert_eq!(
        early,
        member(Arm::Control, nine + TimeDelta::minutes(59)).stratum()
    );
    assert_ne!(
        early,
        member(Arm::Control, nine + TimeDelta::minutes(60)).stratum()
    );
    let called = Member {
        nudged: true,
        ..member(Arm::Control, nine)
    };
    assert_ne!(early, called.stratum());
    let before_1970 = member(Arm::Control, DateTime::UNIX_EPOCH - TimeDelta::seconds(1));
    assert_eq!(before_1970.stratum().hour, -1);
}
