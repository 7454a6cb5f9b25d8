//! Gates that look: what was counted is judged and acted on once, and the log says why.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::gate::{GateAction, GateMode, GateSettings, GateTerms, OnHalt, StepCounts};
use tidegate_domain::{By, Percent, Phase, Plan, PlanStep, Promotion, Resume, RolloutId, RolloutState, Span};
use tidegate_storage::{Actor, GateJudged, GateLook, GateQuestion, Page, Store};

use crate::gate_counts::gated as gated_by_default;
use crate::gate_members::{are_there, control as is_control, offered_to};
use crate::gate_resumption::found;
use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, actor, all, at, by, enroll_many, package, poll, promote, promotion, rollout_of, upload,
};

on_both_engines!(
    what_a_gate_halts_is_halted_once_and_the_log_says_why,
    what_a_gate_takes_back_is_taken_back_in_the_same_transaction,
    a_step_that_is_over_waits_for_its_gate_and_goes_on_by_its_word,
    failures_after_a_halt_are_counted_and_a_new_segment_begins_without,
    what_one_look_cannot_find_the_next_one_does,
    a_package_without_a_gate_is_not_looked_at,
);

fn clerk(now: DateTime<Utc>) -> Actor {
    Actor {
        now,
        ..actor("tidegate")
    }
}

async fn look(store: &Store, seconds: i64) -> Option<GateJudged> {
    let question = GateQuestion {
        fleet: 10_000,
        poll_interval: TimeDelta::hours(6),
    };
    let app = package(APP);
    let looked = store.look_at_gates(&app, clerk(at(seconds)), question).await;
    looked.unwrap().judged
}

fn gated(on_halt: OnHalt) -> Promotion {
    let step = |share| PlanStep::to(Percent::new(share).unwrap(), Span::hours(1));
    Promotion {
        plan: Some(Plan::new(vec![step(10), step(100)]).unwrap()),
        gate: Some(GateTerms {
            settings: GateSettings {
                mode: GateMode::Act,
                ..GateSettings::default()
            },
            on_halt,
            roll_back_forced: false,
        }),
        ..promotion(10)
    }
}

/// Build 2 goes out by a plan with a gate, build 1 is everybody's. The first step bakes until an hour has passed.
async fn released(store: &Store, on_halt: OnHalt) -> RolloutId {
    let (old, new) = (upload(store, APP, 1).await, upload(store, APP, 2).await);
    promote(store, &old, promotion(100)).await;
    let rollout = rollout_of(&promote(store, &new, gated(on_halt)).await);
    store
        .take_step(&package(APP), clerk(at(0)))
        .await
        .unwrap()
        .unwrap();
    rollout
}

/// Has devices show this.
async fn show(store: &Store, rollout: RolloutId, steps: Vec<StepCounts>) {
    let mut facts = found(0);
    facts.steps = steps;
    store
        .keep_gate_look(rollout, GateLook { at: at(1), facts })
        .await
        .unwrap();
}

fn counts(reached: u64, failed: u64, confirmed: u64) -> StepCounts {
    StepCounts {
        reached,
        begun: reached,
        sent: reached,
        failed,
        in_trouble: failed,
        confirmed,
        ..StepCounts::default()
    }
}

async fn what_a_gate_halts_is_halted_once_and_the_log_says_why(place: &Place) {
    let store = place.store().await;
    let rollout = released(&store, OnHalt::Hold).await;
    assert_eq!(look(&store, 10).await, None, "nobody has told anything");
    show(&store, rollout, vec![counts(100, 30, 20)]).await;
    let looks = tokio::join!(look(&store, 20), look(&store, 20), look(&store, 20));
    let acted: Vec<GateJudged> = [looks.0, looks.1, looks.2].into_iter().flatten().collect();
    assert_eq!(acted.len(), 1, "servers that overlap halt it once");
    assert_eq!(acted[0].reading.action, GateAction::Halt);
    let sentence = "Halted: 30 of 100 phones that fetched 2.0 failed to install it, 2 % is tolerated.";
    assert_eq!(acted[0].sentence, sentence);
    assert_eq!(
        store.rollout(rollout).await.unwrap().spec.state,
        RolloutState::Halted
    );
    let events = all(10, |page| store.rollout_events(rollout, page)).await;
    assert_eq!(
        (
            events[0].actor.as_str(),
            events[0].action.as_str(),
            events[0].remark.as_deref()
        ),
        ("tidegate", "ota.rollout.halt", Some(sentence))
    );
    let log = store
        .audit(Default::default(), Page::default())
        .await
        .unwrap()
        .items;
    let entry = log
        .iter()
        .find(|entry| entry.action == "ota.rollout.halt")
        .unwrap();
    let told = &entry.after.as_ref().unwrap()["gate_reading"];
    assert_eq!(
        (entry.actor.as_str(), &told["sentence"]),
        ("tidegate", &sentence.into())
    );
    assert_eq!(told["reading"]["failed"]["seen"], 30);
    assert!(store.verify_audit().await.unwrap().is_ok());
}

async fn what_a_gate_takes_back_is_taken_back_in_the_same_transaction(place: &Place) {
    let store = place.store().await;
    let rollout = released(&store, OnHalt::RollBack).await;
    let before = store.epochs().await.unwrap();
    show(&store, rollout, vec![counts(100, 30, 20)]).await;
    assert!(look(&store, 20).await.is_some());
    let track = store.track(&package(APP)).await.unwrap();
    let current = &track.current().unwrap().rollout.spec;
    assert_eq!(
        (current.state, current.rolled_back_from.is_some()),
        (RolloutState::Active, true)
    );
    assert_eq!(
        store.rollout(rollout).await.unwrap().spec.state,
        RolloutState::RolledBack
    );
    assert_ne!(store.epochs().await.unwrap(), before, "servers hear of it");
    let log = store
        .audit(Default::default(), Page::default())
        .await
        .unwrap()
        .items;
    let by_itself: Vec<&str> = log
        .iter()
        .filter(|entry| entry.actor == "tidegate" && entry.action != "ota.rollout.step")
        .map(|entry| entry.action.as_str())
        .collect();
    assert_eq!(by_itself, ["ota.rollback"]);
    assert_eq!(look(&store, 30).await, None);
}

async fn a_step_that_is_over_waits_for_its_gate_and_goes_on_by_its_word(place: &Place) {
    let store = place.store().await;
    let rollout = released(&store, OnHalt::Hold).await;
    show(&store, rollout, vec![counts(300, 0, 20)]).await;
    assert_eq!(look(&store, 1_800).await, None, "the bake is not over");
    let phase = async || store.rollout(rollout).await.unwrap().spec.phase();
    assert_eq!(store.take_step(&package(APP), clerk(at(3_600))).await, Ok(None));
    assert!(look(&store, 3_600).await.is_some());
    assert_eq!(phase().await, Some(Phase::WaitingEvidence));
    assert_eq!(look(&store, 3_601).await, None, "the same again is no news");
    assert!(look(&store, 3_600 + 72 * 3_600).await.is_some());
    assert_eq!(phase().await, Some(Phase::Stuck));
    show(&store, rollout, vec![counts(300, 0, 300)]).await;
    assert!(look(&store, 300_000).await.is_some());
    assert_eq!(phase().await, Some(Phase::Ramping), "of the second step");
    let events = all(10, |page| store.rollout_events(rollout, page)).await;
    let told: Vec<&str> = events
        .iter()
        .rev()
        .filter_map(|event| event.remark.as_deref())
        .collect();
    assert_eq!(
        told,
        [
            "Waiting: 169 more phones must install 2.0 without a failure.",
            "Stuck for 72 hours: 169 more phones must install 2.0 without a failure.",
            "Ready: 300 of 300 phones run 2.0, 0 failed.",
        ]
    );
}

async fn failures_after_a_halt_are_counted_and_a_new_segment_begins_without(place: &Place) {
    let store = place.store().await;
    let rollout = released(&store, OnHalt::Hold).await;
    show(&store, rollout, vec![counts(100, 30, 20)]).await;
    assert!(look(&store, 20).await.is_some());
    show(&store, rollout, vec![counts(100, 33, 20)]).await;
    assert_eq!(look(&store, 21).await, None, "it is halted already");
    let kept = store.gate_look(rollout).await.unwrap().unwrap();
    assert_eq!(kept.at, at(21), "and is looked at all the same");
    let resume = async |acknowledged| {
        let said = Resume {
            acknowledged_failures: Some(acknowledged),
            remark: Some("a bad batch of cables".into()),
        };
        let by = By { now: at(60), ..by() };
        let change = store.resume_rollout(package(APP), actor("ann"), move |track, failures| {
            track.resume(rollout, &said, |rollout| failures.of(rollout), by)
        });
        change.await
    };
    assert!(resume(30).await.is_err(), "three more have failed since");
    resume(33).await.unwrap();
    assert_eq!(
        look(&store, 61).await,
        None,
        "what was seen does not trip it again"
    );
    let kept = store.gate_look(rollout).await.unwrap().unwrap();
    assert_eq!((kept.at, kept.facts.step()), (at(61), StepCounts::default()));
    let events = all(10, |page| store.rollout_events(rollout, page)).await;
    assert_eq!(events[0].remark.as_deref(), Some("a bad batch of cables"));
}

async fn what_one_look_cannot_find_the_next_one_does(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = gated_by_default(&store, 2).await;
    let devices = enroll_many(&store, 2_130).await;
    let (treated, control) = devices.split_at(2_100);
    let offers = treated
        .iter()
        .map(|device| offered_to(device, 0, (&build, rollout)));
    let others = control.iter().map(|device| is_control(device, 0, rollout, 0));
    poll(&store, offers.chain(others).collect()).await;
    are_there(&store, control, 5_000).await;
    assert_eq!(look(&store, 5_399).await, None, "nobody is due");
    let lost = async || {
        let kept = store.gate_look(rollout).await.unwrap().unwrap();
        kept.facts.lost.short.treated_events()
    };
    assert!(
        look(&store, 5_400).await.is_none(),
        "nobody asks before a minute is over"
    );
    assert!(look(&store, 5_460).await.is_some(), "2,000 fell silent");
    assert!(
        (1_970..=2_000).contains(&lost().await),
        "control is among those that are due"
    );
    look(&store, 5_461).await;
    assert_eq!(lost().await, 2_100, "the others are found a second later");
}

async fn a_package_without_a_gate_is_not_looked_at(place: &Place) {
    let store = place.store().await;
    assert_eq!(look(&store, 0).await, None, "nobody knows the package");
    let build = upload(&store, APP, 1).await;
    let rollout = rollout_of(&promote(&store, &build, promotion(100)).await);
    assert_eq!(look(&store, 10).await, None);
    assert_eq!(store.gate_look(rollout).await, Ok(None));
}
