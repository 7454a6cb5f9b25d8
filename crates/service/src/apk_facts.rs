//! From an uploaded file to the facts of a build: what the file says of itself, and whether that will do.

use std::fs::File;
use std::path::Path;

use tidegate_apk as apk;
use tidegate_domain::{
    BuildFacts, PackageName, Sha256, SignerFingerprint, SignerRange, Signers, VersionCode,
};

use crate::{Error, Kind};

/// Reads and judges a file that was uploaded whole.
pub(crate) fn read(path: &Path, sha256: Sha256, size: u64) -> Result<BuildFacts, Error> {
    let file = File::open(path).map_err(|fault| Error::internal("opening an upload", &fault))?;
    let inspection = apk::inspect(&file).map_err(|error| refused(&error))?;
    if inspection.test_only {
        let message =
            "the APK is marked testOnly, and devices refuse to install such builds; build a release variant";
        return Err(Error::new(Kind::Refused, "test_only", message));
    }
    let refused = |error: tidegate_domain::Error| Error::new(Kind::Refused, "apk_refused", error.to_string());
    Ok(BuildFacts {
        package: PackageName::parse(&inspection.package).map_err(refused)?,
        version_code: VersionCode::new(inspection.version_code).map_err(refused)?,
        version_name: inspection.version_name.clone(),
        sha256,
        size,
        signers: signers(&inspection)?,
        schemes: inspection
            .schemes
            .iter()
            .map(|scheme| scheme.to_string())
            .collect(),
        min_sdk: inspection.min_sdk,
        target_sdk: inspection.target_sdk,
        abis: inspection.abis,
        debuggable: inspection.debuggable,
    })
}

/// An APK's own fault, told with the rule and the place; a disk's fault is the server's.
fn refused(error: &apk::Error) -> Error {
    match error {
        apk::Error::Read(fault) => Error::internal("reading an upload", fault),
        apk::Error::Archive(_) => Error::new(Kind::Refused, "not_an_apk", error.to_string()),
        apk::Error::Manifest(_) => Error::new(Kind::Refused, "manifest_refused", error.to_string()),
        apk::Error::Signature(_) => Error::new(Kind::Refused, "signature_refused", error.to_string()),
    }
}

/// Who devices will see as the signer, by API level.
fn signers(inspection: &apk::Inspection) -> Result<Signers, Error> {
    let mut ranges: Vec<SignerRange> = inspection
        .signers
        .iter()
        .filter(|signer| signer.sdk.max >= inspection.min_sdk)
        .map(|signer| SignerRange {
            fingerprint: SignerFingerprint(signer.sha256),
            from_sdk: signer.sdk.min,
            to_sdk: signer.sdk.max,
        })
        .collect();
    if ranges.is_empty() {
        let message = "the APK is not signed; sign it with apksigner before uploading it";
        return Err(Error::new(Kind::Refused, "unsigned", message));
    }
    ranges.sort_by_key(|range| range.from_sdk);
    // The same certificate under v2 and v3 is one signer, not two.
    ranges.dedup_by(|next, kept| {
        let same = next.fingerprint == kept.fingerprint;
        if same {
            kept.to_sdk = kept.to_sdk.max(next.to_sdk);
        }
        same
    });
    Signers::new(ranges).map_err(|_| {
        let message = "the APK is signed by several signers side by side; a fleet's builds have one signer";
        Error::new(Kind::Refused, "several_signers", message)
    })
}
