//! What a forecast says of single devices and single steps, held beside what is reckoned here by hand.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::forecast::{Forecaster, SilenceForecast, StepPasses, UNREACHABLE_AFTER};
use tidegate_domain::gate::{GateTerms, NotMeasured, SILENCE_FLEET};
use tidegate_domain::{
    Approval, Audience, BuildId, Calendar, CalendarName, Catalog, CompiledCalendars, Decision, PlanStep,
    Promotion, Reason, RolloutId, Slice, decide_until, poll_after, poll_after_change,
};

use crate::calendars::terms;
use crate::fleet::{Phone, at, percent};
use crate::forecast::{Asked, HOUR, INTERVAL, by_plan, fleet, known, released, step};
use crate::store::to;

const DAY: i64 = 24 * HOUR;

fn not_before(seconds: i64, step: &PlanStep) -> PlanStep {
    PlanStep {
        not_before: Some(at(seconds)),
        ..step.clone()
    }
}

fn approve(step: &PlanStep) -> PlanStep {
    PlanStep {
        approve: true,
        ..step.clone()
    }
}

/// Build 2 released so, where build 1 is everybody's.
fn asked(promotion: Promotion) -> Asked {
    let store = released();
    Asked::of(store.track(), store.build(2), promotion)
}

fn rhythm(phone: &Phone) -> TimeDelta {
    TimeDelta::from_std(poll_after(&phone.id, INTERVAL)).unwrap()
}

/// After how many seconds this device alone is offered the build that was last seen then; none where it can't be reached.
fn offered_after(asked: &Asked, phone: &Phone, seen: Option<DateTime<Utc>>) -> Option<i64> {
    let forecast = asked.seen(std::slice::from_ref(phone), |_| seen);
    let unreachable: u64 = forecast.steps.iter().map(|step| step.unreachable).sum();
    let after = forecast.times.half.map(|time| time.num_seconds());
    assert_eq!(u64::from(after.is_none()), unreachable);
    after
}

#[test]
fn a_forecaster_says_what_would_be_made_and_what_it_has_to_know() {
    let mut draft = asked(to(10));
    let mut forecaster = Forecaster::new(&draft.terms(0)).unwrap();
    let made = forecaster.specs().iter();
    let made: Vec<_> = made.map(|spec| (spec.build, spec.settings.percent)).collect();
    assert_eq!(made, [(BuildId(2), percent(10))]);
    assert!(!forecaster.needs_tags());
    for (number, phone) in (1..).zip(fleet(3)) {
        forecaster.add(&known(&phone, None));
        assert_eq!(forecaster.devices(), number);
    }
    draft.draft.promotion.settings.audience = Audience::parse(r#""lab" in tags"#).unwrap();
    assert!(Forecaster::new(&draft.terms(0)).unwrap().needs_tags());

    let store = released();
    let again = Asked::of(store.track(), store.build(1), to(100));
    let nothing = Forecaster::new(&again.terms(0)).unwrap();
    assert!(nothing.specs().is_empty(), "it is made already");
}

#[test]
fn a_step_is_said_to_wait_where_somebody_must_approve_it() {
    let steps = |shares: [PlanStep; 3]| by_plan(shares.to_vec());
    let [ten, fifty, all] = [10, 50, 100].map(|share| step(share, 0, 1));
    let plain = steps([ten.clone(), fifty.clone(), all.clone()]);
    let last = steps([ten.clone(), fifty.clone(), approve(&all)]);
    let first_and_last = steps([approve(&ten), fifty, approve(&all)]);
    for (approval, promotion, begins, waits) in [
        (Approval::Never, &plain, false, [false; 3]),
        (Approval::Never, &last, false, [false, false, true]),
        (Approval::Never, &first_and_last, true, [false, false, true]),
        (Approval::Above(percent(10)), &plain, false, [false, true, false]),
        (Approval::Above(percent(50)), &plain, false, [false, false, true]),
        (Approval::Above(percent(50)), &last, false, [false, false, true]),
        (Approval::Always, &plain, true, [false; 3]),
        (Approval::Always, &last, true, [false, false, true]),
    ] {
        let mut draft = asked(promotion.clone());
        draft.track.approval = approval;
        let told = draft.forecast(&[]);
        let steps: Vec<bool> = told.steps.iter().map(|step| step.waits_for_approval).collect();
        assert_eq!(told.waits_for_approval, begins, "{approval}: {promotion:?}");
        assert_eq!(steps, waits, "{approval}: {promotion:?}");
    }
}

#[test]
fn a_device_is_expected_by_its_rhythm_and_a_late_one_after_as_long_again() {
    let at_once = asked(to(100));
    let phone = &fleet(1)[0];
    let rhythm = rhythm(phone);
    let (turn, now) = (rhythm.num_seconds(), at(0));
    let late = |by: TimeDelta| Some(now - rhythm - by);
    let week = UNREACHABLE_AFTER;
    for (seen, after) in [
        (Some(now), Some(turn)),
        (Some(now - rhythm / 2), Some((rhythm / 2).num_seconds())),
        (Some(now - rhythm), Some(0)),
        (late(TimeDelta::seconds(600)), Some(600)),
        (late(rhythm), Some(turn)),
        (late(rhythm * 3), Some(turn)),
        (Some(now - week), Some(turn)),
        (Some(now - week - TimeDelta::seconds(1)), None),
        (None, None),
    ] {
        let told = offered_after(&at_once, phone, seen);
        assert_eq!(
            told.map(|seconds| (seconds - after.unwrap()).abs() <= 1),
            after.map(|_| true),
            "{seen:?}"
        );
    }
}

#[test]
fn a_device_meets_a_later_step_in_its_rhythm_however_far_off_that_is() {
    let fleet = fleet(20);
    for begins in [0, HOUR, 40 * HOUR, 60 * DAY] {
        let plan = vec![step(1, 0, 0), not_before(begins, &step(100, 0, 0))];
        let draft = asked(by_plan(plan));
        for phone in &fleet {
            let turn = rhythm(phone);
            let polls = (1..).map(|number| turn * number);
            let first = polls.map(|poll| poll.num_seconds());
            let first = first.into_iter().find(|seconds| *seconds >= begins).unwrap();
            let told = offered_after(&draft, phone, Some(at(0))).unwrap();
            assert!((told - first).abs() <= 1, "{begins}: {told} and not {first}");
        }
    }
}

/// When a device would be offered build 2 that polls as it is told to each time.
fn polled(catalog: &Catalog, phone: &Phone) -> i64 {
    let mut now = at(0) + rhythm(phone);
    for _ in 0..10_000 {
        let told = decide_until(catalog, &phone.poll(), now);
        if matches!(told.decision, Decision::Offer(offer) if offer.build.id == BuildId(2)) {
            return (now - at(0)).num_seconds();
        }
        now += TimeDelta::from_std(poll_after_change(&phone.id, INTERVAL, told.again, now)).unwrap();
    }
    panic!("it is never offered it")
}

#[test]
fn a_ramp_reaches_a_device_when_its_own_polls_would_find_it() {
    for over in [3, 30, 2_000] {
        let promotion = by_plan(vec![step(100, over, 0)]);
        let mut store = released();
        store.promote(2, &promotion).unwrap();
        let catalog = store.catalog();
        let draft = asked(promotion);
        for phone in &fleet(20) {
            let (told, polled) = (offered_after(&draft, phone, Some(at(0))), polled(&catalog, phone));
            assert!(
                (told.unwrap() - polled).abs() <= 1,
                "{over}: {told:?} and not {polled}"
            );
        }
    }
}

const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Calendars: `nights` opens from 02:00 to 06:00; `later` does the same, after ten days.
fn calendars() -> CompiledCalendars {
    let nights: &[(&[&str], &str, &str)] = &[(&WEEK, "02:00", "06:00")];
    let of = |name: &str, freezes: &[(&str, &str, bool)]| Calendar {
        name: CalendarName::parse(name).unwrap(),
        terms: terms("UTC", nights, freezes),
    };
    let holidays = [("1970-01-01T00:00", "1970-01-11T00:00", false)];
    CompiledCalendars::new([of("nights", &[]), of("later", &holidays)])
}

fn by_calendar(name: &str) -> Promotion {
    let mut promotion = to(100);
    promotion.settings.calendars.download = Some(CalendarName::parse(name).unwrap());
    promotion
}

#[test]
fn who_waits_for_a_window_is_offered_the_build_when_it_would_come_in() {
    for name in ["nights", "later"] {
        let promotion = by_calendar(name);
        let mut store = released();
        store.promote(2, &promotion).unwrap();
        let catalog = store.catalog().with_calendars(calendars());
        let catalog = catalog.with_openings(at(0), &CompiledCalendars::default());
        let mut draft = asked(promotion);
        draft.calendars = calendars();
        let fleet = fleet(20);
        for phone in &fleet {
            let (told, polled) = (offered_after(&draft, phone, Some(at(0))), polled(&catalog, phone));
            assert!(
                (told.unwrap() - polled).abs() <= 1,
                "{name}: {told:?} and not {polled}"
            );
        }
        let forecast = draft.forecast(&fleet);
        let step = &forecast.steps[0];
        assert_eq!((step.offered, step.new_devices, step.unreachable), (0, 20, 0));
        assert_eq!(step.reasons, [(Reason::OutsideWindow, 20)], "at midnight");
        assert_eq!((step.within.devices, step.within.waiting), (20, 20));
        assert_eq!(step.within.reasons, [], "a window is no reason");
        assert_eq!(step.bytes, 20 * 1_000_000);
    }
}

#[test]
fn a_window_that_never_opens_is_a_reason_and_keeps_all_of_them() {
    let draft = asked(by_calendar("gone"));
    let forecast = draft.forecast(&fleet(20));
    let step = &forecast.steps[0];
    assert_eq!((step.new_devices, step.within.waiting), (0, 0));
    assert_eq!(step.within.reasons, [(Reason::OutsideWindow, 20)]);
    assert_eq!(forecast.times.half, None);
}

fn gated(promotion: Promotion) -> Promotion {
    Promotion {
        gate: Some(GateTerms::default()),
        ..promotion
    }
}

#[test]
fn control_is_whom_only_the_share_keeps_from_the_build() {
    let fleet = fleet(2_000);
    let mut draft = asked(gated(to(10)));
    let of_step = |draft: &Asked| draft.forecast(&fleet).steps[0].gate.clone().unwrap();
    let gate = of_step(&draft);
    assert!((150..250).contains(&gate.treated));
    assert_eq!(gate.control, 2_000 - gate.treated, "all the others");

    let mut store = released();
    store.create(3, 7, to(30)).unwrap();
    draft.track = store.track();
    let taken = |phone: &&Phone| {
        store.rollouts[1]
            .spec
            .settings
            .takes(store.rollouts[1].spec.settings.position(&phone.id))
    };
    let others = fleet.iter().filter(taken).count() as u64;
    let gate = of_step(&draft);
    assert_eq!(
        (gate.treated, gate.control),
        (0, 2_000 - others),
        "who is another rollout's is no control of this one"
    );
    assert_eq!(gate.passes, StepPasses::Never, "nobody is reached");
}

#[test]
fn control_is_counted_by_the_devices_of_the_slice() {
    let half = Slice::of_percents(25.0, 50.0).unwrap();
    let mut promotion = gated(to(1));
    promotion.settings.slice = half;
    let draft = asked(promotion);
    // Of ten million devices five are in the slice; fifty thousand are one in a hundred of those.
    let mut forecaster = Forecaster::new(&draft.terms(10_000_000)).unwrap();
    let (mut treated, mut control) = (0, 0);
    for phone in fleet(20_000) {
        forecaster.add(&known(&phone, Some(at(0))));
        let position = draft.draft.promotion.settings.position(&phone.id);
        let takes = |share| half.takes(position, percent(share).share());
        treated += u64::from(takes(1));
        control += u64::from(takes(2) && !takes(1));
    }
    let forecast = forecaster.finish(at(0), None);
    let gate = forecast.steps[0].gate.clone().unwrap();
    assert_eq!((gate.treated, gate.control), (treated, control));
}

#[test]
fn silence_is_measured_from_a_fleet_on_that_is_large_enough_and_where_it_is_asked_for() {
    let mut draft = asked(gated(to(10)));
    let silence = |draft: &Asked, devices: u64| {
        let fleet = fleet(usize::try_from(devices).unwrap());
        let forecast = draft.forecast(&fleet);
        forecast.steps[0].gate.clone().unwrap().silence
    };
    let not = SilenceForecast::NotMeasured;
    assert_eq!(silence(&draft, SILENCE_FLEET - 1), not(NotMeasured::SmallFleet));
    assert!(matches!(
        silence(&draft, SILENCE_FLEET),
        SilenceForecast::Measured { .. }
    ));
    if let Some(gate) = &mut draft.draft.promotion.gate {
        gate.settings.lost = false;
    }
    assert_eq!(silence(&draft, SILENCE_FLEET), not(NotMeasured::SwitchedOff));
}

#[test]
fn what_is_asked_before_takes_a_device_only_from_a_draft_that_would_have_it() {
    let mut store = released();
    store.create(3, 7, to(100)).unwrap();
    let mut draft = Asked::of(store.track(), store.build(2), to(10));
    let fleet = fleet(200);
    let forecast = draft.forecast(&fleet);
    let taken = |phone: &&Phone| {
        let settings = &draft.draft.promotion.settings;
        settings.takes(settings.position(&phone.id))
    };
    let wanted = fleet.iter().filter(taken).count() as u64;
    assert!(wanted > 0 && wanted < 200);
    assert_eq!(forecast.taken_before, [(RolloutId(2), wanted)]);
    assert_eq!(forecast.stranded, 0);
    draft.draft.priority = 8;
    assert_eq!(draft.forecast(&fleet).taken_before, [], "it is asked first");
}

#[test]
fn a_sample_is_scaled_to_the_nearest_device() {
    let draft = asked(to(100));
    for (seen, of, expected) in [(3, 10, 10), (2, 3, 3), (200, 201, 201)] {
        let mut forecaster = Forecaster::new(&draft.terms(of)).unwrap();
        let fleet = fleet(seen);
        for phone in &fleet {
            forecaster.add(&known(phone, Some(at(0))));
        }
        let forecast = forecaster.finish(at(0), Some(of as u64));
        assert_eq!(forecast.steps[0].offered, expected);
    }
    // One of three devices, in a fleet of ten and of eleven: 3.3 and 3.7 devices.
    for (of, expected) in [(10, 3), (11, 4)] {
        let mut forecaster = Forecaster::new(&draft.terms(of)).unwrap();
        let mut fleet = fleet(3);
        fleet[..2]
            .iter_mut()
            .for_each(|phone| phone.installed = crate::fleet::version(20));
        for phone in &fleet {
            forecaster.add(&known(phone, Some(at(0))));
        }
        let forecast = forecaster.finish(at(0), Some(of as u64));
        assert_eq!(forecast.steps[0].offered, expected, "of {of}");
    }
}
