//! What a rollout's gate makes of its devices, beside those that don't have the build: in words, in a table, and over time.
//!
//! Nothing is shown as good that was not judged so: a test that has seen little says how little.

use tidegate_domain::gate::{
    ADVANCE_AT, ComparedReading, Evidence, GateMode, GateReading, HALT_AT, HALT_EVENTS, Metric, NotMeasured,
    Passed, Patience, SILENCE_FLEET, ShareReading, Verdict, WARN_AT,
};
use tidegate_service::{Error, GateView};

use super::charts;
use crate::AppState;
use crate::chart::Chart;
use crate::show;

/// A gate on the page of its build.
pub(crate) struct Health {
    /// What the feed says while this is up to date.
    pub mark: String,
    pub verdict: Badge,
    pub sentence: String,
    pub rows: Vec<MetricRow>,
    /// What it acts at and what it does then.
    pub acts: String,
    /// The evidence over time, where that is shown and there is any.
    pub chart: Option<Chart>,
}

/// A few words, and how the page colours them.
pub(crate) struct Badge {
    pub words: String,
    /// `good`, `warn`, `bad` or nothing.
    pub class: &'static str,
}

/// One test of the gate.
pub(crate) struct MetricRow {
    pub name: &'static str,
    /// Devices with the build.
    pub treated: String,
    /// What they are held against.
    pub control: String,
    pub evidence: Badge,
    /// What is still missing until it halts.
    pub halts: String,
}

impl Health {
    pub(crate) async fn of(app: &AppState, gate: &GateView, with_chart: bool) -> Result<Self, Error> {
        let reading = gate.last.as_ref().map(|(_, reading)| reading);
        let chart = match with_chart {
            true => charts::evidence(app, gate.rollout.id).await?,
            false => None,
        };
        Ok(Self {
            mark: mark(gate),
            verdict: reading.map_or_else(Badge::not_yet, verdict),
            sentence: gate.sentence(),
            rows: reading.map(rows).unwrap_or_default(),
            acts: acts(gate.gate.terms.settings.mode),
            chart,
        })
    }
}

/// What changes when a gate's table is out of date.
pub(crate) fn mark(gate: &GateView) -> String {
    let Some((at, reading)) = &gate.last else {
        return "-".to_owned();
    };
    let counts = [&reading.lost, &reading.crashing].map(|of| of.seen + of.control_seen);
    format!(
        "{} {} {} {} {}",
        show::moment(at).replace(' ', "T"),
        reading.failures(),
        reading.advance.confirmed,
        counts[0],
        counts[1]
    )
}

impl Badge {
    fn plain(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            class: "",
        }
    }

    fn not_yet() -> Self {
        Self::plain("Not looked at yet")
    }
}

fn verdict(reading: &GateReading) -> Badge {
    let word = |words: String, class| Badge { words, class };
    match reading.verdict {
        Verdict::Bad(metric) => word(format!("Bad: {}", metric.as_str()), "bad"),
        Verdict::Suspicious(metric) => word(format!("Suspicious: {}", metric.as_str()), "warn"),
        Verdict::Blind => word("Blind: nobody is heard of".to_owned(), "warn"),
        Verdict::Stuck => word(missing(reading), "warn"),
        Verdict::Passed(Passed::Evidence) => word("Good by evidence".to_owned(), "good"),
        // Nobody was left to judge by, and that promises nothing about later devices.
        Verdict::Passed(Passed::Census) => Badge::plain("All of this step run it"),
        Verdict::Running | Verdict::WaitingForEvidence => match reading.advance.ln_e_good {
            Some(good) if good.reaches(ADVANCE_AT) => word("Good so far".to_owned(), "good"),
            _ => Badge::plain(missing(reading)),
        },
    }
}

/// How little was seen: devices that are decided, of those that would be enough if all went well.
fn missing(reading: &GateReading) -> String {
    let advance = &reading.advance;
    let decided = advance.confirmed + advance.in_trouble;
    match advance.successes_missing {
        Some(more) => format!(
            "Too few to judge: {} of {}",
            show::count(decided),
            show::count(decided + more)
        ),
        None => format!(
            "Too few to judge: {} of {} run it",
            show::count(advance.confirmed),
            show::count(advance.reached)
        ),
    }
}

fn rows(reading: &GateReading) -> Vec<MetricRow> {
    let silent = match reading.lost.patience {
        Some(Patience::Long) => "Silent for 6 h",
        Some(Patience::Short) | None => "Silent for 90 min",
    };
    let mut rows = vec![
        share("Failed to install", &reading.failed),
        share("Damaged file", &reading.corrupt),
        compared(silent, &reading.lost),
        compared("Crashing", &reading.crashing),
    ];
    if let Some(halt) = reading.halt {
        for (row, metric) in rows.iter_mut().zip(Metric::ALL) {
            let halted = if metric == halt.by { "it did" } else { "–" };
            halted.clone_into(&mut row.halts);
        }
    }
    rows
}

fn share(name: &'static str, reading: &ShareReading) -> MetricRow {
    MetricRow {
        name,
        treated: of(reading.seen, reading.devices),
        control: format!(
            "up to {} tolerated ({})",
            show::count(reading.expected),
            reading.tolerance
        ),
        evidence: evidence(reading.ln_e, reading.devices),
        halts: halts(reading.halts_after, reading.devices),
    }
}

fn compared(name: &'static str, reading: &ComparedReading) -> MetricRow {
    if let Some(why) = reading.not_measured.filter(|why| *why != NotMeasured::NoControl) {
        return MetricRow {
            name,
            treated: "–".to_owned(),
            control: "–".to_owned(),
            evidence: Badge::plain("not measured"),
            halts: not_measured(why),
        };
    }
    MetricRow {
        name,
        treated: of(reading.seen, reading.treated),
        control: format!("{} without it", of(reading.control_seen, reading.control)),
        evidence: evidence(reading.ln_e, reading.treated),
        halts: match reading.not_measured {
            Some(why) => not_measured(why),
            None => halts(reading.halts_after, reading.treated),
        },
    }
}

fn of(part: u64, whole: u64) -> String {
    format!("{} of {}", show::count(part), show::count(whole))
}

fn not_measured(why: NotMeasured) -> String {
    match why {
        NotMeasured::SwitchedOff => "the gate doesn’t ask for it".to_owned(),
        NotMeasured::NotTold => "no agent tells it".to_owned(),
        NotMeasured::SmallFleet => format!("needs {} devices", show::count(SILENCE_FLEET)),
        NotMeasured::NoControl => "nobody is left to compare with".to_owned(),
    }
}

/// Evidence is against the build: where there is little, nothing was shown to be good.
fn evidence(evidence: Evidence, devices: u64) -> Badge {
    let class = match evidence {
        _ if devices == 0 => return Badge::plain("none yet"),
        _ if evidence.reaches(HALT_AT) => "bad",
        _ if evidence.reaches(WARN_AT) => "warn",
        _ => "",
    };
    Badge {
        words: evidence.to_string().replace("more than ", "> "),
        class,
    }
}

fn halts(after: Option<u64>, devices: u64) -> String {
    match after {
        _ if devices == 0 => "–".to_owned(),
        Some(0) => "now".to_owned(),
        Some(more) => format!("{} more in a row", show::count(more)),
        None => "not by those at risk now".to_owned(),
    }
}

fn acts(mode: GateMode) -> String {
    let at = |does: &str| {
        format!(
            "Evidence against the build: from {WARN_AT}-fold it warns, from {HALT_AT}-fold and {HALT_EVENTS} devices \
             {does}. For it: from {ADVANCE_AT}-fold a step may go on once its time is over."
        )
    };
    match mode {
        GateMode::Act => at("it halts the rollout"),
        GateMode::Hold => at("the plan stays where it is"),
        GateMode::Watch => "It only shows: the plan goes on by time, whatever it finds.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tidegate_domain::gate::{Arms, GateFacts, GateSettings, StepCounts, StepProgress, judge};

    use super::*;

    /// A reading of a step whose devices fared so.
    fn read(reached: u64, failed: u64, confirmed: u64, progress: StepProgress) -> GateReading {
        let step = StepCounts {
            reached,
            begun: reached,
            sent: reached,
            failed,
            in_trouble: failed,
            confirmed,
            ..StepCounts::default()
        };
        let facts = GateFacts {
            fleet: 20_000,
            weights: Default::default(),
            steps: vec![step],
            lost_arms: Arms {
                treated: 90,
                control: 300,
                treated_at_risk: 90,
                control_at_risk: 300,
            },
            lost: Default::default(),
            crashing_arms: None,
            crashing: Default::default(),
            polls_expected: 0,
            polls_seen: 0,
            progress,
            waited_seconds: 0,
        };
        judge(&GateSettings::default(), &facts)
    }

    #[test]
    fn nothing_is_good_that_was_not_judged() {
        let told = |reading| {
            let badge = verdict(&reading);
            (badge.words, badge.class)
        };
        let few = told(read(200, 0, 112, StepProgress::Baking));
        assert_eq!(few, ("Too few to judge: 112 of 189".to_owned(), ""));
        let enough = told(read(200, 0, 189, StepProgress::Over));
        assert_eq!(enough, ("Good by evidence".to_owned(), "good"));
        let census = told(read(10, 0, 10, StepProgress::Over));
        assert_eq!(census, ("All of this step run it".to_owned(), ""));
        let (failing, class) = told(read(280, 9, 190, StepProgress::Ramping));
        assert!(
            failing.starts_with("Too few to judge: 199 of 1,") && class.is_empty(),
            "{failing}"
        );
        let bad = told(read(120, 30, 20, StepProgress::Ramping));
        assert_eq!(bad, ("Bad: failed".to_owned(), "bad"));
        for reading in [
            read(0, 0, 0, StepProgress::Ramping),
            read(200, 0, 189, StepProgress::Over),
        ] {
            assert!(rows(&reading).iter().all(|row| row.evidence.class != "good"));
        }
    }

    #[test]
    fn each_test_tells_both_arms_its_evidence_and_what_is_missing() {
        let rows = rows(&read(120, 30, 20, StepProgress::Ramping));
        let told = |row: &MetricRow| (row.treated.clone(), row.control.clone(), row.evidence.class);
        assert_eq!(
            told(&rows[0]),
            (
                "30 of 120".to_owned(),
                "up to 2 tolerated (2 %)".to_owned(),
                "bad"
            )
        );
        assert_eq!(
            told(&rows[2]),
            ("0 of 90".to_owned(), "0 of 300 without it".to_owned(), "")
        );
        assert_eq!(
            (rows[3].evidence.words.as_str(), rows[3].halts.as_str()),
            ("not measured", "no agent tells it")
        );
        assert_eq!(evidence(Evidence::NONE, 0).words, "none yet");
    }
}
