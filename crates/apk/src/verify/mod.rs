//! The verdict: would every device of a range of SDK levels install this file, and as whose?
//!
//! A device reads the newest scheme it knows and never falls back to an older one that is there too. So a
//! range of levels means that several schemes must verify, each for the levels that look at it, and that
//! they must agree on the signer, or on how the key was rotated. The rules, and which of them make a file
//! refused, are those of the platform and of `apksigner`, the Android project's own verifier.

mod blocks;
mod identity;

use serde::Serialize;

use crate::block::{self, Capabilities, SigningBlock, VerifiedSigner};
use crate::jar::{self, JarVerdict};
use crate::manifest::Manifest;
use crate::scheme::{FIRST_V2, FIRST_V3, hex};
use crate::zip::Archive;
use crate::{Error, Rule, Schemes, SdkRange, SignerCertificate, Source, Warning, WarningKind};
use blocks::{BlockVerdict, verify_block};

/// Since this level an app may ask for the second security sandbox, and then needs scheme v2.
const FIRST_SANDBOX_2: u32 = 26;
/// An app written for this level or a newer one needs scheme v2.
const TARGET_NEEDS_V2: u32 = 30;

/// A file that all devices of a range accept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// The levels it was verified for.
    pub range: SdkRange,
    /// The schemes that were needed for these levels, and verified.
    pub schemes: Schemes,
    /// Whom devices see as the signer, newest scheme first, each with the levels that see it.
    pub signers: Vec<SignerCertificate>,
    /// How the key was rotated, oldest certificate first; empty when it never was.
    pub lineage: Vec<LineageCertificate>,
    /// What an operator should know all the same, the gravest first.
    pub warnings: Vec<Warning>,
}

/// One certificate of a verified lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineageCertificate {
    /// SHA-256 of the certificate's encoding.
    #[serde(serialize_with = "hex")]
    pub sha256: [u8; 32],
    /// The subject's name.
    pub subject: String,
    /// What this certificate may still do for the app.
    pub capabilities: Capabilities,
}

impl Verification {
    /// The signers that a device of this level sees: one, or several under v1 and v2. None outside of the
    /// verified range.
    pub fn signers_at(&self, sdk: u32) -> impl Iterator<Item = &SignerCertificate> {
        self.signers.iter().filter(move |signer| signer.sdk.contains(sdk))
    }

    /// Whether a device that trusts the certificate with this fingerprint accepts the file as an update of
    /// the app it has, as far as the signer goes: it is the signer at that level, or one that the lineage
    /// proves to be succeeded by it and that hands its data over.
    #[must_use]
    pub fn updates_from(&self, sha256: &[u8; 32], sdk: u32) -> bool {
        let mut signers = self.signers_at(sdk);
        match (signers.next(), signers.next()) {
            (Some(signer), None) if signer.sha256 == *sha256 => true,
            (Some(signer), None) => {
                let position =
                    |wanted: &[u8; 32]| self.lineage.iter().position(|link| link.sha256 == *wanted);
                let (Some(old), Some(new)) = (position(sha256), position(&signer.sha256)) else {
                    return false;
                };
                old < new && self.lineage[old].capabilities.installed_data
            }
            _ => false,
        }
    }
}

/// Verifies an APK for all devices of `range`, as they would at installation.
///
/// Reads the file once (twice when its schemes digest it differently), on several threads; memory does not
/// grow with the file.
///
/// # Errors
/// [`Error::Signature`] with the rule that a device would refuse it by, [`Error::Archive`] or
/// [`Error::Manifest`] when it is no sound APK, [`Error::Read`] when the storage fails.
pub fn verify(source: &dyn Source, range: SdkRange) -> Result<Verification, Error> {
    let archive = Archive::open(source)?;
    let manifest = Manifest::read(&archive)?;
    let (block, no_block) = match SigningBlock::find(&archive)? {
        Ok(block) => (Some(block), String::new()),
        Err(why) => (None, why),
    };
    let verdict = match &block {
        Some(block) => verify_block(&archive, block, range)?,
        None => BlockVerdict::default(),
    };
    let found = verdict.found();
    check_sandbox(&manifest, range, &found)?;
    let jar = if range.min < FIRST_V2 || found.is_empty() {
        let why = block
            .as_ref()
            .and_then(|block| block.fault.clone())
            .unwrap_or(no_block);
        Some(verify_jar(&archive, range, &found, block.as_ref(), &why)?)
    } else {
        None
    };
    identity::check(&verdict, jar.as_ref())?;
    check_target(&manifest, range, &verdict)?;
    let mut verification = conclude(range, &verdict, jar.as_ref(), block.as_ref());
    verification.warnings.extend(uncovered(&verification));
    verification.warnings.extend(unreadable_names(&archive));
    verification.warnings.sort_by_key(|warning| warning.kind);
    Ok(verification)
}

/// `libziparchive`, by which devices read an APK, refuses these; the signing tools don't.
fn unreadable_names<'a>(archive: &'a Archive<'_>) -> impl Iterator<Item = Warning> + 'a {
    let names = archive.entries().iter().map(|entry| &entry.name);
    names.filter(|name| name.contains('\0')).map(|name| {
        let detail = "the entry's name contains a NUL, and no device reads such an archive";
        Warning::new(
            WarningKind::UnreadableName,
            name.escape_default().to_string(),
            detail,
        )
    })
}

fn check_sandbox(manifest: &Manifest, range: SdkRange, found: &[u32]) -> Result<(), Error> {
    if range.max < FIRST_SANDBOX_2 || manifest.target_sandbox < 2 || !found.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "asks for sandbox version {}, which needs scheme v2 or newer",
        manifest.target_sandbox
    );
    Err(Error::signature(
        Rule::SchemeTooOld,
        "targetSandboxVersion",
        detail,
    ))
}

fn check_target(manifest: &Manifest, range: SdkRange, verdict: &BlockVerdict) -> Result<(), Error> {
    if manifest.target_sdk < TARGET_NEEDS_V2 || range.max < manifest.target_sdk || !verdict.is_empty() {
        return Ok(());
    }
    let detail = format!(
        "target SDK {} needs scheme v2 or newer, and the file has only v1",
        manifest.target_sdk
    );
    Err(Error::signature(Rule::SchemeTooOld, "targetSdkVersion", detail))
}

/// Verifies v1, and says in so many words when there is no signature at all for the levels that need it.
fn verify_jar(
    archive: &Archive<'_>,
    range: SdkRange,
    found: &[u32],
    block: Option<&SigningBlock<'_>>,
    why: &str,
) -> Result<JarVerdict, Error> {
    let has_manifest = archive.find(jar::MANIFEST).is_some();
    if has_manifest {
        return jar::verify(archive, range, found);
    }
    if found.is_empty() {
        let newer = block.is_some_and(|block| {
            [block::V2, block::V3, block::V31]
                .iter()
                .any(|id| block.contains(*id))
        });
        let detail = match (newer, why.is_empty()) {
            (true, true) => {
                "neither v1 signature nor one of a newer scheme that these devices read".to_owned()
            }
            (_, true) => "no signature of any scheme".to_owned(),
            (_, false) => format!("no v1 signature, and no newer one: {why}"),
        };
        return Err(Error::signature(Rule::Unsigned, jar::MANIFEST, detail));
    }
    let detail = format!(
        "devices of SDK level {} need a v1 signature, and there is none",
        SdkRange {
            min: range.min,
            max: (FIRST_V2 - 1).min(range.max)
        }
    );
    Err(Error::signature(Rule::JarManifest, jar::MANIFEST, detail))
}

fn conclude(
    range: SdkRange,
    verdict: &BlockVerdict,
    jar: Option<&JarVerdict>,
    block: Option<&SigningBlock<'_>>,
) -> Verification {
    let mut schemes = verdict.schemes();
    schemes.v1 = jar.is_some();
    schemes.v32_present = block.is_some_and(|block| block.contains(block::V32));
    let lineage = verdict.lineage().iter().map(|link| LineageCertificate {
        sha256: link.certificate.sha256,
        subject: link.certificate.subject.clone(),
        capabilities: Capabilities::from_flags(link.flags),
    });
    Verification {
        range,
        schemes,
        signers: identity::signers(range, verdict, jar),
        lineage: lineage.collect(),
        warnings: warnings(verdict, jar, schemes),
    }
}

fn warnings(verdict: &BlockVerdict, jar: Option<&JarVerdict>, schemes: Schemes) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (id, signer) in verdict.all_signers() {
        warnings.extend(Warning::about_certificate(&signer.place, &signer.certificate));
        warnings.extend(unknowns(id, signer));
    }
    for signer in jar.into_iter().flat_map(|jar| &jar.signers) {
        let place = format!("JAR signer {}", signer.name);
        if let Some(certificate) = signer.certificates.first() {
            warnings.extend(Warning::about_certificate(&place, certificate));
        }
        warnings.extend(Warning::about_jar_signer(&place, signer));
    }
    warnings.extend(
        jar.into_iter()
            .flat_map(|jar| &jar.warnings)
            .map(Warning::about_jar),
    );
    if let Some((_, past)) = verdict.lineage().split_last() {
        for link in past
            .iter()
            .filter(|link| Capabilities::from_flags(link.flags).rollback)
        {
            let detail = "the lineage lets this past key take the app back";
            warnings.push(Warning::new(
                WarningKind::RollbackAllowed,
                link.certificate.subject.clone(),
                detail,
            ));
        }
    }
    warnings.extend(rotation_warnings(verdict));
    if schemes.v32_present {
        let detail = "a scheme v3.2 block is present; it was not judged";
        warnings.push(Warning::new(
            WarningKind::HybridBlock,
            "APK signing block",
            detail,
        ));
    }
    warnings
}

/// `apksigner` accepts a file that is signed with v3 alone for a range that starts below v3, and so does
/// this verdict; but the devices that know no more than v2 won't.
fn uncovered(verification: &Verification) -> Option<Warning> {
    let range = verification.range;
    let bare = |sdk: u32| verification.signers_at(sdk).next().is_none();
    let first = (range.min..=range.max.min(FIRST_V3 - 1)).find(|sdk| bare(*sdk))?;
    let last = (first..=range.max.min(FIRST_V3 - 1))
        .take_while(|sdk| bare(*sdk))
        .last()?;
    let levels = SdkRange {
        min: first,
        max: last,
    };
    let detail =
        format!("devices of SDK level {levels} find no signature that they know, and refuse the file");
    Some(Warning::new(
        WarningKind::UncoveredLevels,
        "APK signing block",
        detail,
    ))
}

/// What devices pay no attention to, or could not notice if it were cut off, in a rotation.
fn rotation_warnings(verdict: &BlockVerdict) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (_, signer) in verdict.all_signers().filter(|(id, _)| *id == block::V3) {
        let has = |wanted: u32| signer.attributes.iter().any(|(id, _)| *id == wanted);
        if verdict.v31.is_some() && !has(block::ROTATION_MIN_SDK) {
            let detail = "does not announce the rotation in v3.1: it can be cut off unnoticed";
            warnings.push(Warning::new(
                WarningKind::NoStrippingProtection,
                signer.place.clone(),
                detail,
            ));
        }
        if has(block::TARGETS_DEV_RELEASE) {
            let detail = "asks for a preview release, which devices ignore in v3";
            warnings.push(Warning::new(WarningKind::Ignored, signer.place.clone(), detail));
        }
    }
    warnings
}

fn unknowns(id: u32, signer: &VerifiedSigner) -> Vec<Warning> {
    let warn = |detail: String| Warning::new(WarningKind::Unknown, signer.place.clone(), detail);
    let algorithms = signer.unknown_algorithms.iter();
    let algorithms = algorithms.map(|id| warn(format!("unknown signature algorithm {id:#06x}")));
    let attributes = signer
        .unknown_attributes(id)
        .map(|id| warn(format!("unknown attribute {id:#010x}")));
    algorithms.chain(attributes).collect()
}

/// The levels from `first` on, as far as `range` reaches.
pub(crate) fn from_level(range: SdkRange, first: u32) -> SdkRange {
    SdkRange {
        min: range.min.max(first),
        max: range.max,
    }
}

/// Whether devices of the range that don't know v3 read v2, or nothing newer is there for the others.
fn needs_v2(range: SdkRange, found: &[u32]) -> bool {
    range.min < FIRST_V3 || found.is_empty()
}
