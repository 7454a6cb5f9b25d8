//! What a gate makes of what it reads, and how it says so.

use tidegate_domain::gate::{
    Arms, Evidence, GateAction, GateFacts, GateMode, GateReading, GateSettings, Logrank, Look, LostTest,
    Metric, NotMeasured, Passed, StepCounts, StepProgress, StepWeights, Verdict, judge,
};

use super::{facts_of, step_of};

fn read(facts: &GateFacts) -> GateReading {
    judge(&GateSettings::default(), facts)
}

fn in_mode(mode: GateMode, facts: &GateFacts) -> GateReading {
    let settings = GateSettings {
        mode,
        ..GateSettings::default()
    };
    judge(&settings, facts)
}

/// 600 phones with the build and 5,990 without; five and two of them fall silent one after the other.
fn silent() -> GateFacts {
    let mut test = LostTest::default();
    let (mut treated, mut control) = (600, 5_990);
    for is_treated in [false, true, false, true, true, true, true] {
        let look = Look {
            treated,
            control,
            treated_events: u64::from(is_treated),
            control_events: u64::from(!is_treated),
        };
        test.short.add(look);
        test.long.add(look);
        treated -= look.treated_events;
        control -= look.control_events;
    }
    let mut facts = facts_of(step_of(600, 0, 590));
    facts.lost = test;
    facts.lost_arms.treated_at_risk = treated;
    facts.lost_arms.control_at_risk = control;
    facts
}

#[test]
fn phones_that_fall_silent_halt_and_it_says_so() {
    let reading = read(&silent());
    assert_eq!(reading.verdict, Verdict::Bad(Metric::Lost));
    assert_eq!(reading.action, GateAction::Halt);
    let sentence = "Halted: 5 of 600 phones with 1.2 fell silent, 2 of 5,990 without it.";
    assert_eq!(reading.sentence("1.2"), sentence);
    assert_eq!(reading.lost.ln_e.to_string(), "343-fold");
    assert!(
        (reading.lost.expected - 7.0 / 11.0).abs() < 0.01,
        "{}",
        reading.lost.expected
    );
}

#[test]
fn the_mode_says_what_is_done_about_it() {
    let facts = silent();
    let holding = in_mode(GateMode::Hold, &facts);
    assert_eq!(holding.action, GateAction::Hold);
    assert!(holding.sentence("1.2").starts_with("Held: 5 of 600"));
    let watching = in_mode(GateMode::Watch, &facts);
    assert_eq!(watching.action, GateAction::Advance, "by time alone");
    assert!(watching.sentence("1.2").starts_with("Would halt: 5 of 600"));
    let mut baking = facts;
    baking.progress = StepProgress::Baking;
    assert_eq!(in_mode(GateMode::Watch, &baking).action, GateAction::Continue);
    assert_eq!(
        read(&baking).action,
        GateAction::Halt,
        "halting waits for nothing"
    );
}

#[test]
fn two_events_never_halt() {
    let two = read(&facts_of(step_of(2, 2, 0)));
    assert_eq!(two.verdict, Verdict::Suspicious(Metric::Failed));
    assert!(two.failed.ln_e.reaches(100.0));
    assert_eq!(two.failed.halts_after, Some(1));
    let sentence = "Warning: 2 of 2 phones that fetched 1.2 failed to install it, 2 % is tolerated; 1 more in a row would halt it.";
    assert_eq!(two.sentence("1.2"), sentence);
    assert_eq!(read(&facts_of(step_of(3, 3, 0))).action, GateAction::Halt);
}

#[test]
fn a_warning_holds_the_plan_and_passes_by_itself() {
    let warned = read(&facts_of(step_of(400, 18, 382)));
    assert_eq!(warned.verdict, Verdict::Suspicious(Metric::Failed));
    assert_eq!(warned.action, GateAction::Hold);
    let more = warned.failed.halts_after.unwrap();
    assert!(more > 1);
    let told = format!("; {more} more in a row would halt it.");
    assert!(
        warned.sentence("1.2").ends_with(&told),
        "{}",
        warned.sentence("1.2")
    );
    let later = read(&facts_of(step_of(2_000, 18, 1_982)));
    assert_eq!(later.action, GateAction::Advance);
}

#[test]
fn damaged_files_have_a_tolerance_of_their_own() {
    let step = StepCounts {
        corrupt: 5,
        ..step_of(300, 0, 295)
    };
    let reading = read(&facts_of(step));
    assert_eq!(reading.verdict, Verdict::Bad(Metric::Corrupt));
    let sentence = "Halted: 5 of 300 phones were sent a damaged 1.2, 0.2 % is tolerated.";
    assert_eq!(reading.sentence("1.2"), sentence);
}

#[test]
fn crashes_are_measured_only_where_they_are_told() {
    let mut test = Logrank::default();
    for _ in 0..8 {
        test.add(Look {
            treated: 600,
            control: 5_990,
            treated_events: 1,
            control_events: 0,
        });
    }
    let mut facts = facts_of(step_of(600, 0, 600));
    facts.crashing = test;
    assert_eq!(read(&facts).crashing.not_measured, Some(NotMeasured::NotTold));
    assert_eq!(read(&facts).action, GateAction::Advance);
    facts.crashing_arms = Some(facts.lost_arms);
    let reading = read(&facts);
    assert_eq!(reading.verdict, Verdict::Bad(Metric::Crashing));
    let sentence = "Halted: 8 of 600 phones with 1.2 crashed, 0 of 5,990 without it.";
    assert_eq!(reading.sentence("1.2"), sentence);
    let off = GateSettings {
        crashing: false,
        ..GateSettings::default()
    };
    assert_eq!(judge(&off, &facts).action, GateAction::Advance);
}

#[test]
fn silence_is_measured_only_with_a_fleet_and_a_control() {
    let mut facts = silent();
    facts.fleet = 999;
    let reading = read(&facts);
    assert_eq!(reading.lost.not_measured, Some(NotMeasured::SmallFleet));
    assert_eq!(reading.action, GateAction::Advance);
    assert_eq!(reading.lost.halts_after, None);
    let mut facts = silent();
    facts.lost_arms.control_at_risk = 0;
    let reading = read(&facts);
    assert_eq!(reading.lost.not_measured, Some(NotMeasured::NoControl));
    assert_eq!(reading.action, GateAction::Halt, "what was found before stays");
}

#[test]
fn a_high_share_tells_how_many_silent_phones_it_takes() {
    let mut facts = facts_of(step_of(950, 0, 950));
    facts.lost_arms = Arms {
        treated: 950,
        control: 50,
        treated_at_risk: 950,
        control_at_risk: 50,
    };
    assert_eq!(read(&facts).lost.halts_after, Some(125));
}

#[test]
fn a_step_waits_until_ramp_and_bake_are_over() {
    let mut facts = facts_of(step_of(189, 0, 189));
    for progress in [StepProgress::Ramping, StepProgress::Baking] {
        facts.progress = progress;
        assert_eq!(read(&facts).verdict, Verdict::Running);
        assert_eq!(read(&facts).action, GateAction::Continue);
    }
    assert!(
        read(&facts)
            .sentence("1.2")
            .starts_with("Baking: 0 of 189 phones")
    );
    facts.progress = StepProgress::Over;
    assert_eq!(read(&facts).verdict, Verdict::Passed(Passed::Evidence));
    assert_eq!(
        read(&facts).sentence("1.2"),
        "Ready: 189 of 189 phones run 1.2, 0 failed."
    );
}

#[test]
fn no_evidence_never_advances() {
    let mut facts = facts_of(StepCounts::default());
    let reading = read(&facts);
    assert_eq!(reading.verdict, Verdict::WaitingForEvidence);
    assert_eq!(reading.sentence("1.2"), "Waiting: no phone was offered 1.2 yet.");
    facts.waited_seconds = 72 * 3_600 - 1;
    assert_eq!(read(&facts).verdict, Verdict::WaitingForEvidence);
    facts.waited_seconds += 1;
    assert_eq!(read(&facts).verdict, Verdict::Stuck);
    assert_eq!(read(&facts).action, GateAction::Hold);
    facts.steps.clear();
    assert_eq!(read(&facts).action, GateAction::Hold);

    facts.steps = vec![step_of(400, 0, 100)];
    assert_eq!(
        read(&facts).sentence("1.2"),
        "Stuck for 72 hours: 89 more phones must install 1.2 without a failure."
    );
}

#[test]
fn an_earlier_steps_successes_do_not_advance_a_later_step() {
    let mut facts = facts_of(step_of(10, 0, 0));
    facts.weights = StepWeights::equal(2).unwrap();
    facts.steps.insert(0, step_of(5_000, 0, 5_000));
    assert_eq!(read(&facts).verdict, Verdict::WaitingForEvidence);
}

#[test]
fn a_small_fleet_advances_by_census() {
    let mut facts = facts_of(step_of(300, 0, 290));
    facts.fleet = 400;
    let reading = read(&facts);
    assert_eq!(reading.advance.ln_e_good, None);
    assert_eq!(
        reading.sentence("1.2"),
        "Waiting: 4 more phones of the 300 reached must run 1.2."
    );
    facts.steps = vec![step_of(300, 0, 294)];
    let reading = read(&facts);
    assert_eq!(reading.verdict, Verdict::Passed(Passed::Census));
    let sentence = "Ready by census: 294 of 300 phones run 1.2, which promises nothing about later ones.";
    assert_eq!(reading.sentence("1.2"), sentence);
    facts.steps = vec![step_of(10, 0, 9)];
    assert_eq!(
        read(&facts).advance.census_missing,
        1,
        "a hundredth of a phone is none"
    );
}

#[test]
fn missing_polls_of_those_without_the_build_make_it_blind() {
    let mut facts = facts_of(step_of(189, 0, 189));
    facts.polls_seen = 199;
    let reading = read(&facts);
    assert_eq!(reading.verdict, Verdict::Blind);
    assert_eq!(reading.action, GateAction::Hold);
    let sentence = "Blind: phones that were never offered 1.2 made 199 of 1,000 expected polls.";
    assert_eq!(reading.sentence("1.2"), sentence);
    facts.polls_seen = 200;
    assert_eq!(read(&facts).action, GateAction::Advance);
    (facts.polls_expected, facts.polls_seen) = (19, 0);
    assert_eq!(
        read(&facts).action,
        GateAction::Advance,
        "so few may be missing by chance"
    );

    let mut outage = silent();
    outage.polls_seen = 0;
    assert_eq!(
        read(&outage).action,
        GateAction::Halt,
        "what was counted stays true"
    );
}

#[test]
fn a_reading_and_its_facts_survive_being_stored() {
    let facts = silent();
    let kept = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<GateFacts>(&kept).unwrap(), facts);
    let reading = read(&facts);
    let kept = serde_json::to_value(reading).unwrap();
    assert_eq!((&kept["verdict"], &kept["by"]), (&"bad".into(), &"lost".into()));
    assert_eq!(kept["action"], "halt");
    assert_eq!(kept["lost"]["seen"], 5);
    assert_eq!(serde_json::from_value::<GateReading>(kept).unwrap(), reading);
}

#[test]
fn evidence_is_told_as_a_multiple_and_without_digits_that_nobody_reads() {
    for (value, words) in [
        (1.0, "1.00-fold"),
        (9.5, "9.50-fold"),
        (10.1, "10-fold"),
        (340.9, "340-fold"),
        (999_999.5, "999,999-fold"),
        (1_000_001.0, "more than 1,000,000-fold"),
        (1e300, "more than 1,000,000-fold"),
    ] {
        let evidence: Evidence = serde_json::from_value(f64::ln(value).into()).unwrap();
        assert_eq!(evidence.to_string(), words);
    }
}

#[test]
fn a_thousand_are_a_fleet_whose_silence_is_measured() {
    let mut facts = silent();
    facts.fleet = 1_000;
    let off = GateSettings {
        lost: false,
        ..GateSettings::default()
    };
    let unasked = judge(&off, &facts);
    assert_eq!(unasked.lost.not_measured, Some(NotMeasured::SwitchedOff));
    assert_eq!(unasked.action, GateAction::Advance);
    assert_eq!(read(&facts).lost.not_measured, None);
    assert_eq!(read(&facts).action, GateAction::Halt);
}

#[test]
fn nobody_is_missed_as_control_before_the_first_is_treated() {
    let none = Arms::default();
    let alone = Arms {
        treated: 1,
        treated_at_risk: 1,
        ..none
    };
    for (arms, not_measured) in [(none, None), (alone, Some(NotMeasured::NoControl))] {
        let mut facts = facts_of(step_of(10, 0, 0));
        facts.lost_arms = arms;
        facts.crashing_arms = Some(arms);
        let reading = read(&facts);
        assert_eq!(reading.lost.not_measured, not_measured);
        assert_eq!(reading.crashing.not_measured, not_measured);
    }
}

#[test]
fn a_waiting_step_says_the_shorter_way() {
    let said = |facts: &GateFacts| read(facts).sentence("1.2");
    let mut facts = facts_of(step_of(10, 0, 9));
    assert_eq!(
        said(&facts),
        "Waiting: one more phone of the 10 reached must run 1.2."
    );
    facts.steps = vec![step_of(1_500, 0, 188)];
    assert_eq!(
        said(&facts),
        "Waiting: one more phone must install 1.2 without a failure."
    );
    facts.steps = vec![step_of(192, 0, 0)];
    assert_eq!(
        said(&facts),
        "Waiting: 189 more phones of the 192 reached must run 1.2.",
        "both ways are as long"
    );
    facts.steps = vec![step_of(300, 0, 300), StepCounts::default()];
    facts.weights = StepWeights::equal(2).unwrap();
    assert_eq!(
        said(&facts),
        "Waiting: no phone was offered 1.2 in this step yet."
    );
}
