//! The Android project's own verifier test suite, where it lies beside the checkout.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

use tidegate_apk::{
    Error, Finding, FindingCode, Rule, Scheme, SdkRange, Verification, inspect, survey, verify,
};

/// The folder with `expected.tsv` and `apks/`, or a note on standard error that it is not there.
fn suite() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/apksig");
    if folder.join("expected.tsv").is_file() {
        return Some(folder);
    }
    #[allow(clippy::print_stderr, reason = "whoever runs the tests must see it")]
    {
        eprintln!(
            "SKIPPED: {} is not there, nothing was compared with apksigner",
            folder.display()
        );
    }
    None
}

/// Rows of `expected.tsv`, by column name.
fn rows(folder: &std::path::Path) -> Vec<BTreeMap<String, String>> {
    rows_of(&folder.join("expected.tsv"))
}

/// The rows of a table whose first line has the columns' names.
fn rows_of(table: &std::path::Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(table).expect("the table can be read");
    let mut lines = text
        .lines()
        .map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    let header = lines.next().expect("a line of column names");
    lines
        .map(|line| header.iter().cloned().zip(line).collect())
        .collect()
}

#[test]
fn every_file_that_apksigner_accepts_can_be_inspected_and_names_its_signers() {
    let Some(folder) = suite() else { return };
    let mut seen = 0;
    for row in rows(&folder) {
        if row["verdict"] != "verified" {
            continue;
        }
        let file = File::open(folder.join("apks").join(&row["file"])).unwrap();
        let inspection = inspect(&file).unwrap_or_else(|error| panic!("{}: {error}", row["file"]));
        let claimed: Vec<String> = inspection
            .signers
            .iter()
            .map(|signer| signer.fingerprint())
            .collect();
        for signer in row["signer_sha256"].split(',') {
            assert!(
                claimed.iter().any(|claimed| claimed == signer),
                "{}: {signer} not in {claimed:?}",
                row["file"]
            );
        }
        seen += 1;
    }
    assert!(seen > 0, "no row was compared");
}

/// What apksigner prints as the signers: those of v3.1 and v3 when there is v3.1, otherwise those of the
/// newest scheme, and of several v3 signers the last.
fn printed_signers(verification: &Verification) -> Vec<String> {
    let of = |scheme: Scheme| -> Vec<String> {
        let signers = verification
            .signers
            .iter()
            .filter(|signer| signer.scheme == scheme);
        signers.map(|signer| signer.fingerprint()).collect()
    };
    let schemes = verification.schemes;
    match (schemes.v31, schemes.v3, schemes.v2) {
        (true, ..) => [of(Scheme::V31), of(Scheme::V3)].concat(),
        (_, true, _) => of(Scheme::V3).into_iter().next_back().into_iter().collect(),
        (_, _, true) => of(Scheme::V2),
        _ => of(Scheme::V1),
    }
}

/// The verdict as a row of `expected.tsv`, from the verdict to the signers.
fn as_row(result: &Result<Verification, Error>) -> String {
    match result {
        Err(_) => "rejected\t\t\t\t\t".to_owned(),
        Ok(verification) => {
            let schemes = verification.schemes;
            let signers = printed_signers(verification).join(",");
            format!(
                "verified\t{}\t{}\t{}\t{}\t{signers}",
                schemes.v1, schemes.v2, schemes.v3, schemes.v31
            )
        }
    }
}

#[test]
fn verdict_schemes_and_signers_are_apksigners_on_every_row() {
    let Some(folder) = suite() else { return };
    let (mut compared, mut differing) = (0, Vec::new());
    for row in rows(&folder) {
        let file = File::open(folder.join("apks").join(&row["file"])).unwrap();
        let range = match row["min_sdk"].as_str() {
            "manifest" => inspect(&file).map(|seen| SdkRange::from(seen.min_sdk)),
            level => Ok(SdkRange::from(level.parse().unwrap())),
        };
        let result = range.and_then(|range| verify(&file, range));
        let expected =
            ["verdict", "v1", "v2", "v3", "v31", "signer_sha256"].map(|column| row[column].as_str());
        if as_row(&result) != expected.join("\t") {
            differing.push(format!(
                "{} at {}: {:?}, expected {expected:?}",
                row["file"], row["min_sdk"], result
            ));
        }
        if let Err(error) = &result {
            println!(
                "{} at {}: {error}\n    apksigner: {}",
                row["file"], row["min_sdk"], row["first_error"]
            );
        }
        compared += 1;
    }
    assert!(
        differing.is_empty(),
        "{} of {compared} rows differ:\n{}",
        differing.len(),
        differing.join("\n")
    );
    assert!(compared > 0, "no row was compared");
}

/// The folder of crafted files, or a note on standard error that it is not there.
fn cases() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/apkcases");
    if folder.join("cases.tsv").is_file() {
        return Some(folder);
    }
    #[allow(clippy::print_stderr, reason = "whoever runs the tests must see it")]
    {
        eprintln!("SKIPPED: {} is not there, no case was tried", folder.display());
    }
    None
}

/// What the program does with a file: the fields it reads, whether it verifies from its own minimum on, and
/// what it says against installing it.
fn judge(file: &File) -> Result<(String, Vec<Finding>), Error> {
    let seen = survey(file)?;
    let told = seen.inspection;
    verify(file, SdkRange::from(told.min_sdk))?;
    let fields = format!(
        "{} {} {} sdk {}/{}",
        told.package, told.version_code, told.version_name, told.min_sdk, told.target_sdk
    );
    Ok((fields, seen.profile.installability.findings))
}

/// Whether a row's wish is fulfilled. What was left to decide is accepted where Android and apksigner accept it.
fn holds(row: &BTreeMap<String, String>, result: &Result<(String, Vec<Finding>), Error>) -> bool {
    let wanted = row["expected_verdict"].as_str();
    let either = wanted.starts_with("refuse or") || wanted.starts_with("refuse, or");
    match result {
        Err(_) if either => true,
        Err(error) => {
            let rule = error.rule().map_or("", Rule::code);
            let named = wanted.split_whitespace().find(|word| word.starts_with("zip-"));
            wanted.starts_with("refuse")
                && named.is_none_or(|named| named.trim_end_matches(';') == rule)
                && !error.to_string().contains('\n')
        }
        Ok((fields, findings)) => {
            // Below the minimum nothing installs anyway.
            let warned = findings
                .iter()
                .any(|finding| finding.code != FindingCode::BelowMinSdk);
            let expected = row["expected_fields"].as_str();
            let same =
                !expected.contains("com.example.base 7 1.2.3") || expected.starts_with(fields.as_str());
            match wanted.split([' ', ':']).next() {
                Some("warn") => warned,
                Some("refuse") => either && warned,
                _ => same,
            }
        }
    }
}

#[test]
fn every_crafted_case_is_judged_as_wanted() {
    let Some(folder) = cases() else { return };
    let (mut tried, mut wrong) = (0, Vec::new());
    for row in rows_of(&folder.join("cases.tsv")) {
        let file = File::open(folder.join(&row["file"])).unwrap();
        let result = judge(&file);
        println!("{}: {result:?}", row["file"]);
        if !holds(&row, &result) {
            wrong.push(format!(
                "{}: {result:?}, wanted {}",
                row["file"], row["expected_verdict"]
            ));
        }
        tried += 1;
    }
    assert!(
        wrong.is_empty(),
        "{} of {tried}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(tried > 0, "no case was tried");
}
