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
        let stores = Stores::open_made(config, false).await?;
        let check = BlobCheck::new(stores.store, stores.artifacts);
        Ok::<BlobFindings, Error>(check.run(read).await?)
    })?;
    print(&told(&findings))?;
    Ok(match findings.faulty + findings.faulty_patches {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn told(findings: &BlobFindings) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (build, fault) in &findings.faults {
        lines.push(format!("build {build}: its file {}", words(fault)));
    }
    for ((build, base), fault) in &findings.patch_faults {
        lines.push(format!(
            "the patch to build {build} from build {base}: its file {}",
            words(fault)
        ));
    }
    for sha256 in &findings.spares {
        lines.push(format!("{sha256}: no build needs this file"));
    }
    let most = findings.faulty.max(findings.faulty_patches).max(findings.spare);
    if most > MAX_FINDINGS {
        lines.push(format!("only the first {MAX_FINDINGS} of each kind are told"));
    }
    lines.push(format!(
        "{} builds, {} without a sound file; {} files, {} that no build needs",
        findings.builds, findings.faulty, findings.files, findings.spare
    ));
    if findings.patches > 0 {
        lines.push(format!(
            "{} patches, {} without a sound file",
            findings.patches, findings.faulty_patches
        ));
    }
    lines.join("\n")
}

fn words(fault: &BlobFault) -> String {
    match fault {
        BlobFault::Missing => "is missing".to_owned(),
        BlobFault::OtherSize(bytes) => format!("has another size, {bytes} bytes"),
        BlobFault::Damaged => "is damaged".to_owned(),
    }
}
