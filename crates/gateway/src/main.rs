//! `tidegate`: see `tidegate --help`.

use std::process::ExitCode;

use clap::Parser;
use tidegate_gateway::choose_cryptography;
use tidegate_gateway::cli::{Cli, report, run};

fn main() -> ExitCode {
    choose_cryptography();
    let cli = Cli::parse();
    run(cli).unwrap_or_else(|error| report(&error))
}
