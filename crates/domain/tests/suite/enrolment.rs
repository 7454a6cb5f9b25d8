//! Who gets what when a known id is enrolled.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::EnrolmentProof::{self, KeyAlone, PreviousToken};
use tidegate_domain::EnrolmentVerdict::{self, First, Refuse, Repeat, TakeOver};
use tidegate_domain::{KnownDevice, LOST_ANSWER_WINDOW};

const SAME: EnrolmentProof = EnrolmentProof::Token {
    allows_known: false,
    is_the_last: true,
};
const OTHER: EnrolmentProof = EnrolmentProof::Token {
    allows_known: false,
    is_the_last: false,
};
const ALLOWING: EnrolmentProof = EnrolmentProof::Token {
    allows_known: true,
    is_the_last: false,
};

fn then() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH
}

/// One that enrolled a moment ago without a key and has not been heard of since.
fn keyless() -> KnownDevice {
    KnownDevice {
        has_enrolled: true,
        is_revoked: false,
        is_retired: false,
        has_previous_token: false,
        has_key: false,
        enrolled_at: then(),
        is_token_used: false,
        allowed_until: None,
    }
}

fn keyed() -> KnownDevice {
    KnownDevice {
        has_key: true,
        ..keyless()
    }
}

fn imported(has_previous_token: bool) -> KnownDevice {
    KnownDevice {
        has_enrolled: false,
        has_previous_token,
        ..keyless()
    }
}

/// The verdicts on the three tokens and on the key alone.
fn verdicts(device: &KnownDevice, key_matches: bool, after: TimeDelta) -> [EnrolmentVerdict; 4] {
    [SAME, OTHER, ALLOWING, KeyAlone].map(|proof| device.judge(proof, key_matches, then() + after))
}

const AT_ONCE: TimeDelta = TimeDelta::zero();

#[test]
fn the_key_repeats_the_answer_with_any_token_and_at_any_time() {
    for after in [AT_ONCE, TimeDelta::days(400)] {
        assert_eq!(verdicts(&keyed(), true, after), [Repeat; 4]);
    }
}

#[test]
fn without_its_key_nobody_is_given_what_the_device_was_given() {
    assert_eq!(
        verdicts(&keyed(), false, AT_ONCE),
        [Refuse, Refuse, TakeOver, Refuse]
    );
}

#[test]
fn a_lost_answer_is_repeated_for_an_hour_until_the_token_is_used() {
    let late = LOST_ANSWER_WINDOW;
    let just = LOST_ANSWER_WINDOW - TimeDelta::microseconds(1);
    let refused = [Refuse, Refuse, TakeOver, Refuse];
    assert_eq!(
        verdicts(&keyless(), false, just),
        [Repeat, Refuse, TakeOver, Refuse]
    );
    assert_eq!(verdicts(&keyless(), false, late), refused);
    let used = KnownDevice {
        is_token_used: true,
        ..keyless()
    };
    assert_eq!(verdicts(&used, false, AT_ONCE), refused);
}

#[test]
fn a_revoked_device_comes_back_only_where_somebody_allowed_it() {
    let revoked = KnownDevice {
        is_revoked: true,
        ..keyed()
    };
    for key_matches in [false, true] {
        let verdicts = verdicts(&revoked, key_matches, AT_ONCE);
        assert_eq!(verdicts, [Refuse, Refuse, TakeOver, Refuse]);
    }
}

#[test]
fn a_token_that_it_does_not_have_yet_brings_a_retired_device_back() {
    let retired = KnownDevice {
        is_revoked: true,
        is_retired: true,
        ..keyed()
    };
    for key_matches in [false, true] {
        let verdicts = verdicts(&retired, key_matches, AT_ONCE);
        assert_eq!(verdicts, [Refuse, TakeOver, TakeOver, Refuse]);
    }
}

#[test]
fn an_operators_leave_holds_until_it_ends_and_needs_a_token_besides() {
    let allowed = KnownDevice {
        allowed_until: Some(then() + TimeDelta::hours(2)),
        ..keyed()
    };
    assert_eq!(
        verdicts(&allowed, false, AT_ONCE),
        [TakeOver, TakeOver, TakeOver, Refuse]
    );
    assert_eq!(
        verdicts(&allowed, false, TimeDelta::hours(2)),
        [Refuse, Refuse, TakeOver, Refuse]
    );
    assert_eq!(allowed.judge(PreviousToken, false, then()), Refuse);
}

#[test]
fn an_imported_device_moves_with_what_it_was_imported_with() {
    assert_eq!(imported(true).judge(PreviousToken, false, then()), First);
    // Its id alone is not enough, as somebody holds a credential for it.
    assert_eq!(
        verdicts(&imported(true), false, AT_ONCE),
        [Refuse, Refuse, TakeOver, Refuse]
    );
    assert_eq!(imported(false).judge(OTHER, false, then()), First);
    assert_eq!(imported(false).judge(KeyAlone, true, then()), Refuse);
    let revoked = KnownDevice {
        is_revoked: true,
        ..imported(true)
    };
    assert_eq!(revoked.judge(PreviousToken, false, then()), Refuse);
}

#[test]
fn whoever_has_moved_does_not_move_again() {
    assert_eq!(keyed().judge(PreviousToken, false, then()), Refuse);
}
