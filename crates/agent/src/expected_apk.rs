//! What the file of an update has to be, and the check that it is.
//!
//! It has to be the manifest's file byte for byte, Android has to accept it, and it has to be signed by the signer of the
//! app that is installed.

use std::io;

use sha2::{Digest, Sha256};
use tidegate_apk::{SdkRange, Source};
use tidegate_domain::{PackageName, Sha256 as FileHash, SignerFingerprint, VersionCode};

use crate::StoredFile;

/// How much is hashed at a time, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// All that a file is checked against.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ExpectedApk {
    pub package: PackageName,
    pub version_code: VersionCode,
    pub file_size: u64,
    pub sha256: FileHash,
    pub signer_fingerprint: SignerFingerprint,
    /// The API level of the device.
    pub sdk: u32,
    /// The signer of the installed app, unless none is installed.
    pub installed_signer: Option<SignerFingerprint>,
}

/// What is wrong with a file.
pub(crate) struct Flaw {
    /// The word that is reported.
    pub reason: &'static str,
    pub detail: String,
}

impl Flaw {
    fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

impl ExpectedApk {
    /// The first flaw of a file, if it has any.
    ///
    /// # Errors
    /// When the storage fails.
    pub(crate) fn check(&self, file: &StoredFile) -> io::Result<Option<Flaw>> {
        let source = file.open()?;
        match check_source(source.as_ref(), self) {
            Ok(()) => Ok(None),
            Err(Fault::Flaw(flaw)) => Ok(Some(flaw)),
            Err(Fault::Read(error)) => Err(error),
        }
    }
}

/// Why a file could not be accepted.
enum Fault {
    /// It is not what is expected.
    Flaw(Flaw),
    /// The storage failed.
    Read(io::Error),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<Flaw> for Fault {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

impl From<tidegate_apk::Error> for Fault {
    fn from(error: tidegate_apk::Error) -> Self {
        match error {
            tidegate_apk::Error::Read(error) => Self::Read(error),
            refused => Self::Flaw(Flaw::new("signature_refused", refused.to_string())),
        }
    }
}

/// The cheap checks first. The file is parsed only when its hash is right, so the parser sees no file that the server
/// has not parsed before.
fn check_source(source: &dyn Source, expected: &ExpectedApk) -> Result<(), Fault> {
    if source.len() != expected.file_size {
        let detail = format!(
            "{} bytes, and the manifest names {}",
            source.len(),
            expected.file_size
        );
        return Err(Flaw::new("size_mismatch", detail).into());
    }
    let sha256 = FileHash(hash(source)?);
    if sha256 != expected.sha256 {
        let detail = format!("sha256 {sha256}, and the manifest names {}", expected.sha256);
        return Err(Flaw::new("sha256_mismatch", detail).into());
    }
    check_identity(source, expected)?;
    check_signer(source, expected)
}

pub(crate) fn hash(source: &dyn Source) -> io::Result<[u8; 32]> {
    let (mut hasher, mut piece, mut at) = (Sha256::new(), vec![0; PIECE_BYTES], 0);
    while at < source.len() {
        let left = usize::try_from(source.len() - at).unwrap_or(PIECE_BYTES);
        let piece = &mut piece[..left.min(PIECE_BYTES)];
        source.read_exact_at(piece, at)?;
        hasher.update(&*piece);
        at += piece.len() as u64;
    }
    Ok(hasher.finalize().into())
}

/// Refuses the file of another app or version, however well it is signed.
fn check_identity(source: &dyn Source, expected: &ExpectedApk) -> Result<(), Fault> {
    let found = tidegate_apk::inspect(source)?;
    if found.package != expected.package.as_str() {
        return Err(Flaw::new("package_mismatch", format!("it is {}", found.package)).into());
    }
    if found.version_code != expected.version_code.get() {
        let detail = format!(
            "it is version {}, and the manifest names {}",
            found.version_code, expected.version_code
        );
        return Err(Flaw::new("version_mismatch", detail).into());
    }
    Ok(())
}

fn check_signer(source: &dyn Source, expected: &ExpectedApk) -> Result<(), Fault> {
    let sdk = expected.sdk;
    let verdict = tidegate_apk::verify(source, SdkRange { min: sdk, max: sdk })?;
    let signer = &expected.signer_fingerprint;
    let mut signers = verdict
        .signers_at(sdk)
        .map(|signer| SignerFingerprint(signer.sha256));
    if (signers.next().as_ref(), signers.next()) != (Some(signer), None) {
        let detail = format!("it is not signed by {signer}");
        return Err(Flaw::new("signer_mismatch", detail).into());
    }
    match expected.installed_signer {
        Some(installed) if !verdict.updates_from(&installed.0, sdk) => {
            let detail = format!("the installed app is signed by {installed}");
            Err(Flaw::new("installed_signer_mismatch", detail).into())
        }
        _ => Ok(()),
    }
}
