//! APK signature scheme v1: JAR signing as Android checks it.
//!
//! Three layers, each vouching for the next: a PKCS #7 block (`CERT.RSA`) signs a signature file
//! (`CERT.SF`), whose digests cover the manifest (`MANIFEST.MF`), whose digests cover every entry outside
//! of `META-INF/`. Android departs from the JAR specification in what it accepts on which level of the
//! platform; a file is accepted here when *every* level of the asked range would accept it and see the same
//! signers.
//!
//! Sources: the JAR File Specification, "Signed JAR File"; the platform's `StrictJarVerifier` and, before
//! Android 7, `JarVerifier`; the AOSP page on application signing.

mod algorithms;
mod archive;
mod claimed;
mod digests;
mod entries;
mod manifest;
mod pkcs7;
mod signer;
mod stripping;
mod warning;

use std::collections::HashSet;

pub(crate) use self::claimed::claimed_signers;
use self::entries::Covered;
use self::manifest::Manifest;
use self::signer::Signer;
pub use self::warning::JarWarning;
use crate::cert::Certificate;
use crate::crypto::{Algorithm, Digest};
use crate::{Error, Rule, SdkRange};

/// Where signatures live; entries below it are not covered by them.
const META_INF: &str = "META-INF/";
pub(crate) const MANIFEST: &str = "META-INF/MANIFEST.MF";
/// The extensions of signature blocks, which are compared as they are, case and all.
const BLOCK_EXTENSIONS: [&str; 3] = [".RSA", ".DSA", ".EC"];
/// Signers of one APK, as the platform bounds them for every scheme.
const MAX_SIGNERS: usize = 10;
/// Bytes of a manifest or signature file: four times what an archive with the largest possible number of
/// entries needs.
const MAX_TEXT_BYTES: u64 = 32 << 20;
/// Bytes of a signature block; the largest in the field have some 20 kB.
const MAX_BLOCK_BYTES: u64 = 1 << 20;

/// What a v1 verification needs of an archive.
pub trait Entries {
    /// The names of all entries in the order of the central directory, duplicates included.
    fn names(&self) -> Vec<&str>;

    /// The unpacked contents of an entry.
    ///
    /// # Errors
    /// When the entry is missing, malformed or larger than `limit` bytes; a declared size above it is
    /// refused before anything is allocated.
    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Error>;

    /// The digests of an entry's unpacked contents, in the order asked for, without holding them in memory.
    ///
    /// # Errors
    /// When the entry is missing or malformed.
    fn digest(&self, name: &str, digests: &[Digest]) -> Result<Vec<Vec<u8>>, Error>;
}

/// A v1 signature that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JarVerdict {
    /// Who signed every entry, in the order of the archive.
    pub signers: Vec<JarSigner>,
    /// Who left a signature that devices pay no attention to.
    pub ignored: Vec<JarSigner>,
    /// What an operator should know although the file is acceptable.
    pub warnings: Vec<JarWarning>,
}

/// One signer of a v1 signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JarSigner {
    /// The signature block's name without its folder, e.g. `CERT.RSA`.
    pub name: String,
    /// The signing certificate, then those that issued it as far as the block holds them.
    pub certificates: Vec<Certificate>,
    /// The algorithm of the signature over the signature file.
    pub algorithm: Algorithm,
}

/// Verifies the v1 signature for all levels of `range`. `found` are the numbers of the newer schemes whose
/// signatures the file has (2, 3, 31), so that their removal can be noticed.
///
/// # Errors
/// [`Error::Signature`] with a `jar-…` rule and the entry it failed on; whatever `entries` reports.
pub fn verify(entries: &dyn Entries, range: SdkRange, found: &[u32]) -> Result<JarVerdict, Error> {
    let names: Vec<&str> = entries
        .names()
        .into_iter()
        .filter(|name| !name.ends_with('/'))
        .collect();
    refuse_duplicates(&names)?;
    if !names.contains(&MANIFEST) {
        return Err(Error::signature(Rule::JarManifest, MANIFEST, "missing"));
    }
    let manifest = Manifest::parse(entries.read(MANIFEST, MAX_TEXT_BYTES)?, MANIFEST)?;
    let sections = manifest.by_entry(&names)?;

    let mut warnings = Vec::new();
    let mut signers = Vec::new();
    for (block, file) in signature_files(&names, &mut warnings)? {
        signers.push(Signer::verify_block(entries, block, file, range)?);
    }
    let mut kept = Vec::new();
    let mut ignored = Vec::new();
    for mut signer in signers {
        match signer.verify_file(&manifest, &sections, range, found, &mut warnings)? {
            None => kept.push(signer),
            Some(reason) => {
                warnings.push(JarWarning::IgnoredSigner {
                    signer: signer.name().to_owned(),
                    reason,
                });
                ignored.push(signer);
            }
        }
    }
    if kept.is_empty() {
        return Err(no_signatures());
    }

    let covered = Covered {
        entries,
        names: &names,
        manifest: &manifest,
        sections: &sections,
    };
    let chosen = covered.verify(&kept, range)?;
    let (signers, unused): (Vec<_>, Vec<_>) = kept
        .into_iter()
        .enumerate()
        .partition(|(index, _)| chosen.contains(index));
    let signers: Vec<Signer> = signers.into_iter().map(|(_, signer)| signer).collect();
    ignored.extend(unused.into_iter().map(|(_, signer)| signer));
    warnings.extend(unprotected(&names, &signers));
    Ok(JarVerdict {
        signers: signers.into_iter().map(Signer::into_result).collect(),
        ignored: ignored.into_iter().map(Signer::into_result).collect(),
        warnings,
    })
}

/// The signature blocks with their signature files, in the order of the archive.
///
/// # Errors
/// When there is none, or more than a device takes.
pub(crate) fn signature_files<'a>(
    names: &[&'a str],
    warnings: &mut Vec<JarWarning>,
) -> Result<Vec<(&'a str, &'a str)>, Error> {
    let files: HashSet<&str> = names
        .iter()
        .copied()
        .filter(|name| name.starts_with(META_INF) && name.ends_with(".SF"))
        .collect();
    let mut pairs = Vec::new();
    for &block in names {
        let stem = BLOCK_EXTENSIONS
            .iter()
            .find_map(|extension| block.strip_suffix(extension));
        let Some(stem) = stem.filter(|_| block.starts_with(META_INF)) else {
            continue;
        };
        let file = format!("{stem}.SF");
        match files.get(file.as_str()) {
            Some(&file) => pairs.push((block, file)),
            None => warnings.push(JarWarning::MissingSignatureFile {
                block: block.to_owned(),
                file,
            }),
        }
    }
    match pairs.len() {
        0 => Err(no_signatures()),
        1..=MAX_SIGNERS => Ok(pairs),
        count => Err(Error::signature(
            Rule::JarSigners,
            META_INF,
            format!("{count} JAR signers, and devices take {MAX_SIGNERS} at most"),
        )),
    }
}

fn refuse_duplicates(names: &[&str]) -> Result<(), Error> {
    let mut seen = HashSet::with_capacity(names.len());
    match names.iter().find(|name| !seen.insert(**name)) {
        Some(name) => Err(Error::archive(
            Rule::DuplicateEntry,
            *name,
            "more than one entry of this name",
        )),
        None => Ok(()),
    }
}

fn no_signatures() -> Error {
    Error::signature(Rule::JarSigners, META_INF, "no JAR signature")
}

/// What is in `META-INF/` and neither manifest nor part of a signature: anybody can change it.
fn unprotected(names: &[&str], signers: &[Signer]) -> Vec<JarWarning> {
    let is_signature = |name: &str| name == MANIFEST || signers.iter().any(|signer| signer.consists_of(name));
    names
        .iter()
        .filter(|name| name.starts_with(META_INF) && !is_signature(name))
        .map(|name| JarWarning::UnprotectedEntry {
            entry: (*name).to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
