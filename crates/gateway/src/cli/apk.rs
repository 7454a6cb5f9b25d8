//! `tidegate apk`: what a file says about itself, whether Android accepts it, on which levels it installs, and how
//! two builds differ. For people and for build pipelines.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use tidegate_apk::{
    Error as Fault, FindingCode, Inspection, Installability, Levels, Refusal, SdkRange, SignerCertificate,
    Verification, diff as compare, inspect, survey, survey_from, verify as judge, visible,
};

use super::{WRONG_USAGE, apk_diff};
use crate::Error;

/// The exit code of a refused file, whatever the fault in it.
const REFUSED: u8 = 1;

/// What is printed: in words, in JSON, and the exit code.
type Answer = (String, Value, ExitCode);

/// Prints what a file says about itself.
pub(super) fn info(path: &Path, as_json: bool) -> Result<ExitCode, Error> {
    answer(as_json, || {
        let found = look(path, |file| inspect(file))?;
        Ok((told(&found), json!(found)))
    })
}

/// Prints whether devices of `min_sdk` and above accept a file, whom they see as its signer, and on which levels it
/// installs.
pub(super) fn verify(path: &Path, min_sdk: Option<u32>, as_json: bool) -> Result<ExitCode, Error> {
    answer(as_json, || {
        look(path, |file| {
            let seen = survey_from(file, min_sdk.unwrap_or(1))?;
            let min_sdk = min_sdk.unwrap_or(seen.inspection.min_sdk);
            let verdict = judge(file, SdkRange::from(min_sdk))?;
            let installability = seen.profile.installability;
            let mut value = json!(verdict);
            value["verified"] = Value::Bool(true);
            value["installs_on"] = json!(installability.installs_on);
            value["findings"] = json!(installability.findings);
            Ok((accepted(&verdict, &installability), value))
        })
    })
}

/// Prints how the build in `second` differs from the one in `first`.
pub(super) fn diff(first: &Path, second: &Path, as_json: bool) -> Result<ExitCode, Error> {
    answer(as_json, || {
        let first = look(first, |file| survey(file))?;
        let second = look(second, |file| survey(file))?;
        let found = compare(&first.profile, &second.profile);
        Ok((apk_diff::words(&found), json!(found)))
    })
}

/// Why there is no answer, and which file it is about.
struct Failure<'p> {
    path: &'p Path,
    fault: Fault,
}

/// Opens a file and asks something of it.
fn look<'p, T>(path: &'p Path, ask: impl FnOnce(&File) -> Result<T, Fault>) -> Result<T, Failure<'p>> {
    let file = open(path).map_err(Fault::Read);
    file.and_then(|file| ask(&file))
        .map_err(|fault| Failure { path, fault })
}

/// Opens what can be read at any place, and nothing that one would wait for.
fn open(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() {
        return File::open(path);
    }
    let why = if kind.is_dir() {
        "a folder, and no file"
    } else {
        "a pipe or a device, and an APK is read at several places: write it to a file first"
    };
    Err(io::Error::other(why))
}

/// Prints the answer, or why there is none.
fn answer<'p>(
    as_json: bool,
    ask: impl FnOnce() -> Result<(String, Value), Failure<'p>>,
) -> Result<ExitCode, Error> {
    let (words, value, code): Answer = match ask() {
        Ok((words, value)) => (words, value, ExitCode::SUCCESS),
        Err(Failure {
            path,
            fault: Fault::Read(source),
        }) => {
            let path = visible(&path.display().to_string());
            writeln!(io::stderr(), "tidegate: {path}: {source}")?;
            return Ok(ExitCode::from(WRONG_USAGE));
        }
        Err(failure) => {
            let (words, value) = refused(&failure);
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

fn refused(failure: &Failure<'_>) -> (String, Value) {
    let part = match &failure.fault {
        Fault::Read(_) => "file",
        Fault::Archive(_) => "archive",
        Fault::Manifest(_) => "manifest",
        Fault::Signature(_) => "signature",
    };
    let (rule, place, detail) = match failure.fault.refusal() {
        Some(Refusal { rule, place, detail }) => (rule.code(), place.as_str(), detail.as_str()),
        None => ("", "", ""),
    };
    let file = visible(&failure.path.display().to_string());
    let words = format!(
        "REFUSED\n  file:  {file}\n  part:  {part}\n  rule:  {rule}\n  where: {place}\n  what:  {detail}\n"
    );
    let value = json!({
        "verified": false, "file": file, "part": part, "rule": rule, "place": place, "detail": detail
    });
    (words, value)
}

fn accepted(verdict: &Verification, installability: &Installability) -> String {
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
    let _ = writeln!(words, "  installs on: {}", levels(&installability.installs_on));
    // The minimum is said by the levels.
    let told = installability
        .findings
        .iter()
        .filter(|finding| finding.code != FindingCode::BelowMinSdk);
    for finding in told {
        let _ = writeln!(words, "  finding: {finding}");
    }
    words
}

/// `API level 24-29, 33+`, or none.
pub(super) fn levels(installs_on: &[Levels]) -> String {
    if installs_on.is_empty() {
        return "no API level".to_owned();
    }
    let shown: Vec<String> = installs_on.iter().map(Levels::to_string).collect();
    format!("API level {}", shown.join(", "))
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
