//! The Android project's own verifier test suite, where it lies beside the checkout.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;

use tidegate_apk::inspect;

/// The folder with `expected.tsv` and `apks/`, or a note on standard error that it is not there.
fn suite() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/apksig");
    if folder.join("expected.tsv").is_file() {
        return Some(folder);
    }
    eprintln!(
        "SKIPPED: {} is not there, nothing was compared with apksigner",
        folder.display()
    );
    None
}

/// Rows of `expected.tsv`, by column name.
fn rows(folder: &std::path::Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(folder.join("expected.tsv")).unwrap();
    let mut lines = text
        .lines()
        .map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>());
    let header = lines.next().unwrap();
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
