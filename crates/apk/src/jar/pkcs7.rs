//! PKCS #7 `SignedData` (RFC 2315, RFC 5652 section 5) as signature blocks use it. BER is accepted, and what
//! comes after the known fields of a structure is ignored, as Android does.

use std::collections::HashMap;

use crate::ber::{Element, INTEGER, OCTET_STRING, OID, SEQUENCE, SET};
use crate::cert::{Certificate, Name};
use crate::crypto::Fault;

const SIGNED_DATA: &str = "1.2.840.113549.1.7.2";
pub(super) const CONTENT_TYPE: &str = "1.2.840.113549.1.9.3";
pub(super) const MESSAGE_DIGEST: &str = "1.2.840.113549.1.9.4";

/// Signers of one block that are tried; every real one has a single signer.
const MAX_SIGNER_INFOS: usize = 64;
/// Certificates of one block.
const MAX_CERTIFICATES: usize = 256;
/// Signed attributes of one signer.
const MAX_ATTRIBUTES: usize = 64;

pub(super) struct SignedData<'a> {
    /// The type that the signed content is said to have.
    pub(super) content_type: String,
    pub(super) certificates: Vec<Certificate>,
    pub(super) signers: Vec<SignerInfo<'a>>,
}

pub(super) struct SignerInfo<'a> {
    /// Issuer and serial number of the certificate; `None` for ways of naming it that Android doesn't know.
    pub(super) certificate: Option<(Name, Vec<u8>)>,
    pub(super) digest: String,
    pub(super) signed_attributes: Option<Element<'a>>,
    pub(super) algorithm: String,
    pub(super) signature: &'a [u8],
}

fn malformed(why: impl Into<String>) -> Fault {
    Fault::Malformed {
        what: "PKCS #7 block",
        why: why.into(),
    }
}

impl<'a> SignedData<'a> {
    pub(super) fn parse(block: &'a [u8]) -> Result<Self, Fault> {
        let info = Element::first(block, "content info")?;
        info.expect(SEQUENCE, "content info")?;
        let mut fields = info.children();
        let content = fields.required("content type")?.oid("content type")?;
        if content != SIGNED_DATA {
            return Err(malformed(format!("content of type {content}, not signed data")));
        }
        let wrapped = fields
            .optional_context(0)?
            .ok_or_else(|| malformed("no content"))?;
        let data = Element::first(wrapped.contents, "signed data")?;
        data.expect(SEQUENCE, "signed data")?;

        let mut fields = data.children();
        fields.universal(INTEGER, "version")?;
        let mut digests = fields.universal(SET, "digest algorithms")?.children();
        while let Some(digest) = digests.next()? {
            algorithm(digest)?;
        }
        let encapsulated = fields.universal(SEQUENCE, "encapsulated content")?;
        let content_type = encapsulated
            .children()
            .required("content type")?
            .oid("content type")?;
        let certificates = match fields.optional_context(0)? {
            Some(set) => certificates(set)?,
            None => Vec::new(),
        };
        fields.optional_context(1)?;
        let signers = signers(fields.universal(SET, "signers")?)?;
        Ok(Self {
            content_type,
            certificates,
            signers,
        })
    }

    /// The certificate that a signer refers to: the first of that issuer and number.
    pub(super) fn certificate_of(&self, signer: &SignerInfo<'_>) -> Option<&Certificate> {
        let (issuer, serial) = signer.certificate.as_ref()?;
        self.certificates
            .iter()
            .find(|certificate| certificate.is_identified_by(issuer, serial))
    }

    /// `leaf`, then the certificates that issued it, as far as they are here.
    pub(super) fn chain_of(&self, leaf: &Certificate) -> Vec<Certificate> {
        let mut unused: Vec<&Certificate> = self.certificates.iter().collect();
        unused.retain(|certificate| certificate.der != leaf.der);
        let mut chain = vec![leaf.clone()];
        while let Some(last) = chain.last().filter(|last| !last.is_self_issued()) {
            let Some(at) = unused.iter().position(|candidate| last.is_issued_by(candidate)) else {
                break;
            };
            chain.push(unused.remove(at).clone());
        }
        chain
    }
}

fn certificates(set: Element<'_>) -> Result<Vec<Certificate>, Fault> {
    let mut certificates = Vec::new();
    let mut elements = set.children();
    while let Some(element) = elements.next()? {
        if certificates.len() == MAX_CERTIFICATES {
            return Err(malformed(format!("more than {MAX_CERTIFICATES} certificates")));
        }
        certificates.push(Certificate::parse(element.encoded)?);
    }
    Ok(certificates)
}

fn signers(set: Element<'_>) -> Result<Vec<SignerInfo<'_>>, Fault> {
    let mut signers = Vec::new();
    let mut elements = set.children();
    while let Some(element) = elements.next()? {
        if signers.len() == MAX_SIGNER_INFOS {
            return Err(malformed(format!("more than {MAX_SIGNER_INFOS} signers")));
        }
        signers.push(signer(element)?);
    }
    Ok(signers)
}

fn signer(element: Element<'_>) -> Result<SignerInfo<'_>, Fault> {
    element.expect(SEQUENCE, "signer")?;
    let mut fields = element.children();
    fields.universal(INTEGER, "signer version")?;
    let identifier = fields.required("signer identifier")?;
    let certificate = if identifier.is_universal(SEQUENCE) {
        let mut pair = identifier.children();
        let issuer = Name::parse(pair.required("issuer")?)?;
        Some((
            issuer,
            pair.required("serial number")?.integer("serial number")?.to_vec(),
        ))
    } else if identifier.is_context(0) {
        None
    } else {
        return Err(malformed("a signer that names its certificate in no known way"));
    };
    let digest = algorithm(fields.required("digest algorithm")?)?;
    let signed_attributes = fields.optional_context(0)?;
    let algorithm = algorithm(fields.required("signature algorithm")?)?;
    let signature = fields.universal(OCTET_STRING, "signature")?.contents;
    Ok(SignerInfo {
        certificate,
        digest,
        signed_attributes,
        algorithm,
        signature,
    })
}

/// The object identifier of an algorithm; its parameters are ignored.
fn algorithm(element: Element<'_>) -> Result<String, Fault> {
    element.expect(SEQUENCE, "algorithm")?;
    element.children().required("algorithm")?.oid("algorithm")
}

/// The signed attributes of a signer, each with its values.
pub(super) struct SignedAttributes<'a>(HashMap<String, Element<'a>>);

impl<'a> SignedAttributes<'a> {
    pub(super) fn parse(set: Element<'a>) -> Result<Self, Fault> {
        let mut attributes = HashMap::new();
        let mut elements = set.children();
        while let Some(element) = elements.next()? {
            element.expect(SEQUENCE, "signed attribute")?;
            let mut pair = element.children();
            let oid = pair.required("attribute type")?.oid("attribute type")?;
            let values = pair.universal(SET, "attribute values")?;
            if attributes.len() == MAX_ATTRIBUTES {
                return Err(malformed(format!("more than {MAX_ATTRIBUTES} signed attributes")));
            }
            if attributes.insert(oid.clone(), values).is_some() {
                return Err(malformed(format!("the signed attribute {oid} twice")));
            }
        }
        Ok(Self(attributes))
    }

    /// The object identifier that an attribute holds, `None` when it is not there.
    pub(super) fn oid(&self, attribute: &str) -> Result<Option<String>, Fault> {
        match self.single(attribute)? {
            Some(value) if value.is_universal(OID) => value.oid("attribute value").map(Some),
            Some(_) => Err(malformed(format!(
                "the signed attribute {attribute} is no object identifier"
            ))),
            None => Ok(None),
        }
    }

    /// The bytes that an attribute holds, `None` when it is not there.
    pub(super) fn octets(&self, attribute: &str) -> Result<Option<&'a [u8]>, Fault> {
        match self.single(attribute)? {
            Some(value) => {
                value.expect(OCTET_STRING, "attribute value")?;
                Ok(Some(value.contents))
            }
            None => Ok(None),
        }
    }

    fn single(&self, attribute: &str) -> Result<Option<Element<'a>>, Fault> {
        let Some(values) = self.0.get(attribute) else {
            return Ok(None);
        };
        let mut values = values.children();
        let first = values.next()?;
        if values.next()?.is_some() {
            return Err(malformed(format!(
                "the signed attribute {attribute} has several values"
            )));
        }
        Ok(first)
    }
}
