//! Releases that wait for a second person.

use tidegate_domain::{
    Approval, Audience, By, Error, Percent, Phase, Plan, PlanStep, Reason, Resume, RolloutEdit, RolloutId,
    RolloutState, Slice, Span, Stage,
};

use crate::fleet::{answer, at, percent, phone};
use crate::plans::by_plan;
use crate::store::{Store, to};

fn by(actor: &'static str) -> By<'static> {
    By {
        actor,
        on_behalf_of: None,
        now: at(100),
    }
}

/// The robot that ada made.
const ROBOT: By<'static> = By {
    actor: "robot",
    on_behalf_of: Some("ada"),
    now: chrono::DateTime::<chrono::Utc>::UNIX_EPOCH,
};

fn with(approval: Approval) -> Store {
    let mut store = Store::with_builds(3);
    store.release_to(1, 100);
    store.approval = approval;
    store
}

fn share(percent: Percent) -> RolloutEdit {
    RolloutEdit::percent(percent)
}

#[test]
fn a_release_waits_for_another_person_and_the_old_one_serves_meanwhile() {
    let mut store = with(Approval::Always);
    let change = store.promote(2, &to(100)).unwrap();
    assert_eq!(change.after.state, RolloutState::Proposed);
    assert!(store.promote(2, &to(100)).unwrap().is_empty(), "asked for twice");
    assert_eq!(
        store.serving(),
        [(1, RolloutState::Active), (2, RolloutState::Proposed)]
    );
    let waiting = phone("anybody", 10);
    assert_eq!(answer(&store.catalog(), &waiting), Err(Reason::AlreadyCurrent));
    let rollout = RolloutId(2);
    assert_eq!(
        store.run(|track| track.approve(rollout, None, None, by("ada"))),
        Err(Error::OwnApproval { rollout })
    );
    assert_eq!(
        store.run(|track| track.start(rollout, by("eve"))),
        Err(Error::ApprovalRequired { rollout })
    );
    assert_eq!(
        store
            .run(|track| track.resume(rollout, &Resume::default(), |_| 0, by("eve")))
            .unwrap_err()
            .code(),
        "wrong_state"
    );
    store
        .run(|track| track.approve(rollout, Some(1), None, by("eve")))
        .unwrap();
    assert_eq!(store.serving(), [(2, RolloutState::Active)]);
    assert_eq!(store.current().spec.consent.approved.unwrap().by, "eve");
    assert_eq!(answer(&store.catalog(), &waiting), Ok(2));
    assert_eq!(
        store.run(|track| track.approve(rollout, None, None, by("eve"))),
        Err(Error::NothingToApprove { rollout })
    );
    store.roll_back(false).unwrap();
    assert_eq!(
        store.serving(),
        [(1, RolloutState::Active)],
        "a roll-back waits for nobody"
    );
}

#[test]
fn an_edit_voids_what_was_seen_and_makes_its_author_the_one_who_may_not_approve() {
    let mut store = with(Approval::Always);
    store.promote(2, &to(100)).unwrap();
    let rollout = RolloutId(2);
    store
        .run(|track| track.edit(rollout, share(percent(50)), 1, by("eve")))
        .unwrap();
    assert_eq!(
        store
            .run(|track| track.approve(rollout, Some(1), None, by("ada")))
            .unwrap_err()
            .code(),
        "revision_mismatch",
        "not what ada saw"
    );
    assert_eq!(
        store.run(|track| track.approve(rollout, Some(2), None, by("eve"))),
        Err(Error::OwnApproval { rollout })
    );
    store
        .run(|track| track.approve(rollout, Some(2), None, by("ada")))
        .unwrap();
    assert_eq!(store.current().spec.settings.percent, percent(50));
}

#[test]
fn who_made_a_service_account_can_t_approve_what_it_asked_for() {
    let mut store = with(Approval::Always);
    let build = store.build(2).clone();
    store
        .run(|track| track.promote(&build, &to(100), 0, ROBOT))
        .unwrap();
    let rollout = RolloutId(2);
    for own in ["robot", "ada"] {
        assert_eq!(
            store
                .run(|track| track.approve(rollout, None, None, by(own)))
                .unwrap_err()
                .code(),
            "own_approval",
            "{own}"
        );
    }
    let mut alone = store.clone();
    alone
        .run(|track| track.approve(rollout, None, Some("alone here"), by("ada")))
        .unwrap();
    assert_eq!(alone.serving(), [(2, RolloutState::Active)], "with broken glass");
    store.run(|track| track.deny(rollout, by("eve"))).unwrap();
    assert_eq!(store.serving(), [(1, RolloutState::Active)]);
}

#[test]
fn widening_waits_and_the_old_terms_serve_while_narrowing_and_stopping_never_do() {
    let mut store = with(Approval::Above(percent(20)));
    store.release_to(2, 10);
    let rollout = RolloutId(2);
    assert_eq!(store.current().spec.state, RolloutState::Active, "10 % passes");
    store
        .run(|track| track.adjust(rollout, percent(50), by("ada")))
        .unwrap();
    let spec = store.current().spec;
    assert_eq!(spec.settings.percent, percent(10), "the old share serves");
    assert_eq!(
        spec.consent.request.as_ref().unwrap().edit.percent,
        Some(percent(50))
    );
    let again = store
        .run(|track| track.edit(rollout, share(percent(50)), 1, by("ada")))
        .unwrap();
    assert!(again.is_empty(), "it waits already");
    assert_eq!(
        store
            .run(|track| track.approve(rollout, None, None, by("ada")))
            .unwrap_err()
            .code(),
        "own_approval"
    );
    store.run(|track| track.pause(rollout, by("ada"))).unwrap();
    store
        .run(|track| track.resume(rollout, &Resume::default(), |_| 0, by("ada")))
        .unwrap();
    store
        .run(|track| track.approve(rollout, None, None, by("eve")))
        .unwrap();
    let spec = store.current().spec;
    assert_eq!((spec.settings.percent, spec.consent.request), (percent(50), None));
    store
        .run(|track| track.adjust(rollout, percent(60), by("ada")))
        .unwrap();
    store
        .run(|track| track.adjust(rollout, percent(30), by("ada")))
        .unwrap();
    let spec = store.current().spec;
    assert_eq!(spec.settings.percent, percent(30), "narrowing is done at once");
    assert_eq!(spec.consent.request, None, "and voids what waited");
    assert_eq!(spec.consent.approved, None);
    store
        .run(|track| track.adjust(rollout, percent(70), by("ada")))
        .unwrap();
    store.run(|track| track.deny(rollout, by("eve"))).unwrap();
    assert_eq!(store.current().spec.settings.percent, percent(30));
    store
        .run(|track| track.adjust(rollout, percent(15), by("ada")))
        .unwrap();
    let mut wider = RolloutEdit::percent(percent(18));
    wider.audience = Some(Audience::of_lists(vec!["DE".to_owned()], vec![]).unwrap());
    let seen = store.current().spec.revision;
    store
        .run(|track| track.edit(rollout, wider, seen, by("ada")))
        .unwrap();
    assert_eq!(
        store.current().spec.settings.percent,
        percent(18),
        "below the limit nothing waits"
    );
}

#[test]
fn a_change_that_waited_is_not_asked_for_anew_by_a_roll_back() {
    let mut store = with(Approval::Above(percent(20)));
    store.release_to(2, 10);
    store
        .run(|track| track.adjust(RolloutId(2), percent(50), by("ada")))
        .unwrap();
    store.release_to(3, 10);
    let back = store.run(|track| track.roll_back(false, by("omar"))).unwrap();
    let offered = &back.insert[0];
    assert_eq!((offered.build.0, offered.settings.percent), (2, percent(10)));
    assert_eq!(offered.consent.request, None, "nobody asks for it now");
    assert_eq!(offered.consent.edited_by, ["omar"], "whose word it is");
    assert_eq!(offered.waits_since(), None);
}

#[test]
fn another_audience_or_priority_waits_above_the_limit() {
    let mut store = with(Approval::Above(percent(20)));
    store.create(2, 5, to(20)).unwrap();
    store.approval = Approval::Always;
    let rollout = RolloutId(2);
    let edits = [
        RolloutEdit {
            audience: Some(Audience::of_lists(vec!["DE".to_owned()], vec![]).unwrap()),
            ..RolloutEdit::default()
        },
        RolloutEdit {
            priority: Some(9),
            ..RolloutEdit::default()
        },
    ];
    for edit in edits {
        let mut store = store.clone();
        store
            .run(|track| track.edit(rollout, edit.clone(), 1, by("ada")))
            .unwrap();
        assert_eq!(
            store.rollouts[1].spec.consent.request.as_ref().unwrap().edit,
            edit
        );
    }
    let renamed = RolloutEdit {
        name: Some("north".to_owned()),
        priority: Some(2),
        ..RolloutEdit::default()
    };
    store
        .run(|track| track.edit(rollout, renamed, 1, by("ada")))
        .unwrap();
    assert_eq!(
        store.rollouts[1].spec.name, "north",
        "a lower priority widens nothing"
    );
}

#[test]
fn a_plan_waits_before_the_step_that_must_be_approved() {
    let mut approve = PlanStep::to(percent(50), Span::NONE);
    approve.approve = true;
    let plan = Plan::new(vec![
        PlanStep::to(percent(5), Span::NONE),
        approve,
        PlanStep::to(percent(100), Span::NONE),
    ]);
    let mut store = with(Approval::Never);
    store.promote(2, &by_plan(plan.unwrap())).unwrap();
    let rollout = RolloutId(2);
    let due = |store: &mut Store| {
        while let Some(change) = store.track().due(at(100)) {
            store.apply(&change);
        }
        store.current().spec.phase()
    };
    assert_eq!(due(&mut store), Some(Phase::WaitingApproval));
    assert_eq!(store.current().spec.percent(at(100)), percent(5));
    assert_eq!(
        store.run(|track| track.advance(rollout, by("ada"))),
        Err(Error::ApprovalRequired { rollout })
    );
    store.run(|track| track.deny(rollout, by("eve"))).unwrap();
    assert_eq!(store.current().spec.phase(), Some(Phase::Held));
    store.run(|track| track.start(rollout, by("ada"))).unwrap();
    assert_eq!(
        store.current().spec.phase(),
        Some(Phase::WaitingApproval),
        "started anew it waits again"
    );
    store
        .run(|track| track.approve(rollout, None, None, by("eve")))
        .unwrap();
    assert_eq!(due(&mut store), None, "and goes on to everybody");
    assert_eq!(store.current().spec.state, RolloutState::Completed);
}

#[test]
fn a_package_s_limit_makes_a_plan_wait_before_it_is_passed_and_once_only() {
    let shares = [5, 20, 50, 100];
    let steps = shares.map(|share| PlanStep::to(percent(share), Span::NONE));
    let mut store = with(Approval::Above(percent(20)));
    store
        .promote(2, &by_plan(Plan::new(steps.to_vec()).unwrap()))
        .unwrap();
    let plan = store.rollouts[1].spec.plan.clone().unwrap().plan;
    assert_eq!(store.approval.waits_of(&plan), [false, false, true, false]);
    let foretold = |store: &Store| {
        let track = store.track();
        let release = track
            .serving
            .iter()
            .find(|release| release.build.id.0 == 2)
            .unwrap();
        let coming = track.coming(release);
        let waits = coming
            .iter()
            .filter(|coming| coming.stage == Stage::WaitingApproval);
        waits.count()
    };
    assert_eq!(foretold(&store), 1);
    let due = |store: &mut Store| {
        while let Some(change) = store.track().due(at(100)) {
            store.apply(&change);
        }
        store.rollouts[1].spec.percent(at(100))
    };
    assert_eq!(due(&mut store), percent(20));
    assert_eq!(foretold(&store), 0, "it waits already");
    store
        .run(|track| track.approve(RolloutId(2), None, None, by("eve")))
        .unwrap();
    assert_eq!(due(&mut store), percent(100));
}

#[test]
fn approvals_are_read_and_ordered() {
    let read = |text: &str| text.parse::<Approval>();
    let above = |percent: f64| Approval::Above(Percent::of_decimal(percent).unwrap());
    assert_eq!(read("never"), Ok(Approval::Never));
    assert_eq!(read("always"), Ok(Approval::Always));
    for (text, limit) in [("above 5 %", 5.0), ("above 0.5", 0.5), ("above 100%", 100.0)] {
        assert_eq!(read(text), Ok(above(limit)));
        assert_eq!(read(&above(limit).to_string()), Ok(above(limit)));
    }
    for bad in [
        "",
        "sometimes",
        "above",
        "above x",
        "above 0",
        "above 101 %",
        "above 0.001",
    ] {
        assert_eq!(read(bad).unwrap_err().field(), Some("approval"), "{bad}");
    }
    let (always, mid) = (Approval::Always, above(5.0));
    let (stays, asked) = always.changed(None, mid, "ada", at(1));
    assert_eq!(stays, always);
    let request = asked.as_ref();
    assert_eq!(
        always.changed(request, mid, "ada", at(2)),
        (always, asked.clone()),
        "asked for twice"
    );
    assert_eq!(always.changed(request, mid, "eve", at(2)), (mid, None));
    let (stays, other) = always.changed(request, Approval::Never, "eve", at(2));
    assert_eq!(
        (stays, other.unwrap().by.as_str()),
        (always, "eve"),
        "another wish is not a second voice"
    );
    assert_eq!(
        mid.changed(request, always, "ada", at(2)),
        (always, None),
        "a higher one at once"
    );
    assert!(Approval::Never.is_lower_than(above(5.0)) && above(5.0).is_lower_than(above(1.0)));
    assert!(above(1.0).is_lower_than(Approval::Always) && !Approval::Always.is_lower_than(Approval::Always));
}

#[test]
fn no_share_by_hand_and_no_other_plan_goes_round_a_step_that_must_be_approved() {
    let step = |share, approve| PlanStep {
        approve,
        ..PlanStep::to(percent(share), Span::hours(1))
    };
    let plan = |steps: &[(i64, bool)]| {
        Plan::new(
            steps
                .iter()
                .map(|&(share, approve)| step(share, approve))
                .collect(),
        )
    };
    let mut store = with(Approval::Never);
    let asked = plan(&[(5, false), (20, false), (60, true), (100, false)]).unwrap();
    store.promote(2, &by_plan(asked)).unwrap();
    let rollout = RolloutId(2);
    let due = store.track().due(at(100)).unwrap();
    store.apply(&due);
    let edit = |store: &mut Store, edit: RolloutEdit| {
        let revision = store.current().spec.revision;
        store
            .run(|track| track.edit(rollout, edit, revision, by("ada")))
            .unwrap();
        let spec = store.current().spec;
        (spec.percent(at(100)), spec.consent.request.is_some())
    };
    assert_eq!(
        edit(&mut store, share(percent(20))),
        (percent(20), false),
        "up to the step before it"
    );
    assert_eq!(edit(&mut store, share(percent(21))), (percent(20), true));
    assert_eq!(
        edit(&mut store, share(percent(10))),
        (percent(10), false),
        "to lower it waits for nobody, and takes the wish for more back"
    );
    let without = RolloutEdit {
        plan: Some(plan(&[(5, false), (20, false), (60, false), (100, false)]).unwrap()),
        ..RolloutEdit::default()
    };
    assert_eq!(
        edit(&mut store, without),
        (percent(10), true),
        "nor by another plan"
    );
    store
        .run(|track| track.approve(rollout, None, None, by("eve")))
        .unwrap();
    assert_eq!(edit(&mut store, share(percent(100))), (percent(100), false));
}

#[test]
fn many_small_rollouts_of_a_build_wait_like_a_large_one() {
    let mut store = with(Approval::Above(percent(20)));
    let mut states = vec![];
    for start in [0.0, 10.0, 20.0] {
        let mut promotion = to(10);
        promotion.settings.slice = Slice::of_percents(start, 100.0).unwrap();
        store.create(2, 100, promotion).unwrap();
        states.push(store.rollouts.last().unwrap().spec.state);
    }
    use RolloutState::{Active, Proposed};
    assert_eq!(states, [Active, Active, Proposed], "10 and 10 are not above 20");
    let other = store.create(3, 200, to(20)).unwrap();
    assert_eq!(other.after.state, Active, "another build is another release");
    let raised = RolloutId(2);
    store
        .run(|track| track.edit(raised, share(percent(15)), 1, by("ada")))
        .unwrap();
    let spec = &store
        .rollouts
        .iter()
        .find(|known| known.id == raised)
        .unwrap()
        .spec;
    assert!(spec.consent.request.is_some(), "15 and 10 are");
}

#[test]
fn what_waits_goes_on_waiting_when_something_else_is_edited_and_ends_with_its_rollout() {
    let mut store = with(Approval::Always);
    store.promote(2, &to(10)).unwrap();
    let rollout = RolloutId(2);
    store
        .run(|track| track.approve(rollout, None, None, by("eve")))
        .unwrap();
    let edit = |store: &mut Store, edit: RolloutEdit, who| {
        let revision = store.current().spec.revision;
        store
            .run(|track| track.edit(rollout, edit, revision, by(who)))
            .unwrap();
        store.current().spec.consent.request.map(|waiting| waiting.edit)
    };
    let wish = share(percent(30));
    assert_eq!(edit(&mut store, wish.clone(), "ada"), Some(wish.clone()));
    let seen = store.current().spec.revision;
    let renamed = RolloutEdit {
        name: Some("north first".to_owned()),
        wifi_only: Some(true),
        ..RolloutEdit::default()
    };
    assert_eq!(edit(&mut store, renamed, "bob"), Some(wish));
    assert_eq!(
        store
            .run(|track| track.approve(rollout, Some(seen), None, by("eve")))
            .unwrap_err()
            .code(),
        "revision_mismatch",
        "its terms are others than eve saw"
    );
    assert_eq!(
        edit(&mut store, share(percent(5)), "bob"),
        None,
        "a share takes a share's place"
    );
    edit(&mut store, share(percent(40)), "ada");
    let north = RolloutEdit {
        audience: Some(Audience::parse(r#"region == "north""#).unwrap()),
        ..RolloutEdit::default()
    };
    let both = RolloutEdit {
        percent: Some(percent(40)),
        ..north.clone()
    };
    assert_eq!(
        edit(&mut store, north, "bob"),
        Some(both),
        "a second wish joins the first"
    );
    let own = store.run(|track| track.approve(rollout, None, None, by("ada")));
    assert_eq!(
        own,
        Err(Error::OwnApproval { rollout }),
        "who asked for a part of it can't"
    );
    store.run(|track| track.cancel(rollout, by("bob"))).unwrap();
    let ended = store.rollouts.iter().find(|known| known.id == rollout).unwrap();
    assert_eq!(ended.spec.consent.request, None);
}
