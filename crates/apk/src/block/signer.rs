//! Verifies one signer record: signature, certificate, digests, all but the file's contents.

use super::algorithm::{BlockAlgorithm, to_check};
use super::record::{Pair, SignedData, SignerRecord, place};
use super::{ContentDigest, V2};
use crate::cert::Certificate;
use crate::crypto::{self, Fault, PublicKey};
use crate::{Error, Rule};

/// A signer whose signature over its signed data verifies.
#[derive(Debug)]
pub(crate) struct VerifiedSigner {
    /// `v2 signer #1`.
    pub(crate) place: String,
    /// The signer's own certificate; others in the record mean nothing to devices.
    pub(crate) certificate: Certificate,
    /// Lowest and highest SDK level; v3 and newer only.
    pub(crate) sdk: Option<(u32, u32)>,
    /// The content digests that devices know, by algorithm.
    pub(crate) digests: Vec<(ContentDigest, Vec<u8>)>,
    /// The digests that a verified signature vouches for: those that devices compare.
    pub(crate) vouched: Vec<ContentDigest>,
    /// (id, value) pairs.
    pub(crate) attributes: Vec<(u32, Vec<u8>)>,
    /// Ids of signature algorithms that are not known.
    pub(crate) unknown_algorithms: Vec<u32>,
}

/// A signer while it is verified.
struct Check<'a> {
    id: u32,
    place: String,
    record: &'a SignerRecord<'a>,
}

/// Verifies signer `index` (from zero) of scheme `id` for the levels `min..=max`.
///
/// # Errors
/// [`Error::Signature`] with the rule that is broken; the signer is the place.
pub(crate) fn verify(
    id: u32,
    index: usize,
    record: &SignerRecord<'_>,
    min: u32,
    max: u32,
) -> Result<VerifiedSigner, Error> {
    Check {
        id,
        place: place(id, index),
        record,
    }
    .verify(min, max)
}

impl Check<'_> {
    fn verify(&self, min: u32, max: u32) -> Result<VerifiedSigner, Error> {
        let (min, max) = self.levels(min, max)?;
        let signatures = self.signatures()?;
        let vouched = self.check_signatures(&signatures, min, max)?;
        let data = SignedData::parse(self.id, self.record.signed_data)
            .ok_or_else(|| self.error(Rule::MalformedSigner, "the signed data is cut off"))?;
        if data.sdk != self.record.sdk {
            let detail = format!(
                "signed for levels {:?}, but presented for {:?}",
                data.sdk, self.record.sdk
            );
            return Err(self.error(Rule::SdkRange, detail));
        }
        let certificate = self.certificate(&data)?;
        let digests = self.digests(&data, &signatures)?;
        let attributes = data.attributes().ok_or_else(|| {
            self.error(
                Rule::MalformedAttribute,
                "the list of attributes is cut off, or one of them",
            )
        })?;
        let known = |pair: &&Pair<'_>| BlockAlgorithm::find(pair.id).is_some();
        Ok(VerifiedSigner {
            place: self.place.clone(),
            certificate,
            sdk: data.sdk,
            digests,
            vouched,
            attributes: attributes
                .iter()
                .map(|pair| (pair.id, pair.value.to_vec()))
                .collect(),
            unknown_algorithms: signatures
                .iter()
                .filter(|pair| !known(pair))
                .map(|pair| pair.id)
                .collect(),
        })
    }

    /// The levels whose devices look at this signer: its own in v3, the asked ones in v2.
    fn levels(&self, min: u32, max: u32) -> Result<(u32, u32), Error> {
        match self.record.sdk {
            None => Ok((min, max)),
            // The platform's numbers are signed.
            Some((min, max)) if min > max || max.cast_signed() < 0 => {
                Err(self.error(Rule::SdkRange, format!("levels {min} to {max} are no range")))
            }
            Some(levels) => Ok(levels),
        }
    }

    fn signatures(&self) -> Result<Vec<Pair<'_>>, Error> {
        let signatures = self.record.signatures().ok_or_else(|| {
            self.error(
                Rule::MalformedSigner,
                "the list of signatures is cut off, or one of them",
            )
        })?;
        if signatures.is_empty() {
            return Err(self.error(Rule::NoSignatures, "no signature"));
        }
        Ok(signatures)
    }

    fn check_signatures(
        &self,
        signatures: &[Pair<'_>],
        min: u32,
        max: u32,
    ) -> Result<Vec<ContentDigest>, Error> {
        let chosen = to_check(signatures, min, max).ok_or_else(|| {
            let ids: Vec<String> = signatures
                .iter()
                .map(|pair| format!("{:#06x}", pair.id))
                .collect();
            let detail = format!(
                "level {min} knows none of the signature algorithms {}",
                ids.join(", ")
            );
            self.error(Rule::NoSupportedSignatures, detail)
        })?;
        PublicKey::parse(self.record.public_key)
            .map_err(|fault| self.error(Rule::MalformedPublicKey, fault.to_string()))?;
        let mut vouched = Vec::new();
        for (algorithm, signature) in chosen {
            crypto::verify(
                self.record.public_key,
                algorithm.signature,
                self.record.signed_data,
                signature.value,
            )
            .map_err(|fault| self.signature_fault(algorithm, &fault))?;
            vouched.push(algorithm.content);
        }
        Ok(vouched)
    }

    fn signature_fault(&self, algorithm: BlockAlgorithm, fault: &Fault) -> Error {
        let rule = match fault {
            Fault::Mismatch => Rule::SignatureMismatch,
            Fault::Malformed { .. } => Rule::SignatureMismatch,
            Fault::Unsupported(_) => Rule::MalformedPublicKey,
        };
        self.error(
            rule,
            format!("{} over the signed data: {fault}", algorithm.signature),
        )
    }

    fn certificate(&self, data: &SignedData<'_>) -> Result<Certificate, Error> {
        let encoded = data.certificates().ok_or_else(|| {
            self.error(
                Rule::MalformedSigner,
                "the list of certificates is cut off, or one of them",
            )
        })?;
        let mut parsed = Vec::new();
        for (index, der) in encoded.iter().enumerate() {
            parsed.push(Certificate::parse(der).map_err(|fault| {
                self.error(
                    Rule::MalformedCertificate,
                    format!("certificate #{}: {fault}", index + 1),
                )
            })?);
        }
        let own = parsed
            .into_iter()
            .next()
            .ok_or_else(|| self.error(Rule::NoCertificates, "no certificate"))?;
        // Byte for byte, as the platform compares them.
        if own.spki_der != self.record.public_key {
            let detail = "the certificate is for another key than the one that signed";
            return Err(self.error(Rule::PublicKeyMismatch, detail));
        }
        Ok(own)
    }

    fn digests(
        &self,
        data: &SignedData<'_>,
        signatures: &[Pair<'_>],
    ) -> Result<Vec<(ContentDigest, Vec<u8>)>, Error> {
        let digests = data.digests().ok_or_else(|| {
            self.error(
                Rule::MalformedDigest,
                "the list of digests is cut off, or one of them",
            )
        })?;
        let ids = |pairs: &[Pair<'_>]| pairs.iter().map(|pair| pair.id).collect::<Vec<u32>>();
        if ids(&digests) != ids(signatures) {
            let detail = format!(
                "signatures with algorithms {:x?}, but digests for {:x?}: was one of them taken out?",
                ids(signatures),
                ids(&digests)
            );
            return Err(self.error(Rule::AlgorithmMismatch, detail));
        }
        let known = digests.iter().filter_map(|pair| {
            BlockAlgorithm::find(pair.id).map(|algorithm| (algorithm.content, pair.value.to_vec()))
        });
        Ok(known.collect())
    }

    fn error(&self, rule: Rule, detail: impl Into<String>) -> Error {
        Error::signature(rule, self.place.clone(), detail)
    }
}

/// The v2 attribute that announces a newer scheme, and the scheme's number.
pub(crate) const STRIPPING_PROTECTION: u32 = 0xbeef_f00d;

impl VerifiedSigner {
    /// The `u32` at the start of an attribute's value.
    pub(crate) fn number(&self, value: &[u8]) -> Result<u32, Error> {
        let bytes = value.first_chunk::<4>().ok_or_else(|| {
            Error::signature(
                Rule::MalformedAttribute,
                self.place.clone(),
                "an attribute's value is cut off",
            )
        })?;
        Ok(u32::from_le_bytes(*bytes))
    }

    /// The numbers of the schemes that a v2 signer announces.
    pub(crate) fn announced_schemes(&self) -> Result<Vec<u32>, Error> {
        let values = self
            .attributes
            .iter()
            .filter(|(id, _)| *id == STRIPPING_PROTECTION);
        values.map(|(_, value)| self.number(value)).collect()
    }

    /// Attributes that the scheme `id` gives no meaning to.
    pub(crate) fn unknown_attributes(&self, id: u32) -> impl Iterator<Item = u32> + '_ {
        let known: &[u32] = if id == V2 {
            &[STRIPPING_PROTECTION]
        } else {
            &super::v3::ATTRIBUTES
        };
        self.attributes
            .iter()
            .map(|(id, _)| *id)
            .filter(|id| !known.contains(id))
    }
}
