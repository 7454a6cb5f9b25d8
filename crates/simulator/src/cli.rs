//! The command line of `tidegate-sim`.

mod bar;
mod gate;

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::clock::ClockDriver;
use crate::population::{self, Population};
use crate::release_plan::{self, ReleasePlan};
use crate::{Error, MAX_DEVICES, Plan, Raise, Report, Token};

/// The variable that holds the admin token.
const TOKEN_VARIABLE: &str = "TIDEGATE_ADMIN_TOKEN";

/// Exit codes, beside 0 for equal counts.
const UNEQUAL: u8 = 1;
const WRONG_USAGE: u8 = 2;
const NO_SERVER: u8 = 3;
/// 128 and the number of SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

/// A fleet of virtual devices that lives its days against a server on this machine.
///
/// The devices are real agents: they enrol, poll, download, verify, install and report over HTTP. Batteries run
/// low, networks come and go, files arrive damaged, Android refuses. Their time is compressed; at the end the
/// server's statistics must say exactly what the devices did.
#[derive(Debug, Parser)]
#[command(name = "tidegate-sim", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Example, beside a running `tidegate serve` with a build released at 10 %:
  tidegate admin token --subject sim --role admin > token
  tidegate-sim run --admin-token-file token --package com.example.app --devices 10000 --seed 1

A release in steps, of a build that is uploaded and not released yet:
  tidegate-sim release-plan > plan.toml
  tidegate-sim run --admin-token-file token --package com.example.app --release-plan plan.toml --raise 100@48h

The health gate, tried a thousand times on each case, without a server:
  tidegate-sim gate --seeds 1000

Exit codes: 0 all counts are equal, or all targets met; 1 they are not; 2 wrong usage, or a population that cannot be played;
3 the server stays away or refuses; 130 interrupted.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Enrol a fleet, live its days, and compare the counts.
    ///
    /// The package needs a current build (upload, then promote). Every device is named after the seed, so one seed
    /// can be played once on a server. The same seed on a fresh server has the same outcome.
    #[command(after_help = EXAMPLES)]
    Run(Box<RunArgs>),
    /// Print the population that is played unless --population names another, to be copied and changed.
    Population,
    /// Try the health gate on fleets that live only here: no server is asked.
    Gate(gate::GateArgs),
    /// Print a release plan for --release-plan, to be copied and changed: canaries by a tag, a region, everybody, and a
    /// policy that keeps some devices back.
    ReleasePlan {
        /// One that goes on by itself instead: two ramps, calendars, a freeze and a pause.
        #[arg(long)]
        by_itself: bool,
    },
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// The server. It must be on this machine.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// A token of the role admin. Others see it in the process list: prefer the variable or the file.
    #[arg(long, value_name = "TOKEN", env = TOKEN_VARIABLE, hide_env_values = true)]
    admin_token: Option<String>,
    /// Read the token from this file.
    #[arg(long, value_name = "FILE", conflicts_with = "admin_token")]
    admin_token_file: Option<PathBuf>,
    /// The package whose current build is offered.
    #[arg(long, value_name = "NAME")]
    package: String,
    /// How many devices.
    #[arg(long, value_name = "N", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DEVICES)))]
    devices: u32,
    /// Where all chance comes from.
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Who the devices are and what they meet; `tidegate-sim population` prints one to begin with.
    #[arg(long, value_name = "FILE")]
    population: Option<PathBuf>,
    /// How likely a request is made to fail, from 0 to 0.9: nobody reached, answer lost, or 503.
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    faults: f64,
    /// How long the fleet lives, in its own time, like 72h or 7d.
    #[arg(long, value_name = "SIM-TIME", default_value = "72h", value_parser = humantime::parse_duration)]
    duration: Duration,
    /// Let the operator raise the base's share, like 50@24h or 0.5@1h; may be repeated.
    #[arg(long, value_name = "PERCENT@SIM-TIME", value_parser = raise)]
    raise: Vec<Raise>,
    /// Let the operator release a build in steps, as this file says: tags, policies, and rollouts one after the other.
    /// `tidegate-sim release-plan` prints one to begin with.
    #[arg(long, value_name = "FILE")]
    release_plan: Option<PathBuf>,
    /// How often the server will be restarted meanwhile. An outage that nobody announced makes the counts unequal.
    #[arg(long, value_name = "N", default_value_t = 0)]
    restarts: u32,
    /// Drive the server's clock over a socket at this path, so that the fleet's hours are the server's. The server is
    /// one that was started with `tidegate serve --clock PATH`.
    #[arg(long, value_name = "PATH")]
    clock: Option<PathBuf>,
    /// Write the report as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write the adoption curve as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

fn raise(text: &str) -> Result<Raise, String> {
    let form = || format!("{text:?} is not like 50@24h");
    let (percent, after) = text.split_once('@').ok_or_else(form)?;
    let percent: f64 = percent.parse().map_err(|_| form())?;
    if !release_plan::is_share(percent) {
        return Err(format!("{percent} is not {}", release_plan::SHARE));
    }
    let after = humantime::parse_duration(after).map_err(|fault| fault.to_string())?;
    Ok(Raise { percent, after })
}

/// Does what was asked for.
///
/// # Errors
/// [`Error`], to be handed to [`report`].
pub fn run(cli: &Cli) -> Result<ExitCode, Error> {
    match &cli.command {
        Command::Population => {
            say(population::DEFAULT.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::ReleasePlan { by_itself } => {
            let file = match by_itself {
                true => release_plan::BY_ITSELF,
                false => release_plan::DEFAULT,
            };
            say(file.trim_end());
            Ok(ExitCode::SUCCESS)
        }
        Command::Gate(args) => gate::run(args),
        Command::Run(args) => play(args),
    }
}

fn play(args: &RunArgs) -> Result<ExitCode, Error> {
    let mut plan = plan(args)?;
    // Before the run: nobody waits for minutes to learn that there is no such folder.
    for path in [&args.report, &args.svg].into_iter().flatten() {
        File::create(path).map_err(|source| file(path, source))?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|fault| Error::Server(fault.to_string()))?;
    let report = runtime.block_on(async {
        if let Some(path) = &args.clock {
            plan.clock = Some(Arc::new(ClockDriver::listen(path).await?));
        }
        let bar = bar::Bar::new(&plan, args.quiet);
        tokio::select! {
            report = crate::run(&plan, |progress| bar.show(progress)) => report,
            _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
        }
    })?;
    say(&report.text());
    write(args, &report)?;
    Ok(if report.is_equal() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(UNEQUAL)
    })
}

fn plan(args: &RunArgs) -> Result<Plan, Error> {
    let population = match &args.population {
        Some(path) => Population::read(path)?,
        None => Population::usual()?,
    };
    Ok(Plan {
        server: args.server.clone(),
        token: token(args)?,
        package: args.package.clone(),
        devices: args.devices,
        seed: args.seed,
        population,
        faults: args.faults,
        duration: args.duration,
        raises: args.raise.clone(),
        release: args.release_plan.as_deref().map(ReleasePlan::read).transpose()?,
        restarts: args.restarts,
        clock: None,
    })
}

fn token(args: &RunArgs) -> Result<Token, Error> {
    let text = match (&args.admin_token, &args.admin_token_file) {
        (Some(token), _) => token.clone(),
        (None, Some(path)) => std::fs::read_to_string(path).map_err(|source| file(path, source))?,
        (None, None) => {
            return Err(Error::Usage(format!(
                "an admin token is needed: {TOKEN_VARIABLE}, --admin-token-file or --admin-token; \
                 `tidegate admin token --subject sim --role admin` prints one"
            )));
        }
    };
    Ok(Token(text.trim().to_owned()))
}

fn write(args: &RunArgs, report: &Report) -> Result<(), Error> {
    if let Some(path) = &args.report {
        let json = serde_json::to_vec_pretty(report).map_err(io::Error::from);
        json.and_then(|json| std::fs::write(path, json))
            .map_err(|source| file(path, source))?;
    }
    if let Some(path) = &args.svg {
        std::fs::write(path, report.svg()).map_err(|source| file(path, source))?;
    }
    Ok(())
}

fn file(path: &Path, source: io::Error) -> Error {
    Error::File {
        path: path.to_owned(),
        source,
    }
}

/// A standard output that is gone changes nothing of how the run ended.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}

/// Tells what went wrong, and with which exit code.
pub fn report(error: &Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "tidegate-sim: {error}");
    ExitCode::from(match error {
        Error::Population(_) | Error::File { .. } | Error::Usage(_) | Error::Elsewhere { .. } => WRONG_USAGE,
        Error::Server(_) | Error::Refused { .. } => NO_SERVER,
        Error::Interrupted => INTERRUPTED,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_raise_is_a_share_and_a_time() {
        let expected = Raise {
            percent: 50.0,
            after: Duration::from_secs(86_400),
        };
        assert_eq!(raise("50@24h"), Ok(expected));
        for (text, percent) in [("0.57@1h", 0.57), ("99.99@1h", 99.99), ("0.01@1h", 0.01)] {
            assert_eq!(raise(text).map(|raise| raise.percent), Ok(percent));
        }
        for text in [
            "50", "0@24h", "101@24h", "x@24h", "nan@24h", "0.005@1h", "50@soon",
        ] {
            assert!(raise(text).is_err(), "{text}");
        }
    }
}
