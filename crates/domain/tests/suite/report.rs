//! What a device's report means for the next offer.

use chrono::{DateTime, Utc};
use tidegate_domain::{
    BuildId, Consequence, Error, MAX_MESSAGE_BYTES, MAX_REASON_BYTES, MAX_REQUEST_ID_BYTES,
    REJECTION_COOL_DOWN_HOURS, RETRY_BUDGET, Rejection, Report, ReportStatus,
};

use crate::fleet::at;

const BUILD: BuildId = BuildId(2);

fn report(status: ReportStatus, android_status: Option<i32>) -> Report {
    Report {
        build: BUILD,
        status,
        reason: None,
        android_status,
        message: None,
        retry_generation: 1,
        request_id: None,
    }
}

fn rejected(until: Option<DateTime<Utc>>) -> Consequence {
    Consequence::Rejected(Rejection {
        build: BUILD,
        retry_generation: 1,
        until,
    })
}

#[test]
fn each_status_has_its_consequence() {
    use ReportStatus::{Deferred, Downloaded, InstallFailed, InstallSuccess, VerifyFailed};
    let table = [
        (Downloaded, None, Consequence::None),
        (Deferred, None, Consequence::None),
        (InstallSuccess, None, Consequence::Forgiven),
        (InstallSuccess, Some(0), Consequence::Forgiven),
        (VerifyFailed, None, Consequence::Failed),
        (VerifyFailed, Some(4), Consequence::Failed),
        (InstallFailed, None, Consequence::Failed),
    ];
    for (status, android_status, expected) in table {
        let consequence = report(status, android_status).consequence(0, at(0));
        assert_eq!(consequence, expected, "{status} {android_status:?}");
    }
}

/// `PackageInstaller.STATUS_FAILURE` and its kin, by what a later try can change about them.
#[test]
fn an_installation_fails_for_good_or_for_now() {
    let for_good = [(4, "invalid"), (5, "conflict"), (7, "incompatible")];
    let for_now = [
        (-1, "pending user action"),
        (1, "failure"),
        (2, "blocked"),
        (3, "aborted"),
        (6, "storage"),
        (8, "timeout"),
        (99, "one that Android may yet add"),
    ];
    for (android_status, name) in for_good {
        let report = report(ReportStatus::InstallFailed, Some(android_status));
        assert_eq!(report.consequence(0, at(0)), rejected(None), "{name}");
    }
    for (android_status, name) in for_now {
        let report = report(ReportStatus::InstallFailed, Some(android_status));
        assert_eq!(report.consequence(0, at(0)), Consequence::Failed, "{name}");
    }
}

#[test]
fn a_device_that_used_up_its_tries_rests_for_a_day() {
    for status in [ReportStatus::InstallFailed, ReportStatus::VerifyFailed] {
        let after = |earlier| report(status, Some(6)).consequence(earlier, at(1_000));
        for earlier in 0..RETRY_BUDGET - 1 {
            assert_eq!(after(earlier), Consequence::Failed, "{earlier} failures before");
        }
        let rest = rejected(Some(at(1_000 + REJECTION_COOL_DOWN_HOURS * 3_600)));
        for earlier in [RETRY_BUDGET - 1, RETRY_BUDGET, u32::MAX] {
            assert_eq!(after(earlier), rest, "{earlier} failures before");
        }
    }
}

#[test]
fn a_rejection_holds_for_its_build_its_attempt_and_its_time() {
    let rests = Rejection {
        build: BUILD,
        retry_generation: 2,
        until: Some(at(100)),
    };
    for (build, retry_generation, now, applies) in [
        (2, 2, 99, true),
        (2, 1, 99, true),
        (2, 3, 99, false),
        (3, 2, 99, false),
        (2, 2, 100, false),
    ] {
        assert_eq!(
            rests.applies_to(BuildId(build), retry_generation, at(now)),
            applies
        );
    }
    let for_good = Rejection { until: None, ..rests };
    assert!(for_good.applies_to(BUILD, 2, DateTime::<Utc>::MAX_UTC));
}

#[test]
fn the_rejection_carries_the_attempt_that_the_device_acted_on() {
    let report = Report {
        retry_generation: 7,
        ..report(ReportStatus::InstallFailed, Some(5))
    };
    let Consequence::Rejected(rejection) = report.consequence(0, at(0)) else {
        panic!("not rejected");
    };
    assert_eq!((rejection.retry_generation, rejection.until), (7, None));
}

#[test]
fn texts_that_are_too_long_are_refused_by_their_name() {
    type Edit = fn(&mut Report, String);
    let fields: [(&str, usize, Edit); 3] = [
        ("reason", MAX_REASON_BYTES, |report, text| {
            report.reason = Some(text);
        }),
        ("message", MAX_MESSAGE_BYTES, |report, text| {
            report.message = Some(text);
        }),
        ("request_id", MAX_REQUEST_ID_BYTES, |report, text| {
            report.request_id = Some(text);
        }),
    ];
    for (name, limit, edit) in fields {
        let mut report = report(ReportStatus::Deferred, None);
        edit(&mut report, "a".repeat(limit));
        assert_eq!(report.check(), Ok(()));
        edit(&mut report, "a".repeat(limit + 1));
        let refused = report.check();
        assert!(
            matches!(refused, Err(Error::Invalid { field, .. }) if field == name),
            "{refused:?}"
        );
    }
}

#[test]
fn the_same_report_twice_is_equal_and_another_try_is_not() {
    let first = report(ReportStatus::InstallFailed, Some(6));
    assert_eq!(first, first.clone());
    for other in [
        Report {
            retry_generation: 2,
            ..first.clone()
        },
        Report {
            request_id: Some("r2".to_owned()),
            ..first.clone()
        },
        report(ReportStatus::InstallSuccess, None),
    ] {
        assert_ne!(first, other);
    }
}
