//! The last layer: every entry against the manifest, and who vouches for it.

use super::manifest::{Manifest, Sections};
use super::signer::Signer;
use super::{Entries, META_INF, digests, digests::Expected};
use crate::crypto::Digest;
use crate::{Error, Rule, SdkRange};

/// The entries that a signature has to cover, with the manifest that names their digests.
pub(super) struct Covered<'a> {
    pub(super) entries: &'a dyn Entries,
    pub(super) names: &'a [&'a str],
    pub(super) manifest: &'a Manifest,
    pub(super) sections: &'a Sections<'a>,
}

impl Covered<'_> {
    /// Checks every entry, and that all have the same signers. Returns the places of those in `signers`.
    pub(super) fn verify(&self, signers: &[Signer], range: SdkRange) -> Result<Vec<usize>, Error> {
        let mut first: Option<(&str, Vec<usize>)> = None;
        for &name in self.names.iter().filter(|name| !name.starts_with(META_INF)) {
            let Some(section) = self.sections.get(name) else {
                let detail = "META-INF/MANIFEST.MF has no digest of it";
                return Err(Error::signature(Rule::JarUnsignedEntry, name, detail));
            };
            let chosen = who_covers(name, signers);
            if chosen.is_empty() {
                return Err(Error::signature(
                    Rule::JarUnsignedEntry,
                    name,
                    "no signer covers it",
                ));
            }
            match &first {
                Some((other, others)) if *others != chosen => {
                    return Err(differing(name, &chosen, other, others, signers));
                }
                Some(_) => {}
                None => first = Some((name, chosen)),
            }
            let expected = digests::expected(self.manifest.text(section), "-Digest", range, name)?;
            self.verify_digests(name, &expected)?;
        }
        match first {
            Some((_, chosen)) => Ok(chosen),
            None => Err(Error::signature(Rule::JarSigners, META_INF, "no entry is signed")),
        }
    }

    fn verify_digests(&self, name: &str, expected: &[Expected]) -> Result<(), Error> {
        if expected.is_empty() {
            let detail = "META-INF/MANIFEST.MF has no digest of it that these devices know";
            return Err(Error::signature(Rule::JarUnsignedEntry, name, detail));
        }
        let algorithms: Vec<Digest> = expected.iter().map(|expected| expected.digest).collect();
        let actual = self.entries.digest(name, &algorithms)?;
        for (expected, actual) in expected.iter().zip(&actual) {
            if expected.value != *actual {
                let detail = format!(
                    "its {} digest is {}, and META-INF/MANIFEST.MF says {}",
                    expected.digest,
                    digests::encode(actual),
                    digests::encode(&expected.value),
                );
                return Err(Error::signature(Rule::JarEntryDigest, name, detail));
            }
        }
        if actual.len() == expected.len() {
            return Ok(());
        }
        Err(Error::signature(
            Rule::JarEntryDigest,
            name,
            "its digests could not be computed",
        ))
    }
}

fn who_covers(name: &str, signers: &[Signer]) -> Vec<usize> {
    let covering = signers
        .iter()
        .enumerate()
        .filter(|(_, signer)| signer.covers(name));
    covering.map(|(index, _)| index).collect()
}

fn differing(name: &str, chosen: &[usize], other: &str, others: &[usize], signers: &[Signer]) -> Error {
    let list = |indexes: &[usize]| -> String {
        let names: Vec<&str> = indexes.iter().map(|index| signers[*index].name()).collect();
        names.join(", ")
    };
    let detail = format!("signed by {}, and {other} by {}", list(chosen), list(others));
    Error::signature(Rule::JarSigners, name, detail)
}
