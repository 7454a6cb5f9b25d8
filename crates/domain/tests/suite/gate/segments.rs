//! Resuming a halted rollout, and outcomes that are told late.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::gate::{
    DeviceOutcome, GateAction, GateSettings, Metric, Segment, StepCounts, Verdict, judge,
};

use super::facts_of;

pub(crate) fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
}

const SENT: DeviceOutcome = DeviceOutcome {
    begun: true,
    sent: true,
    failed: false,
    corrupt: false,
    in_trouble: false,
    confirmed: false,
};
const FAILED: DeviceOutcome = DeviceOutcome {
    failed: true,
    in_trouble: true,
    ..SENT
};
const TRIES_AGAIN: DeviceOutcome = DeviceOutcome {
    in_trouble: true,
    ..SENT
};
const RUNS: DeviceOutcome = DeviceOutcome {
    confirmed: true,
    ..SENT
};

/// The counts that a segment makes of devices, each first offered the build at that minute.
pub(crate) fn counts(segment: Segment, devices: &[(i64, DeviceOutcome)]) -> StepCounts {
    let mut counts = StepCounts::default();
    for (minute, outcome) in devices {
        if segment.counts(at(*minute)) {
            counts.reach();
            counts.change(DeviceOutcome::default(), *outcome);
        }
    }
    counts
}

#[test]
fn a_resume_with_pending_failures_does_not_trip_again() {
    let first = Segment::first(at(0));
    let mut devices: Vec<_> = (1..=40).map(|minute| (minute, SENT)).collect();
    for device in &mut devices[..10] {
        device.1 = FAILED;
    }
    let halted = judge(&GateSettings::default(), &facts_of(counts(first, &devices)));
    assert_eq!(halted.verdict, Verdict::Bad(Metric::Failed));
    assert_eq!(halted.failures(), 10);

    // An operator resumes it; the outcomes of twenty that had the file by then come in afterwards.
    let resumed = Segment::first(at(40));
    for device in &mut devices[10..30] {
        device.1 = FAILED;
    }
    devices.extend((41..=90).map(|minute| (minute, RUNS)));
    let reading = judge(&GateSettings::default(), &facts_of(counts(resumed, &devices)));
    assert_eq!(reading.failed.seen, 0);
    assert_eq!(reading.action, GateAction::Advance);
    let without_segment = judge(&GateSettings::default(), &facts_of(counts(first, &devices)));
    assert_eq!(
        without_segment.action,
        GateAction::Halt,
        "which the segment prevents"
    );

    // It halts again where the new ones fail too.
    devices.extend((91..=100).map(|minute| (minute, FAILED)));
    let again = judge(&GateSettings::default(), &facts_of(counts(resumed, &devices)));
    assert_eq!(again.action, GateAction::Halt);
}

#[test]
fn pending_retries_never_advance() {
    let segment = Segment::first(at(0));
    for reached in [1, 10, 200, 2_000] {
        let mut devices: Vec<_> = (1..=reached).map(|minute| (minute, TRIES_AGAIN)).collect();
        let reading = judge(&GateSettings::default(), &facts_of(counts(segment, &devices)));
        assert_eq!(reading.verdict, Verdict::WaitingForEvidence, "{reached}");
        assert_eq!(reading.failed.seen, 0, "none of them has given up");

        // Most succeed in the end; a twentieth still tries.
        let trying = devices.len().div_ceil(20);
        for device in devices.iter_mut().skip(trying) {
            device.1 = RUNS;
        }
        let reading = judge(&GateSettings::default(), &facts_of(counts(segment, &devices)));
        assert_ne!(reading.action, GateAction::Advance, "{reached}");

        for device in &mut devices {
            device.1 = RUNS;
        }
        let reading = judge(&GateSettings::default(), &facts_of(counts(segment, &devices)));
        assert_eq!(reading.action, GateAction::Advance, "{reached}");
    }
}

#[test]
fn what_is_counted_of_a_device_follows_what_becomes_of_it() {
    let mut counts = StepCounts::default();
    counts.reach();
    let story = [
        DeviceOutcome::default(),
        DeviceOutcome {
            begun: true,
            ..DeviceOutcome::default()
        },
        SENT,
        DeviceOutcome {
            corrupt: true,
            in_trouble: true,
            ..SENT
        },
        DeviceOutcome {
            corrupt: true,
            confirmed: true,
            ..SENT
        },
    ];
    for pair in story.windows(2) {
        counts.change(pair[0], pair[1]);
    }
    let expected = StepCounts {
        reached: 1,
        begun: 1,
        sent: 1,
        corrupt: 1,
        confirmed: 1,
        ..StepCounts::default()
    };
    assert_eq!(
        counts, expected,
        "it succeeded at the second try, and its damaged file stays counted"
    );

    // Back on an older version: a failure after all.
    let back = DeviceOutcome {
        failed: true,
        in_trouble: true,
        corrupt: true,
        ..SENT
    };
    counts.change(story[4], back);
    assert_eq!((counts.failed, counts.confirmed, counts.unconfirmed()), (1, 0, 1));
}

#[test]
fn a_failure_before_the_last_byte_has_no_number_and_is_no_failure_of_the_build() {
    let mut counts = StepCounts::default();
    counts.reach();
    let full_disk = DeviceOutcome {
        begun: true,
        failed: true,
        in_trouble: true,
        ..DeviceOutcome::default()
    };
    counts.change(DeviceOutcome::default(), full_disk);
    assert_eq!((counts.sent, counts.failed, counts.in_trouble), (0, 0, 1));
}
