//! `tidegate-sim gate`.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::Error;
use crate::gate::{self, MAX_SEEDS};

#[derive(Debug, clap::Args)]
pub(super) struct GateArgs {
    /// How many rollouts of each scenario.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SEEDS)))]
    seeds: u32,
    /// The seed of the first one; the next have those after it.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Only this scenario.
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// Print the scenarios, and play none.
    #[arg(long)]
    list: bool,
}

pub(super) fn run(args: &GateArgs) -> Result<ExitCode, Error> {
    if args.list {
        for (name, about) in gate::scenarios() {
            super::say(&format!("{name:<16}  {about}"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let table = gate::run(args.scenario.as_deref(), args.seeds, args.seed, |row| {
        // The table belongs to standard output, and comes when all is done.
        let _ = writeln!(io::stderr(), "{}: {} {}", row.name, row.rate, row.remark);
    })?;
    super::say(table.to_string().trim_end());
    Ok(if table.is_met() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(super::UNEQUAL)
    })
}
