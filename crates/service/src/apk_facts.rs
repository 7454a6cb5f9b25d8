//! From an uploaded file to the facts of a build: what the file says of itself, whether devices would install it,
//! and whom they would see as its signer.

use std::fs::File;
use std::path::Path;

use tidegate_apk as apk;
use tidegate_apk::{SdkRange, Verification, WarningKind};
use tidegate_domain::{BuildFacts, PackageName, SdkLevel, Sha256, SignerFingerprint, Signers, VersionCode};

use crate::examination::Examination;
use crate::signer_policy::from_turns;
use crate::{Error, Kind};

/// A file that the devices of a fleet accept.
pub(crate) struct Judged {
    pub facts: BuildFacts,
    pub verification: Verification,
    /// What the build is compared with others by, as JSON.
    pub profile: String,
}

/// Reads and verifies a file that was uploaded whole, for devices from `floor` on or from the file's own minimum,
/// whichever is higher.
pub(crate) fn judge(path: &Path, sha256: Sha256, size: u64, floor: SdkLevel) -> Result<Judged, Error> {
    let file = File::open(path).map_err(|fault| Error::internal("opening an upload", &fault))?;
    let apk::Survey { inspection, profile } =
        apk::survey_from(&file, floor).map_err(|error| refused(&error))?;
    if inspection.test_only {
        let message =
            "the APK is marked testOnly, and devices refuse to install such builds; build a release variant";
        return Err(Error::new(Kind::Refused, "test_only", message));
    }
    let range = SdkRange::from(inspection.min_sdk.max(floor));
    let verification = apk::verify(&file, range).map_err(|error| refused(&error))?;
    if let Some(warning) = verification
        .warnings
        .iter()
        .find(|warning| warning.kind == WarningKind::UnreadableName)
    {
        let message = format!("not a sound APK archive: {warning}");
        return Err(Error::new(Kind::Refused, "not_an_apk", message));
    }
    let examination = Examination::of(&profile);
    examination.check(floor)?;
    let refused = |error: tidegate_domain::Error| Error::new(Kind::Refused, "apk_refused", error.to_string());
    let facts = BuildFacts {
        package: PackageName::parse(&inspection.package).map_err(refused)?,
        version_code: VersionCode::new(inspection.version_code).map_err(refused)?,
        version_name: inspection.version_name,
        sha256,
        size,
        signers: signers(&verification)?,
        schemes: verification
            .schemes
            .iter()
            .map(|scheme| scheme.to_string())
            .collect(),
        lineage: verification
            .lineage
            .iter()
            .map(|link| SignerFingerprint(link.sha256))
            .collect(),
        warnings: verification.warnings.iter().map(ToString::to_string).collect(),
        min_sdk: inspection.min_sdk,
        target_sdk: inspection.target_sdk,
        abis: inspection.abis,
        debuggable: inspection.debuggable,
        installability: Some(examination.installability),
    };
    Ok(Judged {
        facts,
        verification,
        profile: examination.profile,
    })
}

/// An APK's own fault, told with the rule and the place; a disk's fault is the server's.
fn refused(error: &apk::Error) -> Error {
    match error {
        apk::Error::Read(fault) => Error::internal("reading an upload", fault),
        apk::Error::Archive(_) => Error::new(Kind::Refused, "not_an_apk", error.to_string()),
        apk::Error::Manifest(_) => Error::new(Kind::Refused, "manifest_refused", error.to_string()),
        apk::Error::Signature(refusal) if refusal.rule == apk::Rule::Unsigned => {
            let message = "the APK is not signed; sign it with apksigner before uploading it";
            Error::new(Kind::Refused, "unsigned", message)
        }
        apk::Error::Signature(_) => Error::new(Kind::Refused, "signature_refused", error.to_string()),
    }
}

/// Who devices will see as the signer, by API level.
fn signers(verification: &Verification) -> Result<Signers, Error> {
    let mut seen: Vec<(SdkLevel, SignerFingerprint)> = verification
        .signers
        .iter()
        .map(|signer| (signer.sdk.min, SignerFingerprint(signer.sha256)))
        .collect();
    seen.sort_unstable_by_key(|(from, _)| *from);
    let several = || {
        let message = "the APK is signed by several signers side by side; a fleet's builds have one signer";
        Error::new(Kind::Refused, "several_signers", message)
    };
    if seen
        .windows(2)
        .any(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1)
    {
        return Err(several());
    }
    seen.dedup_by_key(|(_, fingerprint)| *fingerprint);
    from_turns(&seen).ok_or_else(several)
}
