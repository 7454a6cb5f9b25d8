//! Plans as they are kept: steps are taken once, what happened is written, and who approves is remembered.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{
    Approval, By, Change, Error as Rule, Percent, Plan, PlanStep, Promotion, RolloutId, RolloutState, Span,
};
use tidegate_storage::{Actor, PackageEdit, Page, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{APP, actor, all, at, package, promote, promotion, rollout_of, upload};

on_both_engines!(
    a_plan_comes_back_as_it_was_written_and_its_steps_are_taken_once,
    two_clerks_at_once_take_one_step,
    a_ramp_s_share_is_written_and_told_to_nobody,
    a_proposal_replaces_nothing_until_it_is_approved,
    lowering_approval_takes_two,
    the_database_s_time_is_told,
);

fn by_plan() -> Promotion {
    let ramp = PlanStep {
        over: Span::hours(2),
        ..PlanStep::to(Percent::new(10).unwrap(), Span::hours(1))
    };
    let plan = Plan::new(vec![ramp, PlanStep::to(Percent::EVERYBODY, Span::NONE)]).unwrap();
    Promotion {
        plan: Some(plan),
        ..promotion(10)
    }
}

fn clerk(now: DateTime<Utc>) -> Actor {
    Actor {
        now,
        ..actor("tidegate")
    }
}

async fn step(store: &Store, now: DateTime<Utc>) -> Option<Change> {
    store.take_step(&package(APP), clerk(now)).await.unwrap()
}

async fn events(store: &Store, rollout: RolloutId) -> Vec<(String, String, Option<String>, Option<u32>)> {
    let events = all(2, |page| store.rollout_events(rollout, page)).await;
    let told = events.into_iter().rev();
    told.map(|event| (event.actor, event.action, event.phase, event.step))
        .collect()
}

async fn a_plan_comes_back_as_it_was_written_and_its_steps_are_taken_once(place: &Place) {
    let store = place.store().await;
    let (old, new) = (upload(&store, APP, 1).await, upload(&store, APP, 2).await);
    let first = rollout_of(&promote(&store, &old, promotion(100)).await);
    let made = promote(&store, &new, by_plan()).await;
    let id = rollout_of(&made);
    assert_eq!(store.rollout(id).await.unwrap(), made.inserted[0]);
    assert!(step(&store, at(7_199)).await.is_none(), "nothing is due");
    for due in [7_200, 10_800, 10_800, 10_800] {
        assert!(step(&store, at(due)).await.is_some(), "at {due}");
    }
    assert!(step(&store, at(1_000_000)).await.is_none());
    let spec = store.rollout(id).await.unwrap().spec;
    assert_eq!((spec.state, spec.phase()), (RolloutState::Completed, None));
    let text = |word: &str| Some(word.to_owned());
    let tidegate = |action: &str, phase, step| ("tidegate".to_owned(), action.to_owned(), phase, Some(step));
    assert_eq!(
        events(&store, id).await,
        [
            (
                "ann".to_owned(),
                "ota.promote".to_owned(),
                text("ramping"),
                Some(1)
            ),
            tidegate("ota.rollout.step", text("baking"), 1),
            tidegate("ota.rollout.step", text("ramping"), 2),
            tidegate("ota.rollout.step", text("baking"), 2),
            tidegate("ota.rollout.complete", None, 2),
        ]
    );
    let replaced = events(&store, first).await;
    assert_eq!(replaced.len(), 2, "what a promotion ended knows of it");
    let log = store.audit(Default::default(), Page::default()).await.unwrap();
    assert_eq!(
        log.items.iter().filter(|entry| entry.actor == "tidegate").count(),
        4
    );
    assert!(store.verify_audit().await.unwrap().is_ok());
}

async fn two_clerks_at_once_take_one_step(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    promote(&store, &build, by_plan()).await;
    let due = || step(&store, at(7_200));
    let taken = tokio::join!(due(), due(), due(), due());
    let taken = [taken.0, taken.1, taken.2, taken.3];
    assert_eq!(taken.iter().flatten().count(), 1);
    let unknown = store.take_step(&package("com.example.none"), clerk(at(0))).await;
    assert_eq!(unknown, Ok(None));
}

async fn a_ramp_s_share_is_written_and_told_to_nobody(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 1).await;
    let id = rollout_of(&promote(&store, &build, by_plan()).await);
    let before = store.epochs().await.unwrap();
    assert_eq!(store.keep_floors(&package(APP), at(3_600)).await, Ok(true));
    let spec = store.rollout(id).await.unwrap().spec;
    assert_eq!(
        spec.percent(at(0)),
        Percent::new(5).unwrap(),
        "a clock that is set back takes nothing"
    );
    assert_eq!(
        store.keep_floors(&package(APP), at(3_600)).await,
        Ok(false),
        "nothing more to write"
    );
    assert_eq!(
        store.epochs().await.unwrap().catalog,
        before.catalog + 1,
        "servers reread it"
    );
    assert_eq!(events(&store, id).await.len(), 1);
}

async fn a_proposal_replaces_nothing_until_it_is_approved(place: &Place) {
    let store = place.store().await;
    let (old, new) = (upload(&store, APP, 1).await, upload(&store, APP, 2).await);
    promote(&store, &old, promotion(100)).await;
    let edit = PackageEdit {
        approval: Some(Approval::Always),
        ..PackageEdit::default()
    };
    let app = package(APP);
    let set = store.edit_package(&app, edit, actor("ada").note("package.edit", "package/x"));
    assert_eq!(set.await.unwrap().approval, Approval::Always);
    let id = rollout_of(&promote(&store, &new, promotion(100)).await);
    let track = store.track(&package(APP)).await.unwrap();
    assert_eq!(track.current().unwrap().build.id, old.id);
    assert_eq!(track.serving.len(), 2);
    let approve = |who: &'static str| {
        let by = By {
            actor: who,
            on_behalf_of: None,
            now: at(9),
        };
        store.change_track(package(APP), actor(who), move |track, _| {
            track.approve(id, None, None, by)
        })
    };
    let own = approve("ann").await;
    assert!(matches!(
        own,
        Err(tidegate_storage::Error::Rule(Rule::OwnApproval { .. }))
    ));
    approve("eve").await.unwrap();
    let rollout = store.rollout(id).await.unwrap().spec;
    assert_eq!((rollout.state, rollout.is_current), (RolloutState::Active, true));
    assert_eq!(rollout.consent.approved.unwrap().by, "eve");
    assert!(rollout.previous.is_some(), "a roll-back knows where to go");
    assert_eq!(rollout.consent.edited_by, ["ann"]);
}

async fn lowering_approval_takes_two(place: &Place) {
    let store = place.store().await;
    let edit = async |who: &'static str, approval, break_glass| {
        let edit = PackageEdit {
            approval: Some(approval),
            break_glass,
            plan: None,
            gate: None,
        };
        let note = actor(who).note("package.edit", "package/com.example.app");
        store.edit_package(&package(APP), edit, note).await
    };
    let set = edit("ada", Approval::Always, false).await.unwrap();
    assert_eq!(set.approval, Approval::Always);
    let asked = edit("ada", Approval::Never, false).await.unwrap();
    assert_eq!(
        (asked.approval, asked.approval_request.unwrap().by.as_str()),
        (Approval::Always, "ada")
    );
    assert_eq!(
        edit("ada", Approval::Never, false).await.unwrap().approval,
        Approval::Always
    );
    let lowered = edit("eve", Approval::Never, false).await.unwrap();
    assert_eq!(
        (lowered.approval, lowered.approval_request),
        (Approval::Never, None)
    );
    edit("ada", Approval::Always, false).await.unwrap();
    assert_eq!(
        edit("ada", Approval::Never, true).await.unwrap().approval,
        Approval::Never
    );
    let log = store.audit(Default::default(), Page::default()).await.unwrap();
    assert_eq!(log.items.len(), 5, "what changes nothing is not written");
    assert_eq!(log.items[0].after.as_ref().unwrap()["break_glass"], true);
}

async fn the_database_s_time_is_told(place: &Place) {
    let store = place.store().await;
    #[allow(clippy::disallowed_methods, reason = "the machine's own time")]
    let own = Utc::now();
    let told = store.time().await.unwrap();
    assert!((told - own).abs() < TimeDelta::seconds(30), "{told}");
}
