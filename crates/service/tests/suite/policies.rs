//! Tags and policies: who is held back, on which instance, and who may say so.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tidegate_domain::{DeviceFacts, Hold, Limits, PolicySpec, PolicySubject, PolicyTerms, Reason, Tag, Verb};
use tidegate_service::{Actor, HoldSpec, Kind, PolicyEdit, Poll, PollAnswer, TagChange, WARMING_UP_RETRY};
use tidegate_testkit::apks::PACKAGE;

use crate::instance::{Instance, admin, id, operator, package, refusal, version, viewer};

fn tag(name: &str) -> Tag {
    Tag::parse(name).unwrap()
}

fn add(devices: &[&str]) -> TagChange {
    TagChange {
        add: devices.iter().map(|name| id(name)).collect(),
        ..TagChange::default()
    }
}

/// A ceiling for the devices with a tag.
fn pin(name: &str, max_version: i64) -> PolicySpec {
    PolicySpec {
        subject: PolicySubject::Tag(tag(name)),
        package: Some(package()),
        terms: PolicyTerms {
            max_version: Some(version(max_version)),
            hold: None,
        },
        remark: "the printers".to_owned(),
    }
}

fn stop(of: Option<tidegate_domain::PackageName>) -> HoldSpec {
    HoldSpec {
        package: of,
        hold: Hold::UntilLifted,
        remark: "tills lose receipts".to_owned(),
    }
}

#[tokio::test]
async fn a_pin_keeps_the_devices_with_its_tag_back_on_every_instance() {
    let here = Instance::start().await;
    here.enrol("lab-1").await;
    here.enrol("shop-1").await;
    let build = here.release(2).await;
    let there = here.beside().await;
    here.policies.create(operator(), pin("lab", 1)).await.unwrap();
    here.tags
        .change(operator(), &tag("lab"), add(&["lab-1"]))
        .await
        .unwrap();
    assert_eq!(
        here.told("lab-1", 0),
        Err(Reason::AboveCeiling),
        "at once where it was said"
    );
    assert_eq!(here.told("shop-1", 0), Ok(build));
    assert_eq!(there.told("lab-1", 0), Ok(build));
    there.snapshots.catch_up().await.unwrap();
    there.snapshots.catch_up_tags().await.unwrap();
    assert_eq!(there.told("lab-1", 0), Err(Reason::AboveCeiling));
    assert_eq!(there.snapshots.overlay_devices(), 1);
    let explained = there
        .devices
        .explain(&id("lab-1"), &package(), None)
        .await
        .unwrap();
    assert_eq!(explained.outcome, Err(Reason::AboveCeiling));

    let view = here.devices.get(&id("lab-1")).await.unwrap();
    assert_eq!(view.overlay.tags(), [tag("lab")]);
    assert_eq!(view.policies.len(), 1);
    let edit = PolicyEdit {
        max_version: Some(Some(version(2))),
        ..PolicyEdit::default()
    };
    there
        .policies
        .change(operator(), view.policies[0].id, edit)
        .await
        .unwrap();
    here.snapshots.catch_up().await.unwrap();
    assert_eq!(here.told("lab-1", 0), Ok(build));
}

#[tokio::test]
async fn a_hold_on_everybody_stops_everything_and_ends() {
    let here = Instance::start().await;
    here.enrol("phone").await;
    let build = here.release(2).await;
    let held = here.policies.hold(operator(), stop(None)).await.unwrap();
    assert_eq!(here.told("phone", 0), Err(Reason::HeldByPolicy));
    assert_eq!(here.policies.holds(), [held]);
    assert_eq!(
        here.policies.holding(),
        [("everybody", 1), ("tag", 0), ("device", 0)]
    );
    let until = here.policies.now() + TimeDelta::hours(1);
    let spec = HoldSpec {
        hold: Hold::Until(until),
        ..stop(None)
    };
    here.policies.hold(operator(), spec.clone()).await.unwrap();
    here.clock.advance(TimeDelta::hours(1));
    assert_eq!(here.told("phone", 0), Ok(build), "it has ended by itself");
    assert_eq!(here.policies.holds(), []);
    let late = here.policies.hold(operator(), spec).await;
    assert_eq!(refusal(late), (Kind::Invalid, "invalid_argument"));

    here.policies
        .hold(operator(), stop(Some(package())))
        .await
        .unwrap();
    assert_eq!(here.told("phone", 0), Err(Reason::HeldByPolicy));
    here.policies.lift(operator(), None).await.unwrap();
    assert_eq!(
        here.told("phone", 0),
        Err(Reason::HeldByPolicy),
        "that of the package stays"
    );
    assert_eq!(
        here.policies
            .lift(operator(), Some(package()))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(here.told("phone", 0), Ok(build));
}

#[tokio::test]
async fn a_poll_that_needs_tags_waits_until_they_are_read() {
    let here = Instance::start().await;
    here.enrol("lab-1").await;
    let build = here.release(2).await;
    let answered = |instance: &Instance| {
        let poll = Poll {
            device_id: "lab-1",
            package: PACKAGE,
            installed: version(0),
            facts: DeviceFacts::default(),
            crashes: None,
            fetched: None,
            takes_patches: false,
            at: instance.polls.now(),
        };
        instance.polls.answer(&poll, |answer, after| match answer {
            PollAnswer::WarmingUp => Err(after),
            PollAnswer::Update { offer, .. } => Ok(Some(offer.build.id)),
            PollAnswer::NoUpdate(_) => Ok(None),
        })
    };
    let cold = here.cold_beside().await;
    assert_eq!(answered(&cold), Ok(Some(build)), "no policy asks for a tag");
    here.policies.create(operator(), pin("lab", 1)).await.unwrap();
    here.tags
        .change(operator(), &tag("lab"), add(&["lab-1"]))
        .await
        .unwrap();
    cold.snapshots.catch_up().await.unwrap();
    assert_eq!(WARMING_UP_RETRY, Duration::from_secs(60));
    assert_eq!(answered(&cold), Err(WARMING_UP_RETRY));
    let explained = cold
        .devices
        .explain(&id("lab-1"), &package(), None)
        .await
        .unwrap();
    assert_eq!(
        explained.outcome,
        Err(Reason::AboveCeiling),
        "what is explained needs not wait"
    );
    cold.snapshots.catch_up_tags().await.unwrap();
    assert_eq!(answered(&cold), Ok(None));
}

#[tokio::test]
async fn an_erased_device_is_known_by_no_tag_when_it_comes_back() {
    let here = Instance::start().await;
    here.enrol("lab-1").await;
    let build = here.release(2).await;
    here.policies.create(operator(), pin("lab", 1)).await.unwrap();
    here.tags
        .change(operator(), &tag("lab"), add(&["lab-1"]))
        .await
        .unwrap();
    let there = here.beside().await;
    here.devices.erase(admin(), &id("lab-1"), "lab-1").await.unwrap();
    assert_eq!(here.snapshots.overlay_devices(), 0);
    here.enrol("lab-1").await;
    there.snapshots.catch_up().await.unwrap();
    there.snapshots.catch_up_tags().await.unwrap();
    for instance in [&here, &there] {
        assert_eq!(instance.told("lab-1", 0), Ok(build));
        assert_eq!(instance.snapshots.overlay_devices(), 0);
    }
}

#[tokio::test]
async fn roles_and_limits_say_who_may() {
    let here = Instance::start().await;
    here.enrol("phone").await;
    here.release(2).await;
    let limited = |verb| Actor {
        limits: Limits::new([package()], [verb]).unwrap().map(Arc::new),
        ..operator().clone()
    };
    let lab = tag("lab");
    let low = (Kind::Forbidden, "role_too_low");
    let narrow = (Kind::Forbidden, "token_limited");
    assert_eq!(
        refusal(here.tags.change(viewer(), &lab, add(&["phone"])).await),
        low
    );
    assert_eq!(refusal(here.policies.create(viewer(), pin("lab", 1)).await), low);
    assert_eq!(refusal(here.policies.hold(viewer(), stop(None)).await), low);
    let pauses = limited(Verb::Pause);
    assert_eq!(
        refusal(here.tags.change(&pauses, &lab, add(&["phone"])).await),
        narrow
    );
    assert_eq!(
        refusal(here.policies.create(&pauses, pin("lab", 1)).await),
        narrow
    );
    assert_eq!(
        refusal(here.policies.hold(&pauses, stop(None)).await),
        narrow,
        "all are more than one"
    );
    here.policies.hold(&pauses, stop(Some(package()))).await.unwrap();
    assert_eq!(
        refusal(here.policies.lift(&pauses, Some(package())).await),
        narrow
    );
    let lifted = here.policies.lift(&limited(Verb::Resume), Some(package())).await;
    assert_eq!(lifted.unwrap().len(), 1);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let here = Instance::start().await;
    here.enrol("phone").await;
    let lab = tag("lab");
    let change = |change| here.tags.change(operator(), &lab, change);
    assert_eq!(refusal(change(TagChange::default()).await).0, Kind::Invalid);
    let both = TagChange {
        remove: vec![id("phone")],
        ..add(&["phone"])
    };
    assert_eq!(refusal(change(both).await).0, Kind::Invalid);
    let many = TagChange {
        add: (0..=100_000).map(|number| id(&format!("d-{number}"))).collect(),
        ..TagChange::default()
    };
    assert_eq!(refusal(change(many).await), (Kind::TooLarge, "too_large"));
    let missing = here.policies.hold(operator(), stop(Some(package()))).await;
    assert_eq!(refusal(missing), (Kind::NotFound, "not_found"));
    let silent = PolicySpec {
        remark: String::new(),
        ..pin("lab", 1)
    };
    assert_eq!(
        refusal(here.policies.create(operator(), silent).await).0,
        Kind::Invalid
    );
    let told: Vec<_> = here
        .actions()
        .await
        .into_iter()
        .filter(|action| !action.starts_with("enrollment"))
        .collect();
    assert_eq!(told, [""; 0]);
}
