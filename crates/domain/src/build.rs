//! A build: one signed APK and the facts read from it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{BuildId, Error, Installability, PackageName, SdkLevel, Sha256, SignerFingerprint, VersionCode};

/// One signed APK, as the server knows it. (package, version code) exists once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// Its number.
    pub id: BuildId,
    /// What the uploaded file says of itself.
    pub facts: BuildFacts,
    /// What the uploader said of it.
    pub provenance: Provenance,
    /// From which versions devices may go to it, and past it.
    pub steps: BuildSteps,
}

/// Which builds devices must take in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSteps {
    /// Devices that run an older version must take this build before any newer one.
    pub barrier: bool,
    /// Devices that run a version below this one can't take this build.
    pub min_from_version: Option<VersionCode>,
}

impl BuildSteps {
    /// Refuses steps under which no device could take the build of this version.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `min_from_version`.
    pub fn check(self, version: VersionCode) -> Result<(), Error> {
        if self.min_from_version.is_none_or(|from| from < version) {
            return Ok(());
        }
        let fault = format!("must be below the build's own version code, {version}");
        Err(Error::invalid("min_from_version", fault))
    }
}

/// What an APK says of itself, read from the file and never from the uploader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildFacts {
    /// Application id.
    pub package: PackageName,
    /// Long version code.
    pub version_code: VersionCode,
    /// Version name as people read it; may be empty.
    pub version_name: String,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Size of the file in bytes.
    pub size: u64,
    /// Who a device sees as the signer, by the device's SDK level.
    pub signers: Signers,
    /// Signature schemes present, ascending, such as `v2`, `v3`.
    pub schemes: Vec<String>,
    /// How the signing key was rotated, oldest certificate first; empty when it never was.
    pub lineage: Vec<SignerFingerprint>,
    /// Weaknesses of its signature, in words, the gravest first.
    pub warnings: Vec<String>,
    /// The lowest API level that can install it.
    pub min_sdk: SdkLevel,
    /// The API level that it was built for.
    pub target_sdk: SdkLevel,
    /// Native instruction sets, such as `arm64-v8a`; empty for a build without native code.
    pub abis: Vec<String>,
    /// Whether a debugger may attach. Such a build is flagged, and normally not released.
    pub debuggable: bool,
    /// On which levels devices install it; none while its file was not examined, and then it is offered to all
    /// from `min_sdk` on.
    pub installability: Option<Installability>,
}

impl BuildFacts {
    /// What people call the version: its name, or its code where it has none.
    pub fn version_label(&self) -> String {
        match self.version_name.trim() {
            "" => self.version_code.to_string(),
            name => name.to_owned(),
        }
    }
}

/// Where a build came from: who uploaded it, the CI run and commit behind it, and its release notes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// Release notes, shown to people and handed to agents.
    pub notes: String,
    /// The uploader's name for the kind of build, such as `release`.
    pub build_type: String,
    /// The CI run that made it.
    pub ci_run_id: String,
    /// The commit that it was made from.
    pub git_sha: String,
    /// The subject of the credential that uploaded it.
    pub uploaded_by: String,
    /// When it was accepted.
    pub uploaded_at: DateTime<Utc>,
}

/// The certificates that devices see as the signer, each for a closed range of API levels.
///
/// Usually one for all levels. With signature scheme v3.1 a device of API level 33 may see a rotated
/// certificate where one of level 30 sees the original.
/// Source: <https://source.android.com/docs/security/features/apksigning/v3-1>
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<SignerRange>", into = "Vec<SignerRange>")]
pub struct Signers(Vec<SignerRange>);

/// One signer and the API levels that see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignerRange {
    /// SHA-256 of the certificate.
    pub fingerprint: SignerFingerprint,
    /// First API level that sees it.
    pub from_sdk: SdkLevel,
    /// Last API level that sees it, `u32::MAX` for no end.
    pub to_sdk: SdkLevel,
}

impl Signers {
    /// One signer, whatever the device.
    pub fn one(fingerprint: SignerFingerprint) -> Self {
        Self(vec![SignerRange {
            fingerprint,
            from_sdk: 0,
            to_sdk: SdkLevel::MAX,
        }])
    }

    /// Takes ranges, sorted by level.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `signers` when there is none, or when two of them overlap.
    pub fn new(mut ranges: Vec<SignerRange>) -> Result<Self, Error> {
        ranges.sort_by_key(|range| range.from_sdk);
        let overlap = ranges.windows(2).any(|pair| pair[0].to_sdk >= pair[1].from_sdk);
        if ranges.is_empty() || overlap || ranges.iter().any(|range| range.from_sdk > range.to_sdk) {
            return Err(Error::invalid(
                "signers",
                "must be one or more ranges of API levels that do not overlap",
            ));
        }
        Ok(Self(ranges))
    }

    /// The ranges, by ascending level.
    pub fn ranges(&self) -> &[SignerRange] {
        &self.0
    }

    /// The signer that a device of this level sees. For a device that does not state its level it is the signer of the
    /// lowest range.
    pub fn seen_by(&self, sdk: Option<SdkLevel>) -> SignerFingerprint {
        let sdk = sdk.unwrap_or(self.0[0].from_sdk);
        self.0
            .iter()
            .find(|range| sdk <= range.to_sdk)
            .unwrap_or(&self.0[self.0.len() - 1])
            .fingerprint
    }
}

impl TryFrom<Vec<SignerRange>> for Signers {
    type Error = Error;
    fn try_from(ranges: Vec<SignerRange>) -> Result<Self, Error> {
        Self::new(ranges)
    }
}

impl From<Signers> for Vec<SignerRange> {
    fn from(signers: Signers) -> Self {
        signers.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotated_build_shows_each_device_its_own_signer() {
        let (old, new) = (SignerFingerprint([1; 32]), SignerFingerprint([2; 32]));
        let signers = Signers::new(vec![
            SignerRange {
                fingerprint: new,
                from_sdk: 33,
                to_sdk: SdkLevel::MAX,
            },
            SignerRange {
                fingerprint: old,
                from_sdk: 24,
                to_sdk: 32,
            },
        ])
        .unwrap();
        assert_eq!(signers.seen_by(Some(24)), old);
        assert_eq!(signers.seen_by(Some(32)), old);
        assert_eq!(signers.seen_by(Some(33)), new);
        assert_eq!(signers.seen_by(None), old);
    }

    #[test]
    fn overlapping_or_missing_ranges_are_refused() {
        let range = |from_sdk, to_sdk| SignerRange {
            fingerprint: SignerFingerprint([1; 32]),
            from_sdk,
            to_sdk,
        };
        assert!(Signers::new(vec![]).is_err());
        assert!(Signers::new(vec![range(1, 30), range(30, 40)]).is_err());
        assert!(Signers::new(vec![range(9, 3)]).is_err());
    }
}
