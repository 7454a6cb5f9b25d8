//! What is taken up to its limit, and not one more; what is read up to its last value.

use tidegate_domain::{
    Approval, Audience, Calendar, CalendarName, CalendarTerms, DeviceId, Error, Hold, InstallTerms, Limits,
    MAX_AUDIENCE_ENTRIES, MAX_FREEZES, MAX_LIMITED_PACKAGES, MAX_REMARK_BYTES, MAX_SPAN, MAX_STEPS,
    MAX_TAGS_PER_DEVICE, MAX_WINDOWS, PackageName, Percent, Plan, PlanStep, PolicySpec, PolicySubject,
    PolicyTerms, Share, Span, Verb, Window, check_tag_count,
};

use crate::calendars::terms;
use crate::fleet::{at, percent, version};

/// The field that is at fault; none where nothing is.
fn refused<T>(result: Result<T, Error>) -> Option<&'static str> {
    result.err().and_then(|error| error.field())
}

#[test]
fn a_policy_demands_something_that_lies_ahead_and_says_why() {
    let lifted = Some(Hold::UntilLifted);
    let long = "r".repeat(MAX_REMARK_BYTES);
    let longer = "r".repeat(MAX_REMARK_BYTES + 1);
    for (max_version, hold, remark, field) in [
        (Some(1), None, "why", None),
        (None, lifted, "why", None),
        (Some(1), lifted, "why", None),
        (None, None, "why", Some("max_version")),
        (Some(0), None, "why", Some("max_version")),
        (Some(0), lifted, "why", Some("max_version")),
        (None, Some(Hold::Until(at(99))), "why", Some("hold_until")),
        (None, Some(Hold::Until(at(100))), "why", Some("hold_until")),
        (None, Some(Hold::Until(at(101))), "why", None),
        (Some(1), None, long.as_str(), None),
        (Some(1), None, longer.as_str(), Some("remark")),
        (Some(1), None, " ", Some("remark")),
        (Some(1), None, "a\u{200b}b", Some("remark")),
    ] {
        let spec = PolicySpec {
            subject: PolicySubject::Everybody,
            package: None,
            terms: PolicyTerms {
                max_version: max_version.map(version),
                hold,
            },
            remark: remark.to_owned(),
        };
        assert_eq!(refused(spec.check(at(100))), field, "{max_version:?} {hold:?}");
    }
}

#[test]
fn a_policy_is_told_in_words() {
    let device = PolicySubject::Device(DeviceId::parse("till-7").unwrap());
    let tag = PolicySubject::Tag("lab".parse().unwrap());
    let subjects = [PolicySubject::Everybody, tag, device];
    assert_eq!(
        subjects.map(|subject| subject.to_string()),
        ["everybody", "tag lab", "device till-7"]
    );
    let holds = [Hold::Until(at(60)), Hold::UntilLifted];
    assert_eq!(
        holds.map(|hold| hold.to_string()),
        ["until 1970-01-01T00:01:00Z", "until it is lifted"]
    );
    assert_eq!(holds.map(Hold::ends_at), [Some(at(60)), None]);
    assert!(
        holds[0] < holds[1],
        "nothing holds longer than what must be lifted"
    );
}

#[test]
fn a_device_has_as_many_tags_as_it_may() {
    let device = DeviceId::parse("till-7").unwrap();
    assert_eq!(check_tag_count(&device, MAX_TAGS_PER_DEVICE), Ok(()));
    let fault = check_tag_count(&device, MAX_TAGS_PER_DEVICE + 1).unwrap_err();
    assert_eq!(fault.field(), Some("add"));
    assert!(fault.to_string().contains("till-7"), "{fault}");
}

#[test]
fn a_calendar_has_as_many_windows_and_freezes_as_it_may() {
    let monday: &[(&[&str], &str, &str)] = &[(&["mon"], "01:00", "02:00")];
    let of = |windows: usize, freezes: usize| -> CalendarTerms {
        let one = ("2030-12-24T00:00", "2030-12-27T00:00", false);
        terms("UTC", &monday.repeat(windows), &vec![one; freezes])
    };
    assert_eq!(of(MAX_WINDOWS, MAX_FREEZES).check(), Ok(()));
    assert_eq!(refused(of(MAX_WINDOWS + 1, 0).check()), Some("windows"));
    assert_eq!(refused(of(0, MAX_FREEZES + 1).check()), Some("freezes"));
    assert_eq!(refused(terms("Mars/Olympus", monday, &[]).check()), Some("zone"));
    let full = of(1, 1);
    assert_eq!(full.without_freezes(), of(1, 0));
    assert_eq!(
        refused(CalendarName::parse("").map(|name| Calendar { name, terms: full })),
        Some("name")
    );
}

#[test]
fn a_window_reads_the_times_of_a_day() {
    for (start, end, minutes) in [
        ("00:00", "24:00", Some(1_440)),
        ("00:00", "00:01", Some(1)),
        ("23:59", "24:00", Some(1)),
        ("23:59", "00:00", Some(1)),
        ("22:30", "06:00", Some(450)),
        ("06:00", "22:30", Some(990)),
        ("00:59", "23:00", Some(1_321)),
        ("24:00", "06:00", None),
        ("00:00", "24:01", None),
        ("00:00", "25:00", None),
        ("00:60", "06:00", None),
        ("06:00", "06:00", None),
        ("6:00", "07:00", None),
        ("06:0a", "07:00", None),
        ("0600", "07:00", None),
    ] {
        let window = Window::parse(&["mon"], start, end).ok();
        assert_eq!(
            window.map(|window| window.wall_minutes()),
            minutes,
            "{start} to {end}"
        );
    }
}

#[test]
fn an_audience_lists_as_much_as_it_may() {
    let most = || vec!["x".to_owned(); MAX_AUDIENCE_ENTRIES];
    let more = || vec!["x".to_owned(); MAX_AUDIENCE_ENTRIES + 1];
    assert_eq!(refused(Audience::of_lists(most(), most())), None);
    assert_eq!(refused(Audience::of_lists(more(), vec![])), Some("audience"));
    assert_eq!(refused(Audience::of_lists(vec![], more())), Some("audience"));
}

#[test]
fn a_credential_is_limited_to_as_many_packages_as_it_may() {
    let packages = |count: usize| {
        let name = |number| PackageName::parse(&format!("com.example.a{number}")).unwrap();
        (0..count).map(name).collect::<Vec<_>>()
    };
    let limits = Limits::new(packages(MAX_LIMITED_PACKAGES), [Verb::Nudge])
        .unwrap()
        .unwrap();
    assert_eq!(limits.packages.len(), MAX_LIMITED_PACKAGES);
    assert!(limits.allow_verb(Verb::Nudge) && !limits.allow_verb(Verb::Upload));
    assert!(Limits::default().allow_verb(Verb::Upload));
    assert_eq!(
        Limits::new(packages(MAX_LIMITED_PACKAGES + 1), [])
            .unwrap_err()
            .field(),
        Some("packages")
    );
    assert_eq!(
        Verb::ALL.map(|verb| verb.to_string()),
        Verb::ALL.map(|verb| verb.as_str().to_owned())
    );
}

#[test]
fn a_plan_grows_with_each_of_as_many_steps_as_it_may_have() {
    let of = |shares: Vec<i64>| {
        let step = |share| PlanStep::to(percent(share), Span::hours(1));
        Plan::new(shares.into_iter().map(step).collect())
    };
    let most = i64::try_from(MAX_STEPS).unwrap();
    assert!(of((1..=most).collect()).is_ok());
    for shares in [(1..=most + 1).collect(), vec![], vec![0], vec![5, 5], vec![10, 5]] {
        assert_eq!(refused(of(shares.clone())), Some("plan"), "{shares:?}");
    }
    assert!(Span::new(MAX_SPAN).is_ok());
    let careful = Plan::careful();
    let told = careful
        .steps()
        .iter()
        .map(|step| (step.percent, step.bake.to_string()));
    let hours = |share, hours: u16| (percent(share), Span::hours(hours).to_string());
    let expected = [
        hours(1, 24),
        hours(5, 24),
        hours(10, 12),
        hours(25, 12),
        hours(50, 12),
        hours(100, 12),
    ];
    assert!(told.eq(expected));
}

#[test]
fn an_approval_asks_above_its_share_and_is_lower_the_more_it_lets_pass() {
    let above = |share| Approval::Above(percent(share));
    for (approval, asks) in [
        (Approval::Never, [false, false, false]),
        (above(5), [false, true, true]),
        (Approval::Always, [true, true, true]),
    ] {
        assert_eq!(
            [5, 6, 100].map(|share| approval.asks(percent(share))),
            asks,
            "{approval}"
        );
    }
    let rising = [Approval::Never, above(100), above(50), above(5), Approval::Always];
    for (place, one) in rising.into_iter().enumerate() {
        for (other_place, other) in rising.into_iter().enumerate() {
            assert_eq!(one.is_lower_than(other), place < other_place, "{one} and {other}");
        }
        assert_eq!(one.to_string().parse(), Ok(one));
    }
    for text in ["above 0", "above 100.5", "above 0.001", "above", "5 %", "Never"] {
        assert_eq!(refused(text.parse::<Approval>()), Some("approval"), "{text}");
    }
}

#[test]
fn shares_are_read_and_told_to_the_hundredth() {
    for (decimal, hundredths) in [
        (0.0, Some(0)),
        (0.01, Some(1)),
        (12.34, Some(1_234)),
        (100.0, Some(10_000)),
        (100.01, None),
        (-0.01, None),
        (0.005, None),
        (0.012, None),
    ] {
        let read = Percent::of_decimal(decimal).ok();
        assert_eq!(
            read.map(|percent| i64::from(percent.hundredths())),
            hundredths,
            "{decimal}"
        );
    }
    assert_eq!(refused(Percent::of_hundredths(10_001)), Some("rollout_percent"));
    let told = Percent::of_hundredths(10_001).unwrap_err().to_string();
    assert!(told.contains("not 100.01"), "{told}");
    for (hundredths, rounded, json) in [
        (0, 0, "0"),
        (1, 1, "0.01"),
        (100, 1, "1"),
        (101, 2, "1.01"),
        (10_000, 100, "100"),
    ] {
        let percent = Percent::of_hundredths(hundredths).unwrap();
        assert_eq!(percent.rounded_up(), rounded);
        assert_eq!(serde_json::to_string(&percent).unwrap(), json);
        assert_eq!(Percent::of_share(percent.share()), percent);
    }
    assert_eq!(Share::new(100_000_000), Ok(Share::WHOLE));
    assert_eq!(refused(Share::new(100_000_001)), Some("width_percent"));
    let third = Share::new(33_333_333).unwrap();
    assert_eq!(third.of(third).get(), 11_111_110, "rounded down");
    assert_eq!(third.of(Share::WHOLE), third);
}

#[test]
fn a_deadline_is_past_from_its_moment_on() {
    let terms = InstallTerms {
        deadline: Some(at(100)),
        ..InstallTerms::default()
    };
    assert_eq!(
        [99, 100, 101].map(|now| terms.is_past(at(now))),
        [false, true, true]
    );
    assert!(!InstallTerms::default().is_past(at(100)));
}
