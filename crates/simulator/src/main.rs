//! `tidegate-sim`: see `tidegate-sim --help`.

use std::process::ExitCode;

use clap::Parser;
use tidegate_simulator::cli::{Cli, report, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    run(&cli).unwrap_or_else(|error| report(&error))
}
