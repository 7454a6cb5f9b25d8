//! X.509 certificates as they are found in APKs.
//!
//! A certificate in an APK is an identity, not a link of a chain of trust: no issuer, date or name in it
//! decides anything on a device; its bytes do. So the fingerprints are over the encoding as found, and the
//! reader is as lenient as Android's own, which accepts encodings that strict DER readers refuse.
//!
//! Source: RFC 5280; the platform's `X509CertificateUtils` for what it tolerates.

mod name;
mod time;

use crate::ber::{BIT_STRING, BOOLEAN, Element, OCTET_STRING, Reader, SEQUENCE};
use crate::crypto::{Digest, Fault, PublicKey, canonical_key};

pub(crate) use name::Name;

/// The largest certificate that is read; the largest in the field have some 10 kB.
const MAX_BYTES: usize = 1 << 20;
/// Extensions of one certificate.
const MAX_EXTENSIONS: usize = 256;

const KEY_USAGE: &str = "2.5.29.15";

/// The extensions that platforms understand; any other one marked critical makes the certificate unfit for
/// a v1 signature.
const KNOWN_EXTENSIONS: [&str; 24] = [
    "2.5.29.14",
    "2.5.29.15",
    "2.5.29.16",
    "2.5.29.17",
    "2.5.29.18",
    "2.5.29.19",
    "2.5.29.20",
    "2.5.29.21",
    "2.5.29.27",
    "2.5.29.28",
    "2.5.29.29",
    "2.5.29.30",
    "2.5.29.31",
    "2.5.29.32",
    "2.5.29.33",
    "2.5.29.35",
    "2.5.29.36",
    "2.5.29.37",
    "2.5.29.46",
    "2.5.29.54",
    "1.3.6.1.5.5.7.1.1",
    "1.3.6.1.5.5.7.1.11",
    "1.3.6.1.5.5.7.48.1.5",
    "2.16.840.1.113730.1.1",
];

/// A certificate and what a verifier or an operator asks of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The encoding as found, which is what the fingerprints cover.
    pub der: Vec<u8>,
    /// SHA-256 of [`Certificate::der`]: the signer's fingerprint.
    pub sha256: [u8; 32],
    /// SHA-1 of [`Certificate::der`], as older tools print it.
    pub sha1: [u8; 20],
    /// The subject's name, most specific part first: `CN=Android Debug, O=Android, C=US`.
    pub subject: String,
    /// The issuer's name in the same form.
    pub issuer: String,
    /// `RSA`, `EC`, `DSA`, or an object identifier.
    pub key_algorithm: String,
    /// The key's size in bits, 0 when unknown.
    pub key_bits: u32,
    /// The key as a `SubjectPublicKeyInfo` in minimal DER.
    pub spki_der: Vec<u8>,
    /// Start of validity in seconds since 1970; devices ignore it.
    pub not_before: i64,
    /// End of validity in seconds since 1970; devices ignore it.
    pub not_after: i64,
    /// The serial number, big-endian two's complement without redundant bytes.
    pub serial: Vec<u8>,
    /// The issuer's name in minimal DER.
    pub issuer_der: Vec<u8>,
    /// Whether it may sign: a key usage extension, where there is one, grants digital signature or
    /// non-repudiation.
    pub may_sign: bool,
    /// A critical extension that platforms don't understand.
    pub unsupported_critical: Option<String>,
    subject_name: Name,
    issuer_name: Name,
}

impl Certificate {
    /// Reads a certificate. Bytes after it are ignored, but are part of the fingerprint.
    ///
    /// # Errors
    /// [`Fault::Malformed`] when it is none.
    pub fn parse(der: &[u8]) -> Result<Self, Fault> {
        if der.len() > MAX_BYTES {
            return Err(malformed(format!("{} bytes, more than {MAX_BYTES}", der.len())));
        }
        let whole = Element::first(der, "certificate")?;
        whole.expect(SEQUENCE, "certificate")?;
        let mut outer = whole.children();
        let body = outer.universal(SEQUENCE, "certificate body")?;
        outer.universal(SEQUENCE, "certificate signature algorithm")?;
        outer.universal(BIT_STRING, "certificate signature")?;

        let mut fields = body.children();
        fields.optional_context(0)?;
        let serial = fields
            .required("serial number")?
            .integer("serial number")?
            .to_vec();
        fields.universal(SEQUENCE, "signature algorithm")?;
        let issuer = fields.universal(SEQUENCE, "issuer")?;
        let mut validity = fields.universal(SEQUENCE, "validity")?.children();
        let not_before = time::parse(validity.required("start of validity")?)?;
        let not_after = time::parse(validity.required("end of validity")?)?;
        let subject = fields.universal(SEQUENCE, "subject")?;
        let spki = fields.universal(SEQUENCE, "public key")?;
        let extensions = Extensions::parse(fields)?;

        let key = PublicKey::parse(spki.encoded)?;
        let (issuer_name, subject_name) = (Name::parse(issuer)?, Name::parse(subject)?);
        Ok(Self {
            der: der.to_vec(),
            sha256: fixed(&Digest::Sha256.compute(der))?,
            sha1: fixed(&Digest::Sha1.compute(der))?,
            subject: subject_name.to_string(),
            issuer: issuer_name.to_string(),
            key_algorithm: key.algorithm().to_owned(),
            key_bits: key.bits(),
            spki_der: canonical_key(spki)?,
            not_before,
            not_after,
            serial,
            issuer_der: issuer.to_der()?,
            may_sign: extensions.may_sign,
            unsupported_critical: extensions.unsupported_critical,
            subject_name,
            issuer_name,
        })
    }

    /// Whether the issuer has this name and gave this serial number, as a PKCS #7 signer refers to it.
    pub(crate) fn is_identified_by(&self, issuer: &Name, serial: &[u8]) -> bool {
        self.serial == serial && self.issuer_name == *issuer
    }

    /// Whether the subject of `other` is this certificate's issuer.
    pub(crate) fn is_issued_by(&self, other: &Self) -> bool {
        self.issuer_name == other.subject_name
    }

    /// Whether it names itself as its issuer.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.issuer_name == self.subject_name
    }
}

struct Extensions {
    may_sign: bool,
    unsupported_critical: Option<String>,
}

impl Extensions {
    /// Reads what follows the public key: unique identifiers, then the extensions.
    fn parse(mut fields: Reader<'_>) -> Result<Self, Fault> {
        let mut found = Self {
            may_sign: true,
            unsupported_critical: None,
        };
        while let Some(field) = fields.next()? {
            if field.is_context(3) {
                let mut list = field.children().universal(SEQUENCE, "extensions")?.children();
                let mut count = 0;
                while let Some(extension) = list.next()? {
                    count += 1;
                    if count > MAX_EXTENSIONS {
                        return Err(malformed(format!("more than {MAX_EXTENSIONS} extensions")));
                    }
                    found.read(extension)?;
                }
            }
        }
        Ok(found)
    }

    fn read(&mut self, extension: Element<'_>) -> Result<(), Fault> {
        extension.expect(SEQUENCE, "extension")?;
        let mut fields = extension.children();
        let oid = fields
            .required("extension identifier")?
            .oid("extension identifier")?;
        let mut value = fields.required("extension value")?;
        let mut critical = false;
        if value.is_universal(BOOLEAN) {
            critical = value.contents.iter().any(|byte| *byte != 0);
            value = fields.required("extension value")?;
        }
        value.expect(OCTET_STRING, "extension value")?;
        if critical && !KNOWN_EXTENSIONS.contains(&oid.as_str()) {
            self.unsupported_critical.get_or_insert_with(|| oid.clone());
        }
        if oid == KEY_USAGE {
            let bits = Element::first(value.contents, "key usage")?.bits("key usage")?;
            let first = bits.first().copied().unwrap_or(0);
            // Bit 0 is digitalSignature, bit 1 nonRepudiation; bits count from the most significant.
            self.may_sign = first & 0xc0 != 0;
        }
        Ok(())
    }
}

fn malformed(why: impl Into<String>) -> Fault {
    Fault::Malformed {
        what: "certificate",
        why: why.into(),
    }
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Fault> {
    bytes
        .try_into()
        .map_err(|_| malformed("a digest of another length"))
}

#[cfg(test)]
mod tests;
