//! Writes a v1 signature: manifest, signature files, PKCS #7 blocks.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Error;
use super::archive::File;
use super::key::SigningKey;
use super::signing::Signing;
use crate::Scheme;
use crate::crypto::Digest;

/// Lines are broken at this many bytes, the line's end not counted (JAR File Specification).
const LINE_BYTES: usize = 70;

// DER of the object identifiers that a signature names.
const OID_SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const OID_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const OID_SHA256: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const OID_RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const OID_ECDSA_SHA256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const NULL: &[u8] = b"\x05\x00";
const VERSION_1: &[u8] = b"\x02\x01\x01";

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const CONTEXT_0: u8 = 0xa0;

/// The entries of a v1 signature over `files` by every signer of the plan.
pub(super) fn sign(files: &[File], plan: &Signing<'_>) -> Result<Vec<File>, Error> {
    let mut manifest = String::from("Manifest-Version: 1.0\r\nCreated-By: 1.0 (Tidegate)\r\n\r\n");
    let mut sections = Vec::new();
    for file in files.iter().filter(|file| !file.name.starts_with("META-INF/")) {
        let section = section(&file.name, &file.bytes);
        manifest.push_str(&section);
        sections.push((file.name.as_str(), section));
    }
    let signature_file = signature_file(&manifest, &sections, plan);
    let mut entries = vec![entry("MANIFEST.MF", manifest.into_bytes())];
    for (index, key) in plan.signers.iter().enumerate() {
        let stem = if index == 0 {
            "CERT".to_owned()
        } else {
            format!("CERT{index}")
        };
        let block = pkcs7(signature_file.as_bytes(), key)?;
        entries.push(entry(&format!("{stem}.SF"), signature_file.clone().into_bytes()));
        entries.push(entry(
            &format!("{stem}.{}", if key.is_rsa() { "RSA" } else { "EC" }),
            block,
        ));
    }
    Ok(entries)
}

fn entry(name: &str, bytes: Vec<u8>) -> File {
    File {
        name: format!("META-INF/{name}"),
        bytes,
        compressed: true,
        aligned: true,
    }
}

fn signature_file(manifest: &str, sections: &[(&str, String)], plan: &Signing<'_>) -> String {
    let mut text = String::from("Signature-Version: 1.0\r\nCreated-By: 1.0 (Tidegate)\r\n");
    let _ = write!(
        text,
        "SHA-256-Digest-Manifest: {}\r\n",
        digest(manifest.as_bytes())
    );
    let newer = [(Scheme::V2, "2"), (Scheme::V3, "3")];
    let newer: Vec<&str> = newer
        .iter()
        .filter(|(scheme, _)| plan.uses(*scheme))
        .map(|(_, id)| *id)
        .collect();
    if !newer.is_empty() {
        let _ = write!(text, "X-Android-APK-Signed: {}\r\n", newer.join(", "));
    }
    text.push_str("\r\n");
    for (name, section_of_manifest) in sections {
        text.push_str(&section(name, section_of_manifest.as_bytes()));
    }
    text
}

fn section(name: &str, contents: &[u8]) -> String {
    format!(
        "{}SHA-256-Digest: {}\r\n\r\n",
        wrapped(&format!("Name: {name}")),
        digest(contents)
    )
}

fn digest(bytes: &[u8]) -> String {
    STANDARD.encode(Digest::Sha256.compute(bytes))
}

/// A header, continued on lines that start with a space where it is too long.
fn wrapped(header: &str) -> String {
    let (mut lines, mut len) = (String::new(), 0);
    for character in header.chars() {
        if len + character.len_utf8() > LINE_BYTES {
            lines.push_str("\r\n ");
            len = 1;
        }
        lines.push(character);
        len += character.len_utf8();
    }
    lines + "\r\n"
}

/// A detached PKCS #7 signature over `message` (RFC 2315), without signed attributes.
fn pkcs7(message: &[u8], key: &SigningKey) -> Result<Vec<u8>, Error> {
    let certificate = key.certificate();
    let digest_algorithm = der(SEQUENCE, &[OID_SHA256, NULL]);
    let signature_algorithm = if key.is_rsa() {
        der(SEQUENCE, &[OID_RSA, NULL])
    } else {
        der(SEQUENCE, &[OID_ECDSA_SHA256])
    };
    let serial = der(INTEGER, &[&certificate.serial]);
    let signer = der(
        SEQUENCE,
        &[
            VERSION_1,
            &der(SEQUENCE, &[&certificate.issuer_der, &serial]),
            &digest_algorithm,
            &signature_algorithm,
            &der(OCTET_STRING, &[&key.sign(message)?]),
        ],
    );
    let signed_data = der(
        SEQUENCE,
        &[
            VERSION_1,
            &der(SET, &[&digest_algorithm]),
            &der(SEQUENCE, &[OID_DATA]),
            &der(CONTEXT_0, &[key.certificate_der()]),
            &der(SET, &[&signer]),
        ],
    );
    Ok(der(
        SEQUENCE,
        &[OID_SIGNED_DATA, &der(CONTEXT_0, &[&signed_data])],
    ))
}

/// One DER element.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let mut bytes = vec![tag];
    let len = contents.len().to_be_bytes();
    let significant = &len[len.iter().position(|byte| *byte != 0).unwrap_or(len.len() - 1)..];
    if contents.len() > 0x7f {
        bytes.push(0x80 | u8::try_from(significant.len()).unwrap_or(0));
    }
    bytes.extend_from_slice(significant);
    bytes.extend(contents);
    bytes
}
