//! What operators demand of devices, whatever a rollout says.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tidegate_domain::{
    Decision, DeviceId, Hold, Overlay, PackageName, Policy, PolicySet, PolicySpec, PolicySubject,
    PolicyTerms, Reason, RolloutState, Tag, decide, explain,
};

use crate::fleet::{
    IN_7_PERCENT, IN_23_PERCENT, answer, at, build, catalog, catalog_with, phone, policy, release, version,
    with,
};
use crate::property::check_often;

fn tag(name: &str) -> PolicySubject {
    PolicySubject::Tag(name.parse().unwrap())
}

fn device(id: &str) -> PolicySubject {
    PolicySubject::Device(DeviceId::parse(id).unwrap())
}

fn of_package(mut policy: Policy, package: &str) -> Policy {
    policy.spec.package = Some(PackageName::parse(package).unwrap());
    policy
}

const LIFTED: Option<Hold> = Some(Hold::UntilLifted);

#[test]
fn a_policy_concerns_those_on_whom_it_hangs() {
    let released = || catalog(vec![release(build(2))]);
    let lab = || phone(IN_23_PERCENT, 10).tagged(&["lab", "north"]);
    let shop = || phone(IN_7_PERCENT, 10).tagged(&["shop"]);
    let held = Err(Reason::HeldByPolicy);
    for (subject, in_lab, in_shop) in [
        (PolicySubject::Everybody, held, held),
        (tag("lab"), held, Ok(2)),
        (tag("south"), Ok(2), Ok(2)),
        (device(IN_7_PERCENT), Ok(2), held),
    ] {
        let hold = policy(1, subject.clone(), None, LIFTED);
        let catalog = released().with_policies(PolicySet::new([hold.clone()]));
        assert_eq!(answer(&catalog, &lab()), in_lab, "{subject}");
        assert_eq!(answer(&catalog, &shop()), in_shop, "{subject}");
        let elsewhere = released().with_policies(PolicySet::new([of_package(hold, "com.example.other")]));
        assert_eq!(answer(&elsewhere, &lab()), Ok(2), "of another package");
    }
}

#[test]
fn a_hold_ends_at_its_time_and_not_before() {
    let hold = policy(1, PolicySubject::Everybody, None, Some(Hold::Until(at(60))));
    let catalog = catalog(vec![release(build(2))]).with_policies(PolicySet::new([hold]));
    let phone = phone(IN_23_PERCENT, 10);
    let told = |seconds| match decide(&catalog, &phone.poll(), at(seconds)) {
        Decision::Offer(offer) => Ok(offer.build.id.0),
        Decision::NoUpdate(reason) => Err(reason),
    };
    assert_eq!(told(59), Err(Reason::HeldByPolicy));
    assert_eq!(told(60), Ok(2));
}

#[test]
fn a_hold_wins_over_a_forced_roll_back_and_a_ceiling_does_not() {
    let taken_back = with(release(build(1)), |spec| spec.takes_back = Some(version(20)));
    let forced = || catalog_with(vec![taken_back.clone()], &[build(2)]);
    let phone = phone(IN_23_PERCENT, 20);
    assert_eq!(answer(&forced(), &phone), Ok(1));
    let held = forced().with_policies(PolicySet::new([policy(
        1,
        PolicySubject::Everybody,
        None,
        LIFTED,
    )]));
    assert_eq!(answer(&held, &phone), Err(Reason::HeldByPolicy));
    let kept_low = forced().with_policies(PolicySet::new([policy(
        1,
        PolicySubject::Everybody,
        Some(5),
        None,
    )]));
    assert_eq!(
        answer(&kept_low, &phone),
        Ok(1),
        "the bad version is taken away all the same"
    );
}

#[test]
fn above_the_ceiling_the_next_rollout_is_asked() {
    let serving = || catalog(vec![release(build(3)), release(build(2))]);
    for (ceiling, expected) in [
        (30, Ok(3)),
        (29, Ok(2)),
        (20, Ok(2)),
        (19, Err(Reason::AboveCeiling)),
    ] {
        let pin = policy(1, tag("lab"), Some(ceiling), None);
        let catalog = serving().with_policies(PolicySet::new([pin]));
        let lab = phone(IN_23_PERCENT, 10).tagged(&["lab"]);
        assert_eq!(answer(&catalog, &lab), expected, "up to {ceiling}");
    }
    let pin = PolicySet::new([policy(1, PolicySubject::Everybody, Some(15), None)]);
    let current = catalog(vec![release(build(2))]).with_policies(pin);
    assert_eq!(
        answer(&current, &phone(IN_23_PERCENT, 20)),
        Err(Reason::AlreadyCurrent),
        "what runs already stays as it is"
    );
}

#[test]
fn a_hold_is_asked_before_the_rollouts_and_after_the_package() {
    let hold = || PolicySet::new([policy(1, PolicySubject::Everybody, None, LIFTED)]);
    let paused = with(release(build(2)), |spec| spec.state = RolloutState::Paused);
    let phone = phone(IN_23_PERCENT, 10);
    let paused = catalog(vec![paused]).with_policies(hold());
    assert_eq!(answer(&paused, &phone), Err(Reason::HeldByPolicy));
    let nothing = catalog(vec![]).with_policies(hold());
    assert_eq!(answer(&nothing, &phone), Err(Reason::NoCurrentBuild));
}

#[test]
fn an_explanation_names_the_policy_and_why_it_is_there() {
    let released = || catalog(vec![release(build(2))]);
    let phone = phone(IN_23_PERCENT, 10);
    let steps = |policies: Vec<Policy>| {
        let catalog = released().with_policies(PolicySet::new(policies));
        explain(&catalog, &phone.poll(), at(0)).steps
    };
    let rules = |policies| {
        steps(policies)
            .iter()
            .map(|step| step.rule)
            .collect::<BTreeSet<_>>()
    };
    assert!(!rules(vec![]).contains("policy_hold") && !rules(vec![]).contains("ceiling"));
    for (rule, of) in [
        ("policy_hold", policy(7, PolicySubject::Everybody, None, LIFTED)),
        ("ceiling", policy(7, PolicySubject::Everybody, Some(19), None)),
    ] {
        let steps = steps(vec![of]);
        let step = steps.iter().find(|step| step.rule == rule).unwrap();
        assert!(!step.passed);
        let input = |name: &str| {
            step.inputs
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(
            (input("policy_id"), input("remark")),
            (Some("7"), Some("reason 7"))
        );
        assert!(
            step.answer.contains("policy 7") && step.answer.contains("reason 7"),
            "{}",
            step.answer
        );
    }
    let over = steps(vec![policy(
        7,
        PolicySubject::Everybody,
        None,
        Some(Hold::Until(at(0))),
    )]);
    let step = over.iter().find(|step| step.rule == "policy_hold").unwrap();
    assert!(step.passed, "{}", step.answer);
}

#[test]
fn agents_of_before_are_told_a_reason_that_they_know_to_pass() {
    for reason in Reason::ALL {
        assert_eq!(reason.told_to(2), reason);
        let expected = if matches!(
            reason,
            Reason::HeldByPolicy | Reason::OutsideWindow | Reason::Ramping | Reason::HeldBack
        ) {
            Reason::Paused
        } else {
            reason
        };
        assert_eq!(reason.told_to(0), expected);
        assert_eq!(reason.told_to(1), expected);
    }
}

#[test]
fn what_demands_nothing_or_says_not_why_is_refused() {
    let spec = |max_version: Option<i64>, hold, remark: &str| PolicySpec {
        subject: PolicySubject::Everybody,
        package: None,
        terms: PolicyTerms {
            max_version: max_version.map(version),
            hold,
        },
        remark: remark.to_owned(),
    };
    let field = |spec: PolicySpec| match spec.check(at(100)) {
        Ok(()) => "fine",
        Err(tidegate_domain::Error::Invalid { field, .. }) => field,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(field(spec(Some(1), None, "pinned")), "fine");
    assert_eq!(field(spec(Some(1), LIFTED, "both")), "fine");
    assert_eq!(field(spec(None, Some(Hold::Until(at(101))), "a second")), "fine");
    assert_eq!(field(spec(None, None, "nothing")), "max_version");
    assert_eq!(field(spec(Some(0), None, "zero")), "max_version");
    assert_eq!(
        field(spec(None, Some(Hold::Until(at(100))), "over")),
        "hold_until"
    );
    assert_eq!(field(spec(Some(1), None, "  ")), "remark");
    assert_eq!(field(spec(Some(1), None, "a\u{202e}b")), "remark");
    assert_eq!(field(spec(Some(1), None, &"x".repeat(1_001))), "remark");
}

#[test]
fn an_overlay_holds_each_tag_once_and_in_order() {
    let tags = |names: &[&str]| Overlay::new(names.iter().map(|name| Tag::parse(name).unwrap()));
    assert_eq!(tags(&["b", "a", "b"]), tags(&["a", "b"]));
    assert!(tags(&["b", "a"]).has_tag("b") && !tags(&["b", "a"]).has_tag("c"));
    assert!(Overlay::none().is_empty() && Overlay::none() == &tags(&[]));
}

/// A policy: on whom, its ceiling, and the end of its hold; 0 for none, 1,000 for one without an end.
fn any_policies() -> impl Strategy<Value = Vec<(u8, Option<i64>, i64)>> {
    let one = (0_u8..5, prop::option::of(1_i64..50), 0_i64..12);
    prop::collection::vec(one, 0..8)
}

#[test]
fn of_several_the_lowest_ceiling_and_the_latest_hold_count() {
    let subjects = [
        PolicySubject::Everybody,
        tag("lab"),
        tag("north"),
        tag("shop"),
        device(IN_23_PERCENT),
    ];
    let concerning = [true, true, true, false, true];
    check_often(100, &(any_policies(), 0_i64..12), |(drawn, now)| {
        let policies: Vec<Policy> = (1..)
            .zip(&drawn)
            .filter(|(_, (_, max, end))| max.is_some() || *end > 0)
            .map(|(id, (on, max, end))| {
                let hold = match *end {
                    0 => None,
                    11 => Some(Hold::UntilLifted),
                    end => Some(Hold::Until(at(end))),
                };
                policy(id, subjects[usize::from(*on)].clone(), *max, hold)
            })
            .collect();
        let ours: Vec<_> = drawn
            .iter()
            .filter(|(on, ..)| concerning[usize::from(*on)])
            .collect();
        let latest = ours.iter().map(|(_, _, end)| *end).max().unwrap_or(0);
        let lowest = ours.iter().filter_map(|(_, max, _)| *max).min();
        let held = latest == 11 || latest > now;
        let catalog =
            catalog(vec![release(build(3)), release(build(2))]).with_policies(PolicySet::new(policies));
        let phone = phone(IN_23_PERCENT, 10).tagged(&["lab", "north"]);
        let decision = decide(&catalog, &phone.poll(), at(now));
        prop_assert_eq!(&explain(&catalog, &phone.poll(), at(now)).decision, &decision);
        let told = match decision {
            Decision::Offer(offer) => Ok(offer.build.facts.version_code.get()),
            Decision::NoUpdate(reason) => Err(reason),
        };
        let expected = match (held, lowest) {
            (true, _) => Err(Reason::HeldByPolicy),
            (false, Some(..20)) => Err(Reason::AboveCeiling),
            (false, Some(20..30)) => Ok(20),
            (false, _) => Ok(30),
        };
        prop_assert_eq!(told, expected);
        Ok(!held && lowest.is_some())
    });
}
