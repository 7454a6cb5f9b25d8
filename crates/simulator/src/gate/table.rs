//! What came of the runs, as a table.

use std::fmt;

use crate::gate::run::{Halt, Run};
use crate::gate::scenario::{Scenario, Target};

/// The most false halts that the promise allows.
const FALSE_HALTS: f64 = 0.01;

/// What came of one scenario's runs.
#[derive(Clone, Debug)]
pub struct Row {
    /// The scenario's name.
    pub name: &'static str,
    /// How many runs there were.
    pub seeds: u32,
    /// In how many of them some test halted.
    pub halts: u32,
    /// What was measured of that which the target is about.
    pub rate: String,
    /// What it should be.
    pub target: String,
    /// Whether it is; none where there is no target.
    pub met: Option<bool>,
    /// When the halts came, or what they said.
    pub remark: String,
}

impl Row {
    pub(crate) fn of(scenario: &Scenario, runs: &[Run]) -> Self {
        let halts: Vec<&Halt> = runs.iter().filter_map(Run::first_halt).collect();
        let (rate, target, met) = measure(scenario.target, runs);
        Self {
            name: scenario.name,
            seeds: count(runs.len()),
            halts: count(halts.len()),
            rate,
            target,
            met,
            remark: remark(&halts),
        }
    }
}

fn count(runs: usize) -> u32 {
    u32::try_from(runs).unwrap_or(u32::MAX)
}

/// What was measured, what it should be, and whether it is.
fn measure(target: Target, runs: &[Run]) -> (String, String, Option<bool>) {
    let part = |holds: &dyn Fn(&Run) -> bool| {
        f64::from(count(runs.iter().filter(|run| holds(run)).count())) / f64::from(count(runs.len())).max(1.0)
    };
    let halted = part(&|run| run.first_halt().is_some());
    let advanced = part(&|run| run.advanced);
    let least = |found: f64, wanted: f64| (percent(found), format!("≥ {}", percent(wanted)), found >= wanted);
    let most = |found: f64, wanted: f64| (percent(found), format!("≤ {}", percent(wanted)), found <= wanted);
    let (rate, target, met) = match target {
        Target::FalseHalts => most(halted, FALSE_HALTS),
        Target::Halts { part } => least(halted, part),
        Target::HaltsWithinSent { sent, part: wanted } => {
            let within = part(&|run| run.first_halt().is_some_and(|halt| halt.sent <= sent));
            let (rate, target, met) = least(within, wanted);
            (rate, format!("{target} within {sent}"), met)
        }
        Target::MedianSent { step, sent } => median_sent(runs, step, sent),
        Target::Shown => return (percent(halted), "none".to_owned(), None),
        Target::HaltsNeverBlind => {
            let right = part(&|run| run.first_halt().is_some() && run.blind_hours.is_empty());
            let (rate, _, met) = least(right, 1.0);
            (rate, "all, never blind".to_owned(), met)
        }
        Target::Blind { from, to } => {
            let is_blind = |run: &Run| (from..to).all(|hour| run.blind_hours.contains(&hour));
            let right = part(&|run| run.first_halt().is_none() && is_blind(run));
            let (rate, _, met) = least(right, 1.0);
            (rate, "all blind".to_owned(), met)
        }
        Target::Advances { part } => {
            let (rate, target, met) = least(advanced, part);
            (rate, format!("{target} advance"), met && halted <= FALSE_HALTS)
        }
        Target::AdvancesAtMost { part } => {
            let (rate, target, met) = most(advanced, part);
            (rate, format!("{target} advance"), met)
        }
        Target::NeverAdvances => {
            let (rate, _, met) = most(advanced, 0.0);
            (rate, "none advances".to_owned(), met)
        }
    };
    (rate, target, Some(met))
}

/// Among all runs, those not halted in this step last.
fn median_sent(runs: &[Run], step: usize, wanted: u64) -> (String, String, bool) {
    let sent = runs.iter().map(|run| {
        run.first_halt()
            .filter(|halt| halt.step == step)
            .map_or(u64::MAX, |halt| halt.sent)
    });
    let mut sent: Vec<_> = sent.collect();
    sent.sort_unstable();
    let median = sent.get(sent.len() / 2).copied().unwrap_or(u64::MAX);
    let told = match median {
        u64::MAX => "no halt".to_owned(),
        _ => format!("median {median}"),
    };
    (told, format!("median ≤ {wanted}"), median <= wanted)
}

/// The middle of what halted runs say: after how many downloads of the step, and when; and the first one's words.
fn remark(halts: &[&Halt]) -> String {
    let Some(first) = halts.first() else {
        return String::new();
    };
    let mut sent: Vec<u64> = halts.iter().map(|halt| halt.sent).collect();
    let mut hours: Vec<f64> = halts.iter().map(|halt| halt.hours).collect();
    sent.sort_unstable();
    hours.sort_unstable_by(f64::total_cmp);
    let middle = halts.len() / 2;
    format!(
        "median after {} downloads, {:.1} h; such as: {}",
        sent[middle], hours[middle], first.sentence
    )
}

fn percent(part: f64) -> String {
    format!("{:.1} %", part * 100.0)
}

/// All rows.
#[derive(Clone, Debug)]
pub struct Table(pub Vec<Row>);

impl Table {
    /// Whether every target is met.
    pub fn is_met(&self) -> bool {
        self.0.iter().all(|row| row.met != Some(false))
    }
}

/// With bars between the columns, as Markdown has it.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, cells: [&str; 6]| {
            let [name, seeds, halts, rate, target, met] = cells;
            writeln!(
                f,
                "| {name:<16} | {seeds:>5} | {halts:>5} | {rate:>10} | {target:<20} | {met:<3} |"
            )
        };
        line(f, ["scenario", "seeds", "halts", "rate", "target", "met"])?;
        line(f, ["---", "---:", "---:", "---:", "---", "---"])?;
        for row in &self.0 {
            let met = match row.met {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            };
            let (seeds, halts) = (row.seeds.to_string(), row.halts.to_string());
            line(f, [row.name, &seeds, &halts, &row.rate, &row.target, met])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::population::Population;

    fn scenario(target: Target) -> Scenario {
        Scenario {
            name: "some",
            about: "",
            target,
            population: Population::calm(0, 0),
        }
    }

    fn halted(sent: u64, step: usize) -> Run {
        let mut run = Run::default();
        run.halts[0] = Some(Halt {
            hours: 1.0,
            step,
            sent,
            sentence: "Halted.".to_owned(),
        });
        run
    }

    /// So many runs of which so many were halted.
    fn runs(all: usize, halts: usize) -> Vec<Run> {
        (0..all)
            .map(|run| {
                if run < halts {
                    halted(100, 0)
                } else {
                    Run::default()
                }
            })
            .collect()
    }

    #[test]
    fn one_false_halt_of_a_hundred_is_allowed_and_two_are_not() {
        let scenario = scenario(Target::FalseHalts);
        assert_eq!(Row::of(&scenario, &runs(100, 1)).met, Some(true));
        let missed = Row::of(&scenario, &runs(100, 2));
        assert_eq!((missed.met, missed.rate.as_str()), (Some(false), "2.0 %"));
        assert!(!Table(vec![missed]).is_met());
    }

    #[test]
    fn a_bad_build_must_be_halted_often_and_soon() {
        let soon = Target::HaltsWithinSent {
            sent: 200,
            part: 0.95,
        };
        assert_eq!(Row::of(&scenario(soon), &runs(100, 95)).met, Some(true));
        assert_eq!(Row::of(&scenario(soon), &runs(100, 94)).met, Some(false));
        let late: Vec<_> = (0..100).map(|_| halted(201, 0)).collect();
        assert_eq!(Row::of(&scenario(soon), &late).met, Some(false));
        let median = Target::MedianSent { step: 1, sent: 600 };
        assert_eq!(
            Row::of(&scenario(median), &runs(10, 10)).met,
            Some(false),
            "another step"
        );
        let right: Vec<_> = (0..10).map(|_| halted(600, 1)).collect();
        assert_eq!(Row::of(&scenario(median), &right).met, Some(true));
    }

    #[test]
    fn what_has_no_target_is_not_missed() {
        let table = Table(vec![Row::of(&scenario(Target::Shown), &runs(10, 1))]);
        assert!(table.is_met());
        assert!(table.to_string().contains("10.0 %"));
    }
}
