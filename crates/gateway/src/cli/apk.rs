//! `tidegate apk`: what a file says about itself, and whether Android accepts it. For people and for build pipelines.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use tidegate_apk::{
    Error as Fault, Inspection, Refusal, SdkRange, SignerCertificate, Verification, inspect, verify as judge,
};

use super::WRONG_USAGE;
use crate::Error;

/// The exit code of a refused file, whatever the fault in it.
const REFUSED: u8 = 1;

/// Prints what a file says about itself.
pub(super) fn info(path: &Path, as_json: bool) -> Result<ExitCode, Error> {
    answer(path, as_json, |file| {
        let found = inspect(file)?;
        Ok((told(&found), json!(found)))
    })
}

/// Prints whether devices of `min_sdk` and above accept a file, and whom they see as its signer.
pub(super) fn verify(path: &Path, min_sdk: Option<u32>, as_json: bool) -> Result<ExitCode, Error> {
    answer(path, as_json, |file| {
        let min_sdk = match min_sdk {
            Some(level) => level,
            None => inspect(file)?.min_sdk,
        };
        let verdict = judge(file, SdkRange::from(min_sdk))?;
        let mut value = json!(verdict);
        value["verified"] = Value::Bool(true);
        Ok((accepted(&verdict), value))
    })
}

/// Prints what `look` makes of the file, in words or in JSON, or why it is refused.
fn answer(
    path: &Path,
    as_json: bool,
    look: impl FnOnce(&File) -> Result<(String, Value), Fault>,
) -> Result<ExitCode, Error> {
    let (words, value, code) = match File::open(path).map_err(Fault::Read).and_then(|file| look(&file)) {
        Ok((words, value)) => (words, value, ExitCode::SUCCESS),
        Err(Fault::Read(source)) => {
            writeln!(io::stderr(), "tidegate: {}: {source}", path.display())?;
            return Ok(ExitCode::from(WRONG_USAGE));
        }
        Err(fault) => {
            let (words, value) = refused(&fault);
            (words, value, ExitCode::from(REFUSED))
        }
    };
    if as_json {
        writeln!(io::stdout(), "{value:#}")?;
    } else {
        write!(io::stdout(), "{words}")?;
    }
    Ok(code)
}

fn refused(fault: &Fault) -> (String, Value) {
    let part = match fault {
        Fault::Read(_) => "file",
        Fault::Archive(_) => "archive",
        Fault::Manifest(_) => "manifest",
        Fault::Signature(_) => "signature",
    };
    let (rule, place, detail) = match fault.refusal() {
        Some(Refusal { rule, place, detail }) => (rule.code(), place.as_str(), detail.as_str()),
        None => ("", "", ""),
    };
    let words = format!("REFUSED\n  part:  {part}\n  rule:  {rule}\n  where: {place}\n  what:  {detail}\n");
    let value = json!({ "verified": false, "part": part, "rule": rule, "place": place, "detail": detail });
    (words, value)
}

fn accepted(verdict: &Verification) -> String {
    let mut words = format!(
        "VERIFIED for API level {}\n  schemes: {}\n",
        verdict.range, verdict.schemes
    );
    add_signers(&mut words, &verdict.signers);
    for (step, link) in verdict.lineage.iter().enumerate() {
        let digits: String = link.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(words, "  lineage {}: {} {digits}", step + 1, link.subject);
    }
    for warning in &verdict.warnings {
        let _ = writeln!(words, "  warning: {warning}");
    }
    words
}

fn told(found: &Inspection) -> String {
    let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    let yes = |is: bool| if is { "yes" } else { "no" };
    let mut words = format!(
        "package:    {}\nversion:    {} ({})\nsdk:        {} and up, written for {}\nabis:       {}\n\
         debuggable: {}\ntest only:  {}\nschemes:    {} (not verified)\n",
        found.package,
        found.version_code,
        or_none(found.version_name.clone()),
        found.min_sdk,
        found.target_sdk,
        or_none(found.abis.join(", ")),
        yes(found.debuggable),
        yes(found.test_only),
        or_none(found.schemes.to_string()),
    );
    add_signers(&mut words, &found.signers);
    words
}

fn add_signers(words: &mut String, signers: &[SignerCertificate]) {
    for signer in signers {
        let _ = writeln!(
            words,
            "  signer, API level {} ({}): {}\n    {} {} bits, SHA-256 {}",
            signer.sdk,
            signer.scheme,
            signer.subject,
            signer.key_algorithm,
            signer.key_bits,
            signer.fingerprint()
        );
    }
}
