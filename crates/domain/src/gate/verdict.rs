//! What a gate makes of what is known.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::gate::power::{failures_to_halt, row_to_halt, successes_to_advance};
use crate::gate::{
    ADVANCE_AT, AdvanceReading, BLIND_BELOW, BLIND_POLLS, ComparedReading, Evidence, GateAction, GateMode,
    GateReading, GateSettings, HALT_AT, HALT_EVENTS, Logrank, LostTest, Metric, NotMeasured, Passed,
    SILENCE_FLEET, SMALL_FLEET, STUCK_AFTER, ShareReading, StepCounts, StepProgress, StepWeights, Tolerance,
    Verdict, WARN_AT, as_f64, e_bad, e_good,
};

/// The devices of two arms, of this segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arms {
    /// Devices that entered with the build.
    pub treated: u64,
    /// Devices that entered without it.
    pub control: u64,
    /// Of the treated, those at risk now.
    pub treated_at_risk: u64,
    /// Of control, those at risk now.
    pub control_at_risk: u64,
}

/// What is known of one segment of a rollout when its gate looks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateFacts {
    /// Devices of the audience, in the slice or not: the fleet that the rollout is for.
    pub fleet: u64,
    /// The weights of the plan's steps.
    pub weights: StepWeights,
    /// The outcomes of the steps that have begun, this step's last.
    pub steps: Vec<StepCounts>,
    /// Who is watched for silence.
    pub lost_arms: Arms,
    /// The looks at silence so far.
    pub lost: LostTest,
    /// Who is watched for crashes; none where no agent tells of any.
    pub crashing_arms: Option<Arms>,
    /// The looks at crashes so far.
    pub crashing: Logrank,
    /// Polls that devices never offered the build should have made in the last hour.
    pub polls_expected: u64,
    /// Those that they made.
    pub polls_seen: u64,
    /// How far the step has come.
    pub progress: StepProgress,
    /// For how long ramp and bake have been over, by the gate's clock, in seconds.
    pub waited_seconds: u64,
}

impl GateFacts {
    /// This step's outcomes: nothing before the first has begun.
    pub fn step(&self) -> StepCounts {
        self.steps.last().copied().unwrap_or_default()
    }
}

/// Whether polls of devices that were never offered the build are missing, so that silence says nothing about it. Only
/// devices without the build are asked: a build that bricks nine of ten must not look like an outage.
pub fn is_blind(expected: u64, seen: u64) -> bool {
    expected >= BLIND_POLLS && as_f64(seen) < BLIND_BELOW * as_f64(expected)
}

/// Reads a gate. The same facts have the same reading, whoever asks and however often.
pub fn judge(settings: &GateSettings, facts: &GateFacts) -> GateReading {
    let failed = share_reading(facts, settings.failed_percent, |step| (step.sent, step.failed));
    let corrupt = share_reading(facts, settings.corrupt_percent, |step| (step.begun, step.corrupt));
    let mut reading = GateReading {
        mode: settings.mode,
        failed,
        corrupt,
        lost: lost_reading(settings, facts),
        crashing: crashing_reading(settings, facts),
        polls_expected: facts.polls_expected,
        polls_seen: facts.polls_seen,
        advance: advance_reading(settings, facts),
        verdict: Verdict::Running,
        action: GateAction::Continue,
        halt: None,
    };
    reading.verdict = verdict(&reading, facts);
    reading.action = action(settings.mode, reading.verdict, facts.progress);
    reading
}

/// The first that holds. Halting never waits: what was counted stays true in an outage.
fn verdict(reading: &GateReading, facts: &GateFacts) -> Verdict {
    let found = |at: f64, events: u64| {
        Metric::ALL
            .into_iter()
            .filter(|metric| reading.events(*metric) >= events && reading.evidence(*metric).reaches(at))
            .max_by(|one, other| {
                reading
                    .evidence(*one)
                    .ln()
                    .total_cmp(&reading.evidence(*other).ln())
            })
    };
    if let Some(metric) = found(HALT_AT, HALT_EVENTS) {
        return Verdict::Bad(metric);
    }
    if let Some(metric) = found(WARN_AT, 0) {
        return Verdict::Suspicious(metric);
    }
    if is_blind(facts.polls_expected, facts.polls_seen) {
        return Verdict::Blind;
    }
    match (facts.progress, reading.advance.passed) {
        (StepProgress::Ramping | StepProgress::Baking, _) => Verdict::Running,
        (StepProgress::Over, Some(passed)) => Verdict::Passed(passed),
        (StepProgress::Over, None) if facts.waited_seconds >= stuck_seconds() => Verdict::Stuck,
        (StepProgress::Over, None) => Verdict::WaitingForEvidence,
    }
}

fn stuck_seconds() -> u64 {
    STUCK_AFTER.max(TimeDelta::zero()).num_seconds().unsigned_abs()
}

fn action(mode: GateMode, verdict: Verdict, progress: StepProgress) -> GateAction {
    match (mode, verdict) {
        (GateMode::Act, Verdict::Bad(_)) => GateAction::Halt,
        (GateMode::Watch, _) if progress == StepProgress::Over => GateAction::Advance,
        (GateMode::Watch, _) | (_, Verdict::Running) => GateAction::Continue,
        (_, Verdict::Passed(_)) => GateAction::Advance,
        (_, _) => GateAction::Hold,
    }
}

fn share_reading(
    facts: &GateFacts,
    tolerance: Tolerance,
    count: fn(&StepCounts) -> (u64, u64),
) -> ShareReading {
    let counts: Vec<_> = facts.steps.iter().map(count).collect();
    let devices = counts.iter().map(|(devices, _)| devices).sum();
    ShareReading {
        devices,
        seen: counts.iter().map(|(_, seen)| seen).sum(),
        expected: tolerance.of(devices),
        tolerance,
        ln_e: steps_evidence(&facts.weights, &counts, tolerance),
        halts_after: failures_to_halt(&facts.weights, &counts, tolerance),
    }
}

/// The evidence of all steps, each of so many devices and failures.
pub(crate) fn steps_evidence(weights: &StepWeights, counts: &[(u64, u64)], tolerance: Tolerance) -> Evidence {
    weights.mean(
        counts
            .iter()
            .map(|(devices, seen)| e_bad(*devices, *seen, tolerance)),
    )
}

fn lost_reading(settings: &GateSettings, facts: &GateFacts) -> ComparedReading {
    let (patience, shown) = facts.lost.clearer();
    let arms = facts.lost_arms;
    let not_measured = match () {
        () if !settings.lost => Some(NotMeasured::SwitchedOff),
        () if facts.fleet < SILENCE_FLEET => Some(NotMeasured::SmallFleet),
        () if arms.control_at_risk == 0 && arms.treated > 0 => Some(NotMeasured::NoControl),
        () => None,
    };
    let row = row_to_halt(arms.treated_at_risk, facts.lost.treated_events(), |more| {
        let mut test = facts.lost;
        add_row(&mut test.short, arms, more);
        add_row(&mut test.long, arms, more);
        test.evidence()
    });
    ComparedReading {
        patience: Some(patience),
        ..compared(shown, facts.lost.evidence(), arms, not_measured, row)
    }
}

fn crashing_reading(settings: &GateSettings, facts: &GateFacts) -> ComparedReading {
    let arms = facts.crashing_arms.unwrap_or_default();
    let not_measured = match facts.crashing_arms {
        _ if !settings.crashing => Some(NotMeasured::SwitchedOff),
        None => Some(NotMeasured::NotTold),
        Some(arms) if arms.control_at_risk == 0 && arms.treated > 0 => Some(NotMeasured::NoControl),
        Some(_) => None,
    };
    let test = &facts.crashing;
    let row = row_to_halt(arms.treated_at_risk, test.treated_events(), |more| {
        let mut test = *test;
        add_row(&mut test, arms, more);
        test.evidence()
    });
    compared(test, test.evidence(), arms, not_measured, row)
}

/// What is not measured at all halts nothing. Where only control has run out, what was found before stays.
fn compared(
    shown: &Logrank,
    evidence: Evidence,
    arms: Arms,
    not_measured: Option<NotMeasured>,
    row: Option<u64>,
) -> ComparedReading {
    let counts = matches!(not_measured, None | Some(NotMeasured::NoControl));
    ComparedReading {
        not_measured,
        treated: arms.treated,
        control: arms.control,
        seen: shown.treated_events(),
        expected: shown.expected_events(),
        control_seen: shown.control_events(),
        patience: None,
        ln_e: if counts { evidence } else { Evidence::NONE },
        halts_after: row.filter(|_| not_measured.is_none()),
    }
}

/// So many treated events in a row, each a look of its own, in one stratum of all that are at risk.
pub(crate) fn add_row(test: &mut Logrank, arms: Arms, events: u64) {
    for before in 0..events.min(arms.treated_at_risk) {
        test.add(crate::gate::Look {
            treated: arms.treated_at_risk - before,
            control: arms.control_at_risk,
            treated_events: 1,
            control_events: 0,
        });
    }
}

fn advance_reading(settings: &GateSettings, facts: &GateFacts) -> AdvanceReading {
    let step = facts.step();
    let tolerance = settings.failed_percent;
    let decided = step.in_trouble.saturating_add(step.confirmed);
    // Most of a small fleet would have to be reached for it: its steps pass by census.
    let by_evidence = facts.fleet >= SMALL_FLEET;
    let good = by_evidence.then(|| e_good(decided, step.in_trouble, tolerance));
    let census_missing = step.unconfirmed().saturating_sub(tolerance.of(step.reached));
    let passed = if good.is_some_and(|good| good.reaches(ADVANCE_AT)) {
        Some(Passed::Evidence)
    } else if step.reached >= 1 && census_missing == 0 {
        Some(Passed::Census)
    } else {
        None
    };
    AdvanceReading {
        progress: facts.progress,
        reached: step.reached,
        confirmed: step.confirmed,
        in_trouble: step.in_trouble,
        ln_e_good: good,
        passed,
        successes_missing: match by_evidence {
            true => successes_to_advance(decided, step.in_trouble, tolerance),
            false => None,
        },
        census_missing: census_missing.max(u64::from(step.reached == 0)),
    }
}
