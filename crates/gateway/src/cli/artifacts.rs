//! `tidegate artifacts`.

use std::process::ExitCode;

use tidegate_service::{BlobCheck, BlobFault, BlobFindings, MAX_FINDINGS};

use super::{print, runtime};
use crate::config::LogFormat;
use crate::wiring::Stores;
use crate::{Config, Error, telemetry};

/// Compares the artifact store with the builds and prints what is wrong.
pub(super) fn check(config: &Config, read: bool) -> Result<ExitCode, Error> {
    telemetry::start_with("warn", LogFormat::Text)?;
    let findings = runtime()?.block_on(async {
        let stores = Stores::open(config).await?;
        let check = BlobCheck::new(stores.store, stores.artifacts);
        Ok::<BlobFindings, Error>(check.run(read).await?)
    })?;
    print(&told(&findings))?;
    Ok(match findings.faulty {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn told(findings: &BlobFindings) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (build, fault) in &findings.faults {
        lines.push(match fault {
            BlobFault::Missing => format!("build {build}: its file is missing"),
            BlobFault::OtherSize(bytes) => format!("build {build}: its file has another size, {bytes} bytes"),
            BlobFault::Damaged => format!("build {build}: its file is damaged"),
        });
    }
    for sha256 in &findings.spares {
        lines.push(format!("{sha256}: no build needs this file"));
    }
    if findings.faulty > MAX_FINDINGS || findings.spare > MAX_FINDINGS {
        lines.push(format!("only the first {MAX_FINDINGS} of each kind are told"));
    }
    lines.push(format!(
        "{} builds, {} without a sound file; {} files, {} that no build needs",
        findings.builds, findings.faulty, findings.files, findings.spare
    ));
    lines.join("\n")
}
