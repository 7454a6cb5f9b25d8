//! The health gate, tried on fleets that live only here: how often it halts a build that is fine, and how soon one that is
//! not.
//!
//! No server is asked and no agent runs: a phone is a few numbers, and what it tells is laid before the gate's own
//! functions as a server would. So a thousand rollouts take seconds, which is what a rate of one in a hundred needs. What
//! the server makes of its own outcomes is not shown by it.

mod chance;
mod phone;
mod population;
mod run;
mod scenario;
mod table;
mod timeline;

pub use table::{Row, Table};

use crate::Error;
use crate::gate::chance::Chance;
use crate::gate::scenario::{Scenario, Target};

/// The most runs of a scenario.
pub const MAX_SEEDS: u32 = 100_000;

/// The scenarios' names, each with what it is about.
pub fn scenarios() -> Vec<(&'static str, &'static str)> {
    scenario::all()
        .iter()
        .map(|scenario| (scenario.name, scenario.about))
        .collect()
}

/// Plays each scenario, or the named one, so many times: with `seed`, `seed` + 1, and so on. `shown` is told each row as
/// it is done.
///
/// # Errors
/// [`Error::Usage`] where there is no scenario of that name.
pub fn run(name: Option<&str>, seeds: u32, seed: u64, mut shown: impl FnMut(&Row)) -> Result<Table, Error> {
    let mut scenarios = scenario::all();
    if let Some(name) = name {
        scenarios.retain(|scenario| scenario.name == name);
        if scenarios.is_empty() {
            let known: Vec<_> = self::scenarios().iter().map(|(name, _)| *name).collect();
            return Err(Error::Usage(format!(
                "there is no scenario {name:?}: there are {}",
                known.join(", ")
            )));
        }
    }
    let rows = scenarios.iter().map(|scenario| {
        let row = play(scenario, seeds, seed);
        shown(&row);
        row
    });
    Ok(Table(rows.collect()))
}

fn play(scenario: &Scenario, seeds: u32, seed: u64) -> Row {
    let reads_hourly = matches!(
        scenario.target,
        Target::HaltsNeverBlind
            | Target::Blind { .. }
            | Target::Advances { .. }
            | Target::NeverAdvances
            | Target::AdvancesAtMost { .. }
    );
    let runs: Vec<_> = (0..seeds)
        .map(|number| {
            let mut chance = Chance::new(scenario.name, seed.wrapping_add(u64::from(number)));
            run::play(&scenario.population, &mut chance, reads_hourly)
        })
        .collect();
    Row::of(scenario, &runs)
}

#[cfg(test)]
mod tests;
