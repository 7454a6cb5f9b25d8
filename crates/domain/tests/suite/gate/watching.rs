//! Which polls bring which devices into an arm, and who stays back.

use std::collections::HashMap;

use proptest::prelude::*;
use tidegate_domain::gate::{Arm, GateSettings, GateTerms, Place, RolloutGate, Watch};
use tidegate_domain::{
    Catalog, Decision, PackageName, Percent, Plan, PlanRun, PlanStep, Reason, Release, RolloutState, Share,
    Slice, Span, decide, decide_until, explain,
};

use crate::fleet::{PACKAGE, at, build, catalog, percent, phone, release, those_of, with};
use crate::property::check_often;

fn gated(release: Release, settings: GateSettings) -> Release {
    let terms = GateTerms {
        settings,
        ..GateTerms::default()
    };
    with(release, |spec| spec.gate = Some(RolloutGate::begun(terms, at(0))))
}

fn known(catalog: Catalog, devices: u64) -> Catalog {
    let package = PackageName::parse(PACKAGE).unwrap();
    catalog.with_fleets(&HashMap::from([(package, devices)]))
}

/// What a rollout is made of, in a case.
#[derive(Clone, Debug)]
struct Terms {
    gated: bool,
    share: i64,
    german: bool,
    paused: bool,
    closed: bool,
    slice: (u8, u8),
}

fn terms() -> impl Strategy<Value = Terms> {
    let german = prop::bool::weighted(0.2);
    let share = prop_oneof![3 => Just(2_i64), 3 => Just(5), 1 => Just(50), 1 => Just(100)];
    let rarely = || prop::bool::weighted(0.08);
    let slice = prop_oneof![3 => Just((0_u8, 100_u8)), 1 => (0_u8..100, 20_u8..=100)];
    (
        prop::bool::weighted(0.7),
        share,
        german,
        rarely(),
        rarely(),
        slice,
    )
        .prop_map(|(gated, share, german, paused, closed, slice)| Terms {
            gated,
            share,
            german,
            paused,
            closed,
            slice,
        })
}

fn release_of(id: i64, terms: &Terms) -> Release {
    let made = with(release(build(id)), |spec| {
        spec.priority = u32::try_from(id).unwrap();
        spec.settings.percent = percent(terms.share);
        let (start, width) = terms.slice;
        spec.settings.slice = Slice::of_percents(start.into(), width.into()).unwrap();
        if terms.german {
            spec.settings.audience = those_of(&["DE"], &[]);
        }
        if terms.paused {
            spec.state = RolloutState::Paused;
        }
        if terms.closed {
            spec.settings.calendars.download = Some("none".parse().unwrap());
        }
    });
    match terms.gated {
        true => gated(made, GateSettings::default()),
        false => made,
    }
}

fn watches(release: &Release) -> bool {
    let spec = &release.rollout.spec;
    spec.gate.is_some() && spec.state == RolloutState::Active
}

/// Control is whom the rule lets have the build when the shares of gates cover everybody, and who stands in the range.
#[test]
fn control_enters_exactly_where_a_share_is_all_that_is_missing() {
    let cases = (
        prop::collection::vec(terms(), 1..4),
        0_u32..1_000_000,
        prop::bool::ANY,
        prop_oneof![6 => Just(1_i64), 1 => Just(10), 1 => Just(20), 1 => Just(30)],
        prop_oneof![Just(2_000_u64), Just(3_000_000)],
    );
    check_often(40, &cases, |(rollouts, id, german, installed, devices)| {
        let mut releases: Vec<Release> = (1..)
            .zip(&rollouts)
            .map(|(id, terms)| release_of(id, terms))
            .collect();
        releases.reverse();
        let region = if german { "DE" } else { "FR" };
        let phone = phone(&format!("phone-{id}"), installed).region(region);
        let open = known(catalog(releases.clone()), devices);
        let found = decide_until(&open, &phone.poll(), at(0));
        prop_assert_eq!(found.decision, decide(&open, &phone.poll(), at(0)));
        let covered = releases.iter().map(|release| match watches(release) {
            true => with(release.clone(), |spec| spec.settings.percent = Percent::EVERYBODY),
            false => release.clone(),
        });
        let everybody = catalog(covered.collect());
        let expected = match (found.decision, decide(&everybody, &phone.poll(), at(0))) {
            (Decision::Offer(offer), _) => Some((offer.rollout.id, Arm::Treated)),
            (_, Decision::Offer(offer)) => Some((offer.rollout.id, Arm::Control)),
            _ => None,
        };
        let expected = expected.and_then(|(id, arm)| {
            let release = releases.iter().find(|release| release.rollout.id == id)?;
            let spec = &release.rollout.spec;
            let position = spec.settings.position(&phone.id);
            let place = spec.gate_range(devices).place(position, spec.share(at(0)));
            let is_one = watches(release) && (arm == Arm::Treated || place == Place::Control);
            is_one.then(|| Watch {
                rollout: id,
                segment: 1,
                step: 0,
                arm,
                takes_at: spec.settings.slice.share_at(position).unwrap(),
            })
        });
        prop_assert_eq!(found.watch, expected);
        Ok(expected.is_some_and(|watch| watch.arm == Arm::Control))
    });
}

#[test]
fn a_share_takes_a_device_from_the_share_on_at_which_it_stands() {
    let cases = (0_u32..100, 1_u32..=100, 0_u32..1_000_000);
    check_often(300, &cases, |(start, width, id)| {
        let slice = Slice::of_percents(start.into(), width.into()).unwrap();
        let position = tidegate_domain::Position::of(&format!("phone-{id}"), None);
        let Some(share) = slice.share_at(position) else {
            prop_assert!(!slice.takes(position, Share::WHOLE));
            return Ok(false);
        };
        let before = Share::new(i64::from(share.get()) - 1).unwrap();
        prop_assert!(slice.takes(position, share) && !slice.takes(position, before));
        Ok(true)
    });
}

#[test]
fn without_a_gate_or_a_count_of_the_fleet_nobody_is_control() {
    let phone = phone("phone-7", 10);
    let plain = with(release(build(2)), |spec| spec.settings.percent = percent(1));
    let found = |catalog: &Catalog| decide_until(catalog, &phone.poll(), at(0)).watch;
    assert_eq!(found(&known(catalog(vec![plain.clone()]), 2_000)), None);
    let uncounted = catalog(vec![gated(plain, GateSettings::default())]);
    assert_eq!(found(&uncounted), None);
    assert_eq!(uncounted.gated_packages().count(), 1, "its size is asked for");
}

/// A step to this share, whose ramp takes an hour and whose bake takes another.
fn step(share: i64) -> PlanStep {
    PlanStep {
        over: Span::hours(1),
        bake: Span::hours(1),
        ..PlanStep::to(percent(share), Span::NONE)
    }
}

fn planned(shares: &[i64], run: impl FnOnce(PlanRun) -> PlanRun) -> Release {
    let settings = GateSettings {
        holdback: true,
        ..GateSettings::default()
    };
    let plan = Plan::new(shares.iter().map(|share| step(*share)).collect()).unwrap();
    with(gated(release(build(2)), settings), |spec| {
        let begun = run(PlanRun::begun(plan, Percent::NOBODY.share(), at(0)));
        spec.settings.percent = begun.step().percent;
        spec.plan = Some(begun);
    })
}

/// A phone whose position is at this percent.
fn phone_at(percent: u8) -> crate::fleet::Phone {
    let id = (0..).map(|number| format!("phone-{number}"));
    let id = id.into_iter().find(|id| tidegate_domain::cohort(id) == percent);
    phone(&id.unwrap(), 10)
}

#[test]
fn five_of_a_hundred_stay_back_until_the_bake_has_ended() {
    let hour = 3_600;
    let first = planned(&[100], |run| run);
    let open = |release: &Release| known(catalog(vec![release.clone()]), 20_000);
    let told = |release: &Release, share, second| {
        let catalog = open(release);
        let phone = phone_at(share);
        let found = decide_until(&catalog, &phone.poll(), at(second));
        let reason = match found.decision {
            Decision::Offer(_) => None,
            Decision::NoUpdate(reason) => Some(reason),
        };
        (reason, found.watch.map(|watch| watch.arm))
    };
    // While the share rises, those who stay back are known already; they are control.
    assert_eq!(told(&first, 96, 60), (Some(Reason::HeldBack), Some(Arm::Control)));
    assert_eq!(told(&first, 94, 60), (Some(Reason::Ramping), None));
    assert_eq!(told(&first, 94, hour), (None, Some(Arm::Treated)));
    assert_eq!(
        told(&first, 95, hour),
        (Some(Reason::HeldBack), Some(Arm::Control))
    );
    assert_eq!(
        first.rollout.spec.percent(at(hour)),
        percent(95),
        "so people are told"
    );
    let baking = planned(&[100], |run| run.stepped(at(hour), |_| false).unwrap());
    assert_eq!(
        told(&baking, 99, hour + 60),
        (Some(Reason::HeldBack), Some(Arm::Control))
    );
    let done = planned(&[100], |run| {
        let baking = run.stepped(at(hour), |_| false).unwrap();
        baking.stepped(at(2 * hour), |_| false).unwrap()
    });
    assert_eq!(told(&done, 99, 2 * hour), (None, Some(Arm::Treated)));
    // It ends the search, and who runs the build already is told so.
    let below = with(release(build(1)), |spec| spec.keep_previous = true);
    let catalog = catalog(vec![first, below]);
    let mut phone = phone_at(96);
    phone.installed = crate::fleet::version(1);
    let explained = explain(&catalog, &phone.poll(), at(hour));
    assert_eq!(explained.decision, Decision::NoUpdate(Reason::HeldBack));
    let answers = explained.steps.iter().map(|step| step.answer.as_str());
    assert!(
        answers
            .into_iter()
            .any(|answer| answer.contains("stays back until the bake"))
    );
    phone.installed = build(2).facts.version_code;
    assert_eq!(
        decide(&catalog, &phone.poll(), at(hour)),
        Decision::NoUpdate(Reason::AlreadyCurrent)
    );
}

#[test]
fn nobody_stays_back_from_a_step_to_ninety_or_after_one_beyond_ninety_five() {
    let (hour, half) = (3_600, planned(&[90], |run| run));
    assert_eq!(half.rollout.spec.stays_below(), None);
    let second = planned(&[96, 100], |run| {
        let baking = run.stepped(at(hour), |_| false).unwrap();
        baking.stepped(at(2 * hour), |_| false).unwrap()
    });
    assert_eq!(second.rollout.spec.stays_below(), None, "96 of 100 have it");
    assert_eq!(second.rollout.spec.gate_step(), 1);
    let without_plan = gated(
        release(build(2)),
        GateSettings {
            holdback: true,
            ..GateSettings::default()
        },
    );
    assert_eq!(
        without_plan.rollout.spec.stays_below(),
        None,
        "it has no bake that could end"
    );
}
