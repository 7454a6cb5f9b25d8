//! The command line: what can be asked for, and the exit code of the answer.
//!
//! Results go to standard output and notes to standard error, so that results can be piped on. Exit codes: 0 done,
//! 1 refused or failed, 2 wrong usage or wrong settings.

mod admin;
mod apk;
mod apk_diff;
mod args;
mod artifacts;
mod audit;
mod backup;
mod calendar;
mod database;
mod enroll_token;
mod experiment;
mod forecast;
mod gate_text;
mod import;
mod patch;
mod people;
mod plan_text;
mod policy;
mod rollout;
mod serve;

use std::io::{self, Write};
use std::process::ExitCode;

use tokio::runtime::Runtime;

pub use args::Cli;
#[cfg(feature = "demo")]
pub use args::Demo;
use args::{Admin, Apk, Artifacts, AtConsole, Audience, Audit, Command};

use crate::config::LogFormat;
use crate::{Config, Error, telemetry};

/// The exit code of wrong usage and wrong settings, the same that clap uses.
const WRONG_USAGE: u8 = 2;

/// Does what was asked for.
///
/// # Errors
/// [`Error`], to be handed to [`report`].
pub fn run(cli: Cli) -> Result<ExitCode, Error> {
    let config = || Config::load(cli.config.as_deref(), variables());
    match cli.command {
        Command::Serve(options) => {
            // The same as the variable, and over it.
            let listen = options
                .listen
                .map(|address| ("TIDEGATE_LISTEN".to_owned(), address.to_string()));
            let config = Config::load(cli.config.as_deref(), variables().chain(listen))?;
            serve::serve(&config, &options)
        }
        #[cfg(feature = "demo")]
        Command::Demo(options) => demo(options),
        Command::Config => print(&config()?),
        Command::Migrate { dry_run } => console(&config()?, |config| database::migrate(config, dry_run)),
        Command::Artifacts(Artifacts::Check { read }) => artifacts::check(&config()?, read),
        Command::Import(what) => import::import(&config()?, &what),
        Command::Backup { folder } => console(&config()?, |config| backup::backup(config, &folder)),
        Command::Restore { folder, .. } => backup::check(&config()?, &folder),
        Command::Audit(Audit::Verify { witness }) => audit::verify(&config()?, witness),
        Command::Audit(Audit::Key) => console(&config()?, audit::key),
        Command::Admin(AtConsole { init, what }) => at_console(&config()?, init, what),
        Command::Apk(Apk::Verify { file, min_sdk, json }) => apk::verify(&file, min_sdk, json),
        Command::Apk(Apk::Info { file, json }) => apk::info(&file, json),
        Command::Apk(Apk::Diff { first, second, json }) => apk::diff(&first, &second, json),
        Command::Patch(what) => patch::patch(what),
    }
}

fn at_console(config: &Config, init: bool, what: Admin) -> Result<ExitCode, Error> {
    match what {
        Admin::Token { subject, role, ttl } => {
            console(config, |config| people::token(config, init, subject, role, ttl))
        }
        Admin::Tokens(what) => console(config, |config| people::tokens(config, init, what)),
        Admin::ServiceAccount(what) => console(config, |config| people::service_account(config, init, what)),
        Admin::EnrollToken {
            uses,
            ttl,
            note,
            allow_known,
            provisioning,
        } => console(config, |config| {
            let asked = enroll_token::Asked {
                uses,
                ttl,
                note,
                allow_known,
            };
            enroll_token::make(config, init, asked, provisioning)
        }),
        Admin::EnrollTokens(what) => console(config, |config| enroll_token::manage(config, init, what)),
        Admin::Audience(Audience::Check { expression, package }) => console(config, |config| {
            admin::check_audience(config, init, expression, package)
        }),
        Admin::Signer(what) => console(config, |config| admin::signer(config, init, what)),
        Admin::Rollout(what) => console(config, |config| rollout::rollout(config, init, what)),
        Admin::Build(what) => console(config, |config| rollout::build(config, init, what)),
        Admin::Package(what) => console(config, |config| admin::package(config, init, *what)),
        Admin::Tag(what) => console(config, |config| policy::tag(config, init, what)),
        Admin::Policy(what) => console(config, |config| policy::policy(config, init, what)),
        Admin::Calendar(what) => console(config, |config| calendar::calendar(config, init, what)),
        Admin::Experiment(what) => console(config, |config| experiment::experiment(config, init, *what)),
        Admin::Hold(what) => console(config, |config| policy::hold(config, init, what)),
        Admin::Restored => console(config, |config| admin::restored(config, init)),
        Admin::User(what) => console(config, |config| people::user(config, init, what)),
    }
}

#[cfg(feature = "demo")]
fn demo(options: Demo) -> Result<ExitCode, Error> {
    // Not logged: that its new key needs a backup, which it does not, the faults that its devices are meant to meet, and
    // that a gate halts the bad build, which the line of the demo tells.
    let filter = "warn,tidegate_gateway::keys=error,tidegate_agent=off,tidegate_service::gates=error";
    telemetry::start_with(filter, LogFormat::Text)?;
    runtime()?.block_on(crate::demo::run(options))
}

/// Tells what went wrong, and with which exit code.
pub fn report(error: &Error) -> ExitCode {
    let _ = writeln!(io::stderr(), "tidegate: {error}");
    match error {
        Error::Settings(_) | Error::Unusable { .. } => ExitCode::from(WRONG_USAGE),
        _ => ExitCode::FAILURE,
    }
}

/// Runs a command that works on the database beside a server, with warnings for users.
fn console<'a, F>(config: &'a Config, command: impl FnOnce(&'a Config) -> F) -> Result<ExitCode, Error>
where
    F: Future<Output = Result<String, Error>>,
{
    telemetry::start_with("warn", LogFormat::Text)?;
    let result = runtime()?.block_on(command(config))?;
    print(&result)
}

/// A result is a text without a line end of its own.
fn print(result: &dyn std::fmt::Display) -> Result<ExitCode, Error> {
    let text = result.to_string();
    writeln!(io::stdout(), "{}", text.trim_end_matches('\n'))?;
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> Result<Runtime, Error> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// The environment's variables. A name that is not Unicode is no setting's.
fn variables() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok()?;
        Some((name, value.to_string_lossy().into_owned()))
    })
}
