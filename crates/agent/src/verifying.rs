//! Verifying: a file is trusted when it is, byte for byte, what the manifest promised, Android will accept it, and
//! it is the work of whoever signed what is installed.

use std::io;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use tidegate_apk::{SdkRange, Source};
use tidegate_domain::{PackageName, Sha256 as FileHash, SignerFingerprint, VersionCode};

use crate::agent::Agent;
use crate::memory::State;
use crate::protocol::Manifest;
use crate::{Error, Platform, StateStore, StoredFile, Transport};

/// How much is hashed at a time, in bytes.
const PIECE_BYTES: usize = 64 * 1024;

/// What is wrong with a file.
struct Flaw {
    /// The word that is reported.
    reason: &'static str,
    detail: String,
    /// The bytes are the promised ones, so fetching them again helps nobody.
    for_good: bool,
}

impl Flaw {
    fn of_the_bytes(reason: &'static str, detail: String) -> Self {
        Self {
            reason,
            detail,
            for_good: false,
        }
    }

    fn of_the_build(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            for_good: true,
        }
    }
}

/// All that a file is held to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Promise {
    package: PackageName,
    version_code: VersionCode,
    file_size: u64,
    sha256: FileHash,
    signer_fingerprint: SignerFingerprint,
    sdk: u32,
    installed_signer: Option<SignerFingerprint>,
}

impl<P: Platform, T: Transport, S: StateStore> Agent<P, T, S> {
    pub(crate) async fn verify(&mut self, job: &Manifest, now: DateTime<Utc>) -> Result<(), Error> {
        let package = &self.config.package;
        if self.platform.installed_version(package) == Some(job.version_code) {
            // The power was lost, or the agent itself replaced, after Android installed it.
            return self.installed(job);
        }
        if self.is_to_ask_again(now) {
            return self.ask_again(now);
        }
        let promise = self.promise(job);
        if promise.installed_signer.is_none() && self.platform.installed_version(package).is_some() {
            // Not the same as no app: whoever signed this one might be let in by it. The file may be a good one.
            let detail = "the installed app's signer can't be read";
            return self.distrust(job, "check_failed", detail, false, false);
        }
        if self.verified.as_ref() == Some(&promise) {
            // The server was asked again meanwhile. Where polls are more frequent than files are read, a file that
            // was read once more each time would never be installed.
            return self.change(|memory| memory.state = State::Installing { job: job.clone() });
        }
        let (file, held_to) = (self.store.file()?, promise.clone());
        // Hashing a large file takes seconds, and others may share the runtime.
        let checked = tokio::task::spawn_blocking(move || check(&file, &held_to)).await;
        match checked {
            Ok(Ok(None)) => {
                self.verified = Some(promise);
                self.change(|memory| memory.state = State::Installing { job: job.clone() })
            }
            Ok(Ok(Some(flaw))) => self.distrust(job, flaw.reason, &flaw.detail, flaw.for_good, true),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => self.distrust(job, "check_failed", "the file could not be checked", true, true),
        }
    }

    /// What a job's file is held to now.
    pub(crate) fn promise(&self, job: &Manifest) -> Promise {
        let package = &self.config.package;
        Promise {
            package: package.clone(),
            version_code: job.version_code,
            file_size: job.file_size,
            sha256: job.sha256,
            signer_fingerprint: job.signer_fingerprint,
            sdk: self.config.sdk,
            installed_signer: self.platform.installed_signer(package),
        }
    }
}

fn check(file: &StoredFile, promise: &Promise) -> io::Result<Option<Flaw>> {
    let source = file.open()?;
    match flaw_of(source.as_ref(), promise) {
        Ok(()) => Ok(None),
        Err(Trouble::Flaw(flaw)) => Ok(Some(flaw)),
        Err(Trouble::Read(error)) => Err(error),
    }
}

enum Trouble {
    Flaw(Flaw),
    Read(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<Flaw> for Trouble {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

impl From<tidegate_apk::Error> for Trouble {
    fn from(error: tidegate_apk::Error) -> Self {
        match error {
            tidegate_apk::Error::Read(error) => Self::Read(error),
            refused => Self::Flaw(Flaw::of_the_build("signature_refused", refused.to_string())),
        }
    }
}

/// The cheap checks first; the signature is only looked at when the bytes are the promised ones, so that the
/// reader of hostile files sees none that the server did not see before.
fn flaw_of(source: &dyn Source, promise: &Promise) -> Result<(), Trouble> {
    if source.len() != promise.file_size {
        let detail = format!(
            "{} bytes, and the manifest names {}",
            source.len(),
            promise.file_size
        );
        return Err(Flaw::of_the_bytes("size_mismatch", detail).into());
    }
    let sha256 = FileHash(hash(source)?);
    if sha256 != promise.sha256 {
        let detail = format!("sha256 {sha256}, and the manifest names {}", promise.sha256);
        return Err(Flaw::of_the_bytes("sha256_mismatch", detail).into());
    }
    check_identity(source, promise)?;
    check_signer(source, promise)
}

fn hash(source: &dyn Source) -> io::Result<[u8; 32]> {
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

/// A rightly signed file of another app, or of an older version, is not the promised one.
fn check_identity(source: &dyn Source, promise: &Promise) -> Result<(), Trouble> {
    let found = tidegate_apk::inspect(source)?;
    if found.package != promise.package.as_str() {
        return Err(Flaw::of_the_build("package_mismatch", format!("it is {}", found.package)).into());
    }
    if found.version_code != promise.version_code.get() {
        let detail = format!(
            "it is version {}, and the manifest names {}",
            found.version_code, promise.version_code
        );
        return Err(Flaw::of_the_build("version_mismatch", detail).into());
    }
    Ok(())
}

fn check_signer(source: &dyn Source, promise: &Promise) -> Result<(), Trouble> {
    let sdk = promise.sdk;
    let verdict = tidegate_apk::verify(source, SdkRange { min: sdk, max: sdk })?;
    let promised = &promise.signer_fingerprint;
    let mut signers = verdict
        .signers_at(sdk)
        .map(|signer| SignerFingerprint(signer.sha256));
    if (signers.next().as_ref(), signers.next()) != (Some(promised), None) {
        let detail = format!("it is not signed by {promised}");
        return Err(Flaw::of_the_build("signer_mismatch", detail).into());
    }
    match promise.installed_signer {
        Some(installed) if !verdict.updates_from(&installed.0, sdk) => {
            let detail = format!("the installed app is signed by {installed}");
            Err(Flaw::of_the_build("installed_signer_mismatch", detail).into())
        }
        _ => Ok(()),
    }
}
