//! What an operator should know about a file that devices accept.

use std::fmt;

use serde::Serialize;

use crate::cert::Certificate;
use crate::crypto::Digest;
use crate::jar::{JarSigner, JarWarning};
use crate::scheme::to_hex;
use crate::text::visible;

/// The certificate of the key that AOSP publishes for test builds: anybody can sign with it.
const PUBLIC_TEST_KEY: &str = "a40da80a59d170caa950cf15c18c454d47a39b26989d8b640ecd745ba71bf5dc";
/// The subject that the Android build tools give to the key of debug builds.
const DEBUG_SUBJECT: &str = "CN=Android Debug";
/// Shorter keys than this are within reach of a well-funded attacker.
const MIN_RSA_BITS: u32 = 2048;
const MIN_EC_BITS: u32 = 224;

/// Something that does not keep devices from installing the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// What it is about.
    pub kind: WarningKind,
    /// The signer or entry.
    pub place: String,
    /// In words.
    pub detail: String,
}

/// Kinds of warning, the gravest first. The serialised names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum WarningKind {
    /// Signed with the published AOSP test key: the signature proves nothing.
    PublicTestKey,
    /// Devices of some levels of the range find no signature that they know, and will refuse the file.
    UncoveredLevels,
    /// Signed with the key of a debug build, which lies unprotected on a developer's machine.
    DebugCertificate,
    /// An entry whose name contains a NUL: the signing tools accept it, a device's own ZIP reader does not.
    UnreadableName,
    /// A key that is too short by today's standards.
    WeakKey,
    /// A signature over an MD5 or SHA-1 digest.
    WeakDigest,
    /// A past signer may take the app back.
    RollbackAllowed,
    /// An entry that no signature covers.
    UnprotectedEntry,
    /// Newer signatures can be cut off without the older ones noticing.
    NoStrippingProtection,
    /// A part of the signature that devices skip.
    Ignored,
    /// An algorithm, attribute or scheme that is not known.
    Unknown,
    /// A scheme v3.2 block is present; it is not judged.
    HybridBlock,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.detail)
    }
}

impl Warning {
    pub(crate) fn new(kind: WarningKind, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            kind,
            place: visible(&place.into()),
            detail: visible(&detail.into()),
        }
    }

    /// What there is to say about a signer's certificate.
    pub(crate) fn about_certificate(place: &str, certificate: &Certificate) -> Vec<Self> {
        let mut warnings = Vec::new();
        if to_hex(&certificate.sha256) == PUBLIC_TEST_KEY {
            let detail =
                "SIGNED WITH THE PUBLIC AOSP TEST KEY: anybody can make an update that devices accept";
            warnings.push(Self::new(WarningKind::PublicTestKey, place, detail));
        }
        if certificate.subject.split(", ").any(|part| part == DEBUG_SUBJECT) {
            let detail = "signed with a debug key, as development machines make it";
            warnings.push(Self::new(WarningKind::DebugCertificate, place, detail));
        }
        let least = if certificate.key_algorithm == "EC" {
            MIN_EC_BITS
        } else {
            MIN_RSA_BITS
        };
        if (1..least).contains(&certificate.key_bits) {
            let detail = format!(
                "{} key of only {} bits",
                certificate.key_algorithm, certificate.key_bits
            );
            warnings.push(Self::new(WarningKind::WeakKey, place, detail));
        }
        warnings
    }

    /// What there is to say about the algorithm of a v1 signature.
    pub(crate) fn about_jar_signer(place: &str, signer: &JarSigner) -> Option<Self> {
        let digest = signer.algorithm.digest();
        matches!(digest, Digest::Md5 | Digest::Sha1).then(|| {
            Self::new(
                WarningKind::WeakDigest,
                place,
                format!("v1 signature over a {digest} digest"),
            )
        })
    }

    pub(crate) fn about_jar(warning: &JarWarning) -> Self {
        let kind = match warning {
            JarWarning::UnprotectedEntry { .. } => WarningKind::UnprotectedEntry,
            JarWarning::NoStrippingProtection { .. } => WarningKind::NoStrippingProtection,
            JarWarning::UnknownScheme { .. } => WarningKind::Unknown,
            _ => WarningKind::Ignored,
        };
        Self::new(kind, warning.place(), warning.to_string())
    }
}
