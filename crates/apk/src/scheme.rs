//! The signature schemes, and who signed under which.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::SdkRange;
use crate::cert::Certificate;

/// The first level that reads scheme v2 (Android 7.0).
pub(crate) const FIRST_V2: u32 = 24;
/// The first level that reads scheme v3 (Android 9).
pub(crate) const FIRST_V3: u32 = 28;
/// The first level that reads scheme v3.1 (Android 13).
pub(crate) const FIRST_V31: u32 = 33;

/// An APK signature scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Scheme {
    /// JAR signing.
    #[serde(rename = "v1")]
    V1,
    /// APK signature scheme v2, from API 24.
    #[serde(rename = "v2")]
    V2,
    /// APK signature scheme v3, from API 28.
    #[serde(rename = "v3")]
    V3,
    /// APK signature scheme v3.1, from API 33.
    #[serde(rename = "v3.1")]
    V31,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
            Self::V3 => "v3",
            Self::V31 => "v3.1",
        })
    }
}

/// Which schemes a file is signed with: what it carries for an inspection, what verified for a verification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Schemes {
    /// JAR signing.
    pub v1: bool,
    /// Scheme v2.
    pub v2: bool,
    /// Scheme v3.
    pub v3: bool,
    /// Scheme v3.1.
    pub v31: bool,
    /// A block of scheme v3.2 (hybrid post-quantum) is present; it is never judged.
    pub v32_present: bool,
}

impl Schemes {
    /// The schemes that are set, oldest first; v3.2 is not among them.
    pub fn iter(&self) -> impl Iterator<Item = Scheme> {
        let all = [
            (self.v1, Scheme::V1),
            (self.v2, Scheme::V2),
            (self.v3, Scheme::V3),
            (self.v31, Scheme::V31),
        ];
        all.into_iter().filter(|(set, _)| *set).map(|(_, scheme)| scheme)
    }

    /// Whether none is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl fmt::Display for Schemes {
    /// `v1,v2,v3`, or nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scheme) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{scheme}")?;
        }
        Ok(())
    }
}

/// A signer as the devices of some SDK levels see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SignerCertificate {
    /// The scheme under which these devices see it.
    pub scheme: Scheme,
    /// The levels that see it.
    pub sdk: SdkRange,
    /// SHA-256 of the certificate's encoding: the fingerprint that pins a signer.
    #[serde(serialize_with = "hex")]
    pub sha256: [u8; 32],
    /// SHA-1 of the same, as older tools print it.
    #[serde(serialize_with = "hex")]
    pub sha1: [u8; 20],
    /// The subject's name: `CN=Android Debug, O=Android, C=US`.
    pub subject: String,
    /// `RSA`, `EC`, `DSA`, or an object identifier.
    pub key_algorithm: String,
    /// The key's size in bits, 0 when unknown.
    pub key_bits: u32,
    /// Start of validity in seconds since 1970; devices ignore it.
    pub not_before: i64,
    /// End of validity in seconds since 1970; devices ignore it.
    pub not_after: i64,
}

impl SignerCertificate {
    pub(crate) fn new(scheme: Scheme, sdk: SdkRange, certificate: &Certificate) -> Self {
        Self {
            scheme,
            sdk,
            sha256: certificate.sha256,
            sha1: certificate.sha1,
            subject: certificate.subject.clone(),
            key_algorithm: certificate.key_algorithm.clone(),
            key_bits: certificate.key_bits,
            not_before: certificate.not_before,
            not_after: certificate.not_after,
        }
    }

    /// The fingerprint in lower-case hex.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        to_hex(&self.sha256)
    }
}

/// Lower-case hex.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn hex<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&to_hex(bytes))
}
