//! One signer: its block against its signature file, and that file against the manifest.

use std::collections::HashSet;

use super::manifest::{Manifest, Section, Sections, attribute};
use super::pkcs7::{CONTENT_TYPE, MESSAGE_DIGEST, SignedAttributes, SignedData, SignerInfo};
use super::warning::JarWarning;
use super::{Entries, JarSigner, MAX_BLOCK_BYTES, MAX_TEXT_BYTES, META_INF, algorithms, digests, stripping};
use crate::ber::Element;
use crate::cert::Certificate;
use crate::crypto::{self, Algorithm, Fault};
use crate::{Error, Rule, SdkRange};

/// Before Android 4.4 signed attributes were verified over the wrong bytes and their digest not at all.
const SIGNED_ATTRIBUTES_SINCE: u32 = 19;
/// Android 7 tries all signers of a block, and wants the content type among the signed attributes.
const STRICT_SINCE: u32 = 24;
/// The tag that signed attributes are hashed with, instead of the one they are found with.
const SET_TAG: u8 = 0x31;

pub(super) struct Signer {
    block: String,
    file: String,
    text: Manifest,
    certificates: Vec<Certificate>,
    algorithm: Algorithm,
    covered: HashSet<String>,
}

/// A signature over the signature file that verified.
struct Verified {
    certificates: Vec<Certificate>,
    algorithm: Algorithm,
}

impl Signer {
    /// Checks a signature block over its signature file.
    pub(super) fn verify_block(
        entries: &dyn Entries,
        block: &str,
        file: &str,
        range: SdkRange,
    ) -> Result<Self, Error> {
        let block_bytes = entries.read(block, MAX_BLOCK_BYTES)?;
        let file_bytes = entries.read(file, MAX_TEXT_BYTES)?;
        let data = SignedData::parse(&block_bytes)
            .map_err(|fault| Error::signature(Rule::JarMalformed, block, fault.to_string()))?;
        let tried = match (range.min < STRICT_SINCE, data.signers.as_slice()) {
            (_, []) => return Err(Error::signature(Rule::JarSignature, block, "no signer in it")),
            (true, [first, ..]) => std::slice::from_ref(first),
            (false, all) => all,
        };
        let mut verified = None;
        for info in tried {
            // A signer that fails in an orderly way leaves the others their chance; a broken one doesn't.
            let outcome = verify_info(&data, info, &file_bytes, block, range)?;
            verified = verified.or(outcome);
        }
        let Some(Verified {
            certificates,
            algorithm,
        }) = verified
        else {
            let detail = format!("no signature in it is over {file}");
            return Err(Error::signature(Rule::JarSignature, block, detail));
        };
        Ok(Self {
            block: block.to_owned(),
            file: file.to_owned(),
            text: Manifest::parse(file_bytes, file)?,
            certificates,
            algorithm,
            covered: HashSet::new(),
        })
    }

    /// Checks the signature file against the manifest. `Some` reason when devices ignore this signer.
    pub(super) fn verify_file(
        &mut self,
        manifest: &Manifest,
        sections: &Sections<'_>,
        range: SdkRange,
        found: &[u32],
        warnings: &mut Vec<JarWarning>,
    ) -> Result<Option<String>, Error> {
        let main = self.text.main();
        if attribute(main, "Signature-Version").is_none() {
            return Ok(Some(format!("{} has no Signature-Version", self.file)));
        }
        stripping::check(main, &self.file, range, found, warnings)?;
        let by_signtool = attribute(main, "Created-By").is_some_and(|tool| tool.contains("signtool"));
        let whole = self.verify_whole(manifest, by_signtool, range, warnings)?;
        if !by_signtool {
            self.verify_main(manifest, range)?;
        }

        let mut covered = HashSet::with_capacity(self.text.sections().len());
        let mut ignored = None;
        let mut mismatch = None;
        for (index, section) in self.text.sections().iter().enumerate() {
            let Some(name) = section.name.as_deref() else {
                return Ok(Some(format!(
                    "section {} of {} does not name an entry",
                    index + 1,
                    self.file
                )));
            };
            if !covered.insert(name.to_owned()) {
                return Ok(Some(format!("{} has two sections about {name}", self.file)));
            }
            if whole {
                continue;
            }
            match sections.get(name) {
                // Devices drop the signer for this, whatever else is wrong with it.
                None => ignored = Some(format!("META-INF/MANIFEST.MF has no section about {name}")),
                Some(target) => {
                    let checked = self.verify_section(section, name, manifest, target, by_signtool, range);
                    mismatch = mismatch.or(checked.err());
                }
            }
        }
        self.covered = covered;
        match (ignored, mismatch) {
            (None, Some(error)) => Err(error),
            (ignored, _) => Ok(ignored),
        }
    }

    /// Whether the signature file's digest of the whole manifest is there and right.
    fn verify_whole(
        &self,
        manifest: &Manifest,
        by_signtool: bool,
        range: SdkRange,
        warnings: &mut Vec<JarWarning>,
    ) -> Result<bool, Error> {
        let suffix = if by_signtool {
            "-Digest"
        } else {
            "-Digest-Manifest"
        };
        let expected = digests::expected(self.text.main(), suffix, range, &self.file)?;
        if expected.is_empty() {
            warnings.push(JarWarning::NoManifestDigest {
                file: self.file.clone(),
            });
            return Ok(false);
        }
        let mut all = true;
        for expected in expected {
            if expected.digest.compute(manifest.bytes()) != expected.value {
                warnings.push(JarWarning::ManifestDigest {
                    file: self.file.clone(),
                    digest: expected.digest,
                });
                all = false;
            }
        }
        Ok(all)
    }

    fn verify_main(&self, manifest: &Manifest, range: SdkRange) -> Result<(), Error> {
        let suffix = "-Digest-Manifest-Main-Attributes";
        let expected = digests::expected(self.text.main(), suffix, range, &self.file)?;
        match expected
            .iter()
            .find(|expected| expected.digest.compute(manifest.main()) != expected.value)
        {
            Some(wrong) => {
                let detail = format!(
                    "its {} digest of the manifest's main section is wrong",
                    wrong.digest
                );
                Err(Error::signature(Rule::JarSignatureFile, &self.file, detail))
            }
            None => Ok(()),
        }
    }

    fn verify_section(
        &self,
        section: &Section,
        name: &str,
        manifest: &Manifest,
        target: &Section,
        by_signtool: bool,
        range: SdkRange,
    ) -> Result<(), Error> {
        let expected = digests::expected(self.text.text(section), "-Digest", range, name)?;
        if expected.is_empty() {
            let detail = format!(
                "{} has no digest of its section in META-INF/MANIFEST.MF",
                self.file
            );
            return Err(Error::signature(Rule::JarSignatureFile, name, detail));
        }
        let text = manifest.text(target);
        // That tool left the empty line at the end of a section out.
        let text = if by_signtool && text.ends_with(b"\n\n") {
            &text[..text.len() - 1]
        } else {
            text
        };
        match expected
            .iter()
            .find(|expected| expected.digest.compute(text) != expected.value)
        {
            Some(wrong) => {
                let detail = format!(
                    "its section in META-INF/MANIFEST.MF does not have the {} digest that {} says",
                    wrong.digest, self.file
                );
                Err(Error::signature(Rule::JarSignatureFile, name, detail))
            }
            None => Ok(()),
        }
    }

    /// The block's name without its folder.
    pub(super) fn name(&self) -> &str {
        self.block.strip_prefix(META_INF).unwrap_or(&self.block)
    }

    /// Whether the signature file has a section about this entry.
    pub(super) fn covers(&self, entry: &str) -> bool {
        self.covered.contains(entry)
    }

    /// Whether this entry is the signer's block or its signature file.
    pub(super) fn consists_of(&self, entry: &str) -> bool {
        self.block == entry || self.file == entry
    }

    pub(super) fn into_result(self) -> JarSigner {
        JarSigner {
            name: self.name().to_owned(),
            certificates: self.certificates,
            algorithm: self.algorithm,
        }
    }
}

/// Checks one signer of a block. `None` when its signature is simply another one.
fn verify_info(
    data: &SignedData<'_>,
    info: &SignerInfo<'_>,
    file: &[u8],
    block: &str,
    range: SdkRange,
) -> Result<Option<Verified>, Error> {
    let refuse = |rule, detail: String| Err(Error::signature(rule, block, detail));
    let digest = algorithms::digest_from_oid(&info.digest);
    let signature = algorithms::SignatureId::from_oid(&info.algorithm);
    let (Some(digest), Some(signature)) = (digest, signature) else {
        let detail = format!(
            "digest algorithm {} with signature algorithm {}",
            info.digest, info.algorithm
        );
        return refuse(Rule::JarAlgorithm, format!("{detail}: no device knows this pair"));
    };
    let algorithm = signature.algorithm(digest);
    if let [first, rest @ ..] = algorithms::unsupported(digest, signature, range).as_slice() {
        let levels = rest
            .iter()
            .fold(first.to_string(), |list, levels| format!("{list}, {levels}"));
        let detail = format!("digest {digest} under {algorithm} does not verify on SDK levels {levels}");
        return refuse(Rule::JarAlgorithm, detail);
    }
    let Some(certificate) = data.certificate_of(info) else {
        return refuse(
            Rule::JarCertificate,
            "the signer's certificate is not in it".into(),
        );
    };
    if let Some(extension) = &certificate.unsupported_critical {
        let detail = format!("the signer's certificate has the unknown critical extension {extension}");
        return refuse(Rule::JarCertificate, detail);
    }
    if !certificate.may_sign {
        return refuse(
            Rule::JarCertificate,
            "the signer's certificate may not be used for signatures".into(),
        );
    }
    let outcome = match info.signed_attributes {
        Some(attributes) => verify_attributes(data, attributes, &digest.compute(file), range)
            .and_then(|()| verify_message(certificate, algorithm, &retagged(attributes), info.signature)),
        None => verify_message(certificate, algorithm, file, info.signature),
    };
    match outcome {
        Ok(()) => Ok(Some(Verified {
            certificates: data.chain_of(certificate),
            algorithm,
        })),
        Err(Fault::Mismatch) => Ok(None),
        Err(fault) => refuse(Rule::JarSignature, fault.to_string()),
    }
}

fn verify_message(
    certificate: &Certificate,
    algorithm: Algorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Fault> {
    crypto::verify(&certificate.spki_der, algorithm, message, signature)
}

/// Checks what the signed attributes say about the signature file.
fn verify_attributes(
    data: &SignedData<'_>,
    attributes: Element<'_>,
    file_digest: &[u8],
    range: SdkRange,
) -> Result<(), Fault> {
    if range.min < SIGNED_ATTRIBUTES_SINCE {
        return Err(Fault::Unsupported(format!(
            "signed attributes are not safe below SDK level {SIGNED_ATTRIBUTES_SINCE}"
        )));
    }
    let missing = |what: &str| Fault::Malformed {
        what: "signed attributes",
        why: format!("no {what}"),
    };
    let attributes = SignedAttributes::parse(attributes)?;
    if range.max >= STRICT_SINCE {
        let content_type = attributes
            .oid(CONTENT_TYPE)?
            .ok_or_else(|| missing("content type"))?;
        if content_type != data.content_type {
            return Err(Fault::Mismatch);
        }
    }
    let digest = attributes
        .octets(MESSAGE_DIGEST)?
        .ok_or_else(|| missing("message digest"))?;
    if digest == file_digest {
        Ok(())
    } else {
        Err(Fault::Mismatch)
    }
}

/// The bytes that the signature covers: the attributes as found, under the tag of a set. RFC 5652 section 5.4
/// wants them encoded anew as DER; devices don't do that.
fn retagged(attributes: Element<'_>) -> Vec<u8> {
    let mut bytes = attributes.encoded.to_vec();
    if let Some(first) = bytes.first_mut() {
        *first = SET_TAG;
    }
    bytes
}
