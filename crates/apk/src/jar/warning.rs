use std::fmt;

use crate::crypto::Digest;

/// Something about an acceptable v1 signature that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JarWarning {
    /// An entry below `META-INF/` that the signature doesn't cover: anybody can change it.
    UnprotectedEntry {
        /// The entry.
        entry: String,
    },
    /// A signature block without its signature file, which devices skip.
    MissingSignatureFile {
        /// The block.
        block: String,
        /// The file that should be there.
        file: String,
    },
    /// A signature file without a digest of the whole manifest; the digests of its sections count.
    NoManifestDigest {
        /// The signature file.
        file: String,
    },
    /// A signature file whose digest of the whole manifest is wrong; the digests of its sections count.
    ManifestDigest {
        /// The signature file.
        file: String,
        /// The digest's algorithm.
        digest: Digest,
    },
    /// The file has newer signatures, and the v1 signature doesn't say so: they could be removed unnoticed.
    NoStrippingProtection {
        /// The signature file.
        file: String,
    },
    /// The signature file announces a scheme that is not known.
    UnknownScheme {
        /// The signature file.
        file: String,
        /// The scheme's number.
        scheme: i32,
    },
    /// A signer that devices pay no attention to.
    IgnoredSigner {
        /// The signature block's name without its folder.
        signer: String,
        /// What is wrong with its signature file.
        reason: String,
    },
}

impl JarWarning {
    /// The entry or signer it is about.
    #[must_use]
    pub fn place(&self) -> &str {
        match self {
            Self::UnprotectedEntry { entry } => entry,
            Self::MissingSignatureFile { block, .. } => block,
            Self::NoManifestDigest { file }
            | Self::ManifestDigest { file, .. }
            | Self::NoStrippingProtection { file }
            | Self::UnknownScheme { file, .. } => file,
            Self::IgnoredSigner { signer, .. } => signer,
        }
    }
}

impl fmt::Display for JarWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnprotectedEntry { entry } => {
                write!(
                    f,
                    "{entry} is not covered by the v1 signature: it can be changed unnoticed"
                )
            }
            Self::MissingSignatureFile { block, file } => {
                write!(f, "{block} is skipped: there is no {file}")
            }
            Self::NoManifestDigest { file } => {
                write!(
                    f,
                    "{file} has no digest of the whole manifest; it is checked section by section"
                )
            }
            Self::ManifestDigest { file, digest } => {
                write!(
                    f,
                    "the {digest} digest of the whole manifest in {file} is wrong; it is checked section by section"
                )
            }
            Self::NoStrippingProtection { file } => {
                write!(
                    f,
                    "{file} does not say that newer schemes signed this APK too: they can be removed unnoticed"
                )
            }
            Self::UnknownScheme { file, scheme } => {
                write!(f, "{file} announces the unknown signature scheme {scheme}")
            }
            Self::IgnoredSigner { signer, reason } => {
                write!(f, "JAR signer {signer} is ignored by devices: {reason}")
            }
        }
    }
}
