//! A reading in one English sentence, for pages, events and messages.

use crate::gate::{
    ComparedReading, GateHalt, GateMode, GateReading, Metric, Passed, ShareReading, StepProgress, Verdict,
};

/// What a gate promises, to be said to operators in these words.
pub const GATE_PROMISE: &str = "A build that at no time fails more than its tolerance of the devices being reached, and \
    silences or crashes no more than 1.25 times what control does, is halted by a given test in at most 1 rollout of 100 \
    (4 of 100 for all four), however often the gate looks; each resume allows as much again.";

impl GateReading {
    /// The reading in one sentence; `version` is what people call the build's version.
    pub fn sentence(&self, version: &str) -> String {
        if let Some(halt) = self.halt {
            return self.halted(halt, version);
        }
        match self.verdict {
            Verdict::Bad(metric) => format!("{}: {}.", self.bad_word(), self.facts(metric, version)),
            Verdict::Suspicious(metric) => self.warning(metric, version),
            Verdict::Blind => format!(
                "Blind: phones that were never offered {version} made {} of {} expected polls.",
                thousands(self.polls_seen),
                thousands(self.polls_expected)
            ),
            Verdict::Running => format!(
                "{}: {}.",
                self.running_word(),
                self.facts(Metric::Failed, version)
            ),
            Verdict::WaitingForEvidence => format!("Waiting: {}.", self.missing(version)),
            Verdict::Stuck => format!("Stuck for 72 hours: {}.", self.missing(version)),
            Verdict::Passed(passed) => self.ready(passed, version),
        }
    }

    fn halted(&self, halt: GateHalt, version: &str) -> String {
        let mut sentence = format!("Halted: {}.", halt.as_it_was(*self).facts(halt.by, version));
        if let Some((seen, devices)) = halt.grown(self) {
            let (seen, devices) = (thousands(seen), thousands(devices));
            sentence.push_str(&format!(" By now it is {seen} of {devices}."));
        }
        if let Some(why) = halt.not_rolled_back {
            sentence.push_str(&format!(" It was not rolled back: {}.", why.reason()));
        }
        sentence
    }

    fn bad_word(&self) -> &'static str {
        match self.mode {
            GateMode::Act => "Halted",
            GateMode::Hold => "Held",
            GateMode::Watch => "Would halt",
        }
    }

    fn running_word(&self) -> &'static str {
        match self.advance.progress {
            StepProgress::Ramping => "Ramping",
            StepProgress::Baking | StepProgress::Over => "Baking",
        }
    }

    fn warning(&self, metric: Metric, version: &str) -> String {
        let more = match self.halts_after(metric) {
            Some(more) => format!("; {} more in a row would halt it", thousands(more)),
            None => String::new(),
        };
        format!("Warning: {}{more}.", self.facts(metric, version))
    }

    fn halts_after(&self, metric: Metric) -> Option<u64> {
        match metric {
            Metric::Failed => self.failed.halts_after,
            Metric::Corrupt => self.corrupt.halts_after,
            Metric::Lost => self.lost.halts_after,
            Metric::Crashing => self.crashing.halts_after,
        }
    }

    fn facts(&self, metric: Metric, version: &str) -> String {
        match metric {
            Metric::Failed => share(
                &self.failed,
                &format!("phones that fetched {version} failed to install it"),
            ),
            Metric::Corrupt => share(&self.corrupt, &format!("phones were sent a damaged {version}")),
            Metric::Lost => compared(&self.lost, version, "fell silent"),
            Metric::Crashing => compared(&self.crashing, version, "crashed"),
        }
    }

    /// What is missing: the shorter way of both.
    fn missing(&self, version: &str) -> String {
        let census = self.advance.census_missing;
        match self.advance.successes_missing {
            _ if self.advance.reached == 0 && self.failed.devices > 0 => {
                format!("no phone was offered {version} in this step yet")
            }
            _ if self.advance.reached == 0 => format!("no phone was offered {version} yet"),
            Some(more) if more < census => {
                format!("{} must install {version} without a failure", more_phones(more))
            }
            _ => format!(
                "{} of the {} reached must run {version}",
                more_phones(census),
                thousands(self.advance.reached)
            ),
        }
    }

    fn ready(&self, passed: Passed, version: &str) -> String {
        let run = format!(
            "{} of {} phones run {version}",
            thousands(self.advance.confirmed),
            thousands(self.advance.reached)
        );
        match passed {
            Passed::Evidence => format!("Ready: {run}, {} failed.", thousands(self.advance.in_trouble)),
            Passed::Census => format!("Ready by census: {run}, which promises nothing about later ones."),
        }
    }
}

fn share(reading: &ShareReading, what: &str) -> String {
    format!(
        "{} of {} {what}, {} is tolerated",
        thousands(reading.seen),
        thousands(reading.devices),
        reading.tolerance
    )
}

fn compared(reading: &ComparedReading, version: &str, what: &str) -> String {
    format!(
        "{} of {} phones with {version} {what}, {} of {} without it",
        thousands(reading.seen),
        thousands(reading.treated),
        thousands(reading.control_seen),
        thousands(reading.control)
    )
}

fn more_phones(count: u64) -> String {
    match count {
        1 => "one more phone".to_owned(),
        _ => format!("{} more phones", thousands(count)),
    }
}

/// A count with its thousands apart, as English has it: `5,990`.
pub(crate) fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
