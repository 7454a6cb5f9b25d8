//! `tidegate import`: devices and users of another server.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tidegate_service::{Actor, ImportReport, Imports, SystemClock};

use super::args::Import;
use super::{print, runtime};
use crate::config::LogFormat;
use crate::wiring::Stores;
use crate::{Config, Error, telemetry};

/// Imports a file, tells of each line that was not wholly taken on standard error, and prints the sums.
pub(super) fn import(config: &Config, what: &Import) -> Result<ExitCode, Error> {
    telemetry::start_with("warn", LogFormat::Text)?;
    let (file, dry_run) = match what {
        Import::Devices { file, dry_run } | Import::Users { file, dry_run } => (file, *dry_run),
    };
    let lines = open(file)?;
    let tell = |number: u64, fault: &str| {
        let _ = writeln!(io::stderr(), "line {number}: {fault}");
    };
    let report = runtime()?.block_on(async {
        let stores = Stores::open_made(config, false).await?;
        let imports = Imports::new(stores.store, Arc::new(SystemClock));
        let console = Actor::console();
        let report = match what {
            Import::Devices { .. } => imports.devices(&console, lines, dry_run, tell).await?,
            Import::Users { .. } => imports.users(&console, lines, dry_run, tell).await?,
        };
        Ok::<ImportReport, Error>(report)
    })?;
    print(&told(&report, dry_run))?;
    Ok(match report.refused {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn open(file: &Path) -> Result<BufReader<File>, Error> {
    Ok(BufReader::new(File::open(file).map_err(Error::file(file))?))
}

fn told(report: &ImportReport, dry_run: bool) -> String {
    let mut lines: Vec<String> = report
        .unknown_packages
        .iter()
        .map(|(package, devices)| {
            format!(
                "{} is not known here: what {devices} devices run of it was left out; upload a build and import again",
                package.as_str()
            )
        })
        .collect();
    if report.without_fcm_token > 0 {
        lines.push(format!(
            "{} taken without their FCM token",
            report.without_fcm_token
        ));
    }
    lines.push(format!(
        "{}{} added, {} updated, {} in use already and left as they are, {} not taken",
        if dry_run { "dry run: " } else { "" },
        report.added,
        report.updated,
        report.kept,
        report.refused
    ));
    lines.join("\n")
}
