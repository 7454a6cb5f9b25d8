use super::seen::Poll;
use super::*;

const HOUR: i64 = 3_600_000;

fn happened(hour: i64, state: &str, phase: &str, step: usize) -> Happening {
    Happening {
        at: crate::life::moment(hour * HOUR),
        state: state.to_owned(),
        phase: phase.to_owned(),
        step,
    }
}

/// To 40 % in ten hours, from hour 1 on; four hours of pause; then to everybody at once.
fn line() -> Line {
    let steps = [Step::new(40.0, 10 * HOUR), Step::new(100.0, 0)];
    let happenings = [
        happened(0, "scheduled", "", 1),
        happened(1, "active", "ramping", 1),
        happened(6, "paused", "", 1),
        happened(10, "active", "ramping", 1),
        happened(15, "active", "baking", 1),
        happened(20, "active", "ramping", 2),
        happened(21, "completed", "", 2),
    ];
    Line::of(&steps, &happenings).unwrap()
}

#[test]
fn a_line_grows_stands_still_and_goes_on() {
    let percent = |hour: i64| line().share(hour * HOUR) / 1_000_000;
    let hours = [-1, 0, 1, 2, 6, 8, 10, 11, 15, 19, 20, 30];
    assert_eq!(hours.map(percent), [0, 0, 0, 4, 20, 20, 20, 24, 40, 40, 100, 100]);
    let serves = |hour: i64| line().serves(hour * HOUR);
    assert_eq!(
        [0, 1, 6, 9, 10, 30].map(serves),
        [false, true, false, false, true, true]
    );
}

#[test]
fn what_somebody_did_by_hand_is_no_line() {
    assert_eq!(
        Line::of(&[Step::new(40.0, 0)], &[happened(0, "active", "held", 1)]),
        None
    );
    assert_eq!(
        Line::of(&[Step::new(40.0, 0)], &[happened(0, "active", "ramping", 2)]),
        None
    );
}

fn poll(minutes: i64, offered: bool) -> Poll {
    Poll {
        at: minutes * HOUR / 60,
        installed: 1,
        has_file: false,
        failed: false,
        offered: offered.then_some((7, 3)),
        reason: String::new(),
    }
}

fn books(polls: Vec<Poll>) -> PlanBooks {
    let course = Course {
        rollout: 7,
        build: 3,
        version: 2,
        line: line(),
        download: None,
        install: None,
    };
    let subject = Subject {
        name: "a",
        position: 4_000_000,
        fits: true,
        zone: None,
        protocol: 2,
    };
    let mut books = PlanBooks::default();
    let seen = Seen {
        polls,
        ..Seen::default()
    };
    course.judge(subject, &seen, &mut books);
    books
}

/// The line is at 4 % when the second hour is over.
#[test]
fn one_answer_on_the_wrong_side_of_the_line_is_found() {
    let right = books(vec![poll(119, false), poll(121, true)]);
    assert!(right.hold());
    assert_eq!((right.below_line, right.above_line, right.at_edges), (1, 1, 0));
    for wrong in [poll(119, true), poll(121, false), poll(420, true)] {
        let found = books(vec![wrong]);
        assert_eq!((found.disagreements, found.told.len()), (1, 1), "{found:?}");
        assert!(!found.hold());
    }
}

#[test]
fn two_seconds_at_an_edge_are_excused_and_counted_and_three_are_not() {
    let early = |by: i64| {
        let mut poll = poll(120, true);
        poll.at -= by;
        books(vec![poll])
    };
    assert_eq!((early(1_500).at_edges, early(1_500).disagreements), (1, 0));
    assert_eq!((early(3_000).at_edges, early(3_000).disagreements), (0, 1));
}
