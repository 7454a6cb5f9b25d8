//! What can be wrong with a file, said so that an operator knows what to do about it.
//!
//! The variants of [`Error`] are the decisions a caller takes: try again ([`Error::Read`]), this is not an
//! APK ([`Error::Archive`]), it is one that no device could read ([`Error::Manifest`]), or it is one that
//! no device would trust ([`Error::Signature`]). Inside, a [`Refusal`] names the rule, the entry or signer
//! it was applied to, and what was found there.

use std::fmt;
use std::io;

use serde::Serialize;

use crate::text::visible;

/// Why a file was not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes could not be read: the storage failed, not the file.
    #[error("the file cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Not a ZIP archive, or one that two readers could understand differently.
    #[error("not a sound APK archive: {0}")]
    Archive(Refusal),
    /// `AndroidManifest.xml` is missing, malformed or says nothing usable.
    #[error("unusable AndroidManifest.xml: {0}")]
    Manifest(Refusal),
    /// Unsigned, or signed in a way that a device would refuse.
    #[error("signature refused: {0}")]
    Signature(Refusal),
}

impl Error {
    /// An archive fault at `place` (an entry's name, or a part of the archive such as `end of central directory`).
    pub(crate) fn archive(rule: Rule, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Archive(Refusal::new(rule, place, detail))
    }

    /// A manifest fault at `place` (an element, an attribute, a chunk).
    pub(crate) fn manifest(rule: Rule, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Manifest(Refusal::new(rule, place, detail))
    }

    /// A signature fault at `place` (`v2 signer #1`, `JAR signer CERT.RSA`, an entry's name).
    pub(crate) fn signature(rule: Rule, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Signature(Refusal::new(rule, place, detail))
    }

    /// The rule that was broken, with where and how; `None` when the bytes could not be read at all.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Read(_) => None,
            Self::Archive(refusal) | Self::Manifest(refusal) | Self::Signature(refusal) => Some(refusal),
        }
    }

    /// The rule that was broken, if it was one.
    #[must_use]
    pub fn rule(&self) -> Option<Rule> {
        self.refusal().map(|refusal| refusal.rule)
    }
}

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Which rule.
    pub rule: Rule,
    /// The entry, signer or part of the archive that broke it.
    pub place: String,
    /// What was found, in words.
    pub detail: String,
}

impl Refusal {
    pub(crate) fn new(rule: Rule, place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            rule,
            place: visible(&place.into()),
            detail: visible(&detail.into()),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{}]", self.place, self.detail, self.rule.code())
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident => $code:literal,)*) => {
        /// The rules a file is held to. The code is stable: pipelines may match on it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// The rule's stable name, e.g. `zip-overlapping-entries`.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }
        }
    };
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Rule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

rules! {
    // The archive.
    /// No end-of-central-directory record at the end of the file.
    NotAZip => "zip-not-an-archive",
    /// More than one record could be taken for the end of the central directory, or two directories exist.
    AmbiguousDirectory => "zip-ambiguous-directory",
    /// Something points beyond the end of the file.
    Truncated => "zip-truncated",
    /// ZIP64 records or 4 GiB fields: no Android device reads them in an APK.
    Zip64 => "zip-zip64",
    /// The archive spans several disks.
    MultiDisk => "zip-multi-disk",
    /// A record without its signature, or with lengths that do not add up.
    MalformedRecord => "zip-malformed-record",
    /// The central directory is larger than the bound.
    DirectoryTooLarge => "zip-directory-too-large",
    /// A name that is empty or not UTF-8.
    EntryName => "zip-entry-name",
    /// Two entries of one name.
    DuplicateEntry => "zip-duplicate-entry",
    /// Two entries share bytes, or one reaches into the central directory.
    OverlappingEntries => "zip-overlapping-entries",
    /// The local header says something else than the central directory.
    HeaderMismatch => "zip-header-mismatch",
    /// An entry that has to be read is marked as encrypted.
    Encrypted => "zip-encrypted",
    /// An entry's compression is neither 0 (stored) nor 8 (deflate).
    CompressionMethod => "zip-compression-method",
    /// The file does not begin with an entry's local header.
    Prefix => "zip-prefix",
    /// An entry lies inside the signing block, where no content digest looks.
    EntryInSigningBlock => "zip-entry-in-signing-block",
    /// 65,535 entries or more.
    TooManyEntries => "zip-too-many-entries",
    /// Another format than an APK: a bundle, a set of APKs, a library, a text manifest, a signature file.
    OtherFormat => "not-an-apk",
    /// An entry, or all together, would unpack to more than the bound.
    TooLarge => "zip-too-large",
    /// An entry does not unpack to the size it declares.
    CorruptEntry => "zip-corrupt-entry",
    /// An entry that must be there is not.
    MissingEntry => "zip-missing-entry",

    // The binary manifest and the resource table.
    /// A chunk, string pool or attribute with lengths that do not add up.
    MalformedXml => "manifest-malformed",
    /// Something that two readers of Android's, or one of them and one of the build tools', read differently.
    TwoReadings => "manifest-two-readings",
    /// One file of a set of splits: none of them installs alone.
    Split => "manifest-split",
    /// A name of a package that Android does not accept.
    PackageName => "manifest-package-name",
    /// A value of a type that the attribute cannot have.
    AttributeType => "manifest-attribute-type",
    /// An attribute that must be there is not.
    MissingAttribute => "manifest-missing-attribute",
    /// An attribute refers to a resource that cannot be resolved.
    Unresolved => "manifest-unresolved-reference",

    // The APK signing block.
    /// The signing block's lengths do not add up, or it holds the same scheme twice.
    MalformedBlock => "block-malformed",
    /// The signing block or a scheme in it is larger than the bound.
    BlockTooLarge => "block-too-large",

    // Schemes v2, v3 and v3.1.
    /// The list of signers cannot be parsed.
    MalformedSigners => "scheme-malformed-signers",
    /// A signer, or a field in it, cannot be parsed.
    MalformedSigner => "scheme-malformed-signer",
    /// The scheme's block holds no signer.
    NoSigners => "scheme-no-signers",
    /// More signers than the scheme allows.
    TooManySigners => "scheme-too-many-signers",
    /// A signer without a signature.
    NoSignatures => "scheme-no-signatures",
    /// No signature of a signer uses an algorithm that the asked SDK range supports.
    NoSupportedSignatures => "scheme-no-supported-signatures",
    /// The public key cannot be used.
    MalformedPublicKey => "scheme-malformed-public-key",
    /// A signature over the signed data does not verify.
    SignatureMismatch => "scheme-signature-mismatch",
    /// A certificate cannot be parsed.
    MalformedCertificate => "scheme-malformed-certificate",
    /// A signer without a certificate.
    NoCertificates => "scheme-no-certificates",
    /// The certificate's public key is not the one that verified the signature.
    PublicKeyMismatch => "scheme-public-key-mismatch",
    /// The signatures and the digests name different algorithms.
    AlgorithmMismatch => "scheme-algorithm-mismatch",
    /// A digest of the signed data cannot be parsed.
    MalformedDigest => "scheme-malformed-digest",
    /// The file's contents do not have the digest that was signed.
    ContentDigest => "scheme-content-digest",
    /// An attribute of the signed data cannot be parsed or has a value it must not have.
    MalformedAttribute => "scheme-malformed-attribute",
    /// A newer scheme's signature was announced and is missing.
    Stripped => "scheme-stripped",
    /// The SDK levels of the signers overlap, leave gaps or do not match what was signed.
    SdkRange => "scheme-sdk-range",
    /// The proof-of-rotation lineage is broken.
    Lineage => "scheme-lineage",
    /// The schemes name different signers.
    SignerMismatch => "scheme-signer-mismatch",
    /// A v3.1 block without the v3 block it builds on, or rotation levels that contradict each other.
    RotationTarget => "scheme-rotation-target",
    /// The app's target SDK demands a newer scheme than the file has.
    SchemeTooOld => "scheme-too-old",
    /// No signature at all.
    Unsigned => "unsigned",

    // Scheme v1 (JAR).
    /// A part of `META-INF` cannot be parsed.
    JarMalformed => "jar-malformed",
    /// `META-INF/MANIFEST.MF` is missing, too large, or names entries twice.
    JarManifest => "jar-manifest",
    /// A signature block (`.RSA`, `.DSA`, `.EC`) does not verify its `.SF` file.
    JarSignature => "jar-signature",
    /// The `.SF` file's digests do not match the manifest.
    JarSignatureFile => "jar-signature-file",
    /// An entry does not have the digest that the manifest names.
    JarEntryDigest => "jar-entry-digest",
    /// An entry that no signer covers, or that not all signers cover.
    JarUnsignedEntry => "jar-unsigned-entry",
    /// The manifest names an entry that is not in the archive.
    JarMissingEntry => "jar-missing-entry",
    /// No signer, more signers than allowed, or signers that differ between entries.
    JarSigners => "jar-signers",
    /// The `.SF` file announces a newer scheme that is missing.
    JarStripped => "jar-stripped",
    /// A digest or signature algorithm that the asked SDK range does not support.
    JarAlgorithm => "jar-algorithm",
    /// A certificate of a JAR signer cannot be parsed or does not belong to it.
    JarCertificate => "jar-certificate",
}
