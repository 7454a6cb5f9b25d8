//! Signs archives that live in memory, correctly or in the way a test asks for.

use std::sync::OnceLock;

use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use super::super::{Entries, digests};
use crate::ber::{self, BIT_STRING, BOOLEAN, Class, INTEGER, NULL, OCTET_STRING, OID, SEQUENCE, SET};
use crate::crypto::Digest;
use crate::{Error, Rule};

const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
pub(super) const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
pub(super) const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
pub(super) const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
pub(super) const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];

/// An archive in memory.
#[derive(Clone, Default)]
pub(super) struct Memory(pub(super) Vec<(String, Vec<u8>)>);

impl Memory {
    pub(super) fn set(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = bytes,
            None => self.0.push((name.to_owned(), bytes)),
        }
    }

    pub(super) fn text(&self, name: &str) -> String {
        String::from_utf8(self.bytes(name).unwrap().to_vec()).unwrap()
    }

    fn bytes(&self, name: &str) -> Result<&[u8], Error> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found
            .map(|(_, bytes)| bytes.as_slice())
            .ok_or_else(|| Error::archive(Rule::MissingEntry, name, "there is no entry of this name"))
    }
}

impl Entries for Memory {
    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let bytes = self.bytes(name)?;
        if bytes.len() as u64 > limit {
            return Err(Error::archive(Rule::TooLarge, name, "too large"));
        }
        Ok(bytes.to_vec())
    }

    fn digest(&self, name: &str, digests: &[Digest]) -> Result<Vec<Vec<u8>>, Error> {
        let bytes = self.bytes(name)?;
        Ok(digests.iter().map(|digest| digest.compute(bytes)).collect())
    }
}

/// The manifest that covers these entries.
pub(super) fn manifest(entries: &[(&str, &[u8])]) -> String {
    let mut text = String::from("Manifest-Version: 1.0\r\nCreated-By: 1.0 (Tidegate)\r\n\r\n");
    for (name, bytes) in entries {
        text += &format!("Name: {name}\r\nSHA-256-Digest: {}\r\n\r\n", sha256(bytes));
    }
    text
}

/// The signature file that covers a manifest, as a whole and section by section, with more main attributes.
pub(super) fn signature_file(manifest: &str, attributes: &str) -> String {
    let mut text = format!(
        "Signature-Version: 1.0\r\nSHA-256-Digest-Manifest: {}\r\n{attributes}\r\n",
        sha256(manifest.as_bytes())
    );
    for section in manifest.split_inclusive("\r\n\r\n").skip(1) {
        let name = section.lines().next().unwrap();
        text += &format!("{name}\r\nSHA-256-Digest: {}\r\n\r\n", sha256(section.as_bytes()));
    }
    text
}

pub(super) fn sha256(bytes: &[u8]) -> String {
    digests::encode(&Digest::Sha256.compute(bytes))
}

/// An archive with two entries, signed by each of `keys` as `CERT0`, `CERT1` and so on.
pub(super) fn signed(keys: &[&Key], attributes: &str) -> Memory {
    let mut archive = Memory::default();
    archive.set("AndroidManifest.xml", "the binary manifest");
    archive.set("classes.dex", "the code");
    let manifest = manifest(&[
        ("AndroidManifest.xml", b"the binary manifest"),
        ("classes.dex", b"the code"),
    ]);
    archive.set("META-INF/MANIFEST.MF", manifest.clone());
    for (index, key) in keys.iter().enumerate() {
        let file = signature_file(&manifest, attributes);
        archive.set(&format!("META-INF/CERT{index}.EC"), key.block(file.as_bytes()));
        archive.set(&format!("META-INF/CERT{index}.SF"), file);
    }
    archive
}

/// A fresh P-256 key with a certificate of its own.
pub(super) struct Key {
    pair: EcdsaKeyPair,
    name: String,
    extensions: Vec<Vec<u8>>,
    certificate: OnceLock<Vec<u8>>,
}

impl Key {
    pub(super) fn new(name: &str) -> Self {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Self {
            pair,
            name: name.to_owned(),
            extensions: Vec::new(),
            certificate: OnceLock::new(),
        }
    }

    /// With an extension in its certificate.
    pub(super) fn with_extension(mut self, oid: &[u8], critical: bool, value: &[u8]) -> Self {
        let critical = primitive(BOOLEAN, &[if critical { 0xff } else { 0 }]);
        self.extensions.push(sequence(&[
            &primitive(OID, oid),
            &critical,
            &primitive(OCTET_STRING, value),
        ]));
        self
    }

    fn distinguished_name(&self) -> Vec<u8> {
        let attribute = sequence(&[&primitive(OID, COMMON_NAME), &primitive(12, self.name.as_bytes())]);
        sequence(&[&constructed(SET, &[&attribute])])
    }

    /// The certificate, the same one every time although a signature has a random part.
    pub(super) fn certificate(&self) -> Vec<u8> {
        self.certificate.get_or_init(|| self.certify()).clone()
    }

    fn certify(&self) -> Vec<u8> {
        let algorithm = sequence(&[&primitive(OID, ECDSA_SHA256)]);
        let validity = sequence(&[
            &primitive(23, b"200101000000Z"),
            &primitive(24, b"20500101000000Z"),
        ]);
        let key = sequence(&[
            &sequence(&[&primitive(OID, EC_KEY), &primitive(OID, P256)]),
            &primitive(BIT_STRING, &[&[0], self.pair.public_key().as_ref()].concat()),
        ]);
        let extensions: Vec<&[u8]> = self.extensions.iter().map(Vec::as_slice).collect();
        let extensions = context(3, &[&sequence(&extensions)]);
        let name = self.distinguished_name();
        let body = sequence(&[
            &context(0, &[&primitive(INTEGER, &[2])]),
            &primitive(INTEGER, &[7]),
            &algorithm,
            &name,
            &validity,
            &name,
            &key,
            if self.extensions.is_empty() {
                &[]
            } else {
                &extensions
            },
        ]);
        let signature = self.pair.sign(&SystemRandom::new(), &body).unwrap();
        sequence(&[
            &body,
            &algorithm,
            &primitive(BIT_STRING, &[&[0], signature.as_ref()].concat()),
        ])
    }

    /// A signature block over a signature file, without signed attributes.
    pub(super) fn block(&self, file: &[u8]) -> Vec<u8> {
        block(&[&self.certificate()], &[&self.signer_info(file)])
    }

    /// A signature block over these signed attributes.
    pub(super) fn block_over(&self, attributes: &[Vec<u8>]) -> Vec<u8> {
        let parts: Vec<&[u8]> = attributes.iter().map(Vec::as_slice).collect();
        let info = self.signer(&context(0, &parts), &constructed(SET, &parts));
        block(&[&self.certificate()], &[&info])
    }

    pub(super) fn signer_info(&self, file: &[u8]) -> Vec<u8> {
        self.signer(&[], file)
    }

    fn signer(&self, attributes: &[u8], message: &[u8]) -> Vec<u8> {
        let signature = self.pair.sign(&SystemRandom::new(), message).unwrap();
        sequence(&[
            &primitive(INTEGER, &[1]),
            &sequence(&[&self.distinguished_name(), &primitive(INTEGER, &[7])]),
            &sequence(&[&primitive(OID, SHA256), &primitive(NULL, &[])]),
            attributes,
            &sequence(&[&primitive(OID, EC_KEY), &primitive(NULL, &[])]),
            &primitive(OCTET_STRING, signature.as_ref()),
        ])
    }
}

/// A PKCS #7 block.
pub(super) fn block(certificates: &[&[u8]], signers: &[&[u8]]) -> Vec<u8> {
    let data = sequence(&[
        &primitive(INTEGER, &[1]),
        &constructed(SET, &[&sequence(&[&primitive(OID, SHA256)])]),
        &sequence(&[&primitive(OID, DATA)]),
        &context(0, certificates),
        &constructed(SET, signers),
    ]);
    sequence(&[&primitive(OID, SIGNED_DATA), &context(0, &[&data])])
}

/// A signed attribute with these values.
pub(super) fn attribute(oid: &[u8], values: &[Vec<u8>]) -> Vec<u8> {
    let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
    sequence(&[&primitive(OID, oid), &constructed(SET, &values)])
}

pub(super) fn primitive(tag: u32, contents: &[u8]) -> Vec<u8> {
    ber::write(Class::Universal, false, tag, contents)
}

fn constructed(tag: u32, parts: &[&[u8]]) -> Vec<u8> {
    ber::write(Class::Universal, true, tag, &parts.concat())
}

pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    constructed(SEQUENCE, parts)
}

fn context(tag: u32, parts: &[&[u8]]) -> Vec<u8> {
    ber::write(Class::Context, true, tag, &parts.concat())
}
