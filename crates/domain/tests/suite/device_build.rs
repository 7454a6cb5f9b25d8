//! What a device's reports mean for the next offer of a build, to the server and to the agent alike.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use tidegate_domain::{
    BuildId, Capacity, Consequence, DeviceBuild, LastReport, MAX_NEWS_PER_BUILD, MAX_REPORTS_PER_BUILD,
    Milestones, REJECTION_COOL_DOWN_HOURS, RETRY_BUDGET, Rejection, Report, ReportStatus, TERMINAL_REASONS,
};

use crate::fleet::at;
use crate::property::check_often;
use ReportStatus::{Deferred, Downloaded, InstallFailed, InstallSuccess, VerifyFailed};

const FAILURES: [ReportStatus; 2] = [InstallFailed, VerifyFailed];

/// A failure that Android may get over: too little storage.
const STORAGE: Option<i32> = Some(6);
/// A failure for good: the installed app is in the way.
const CONFLICT: Option<i32> = Some(5);

pub(crate) fn report(status: ReportStatus, android_status: Option<i32>) -> Report {
    Report {
        build: BuildId(2),
        status,
        reason: None,
        android_status,
        message: None,
        retry_generation: 1,
        request_id: None,
    }
}

fn because(status: ReportStatus, reason: &str) -> Report {
    Report {
        reason: Some(reason.to_owned()),
        ..report(status, None)
    }
}

fn in_generation(retry_generation: u32, report: Report) -> Report {
    Report {
        retry_generation,
        ..report
    }
}

fn cool_down() -> TimeDelta {
    TimeDelta::hours(REJECTION_COOL_DOWN_HOURS)
}

fn rejection(retry_generation: u32, until: Option<DateTime<Utc>>) -> Rejection {
    Rejection {
        retry_generation,
        until,
    }
}

/// Takes reports one after the other, a second apart, and returns the last one's consequence.
fn take(device: &mut DeviceBuild, reports: impl IntoIterator<Item = Report>) -> Consequence {
    let mut last = Consequence::None;
    for (second, report) in (0..).zip(reports) {
        last = device.take(&report, at(second));
    }
    last
}

#[test]
fn each_status_has_its_consequence() {
    let table = [
        (Downloaded, None, Consequence::None),
        (Downloaded, CONFLICT, Consequence::None),
        (Deferred, None, Consequence::None),
        (Deferred, CONFLICT, Consequence::None),
        (InstallSuccess, None, Consequence::Forgiven),
        (InstallSuccess, CONFLICT, Consequence::Forgiven),
        (VerifyFailed, None, Consequence::Failed),
        (VerifyFailed, CONFLICT, Consequence::Failed),
        (InstallFailed, None, Consequence::Failed),
    ];
    for (status, android_status, expected) in table {
        let mut device = DeviceBuild::default();
        let consequence = device.take(&report(status, android_status), at(0));
        assert_eq!(consequence, expected, "{status} {android_status:?}");
        let failures = u32::from(expected == Consequence::Failed);
        assert_eq!((device.reports, device.failures), (1, failures), "{status}");
        assert_eq!(device.rejection, None, "{status}");
    }
}

/// `PackageInstaller.STATUS_FAILURE` and its kin, by what a later try can change about them.
#[test]
fn an_installation_fails_for_good_or_for_now() {
    let for_good = [(4, "invalid"), (5, "conflict"), (7, "incompatible")];
    let for_now = [
        (-1, "pending user action"),
        (0, "success, which a failure should not say"),
        (1, "failure"),
        (2, "blocked"),
        (3, "aborted"),
        (6, "storage"),
        (8, "timeout"),
        (99, "one that Android may yet add"),
    ];
    for (android_status, name) in for_good {
        let failed = report(InstallFailed, Some(android_status));
        let mut device = DeviceBuild::default();
        let expected = rejection(1, None);
        assert_eq!(
            device.take(&failed, at(0)),
            Consequence::Rejected(expected),
            "{name}"
        );
        assert_eq!(device.rejection, Some(expected), "{name}");
    }
    for (android_status, name) in for_now {
        let failed = report(InstallFailed, Some(android_status));
        let mut device = DeviceBuild::default();
        assert_eq!(device.take(&failed, at(0)), Consequence::Failed, "{name}");
    }
}

#[test]
fn a_reason_that_no_retry_changes_rejects_for_good() {
    let known = [
        "signature_refused",
        "package_mismatch",
        "version_mismatch",
        "signer_mismatch",
        "installed_signer_mismatch",
        "downgrade_refused",
    ];
    assert_eq!(TERMINAL_REASONS, known);
    for reason in known {
        for status in FAILURES {
            let consequence = DeviceBuild::default().take(&because(status, reason), at(0));
            let expected = Consequence::Rejected(rejection(1, None));
            assert_eq!(consequence, expected, "{status}: {reason}");
        }
        for status in [Downloaded, Deferred, InstallSuccess] {
            let mut device = DeviceBuild::default();
            device.take(&because(status, reason), at(0));
            assert_eq!(device.rejection, None, "{status}: {reason}");
        }
    }
}

#[test]
fn a_reason_of_an_agents_own_is_counted() {
    for reason in [
        "",
        "hash_mismatch",
        "Signer_Mismatch",
        "signer_mismatch ",
        "timeout",
    ] {
        for status in FAILURES {
            let consequence = DeviceBuild::default().take(&because(status, reason), at(0));
            assert_eq!(consequence, Consequence::Failed, "{status}: {reason:?}");
        }
    }
}

#[test]
fn a_device_that_used_up_its_tries_is_left_alone_for_a_day() {
    for status in FAILURES {
        let mut device = DeviceBuild::default();
        for nth in 1..RETRY_BUDGET {
            let consequence = device.take(&report(status, STORAGE), at(0));
            assert_eq!(consequence, Consequence::Failed, "failure {nth}");
        }
        for now in [at(1_000), at(1_000_000)] {
            let expected = rejection(1, Some(now + cool_down()));
            let consequence = device.take(&report(status, STORAGE), now);
            assert_eq!(
                consequence,
                Consequence::Rejected(expected),
                "the last of its tries, and each one after it"
            );
            assert_eq!(device.rejection, Some(expected));
        }
    }
}

#[test]
fn a_success_forgets_failures_and_rejection() {
    let failed = || report(InstallFailed, STORAGE);
    let mut device = DeviceBuild::default();
    take(
        &mut device,
        [report(InstallFailed, CONFLICT), failed(), failed(), failed()],
    );
    assert!(device.rejection.is_some());
    take(&mut device, [report(InstallSuccess, None)]);
    assert_eq!((device.failures, device.rejection), (0, None));
    let consequence = take(&mut device, [failed(), failed()]);
    assert_eq!(consequence, Consequence::Failed, "counted anew");
}

#[test]
fn another_try_that_an_operator_gives_forgets_failures_and_keeps_the_story() {
    let mut device = DeviceBuild::default();
    take(
        &mut device,
        [report(InstallFailed, STORAGE), report(InstallFailed, CONFLICT)],
    );
    let before = device.clone();
    device.forget_failures();
    let expected = DeviceBuild {
        failures: 0,
        rejection: None,
        ..before
    };
    assert_eq!(device, expected);
    assert_eq!(
        take(&mut device, [report(InstallFailed, STORAGE)]),
        Consequence::Failed
    );
}

#[test]
fn a_later_retry_generation_counts_from_the_beginning() {
    let failed = |generation| in_generation(generation, report(InstallFailed, STORAGE));
    let mut device = DeviceBuild::default();
    assert_eq!(take(&mut device, [failed(1), failed(1)]), Consequence::Failed);
    assert_eq!((device.failure_generation, device.failures), (1, 2));
    assert_eq!(take(&mut device, [failed(2), failed(2)]), Consequence::Failed);
    assert_eq!((device.failure_generation, device.failures), (2, 2));
    let consequence = device.take(&failed(2), at(9));
    assert_eq!(
        consequence,
        Consequence::Rejected(rejection(2, Some(at(9) + cool_down())))
    );
}

/// A roll-back can restore a rollout of an older generation. Were its failures not counted, a device would fetch the
/// file and fail for ever.
#[test]
fn failures_of_an_older_retry_generation_use_up_the_tries_too() {
    let failed = |generation| in_generation(generation, report(InstallFailed, STORAGE));
    let mut device = DeviceBuild::default();
    assert_eq!(take(&mut device, [failed(2), failed(1)]), Consequence::Failed);
    let consequence = device.take(&failed(1), at(9));
    let expected = rejection(1, Some(at(9) + cool_down()));
    assert_eq!(consequence, Consequence::Rejected(expected));
    assert_eq!(device.failure_generation, 2);
    assert!(
        !expected.applies_to(2, at(9)),
        "the newer generation is not kept from the device by it"
    );
}

#[test]
fn a_rejection_is_never_replaced_by_a_weaker_one() {
    let for_good = |generation| in_generation(generation, report(InstallFailed, CONFLICT));
    let failed = |generation| in_generation(generation, report(InstallFailed, STORAGE));
    let tries = |generation| vec![failed(generation); 3];
    let until = Some(at(2) + cool_down());
    for (earlier, later, held) in [
        (vec![for_good(1)], tries(1), rejection(1, None)),
        (tries(1), vec![for_good(1)], rejection(1, None)),
        (vec![for_good(2)], vec![for_good(1)], rejection(2, None)),
        (tries(2), vec![for_good(1)], rejection(2, until)),
        (vec![for_good(1)], tries(2), rejection(2, until)),
        (vec![for_good(1)], vec![failed(2), failed(2)], rejection(1, None)),
    ] {
        let mut device = DeviceBuild::default();
        take(&mut device, earlier.clone());
        let consequence = take(&mut device, later.clone());
        assert_eq!(device.rejection, Some(held), "{earlier:?}, then {later:?}");
        if consequence != Consequence::Failed {
            assert_eq!(consequence, Consequence::Rejected(held), "what stands is told");
        }
    }
}

/// A cool-down of a higher retry generation is the stronger one only until it ends.
#[test]
fn a_cool_down_that_has_ended_stands_in_no_ones_way() {
    let failed = |generation| in_generation(generation, report(InstallFailed, STORAGE));
    let mut device = DeviceBuild::default();
    take(&mut device, [failed(2), failed(2), failed(2)]);
    let later = at(2) + cool_down();
    let expected = rejection(1, Some(later + cool_down()));
    assert_eq!(device.take(&failed(1), later), Consequence::Rejected(expected));
    assert_eq!(device.rejection, Some(expected));
}

#[test]
fn of_two_cool_downs_the_later_one_stays() {
    let mut device = DeviceBuild::default();
    for now in [10, 10, 10, 5] {
        device.take(&report(InstallFailed, STORAGE), at(now));
    }
    assert_eq!(
        device.rejection,
        Some(rejection(1, Some(at(10) + cool_down()))),
        "a report that comes late ends nothing sooner"
    );
}

#[test]
fn a_rejection_applies_to_its_retry_generation_and_its_time() {
    let cooling_down = rejection(2, Some(at(100)));
    for (retry_generation, now, applies) in [
        (2, 99, true),
        (1, 99, true),
        (3, 99, false),
        (2, 100, false),
        (1, 101, false),
    ] {
        assert_eq!(
            cooling_down.applies_to(retry_generation, at(now)),
            applies,
            "{retry_generation} at {now}"
        );
    }
    let for_good = rejection(2, None);
    assert!(for_good.applies_to(2, DateTime::<Utc>::MAX_UTC));
    assert!(!for_good.applies_to(3, at(0)));
}

#[test]
fn a_rejection_that_an_operator_lifted_withholds_nothing_and_says_when() {
    let lifted = Rejection::lifted(at(50));
    assert_eq!(lifted.lifted_at(), Some(at(50)));
    for now in [0, 49, 50, 51] {
        assert!(!lifted.applies_to(1, at(now)), "at {now}");
    }
    for standing in [rejection(1, Some(at(50))), rejection(1, None)] {
        assert_eq!(standing.lifted_at(), None);
    }
}

#[test]
fn the_rejection_carries_the_retry_generation_that_the_device_acted_on() {
    let mut device = DeviceBuild::default();
    take(&mut device, [in_generation(7, report(InstallFailed, CONFLICT))]);
    assert_eq!(device.rejection, Some(rejection(7, None)));
}

#[test]
fn a_report_that_comes_late_does_not_replace_the_last_word() {
    let mut device = DeviceBuild::default();
    let last = |device: &DeviceBuild| device.last.clone().unwrap();
    device.take(&because(Deferred, "battery_low"), at(10));
    assert_eq!(
        last(&device),
        LastReport {
            status: Deferred,
            reason: Some("battery_low".to_owned()),
            at: at(10)
        }
    );
    device.take(&report(Downloaded, None), at(9));
    assert_eq!((last(&device).status, last(&device).at), (Deferred, at(10)));
    device.take(&report(InstallFailed, STORAGE), at(10));
    assert_eq!(
        last(&device).status,
        InstallFailed,
        "of the same moment the later one counts"
    );
    assert_eq!(last(&device).reason, None, "nor does an old reason linger");
    device.take(&report(InstallSuccess, None), at(11));
    assert_eq!((last(&device).status, last(&device).at), (InstallSuccess, at(11)));
    assert_eq!(device.reports, 4, "a late one is taken all the same");
}

#[test]
fn each_thing_that_happens_is_noted_the_first_time() {
    let mut milestones = Milestones::default();
    assert!(milestones.offer(at(1)));
    assert!(!milestones.offer(at(2)));
    for status in [Downloaded, VerifyFailed, InstallFailed, InstallSuccess] {
        assert!(milestones.reach(status, at(3)), "{status}");
        assert!(!milestones.reach(status, at(4)), "{status} again");
    }
    assert!(!milestones.reach(Deferred, at(3)));
    let expected = Milestones {
        offered_at: Some(at(1)),
        downloaded_at: Some(at(3)),
        verify_failed_at: Some(at(3)),
        install_failed_at: Some(at(3)),
        installed_at: Some(at(3)),
    };
    assert_eq!(milestones, expected);
}

#[test]
fn a_report_reaches_the_milestone_of_its_status() {
    for (status, reached) in [
        (
            Downloaded,
            Milestones {
                downloaded_at: Some(at(5)),
                ..Milestones::default()
            },
        ),
        (
            VerifyFailed,
            Milestones {
                verify_failed_at: Some(at(5)),
                ..Milestones::default()
            },
        ),
        (
            InstallFailed,
            Milestones {
                install_failed_at: Some(at(5)),
                ..Milestones::default()
            },
        ),
        (
            InstallSuccess,
            Milestones {
                installed_at: Some(at(5)),
                ..Milestones::default()
            },
        ),
        (Deferred, Milestones::default()),
    ] {
        let mut device = DeviceBuild::default();
        device.take(&report(status, None), at(5));
        device.take(&report(status, None), at(6));
        assert_eq!(device.milestones, reached, "{status}");
    }
}

#[test]
fn a_device_may_say_only_so_much_about_a_build_and_its_outcome_always() {
    let full = MAX_REPORTS_PER_BUILD + MAX_NEWS_PER_BUILD;
    let outcomes = [Downloaded, VerifyFailed, InstallFailed, InstallSuccess];
    for (reports, deferred, repeated) in [
        (0, Capacity::Any, Capacity::Any),
        (MAX_REPORTS_PER_BUILD - 1, Capacity::Any, Capacity::Any),
        (MAX_REPORTS_PER_BUILD, Capacity::Full, Capacity::FirstOfItsKind),
        (full - 1, Capacity::Full, Capacity::FirstOfItsKind),
        (full, Capacity::Full, Capacity::Full),
        (u32::MAX, Capacity::Full, Capacity::Full),
    ] {
        let mut device = DeviceBuild {
            reports,
            ..DeviceBuild::default()
        };
        assert_eq!(device.capacity_for(Deferred), deferred, "after {reports}");
        for status in outcomes {
            assert_eq!(
                device.capacity_for(status),
                Capacity::Any,
                "{status} was never told"
            );
            device.milestones.reach(status, at(0));
            assert_eq!(device.capacity_for(status), repeated, "{status} after {reports}");
        }
    }
}

#[test]
fn a_count_that_is_full_stays_full() {
    let mut device = DeviceBuild {
        reports: u32::MAX,
        failures: u32::MAX,
        failure_generation: 1,
        ..DeviceBuild::default()
    };
    device.take(&report(InstallFailed, STORAGE), at(0));
    assert_eq!((device.reports, device.failures), (u32::MAX, u32::MAX));
    assert!(device.rejection.is_some());
}

#[test]
fn what_became_of_a_build_reads_back_from_its_json_and_from_an_older_one() {
    let mut device = DeviceBuild::default();
    take(
        &mut device,
        [report(Downloaded, None), because(VerifyFailed, "signer_mismatch")],
    );
    let json = serde_json::to_string(&device).unwrap();
    assert_eq!(serde_json::from_str::<DeviceBuild>(&json).unwrap(), device);
    let older = r#"{"reports": 3, "milestones": {}, "unheard_of": 1}"#;
    let expected = DeviceBuild {
        reports: 3,
        ..DeviceBuild::default()
    };
    assert_eq!(serde_json::from_str::<DeviceBuild>(older).unwrap(), expected);
}

/// Reports of three retry generations, most of them failures, each with the hours since the one before.
fn stories() -> impl Strategy<Value = Vec<(Report, i64)>> {
    let reports = prop_oneof![
        6 => prop::sample::select(&FAILURES[..]).prop_map(|status| report(status, STORAGE)),
        1 => Just(report(InstallFailed, CONFLICT)),
        1 => prop::sample::select(&TERMINAL_REASONS[..]).prop_map(|reason| because(VerifyFailed, reason)),
        1 => Just(report(InstallSuccess, None)),
        1 => Just(because(Deferred, "signer_mismatch")),
        1 => Just(report(Downloaded, None)),
    ];
    let one = (1..4_u32, reports, 0..30_i64);
    let one = one.prop_map(|(generation, report, hours)| (in_generation(generation, report), hours));
    prop::collection::vec(one, 0..20)
}

/// The failures since the last success.
fn recent_failures(story: &[(Report, i64)]) -> Vec<&Report> {
    let success = story
        .iter()
        .rposition(|(report, _)| report.status == InstallSuccess);
    let reports = story.iter().map(|(report, _)| report);
    reports
        .skip(success.map_or(0, |success| success + 1))
        .filter(|report| FAILURES.contains(&report.status))
        .collect()
}

fn is_for_good(report: &Report) -> bool {
    report.android_status == CONFLICT || report.reason.is_some()
}

fn tell(story: &[(Report, i64)]) -> (DeviceBuild, DateTime<Utc>) {
    let (mut device, mut now) = (DeviceBuild::default(), at(0));
    for (report, hours) in story {
        now += TimeDelta::hours(*hours);
        device.take(report, now);
    }
    (device, now)
}

#[test]
fn a_build_is_rejected_for_good_after_a_terminal_failure_and_no_later_success_only() {
    check_often(50, &stories(), |story| {
        let (device, _) = tell(&story);
        let failures = recent_failures(&story);
        let terminal = failures.iter().filter(|report| is_for_good(report));
        let generations: Vec<u32> = terminal.map(|report| report.retry_generation).collect();
        let terminal = generations.iter().copied().max();
        let for_good = device
            .rejection
            .filter(|rejection| rejection.until.is_none())
            .map(|rejection| rejection.retry_generation);
        prop_assert!(for_good.is_none_or(|generation| generations.contains(&generation)));
        // Only a rejection of a higher generation replaces one for good, and that takes several failures.
        let newer = failures
            .iter()
            .filter(|report| Some(report.retry_generation) > terminal)
            .count();
        if newer == 0 {
            prop_assert_eq!(for_good, terminal);
        }
        Ok(newer == 0 && terminal.is_some())
    });
}

#[test]
fn no_device_fails_more_often_than_its_tries_without_a_rejection() {
    check_often(50, &stories(), |story| {
        let (device, now) = tell(&story);
        let Some((last, _)) = story.last().filter(|(last, _)| FAILURES.contains(&last.status)) else {
            return Ok(false);
        };
        // Counted from the last success, or from the first failure of the highest generation so far.
        let failures = recent_failures(&story);
        let highest = |report: &&(Report, i64)| FAILURES.contains(&report.0.status);
        let ever = story
            .iter()
            .filter(highest)
            .map(|(report, _)| report.retry_generation);
        let newest = ever.max().unwrap_or(0);
        let since = failures
            .iter()
            .position(|report| report.retry_generation == newest)
            .unwrap_or(0);
        let tries = u32::try_from(failures.len() - since).unwrap();
        let kept_away = device
            .rejection
            .is_some_and(|rejection| rejection.applies_to(last.retry_generation, now));
        if tries >= RETRY_BUDGET {
            prop_assert!(kept_away, "after {} tries", tries);
        }
        Ok(tries >= RETRY_BUDGET)
    });
}

#[test]
fn a_first_failure_that_may_pass_rejects_nothing() {
    check_often(50, &stories(), |story| {
        let (device, _) = tell(&story);
        let failures = recent_failures(&story);
        let may_pass = failures.iter().all(|report| !is_for_good(report));
        let few = u32::try_from(failures.len()).unwrap() < RETRY_BUDGET;
        if may_pass && few {
            prop_assert_eq!(device.rejection, None);
        }
        Ok(may_pass && few && !failures.is_empty())
    });
}

#[test]
fn a_lifted_rejection_withholds_nothing_until_the_device_fails_again() {
    let lifted = Rejection::lifted(at(7));
    assert_eq!(lifted.lifted_at(), Some(at(7)));
    for now in [0, 7, 8] {
        assert!(!lifted.applies_to(1, at(now)), "at {now}");
    }
    let holds = Rejection {
        retry_generation: 1,
        until: Some(at(7)),
    };
    assert_eq!(holds.lifted_at(), None);

    let mut history = DeviceBuild {
        rejection: Some(lifted),
        ..DeviceBuild::default()
    };
    history.take(&report(InstallFailed, CONFLICT), at(9));
    let rejection = history.rejection.unwrap();
    assert_eq!(
        (rejection.lifted_at(), rejection.applies_to(1, at(10))),
        (None, true)
    );
}
