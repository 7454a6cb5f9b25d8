//! Small rules that everything else only passes by.

use tidegate_domain::gate::{
    GateAction, GateMode, Metric, NotMeasured, OnHalt, Passed, StepProgress, Verdict, WaitsFor,
};
use tidegate_domain::{
    Audience, BuildSteps, MAX_SPAN, NudgeAudience, NudgeOrder, Overlay, PackageName, Percent, Plan, PlanStep,
    RolloutEdit, RolloutId, Slice, Span, Tag, VersionCode,
};

fn version(code: i64) -> VersionCode {
    VersionCode::new(code).unwrap()
}

#[test]
fn a_build_asks_for_an_older_version_to_come_from() {
    let from = |code| BuildSteps {
        barrier: false,
        min_from_version: Some(version(code)),
    };
    assert_eq!(from(1).check(version(7)), Ok(()), "any older one");
    assert_eq!(from(6).check(version(7)), Ok(()));
    for code in [7, 8] {
        let refused = from(code).check(version(7)).unwrap_err();
        assert_eq!(
            refused.field(),
            Some("min_from_version"),
            "{code}: nobody could take it"
        );
    }
    assert_eq!(BuildSteps::default().check(version(7)), Ok(()));
}

#[test]
fn a_span_is_a_year_at_most() {
    assert_eq!(MAX_SPAN.as_secs(), 31_536_000);
    assert!("365days".parse::<Span>().is_ok());
    assert!("365days 1s".parse::<Span>().is_err());
}

#[test]
fn an_audience_names_the_tags_that_stand_in_it_and_no_other() {
    let tag = |name: &str| Tag::parse(name).unwrap();
    for text in [
        r#""tills" in tags"#,
        r#"!("tills" in tags)"#,
        r#"sdk >= 30 && ("shops" in tags || "tills" in tags)"#,
    ] {
        let audience = Audience::parse(text).unwrap();
        assert!(
            audience.names_tag(&tag("tills")) && audience.asks_for_tags(),
            "{text}"
        );
        assert!(!audience.names_tag(&tag("till")), "{text}");
    }
    let own = Audience::parse(r#""tills" in device_tags"#).unwrap();
    assert!(
        !own.names_tag(&tag("tills")) && !own.asks_for_tags(),
        "what devices bring is no tag of the operators'"
    );
}

#[test]
fn behind_in_stands_a_list_and_the_fault_says_how_it_was_meant() {
    let meant = |text: &str| Audience::parse(text).unwrap_err().to_string();
    let told = meant(r#"tags in "tills""#);
    assert!(told.contains(r#""tills" in tags"#), "{told}");
    let told = meant(r#"region in "north""#);
    assert!(told.contains(r#"region in ["north"]"#), "{told}");
}

#[test]
fn only_an_edit_of_whom_a_rollout_takes_needs_the_right_to_promote() {
    let chooses = |edit: RolloutEdit| edit.chooses_devices();
    let none = RolloutEdit::default;
    assert!(!chooses(none()));
    assert!(
        !chooses(RolloutEdit::percent(Percent::new(5).unwrap())),
        "the share alone"
    );
    let plan = Plan::new(vec![PlanStep::to(Percent::new(5).unwrap(), Span::NONE)]).unwrap();
    for edit in [
        RolloutEdit {
            audience: Some(Audience::default()),
            ..none()
        },
        RolloutEdit {
            slice: Some(Slice::WHOLE),
            ..none()
        },
        RolloutEdit {
            priority: Some(3),
            ..none()
        },
        RolloutEdit {
            plan: Some(plan),
            ..none()
        },
    ] {
        assert!(chooses(edit.clone()), "{edit:?}");
    }
}

#[test]
fn a_gates_words_are_these() {
    for (mode, word) in [
        (GateMode::Watch, "watch"),
        (GateMode::Hold, "hold"),
        (GateMode::Act, "act"),
    ] {
        assert_eq!((mode.as_str(), word.parse()), (word, Ok(mode)));
    }
    assert!("Act".parse::<GateMode>().is_err());
    for (verdict, word, by) in [
        (Verdict::Bad(Metric::Lost), "bad", "lost"),
        (Verdict::Suspicious(Metric::Failed), "suspicious", "failed"),
        (Verdict::Blind, "blind", ""),
        (Verdict::Running, "running", ""),
        (Verdict::WaitingForEvidence, "waiting_for_evidence", ""),
        (Verdict::Stuck, "stuck", ""),
        (Verdict::Passed(Passed::Census), "passed", "census"),
    ] {
        assert_eq!((verdict.as_str(), verdict.by()), (word, by));
    }
}

/// A word is the same in JSON and at the console.
fn assert_words<T: serde::Serialize + Copy>(words: &[(T, &str)], as_str: fn(T) -> &'static str) {
    for (value, word) in words {
        assert_eq!(as_str(*value), *word);
        assert_eq!(serde_json::to_value(value).unwrap(), *word);
    }
}

#[test]
fn what_a_gate_says_has_one_word_everywhere() {
    assert_words(
        &[
            (NotMeasured::SwitchedOff, "switched_off"),
            (NotMeasured::NotTold, "not_told"),
            (NotMeasured::SmallFleet, "small_fleet"),
            (NotMeasured::NoControl, "no_control"),
        ],
        NotMeasured::as_str,
    );
    assert_words(
        &[
            (StepProgress::Ramping, "ramping"),
            (StepProgress::Baking, "baking"),
            (StepProgress::Over, "over"),
        ],
        StepProgress::as_str,
    );
    assert_words(
        &[
            (GateAction::Continue, "continue"),
            (GateAction::Hold, "hold"),
            (GateAction::Advance, "advance"),
            (GateAction::Halt, "halt"),
        ],
        GateAction::as_str,
    );
    assert_words(
        &[
            (WaitsFor::Evidence, "waiting_evidence"),
            (WaitsFor::Stuck, "stuck"),
            (WaitsFor::Blind, "blind"),
        ],
        WaitsFor::as_str,
    );
    assert_words(
        &[(OnHalt::Hold, "hold"), (OnHalt::RollBack, "roll_back")],
        OnHalt::as_str,
    );
    for on_halt in OnHalt::ALL {
        assert_eq!(on_halt.as_str().parse(), Ok(on_halt));
    }
    assert_eq!("halt".parse::<OnHalt>().unwrap_err().field(), Some("on_halt"));
}

#[test]
fn an_overlay_is_empty_without_a_tag() {
    assert!(Overlay::none().is_empty() && Overlay::default().is_empty());
    assert!(!Overlay::new([Tag::parse("lab").unwrap()]).is_empty());
}

#[test]
fn an_audience_of_one_list_is_told_as_that_list() {
    let texts = || vec!["a".to_owned(), "b".to_owned()];
    for (regions, models) in [
        (texts(), vec![]),
        (vec![], texts()),
        (texts(), texts()),
        (vec![], vec![]),
    ] {
        let audience = Audience::of_lists(regions.clone(), models.clone()).unwrap();
        assert_eq!(audience.lists(), Some((&regions[..], &models[..])));
    }
    assert_eq!(Audience::parse("sdk in [30]").unwrap().lists(), None);
}

#[test]
fn a_nudge_of_those_behind_names_their_package_and_rollout() {
    let package = PackageName::parse("com.example.app").unwrap();
    let order = NudgeOrder::behind(package.clone(), RolloutId(7));
    assert_eq!(
        (order.package.as_ref(), order.rollout),
        (Some(&package), Some(RolloutId(7)))
    );
    assert_eq!((order.audience, &order.devices), (NudgeAudience::Behind, &None));
    assert_eq!(order.clone().checked(), Ok(order));
}
