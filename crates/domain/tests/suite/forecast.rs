//! What a rollout would do, told before anybody makes it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use tidegate_domain::forecast::{
    EarlierRollout, FleetDevice, Forecast, ForecastTerms, Forecaster, SilenceForecast, StepPasses,
};
use tidegate_domain::gate::{
    GateTerms, MISSED_BY_HEALTHY, NotMeasured, chance_of_finding, row_of_treated, smallest_silence,
};
use tidegate_domain::{
    Approval, Build, Catalog, CompiledCalendars, Decision, Error, MAX_SERVING, Percent, Plan, PlanStep,
    PolicySet, Promotion, Reason, Release, Rollout, RolloutDraft, RolloutId, RolloutSettings, RolloutState,
    Slice, Span, Track, decide, poll_after,
};

use crate::agreement::{audiences, catalogs, devices};
use crate::fleet::{PACKAGE, Phone, at, build, percent, phone, release, with};
use crate::property::check_often;
use crate::store::{BY_ADA, Store, to};

pub(crate) const HOUR: i64 = 3_600;
pub(crate) const INTERVAL: Duration = Duration::from_secs(6 * 3_600);

/// What is forecast, and over which fleet.
pub(crate) struct Asked {
    pub(crate) track: Track,
    policies: PolicySet,
    pub(crate) calendars: CompiledCalendars,
    pub(crate) draft: RolloutDraft,
    pub(crate) earlier: Vec<EarlierRollout>,
    build: Build,
}

impl Asked {
    pub(crate) fn of(track: Track, build: &Build, promotion: Promotion) -> Self {
        Self {
            track,
            policies: PolicySet::default(),
            calendars: CompiledCalendars::default(),
            draft: RolloutDraft {
                name: String::new(),
                priority: 0,
                promotion,
            },
            earlier: vec![],
            build: build.clone(),
        }
    }

    pub(crate) fn terms(&self, fleet: usize) -> ForecastTerms<'_> {
        ForecastTerms {
            track: &self.track,
            policies: &self.policies,
            calendars: &self.calendars,
            build: &self.build,
            draft: &self.draft,
            attempts: 0,
            by: BY_ADA,
            interval: INTERVAL,
            earlier: &self.earlier,
            fleet: fleet as u64,
        }
    }

    pub(crate) fn forecast(&self, fleet: &[Phone]) -> Forecast {
        self.seen(fleet, |_| Some(at(0)))
    }

    /// The same where the nth device was last seen then.
    pub(crate) fn seen(&self, fleet: &[Phone], seen: impl Fn(usize) -> Option<DateTime<Utc>>) -> Forecast {
        let mut forecaster = Forecaster::new(&self.terms(fleet.len())).unwrap();
        for (number, phone) in fleet.iter().enumerate() {
            forecaster.add(&known(phone, seen(number)));
        }
        forecaster.finish(at(0), None)
    }
}

/// A device as the fleet knows it that was last seen then.
pub(crate) fn known(phone: &Phone, last_seen: Option<DateTime<Utc>>) -> FleetDevice<'_> {
    FleetDevice {
        id: &phone.id,
        installed: phone.installed,
        facts: &phone.facts,
        rejections: &phone.rejections,
        overlay: &phone.overlay,
        last_seen,
    }
}

/// So many devices that run version 10.
pub(crate) fn fleet(devices: usize) -> Vec<Phone> {
    (0..devices)
        .map(|number| phone(&format!("device-{number}"), 10))
        .collect()
}

pub(crate) fn step(share: i64, over: u16, bake: u16) -> PlanStep {
    PlanStep {
        over: Span::hours(over),
        ..PlanStep::to(percent(share), Span::hours(bake))
    }
}

pub(crate) fn by_plan(steps: Vec<PlanStep>) -> Promotion {
    Promotion {
        plan: Some(Plan::new(steps).unwrap()),
        ..to(1)
    }
}

/// Build 1 is everybody's; builds 2 and 3 are there.
pub(crate) fn released() -> Store {
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    store
}

fn hours(time: Option<TimeDelta>) -> f64 {
    f64::from(i32::try_from(time.unwrap().num_seconds()).unwrap()) / 3_600.0
}

/// What polls are told, counted by their own words.
fn counted(catalog: &Catalog, fleet: &[Phone], own: RolloutId, now: DateTime<Utc>) -> BTreeMap<String, u64> {
    let mut told = BTreeMap::new();
    for phone in fleet {
        let word = match decide(catalog, &phone.poll(), now) {
            Decision::Offer(offer) if offer.rollout.id == own => "offered",
            Decision::Offer(_) => "by another",
            Decision::NoUpdate(reason) => reason.as_str(),
        };
        *told.entry(word.to_owned()).or_default() += 1;
    }
    told
}

/// The same as the forecast tells it.
fn told(step: &tidegate_domain::forecast::StepForecast) -> BTreeMap<String, u64> {
    let reasons = step
        .reasons
        .iter()
        .map(|(reason, devices)| (reason.as_str(), *devices));
    let all = [("offered", step.offered), ("by another", step.offered_by_another)];
    all.into_iter()
        .chain(reasons)
        .filter(|(_, devices)| *devices > 0)
        .map(|(word, devices)| (word.to_owned(), devices))
        .collect()
}

/// The catalog of before with the draft in it, at this share of it: put together without what forecasts are made by.
fn with_draft(track: &Track, draft: &RolloutDraft, build: &Build, id: RolloutId, share: Percent) -> Catalog {
    let mut track = track.clone();
    track
        .serving
        .retain(|release| release.rollout.spec.state.serves());
    if draft.priority == 0 {
        // What is kept goes on; what waits would begin later, and take the place of what is released now.
        let keeps =
            |release: &Release| draft.promotion.keep_previous && release.rollout.spec.state.has_begun();
        track
            .serving
            .retain(|release| release.rollout.spec.priority > 0 || keeps(release));
    }
    let mut made = with(release(build.clone()), |spec| {
        spec.priority = draft.priority;
        spec.settings = RolloutSettings {
            percent: share,
            ..draft.promotion.settings.clone()
        };
        spec.is_current = draft.priority == 0;
    });
    made.rollout.id = id;
    let keeps = draft.promotion.keep_previous && draft.priority == 0;
    for other in track
        .serving
        .iter_mut()
        .filter(|other| other.rollout.spec.priority == 0)
    {
        let spec = &mut other.rollout.spec;
        spec.is_current &= draft.priority > 0;
        // None takes devices back from a version that is released anew.
        if keeps && spec.takes_back == Some(build.facts.version_code) {
            spec.takes_back = None;
        }
    }
    track.serving.push(made);
    track.serving.sort_by_key(|release| {
        let spec = &release.rollout.spec;
        (
            Reverse(spec.priority),
            !spec.is_current,
            Reverse(release.rollout.id),
        )
    });
    Catalog::new([track])
}

#[derive(Clone, Debug)]
struct Case {
    track: Track,
    fleet: Vec<Phone>,
    build: Build,
    draft: RolloutDraft,
    shares: Vec<i64>,
}

fn cases() -> impl Strategy<Value = Case> {
    let shares = prop::collection::btree_set(1..=100_i64, 1..4);
    let own = (
        1..7_i64,
        (audiences(), 0..100_u8, 1..=100_u8),
        prop::option::weighted(0.3, Just("other".to_owned())),
        (prop_oneof![Just(0_u32), 1..5_u32], any::<bool>(), any::<bool>()),
    );
    let above = prop::collection::vec(any::<bool>(), 5);
    (
        catalogs(),
        prop::collection::vec(devices(), 1..30),
        shares,
        own,
        above,
    )
        .prop_map(
            |(
                catalog,
                fleet,
                shares,
                (id, (audience, start, width), salt, (priority, keep, whole)),
                above,
            )| {
                let mut track = catalog.track(PACKAGE).unwrap().clone();
                let highest = track.serving.len();
                for (place, release) in track.serving.iter_mut().enumerate() {
                    let is_above = above[place] && place + 1 < highest;
                    release.rollout.spec.priority = if is_above {
                        u32::try_from(highest - place).unwrap()
                    } else {
                        0
                    };
                    release.rollout.spec.is_current = false;
                }
                track.serving.sort_by_key(|release| {
                    (
                        Reverse(release.rollout.spec.priority),
                        Reverse(release.rollout.id),
                    )
                });
                if let Some(base) = track
                    .serving
                    .iter_mut()
                    .find(|release| release.rollout.spec.priority == 0)
                {
                    base.rollout.spec.is_current = true;
                }
                let mut known = track
                    .serving
                    .iter()
                    .map(|release| &release.build)
                    .chain(&track.barriers);
                let known = known.find(|known| known.id.0 == id).cloned();
                let build = known.map_or_else(|| build(id), |known| (*known).clone());
                let slice = if whole {
                    Slice::WHOLE
                } else {
                    Slice::of_percents(start.into(), width.into()).unwrap()
                };
                let settings = RolloutSettings {
                    slice,
                    audience,
                    salt,
                    ..RolloutSettings::to(Percent::NOBODY)
                };
                let shares: Vec<i64> = shares.into_iter().collect();
                let steps = shares.iter().map(|share| step(*share, 1, 1)).collect();
                let promotion = Promotion {
                    settings,
                    keep_previous: keep && priority == 0,
                    ..by_plan(steps)
                };
                let draft = RolloutDraft {
                    name: "a draft".to_owned(),
                    priority,
                    promotion,
                };
                Case {
                    track,
                    fleet,
                    build,
                    draft,
                    shares,
                }
            },
        )
}

#[test]
fn each_steps_numbers_are_what_polls_would_be_told() {
    check_often(300, &cases(), |case| {
        let mut asked = Asked::of(case.track.clone(), &case.build, to(1));
        asked.draft = case.draft.clone();
        let forecast = asked.forecast(&case.fleet);
        prop_assert_eq!(forecast.devices, case.fleet.len() as u64);
        let mut taken = 0;
        for (step, share) in forecast.steps.iter().zip(&case.shares) {
            let id = RolloutId(1_000);
            let catalog = with_draft(&case.track, &case.draft, &case.build, id, percent(*share));
            prop_assert_eq!(told(step), counted(&catalog, &case.fleet, id, step.reached));
            taken += step.new_devices;
            prop_assert!(taken >= step.offered, "whoever is offered it belongs to one step");
        }
        prop_assert_eq!(forecast.steps.len(), case.shares.len());
        Ok(taken > 0)
    });
}

#[test]
fn what_creating_refuses_the_forecast_refuses_in_the_same_words() {
    let store = released();
    let long_salt = Promotion {
        settings: RolloutSettings {
            salt: Some("x".repeat(65)),
            ..to(10).settings
        },
        ..to(10)
    };
    let mut asked = Asked::of(store.track(), store.build(2), long_salt);
    let refused = |asked: &Asked| Forecaster::new(&asked.terms(0)).map(drop).unwrap_err();
    let made = |asked: &Asked| {
        asked
            .track
            .create(&asked.build, &asked.draft, 0, BY_ADA)
            .unwrap_err()
    };
    assert_eq!(refused(&asked), made(&asked));
    asked.draft.promotion = to(0);
    assert_eq!(refused(&asked), made(&asked));
    asked.draft = RolloutDraft {
        priority: 2_000_000,
        promotion: to(10),
        ..asked.draft
    };
    assert_eq!(refused(&asked), made(&asked));
    asked.draft.priority = 5;
    let above = |id| {
        let mut release = with(release(build(2)), |spec| {
            spec.priority = 1;
            spec.is_current = false;
        });
        release.rollout.id = RolloutId(id);
        release
    };
    asked.track.serving = (0..i64::try_from(MAX_SERVING).unwrap()).map(above).collect();
    assert!(matches!(refused(&asked), Error::TooManyServing { .. }));
}

#[test]
fn a_share_at_once_is_reached_within_one_turn_of_polls() {
    let store = released();
    let asked = Asked::of(store.track(), store.build(2), to(100));
    // Each was seen at a moment of its own within the last turn.
    let fleet = fleet(2_000);
    let forecast = asked.seen(&fleet, |number| {
        let rhythm = i64::try_from(poll_after(&fleet[number].id, INTERVAL).as_secs()).unwrap();
        Some(at(-(rhythm * i64::try_from(number).unwrap() / 2_000)))
    });
    let [step] = &forecast.steps[..] else {
        panic!("one step")
    };
    assert_eq!(
        (step.offered, step.new_devices, step.unreachable),
        (2_000, 2_000, 0)
    );
    assert!((2.7..3.3).contains(&hours(step.times.half)), "{:?}", step.times);
    assert!((4.9..6.1).contains(&hours(step.times.ninety)), "{:?}", step.times);
    assert_eq!(step.times, forecast.times);
    assert_eq!(step.bytes, 2_000 * 1_000_000);
    assert!(
        (300..420).contains(&step.peak.devices_per_hour),
        "{:?}",
        step.peak
    );
    assert_eq!(
        step.peak.bytes_per_second,
        (step.peak.devices_per_hour * 1_000_000).div_ceil(3_600)
    );
}

#[test]
fn a_ramp_and_a_bake_and_a_time_to_begin_put_devices_off() {
    let store = released();
    let later = PlanStep {
        not_before: Some(at(40 * HOUR)),
        ..step(100, 10, 0)
    };
    let asked = Asked::of(
        store.track(),
        store.build(2),
        by_plan(vec![step(10, 0, 24), later]),
    );
    let forecast = asked.forecast(&fleet(5_000));
    let [first, second] = &forecast.steps[..] else {
        panic!("two steps")
    };
    assert_eq!((first.reached, first.baked), (at(0), at(24 * HOUR)));
    assert_eq!((second.begins, second.reached), (at(40 * HOUR), at(50 * HOUR)));
    assert_eq!(first.new_devices + second.new_devices, 5_000);
    assert!((400..600).contains(&first.new_devices));
    // Of a ramp over ten hours half is reached after five; a device asks within a fifth of its interval.
    assert!(
        (44.8..46.5).contains(&hours(second.times.half)),
        "{:?}",
        second.times
    );
    assert!(hours(forecast.times.ninety_nine) < 51.5, "{:?}", forecast.times);
}

#[test]
fn who_was_silent_for_a_week_is_not_waited_for_and_who_is_late_is() {
    let store = released();
    let asked = Asked::of(store.track(), store.build(2), to(100));
    let fleet = fleet(4);
    let seen = [None, Some(at(-8 * 24 * HOUR)), Some(at(-9 * HOUR)), Some(at(0))];
    let forecast = asked.seen(&fleet, |number| seen[number]);
    let step = &forecast.steps[0];
    assert_eq!((step.offered, step.new_devices, step.unreachable), (4, 4, 2));
    assert!(
        hours(step.times.half) < 4.3,
        "it is late by 1.8 to 4.2 hours: {:?}",
        step.times
    );
}

#[test]
fn barriers_cost_their_hops_and_their_bytes() {
    let mut store = released();
    let mut barrier = build(2);
    barrier.steps.barrier = true;
    barrier.facts.size = 250_000;
    store.builds[1] = Arc::new(barrier);
    let asked = Asked::of(store.track(), store.build(3), to(100));
    let mut fleet = fleet(3);
    fleet[0].installed = store.build(2).facts.version_code;
    let step = &asked.forecast(&fleet).steps[0];
    assert_eq!((step.offered, step.barrier_hops), (3, 2));
    assert_eq!(step.bytes, 3 * 1_000_000 + 2 * 250_000);
}

#[test]
fn who_is_taken_before_and_who_is_stranded_is_told() {
    let mut store = released();
    let above = with(release(build(3)), |spec| {
        spec.priority = 7;
        spec.is_current = false;
        spec.settings.audience = crate::fleet::those_of(&["DE"], &[]);
    });
    store.rollouts.push(Rollout {
        id: RolloutId(2),
        ..above.rollout
    });
    let asked = Asked::of(store.track(), store.build(2), to(100));
    let mut fleet = fleet(10);
    fleet[..3]
        .iter_mut()
        .for_each(|phone| phone.facts.region = Some("DE".into()));
    fleet[9].installed = store.build(3).facts.version_code;
    let forecast = asked.forecast(&fleet);
    assert_eq!(forecast.taken_before, [(RolloutId(2), 3)]);
    assert_eq!(forecast.stranded, 1);
    let step = &forecast.steps[0];
    assert_eq!((step.offered, step.offered_by_another), (6, 3));
    assert_eq!(step.reasons, [(Reason::NewerInstalled, 1)]);
}

#[test]
fn of_the_devices_in_the_share_it_tells_what_becomes_of_each() {
    let store = released();
    let mut promotion = crate::store::keeping(50);
    promotion.settings.audience = crate::fleet::those_of(&["DE"], &[]);
    let asked = Asked::of(store.track(), store.build(2), promotion);
    let mut fleet = fleet(400);
    for (number, phone) in fleet.iter_mut().enumerate() {
        phone.facts.region = Some(if number % 2 == 0 { "DE" } else { "FR" }.into());
        if number % 10 == 0 {
            phone.installed = store.build(3).facts.version_code;
        }
    }
    let settings = RolloutSettings::to(percent(50));
    let taken = |phone: &&Phone| {
        phone.facts.region.as_deref() == Some("DE") && settings.takes(settings.position(&phone.id))
    };
    let (mut devices, mut newer) = (0, 0);
    for phone in fleet.iter().filter(taken) {
        devices += 1;
        newer += u64::from(phone.installed == store.build(3).facts.version_code);
    }
    let step = &asked.forecast(&fleet).steps[0];
    assert!(
        newer > 0 && devices > newer && devices < 200,
        "{devices}, {newer}"
    );
    assert_eq!(step.within.devices, devices);
    assert_eq!(step.within.offered, devices - newer);
    assert_eq!(step.within.reasons, [(Reason::NewerInstalled, newer)]);
    assert_eq!(
        step.within.offered, step.offered,
        "whom else the draft would offer it to"
    );
    assert_eq!(
        (step.within.waiting, step.within.offered_by_another),
        (0, 0),
        "the base goes on for the others, who are not in the share"
    );
    assert!(
        step.reasons
            .iter()
            .any(|(reason, _)| *reason == Reason::AlreadyCurrent),
        "whom the base speaks to is counted among all: {:?}",
        step.reasons
    );
}

#[test]
fn a_draft_that_waits_is_told_as_if_it_were_approved_at_once() {
    let mut store = released();
    store.approval = Approval::Always;
    let plan = vec![step(10, 0, 1), step(100, 0, 0)];
    let asked = Asked::of(store.track(), store.build(2), by_plan(plan));
    let forecast = asked.forecast(&fleet(500));
    assert!(forecast.waits_for_approval);
    assert_eq!(forecast.steps[1].offered, 500);
    let later = PlanStep {
        not_before: Some(at(5 * HOUR)),
        ..step(50, 0, 0)
    };
    let scheduled = Asked::of(released().track(), store.build(2), by_plan(vec![later]));
    let forecast = scheduled.forecast(&fleet(500));
    assert_eq!(forecast.begins, at(5 * HOUR));
    assert!(!forecast.waits_for_approval);
    assert!((200..300).contains(&forecast.steps[0].offered));
    let reasons = &forecast.steps[0].reasons;
    assert_eq!(
        reasons.len(),
        1,
        "who has not been taken is told the base's reason: {reasons:?}"
    );
}

#[test]
fn what_serves_on_these_terms_already_is_named() {
    let store = released();
    let again = Asked::of(store.track(), store.build(1), to(100)).forecast(&fleet(3));
    assert_eq!(again.same_as, Some(store.current().id));
    assert_eq!(again.steps[0].reasons, [(Reason::AlreadyCurrent, 3)]);
    let other = Asked::of(store.track(), store.build(2), to(100)).forecast(&fleet(3));
    assert_eq!(other.same_as, None);
}

#[test]
fn canaries_that_were_met_before_are_counted() {
    let store = released();
    let earlier = |slice, share| EarlierRollout {
        id: RolloutId(1),
        name: String::new(),
        state: RolloutState::Superseded,
        settings: RolloutSettings {
            slice,
            ..RolloutSettings::to(percent(share))
        },
    };
    let mut asked = Asked::of(
        store.track(),
        store.build(2),
        by_plan(vec![step(10, 0, 0), step(100, 0, 0)]),
    );
    let elsewhere = Slice::of_percents(50.0, 100.0).unwrap();
    asked.earlier = vec![
        earlier(Slice::WHOLE, 10),
        earlier(elsewhere, 10),
        earlier(Slice::WHOLE, 5),
    ];
    let forecast = asked.forecast(&fleet(2_000));
    let shared: Vec<u64> = forecast.overlaps.iter().map(|overlap| overlap.devices).collect();
    assert_eq!((shared[0], shared[1]), (forecast.steps[0].new_devices, 0));
    assert!(shared[2] > 0 && shared[2] < shared[0], "{shared:?}");
}

#[test]
fn a_gate_is_told_what_it_can_find_in_each_step() {
    let store = released();
    let mut promotion = by_plan(vec![step(1, 0, 24), step(20, 0, 24), step(100, 0, 24)]);
    promotion.gate = Some(GateTerms::default());
    let mut asked = Asked::of(store.track(), store.build(2), promotion);
    let forecast = asked.forecast(&fleet(2_000));
    let gates: Vec<_> = forecast
        .steps
        .iter()
        .map(|step| step.gate.clone().unwrap())
        .collect();
    let passes: Vec<StepPasses> = gates.iter().map(|gate| gate.passes).collect();
    assert_eq!(
        passes,
        [
            StepPasses::ByCensus,
            StepPasses::ByEvidence,
            StepPasses::ByEvidence
        ]
    );
    assert_eq!(gates[0].successes_to_advance, Some(189));
    assert_eq!(gates[0].treated, forecast.steps[0].new_devices);
    // Ten positions for each of the first step; all that are left beyond the second; nobody beyond the last.
    let first = gates[0].control;
    assert!((150..250).contains(&first), "{first}");
    assert_eq!(gates[1].control, forecast.steps[2].new_devices);
    let expected = SilenceForecast::Measured {
        row: row_of_treated(gates[1].treated, gates[1].control),
        smallest: smallest_silence(gates[1].treated, gates[1].control),
    };
    assert_eq!(gates[1].silence, expected);
    assert_eq!(
        gates[2].silence,
        SilenceForecast::NotMeasured(NotMeasured::NoControl)
    );
    let small = asked.forecast(&fleet(999));
    let silence = small.steps[1].gate.as_ref().unwrap().silence;
    assert_eq!(silence, SilenceForecast::NotMeasured(NotMeasured::SmallFleet));
    asked.draft.promotion.gate = None;
    assert_eq!(asked.forecast(&fleet(10)).steps[0].gate, None);
}

#[test]
fn a_sample_is_scaled_and_said() {
    let store = released();
    let asked = Asked::of(store.track(), store.build(2), to(100));
    let mut forecaster = Forecaster::new(&asked.terms(1_000)).unwrap();
    for phone in fleet(100) {
        forecaster.add(&known(&phone, Some(at(0))));
    }
    let forecast = forecaster.finish(at(0), Some(1_000));
    assert!(forecast.sampled);
    assert_eq!((forecast.devices, forecast.steps[0].offered), (1_000, 1_000));
    assert_eq!(forecast.steps[0].bytes, 1_000 * 1_000_000);
}

/// The chance is that of the test itself. Here it is reckoned a second time for few devices, by trying out every pair of
/// numbers of events.
#[test]
fn the_chance_to_find_silence_is_that_of_each_pair_of_numbers() {
    use tidegate_domain::gate::{HALT_AT, HALT_EVENTS, Logrank, Look};
    let binomial = |devices: u64, chance: f64, events: u64| {
        let ways = (0..events).fold(1.0, |ways, at| {
            ways * f64::from(u32::try_from(devices - at).unwrap()) / f64::from(u32::try_from(at + 1).unwrap())
        });
        let power = |base: f64, times: u64| base.powi(i32::try_from(times).unwrap());
        ways * power(chance, events) * power(1.0 - chance, devices - events)
    };
    for (treated, control, breaks) in [(30_u64, 60_u64, 0.3), (50, 50, 0.2), (12, 120, 0.5)] {
        let silent = breaks + (1.0 - breaks) * MISSED_BY_HEALTHY;
        let mut sum = 0.0;
        for (treated_events, control_events) in (0..=treated).flat_map(|t| (0..=control).map(move |c| (t, c)))
        {
            let mut test = Logrank::default();
            test.add(Look {
                treated,
                control,
                treated_events,
                control_events,
            });
            if treated_events >= HALT_EVENTS && test.evidence().reaches(HALT_AT) {
                sum += binomial(treated, silent, treated_events)
                    * binomial(control, MISSED_BY_HEALTHY, control_events);
            }
        }
        let chance = chance_of_finding(treated, control, breaks).unwrap();
        assert!(
            (chance - sum).abs() < 1e-6,
            "{treated}:{control}: {chance} and not {sum}"
        );
    }
}

#[test]
fn the_smallest_silence_is_found_in_eighty_of_a_hundred() {
    for (treated, control) in [(100, 1_000), (2_000, 20_000), (900, 100)] {
        let smallest = smallest_silence(treated, control).unwrap();
        assert!(chance_of_finding(treated, control, smallest).unwrap() >= 0.8);
        assert!(chance_of_finding(treated, control, smallest - 0.001).unwrap() < 0.8);
    }
    // docs/health-gate.md's scenario bricked-1: 3 % among 2,000 against 20,000 are found in nearly all runs.
    assert!(chance_of_finding(2_000, 20_000, 0.03).unwrap() > 0.95);
    assert!(
        chance_of_finding(2_000, 20_000, 0.0).unwrap() < 0.01,
        "a build that silences nobody"
    );
    assert_eq!(smallest_silence(5, 5), None, "five phones are too few");
    assert!(
        smallest_silence(1_000_000, 50_000).unwrap() < 0.02,
        "and a million are reckoned in a moment"
    );
    assert!(chance_of_finding(10, 10, 1.5).is_err());
}
