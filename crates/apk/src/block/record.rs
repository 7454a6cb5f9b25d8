//! The records inside a scheme's value: signers, their signed data, and the lists in it.
//!
//! Only lengths are checked here; what the fields mean is the verifier's business.

use super::{V2, V3, V31};
use crate::bytes::Cursor;
use crate::{Error, Rule};

/// The platform's bound on signers, for every scheme.
pub(crate) const MAX_SIGNERS: usize = 10;
/// More entries than this in a signer's lists are refused: real ones have a handful.
const MAX_LIST: usize = 64;

/// One signer: a signature over `signed_data` by `public_key`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignerRecord<'a> {
    pub(crate) signed_data: &'a [u8],
    /// Lowest and highest SDK level; v3 and newer only.
    pub(crate) sdk: Option<(u32, u32)>,
    signatures: &'a [u8],
    pub(crate) public_key: &'a [u8],
}

/// A list entry of the form (algorithm, bytes), or (attribute, bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pair<'a> {
    pub(crate) id: u32,
    pub(crate) value: &'a [u8],
}

/// What a signer signed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SignedData<'a> {
    digests: &'a [u8],
    certificates: &'a [u8],
    /// Lowest and highest SDK level; v3 and newer only.
    pub(crate) sdk: Option<(u32, u32)>,
    attributes: &'a [u8],
}

/// The scheme's name: `v2`, `v3`, `v3.1`.
pub(crate) fn scheme_name(id: u32) -> &'static str {
    match id {
        V2 => "v2",
        V3 => "v3",
        V31 => "v3.1",
        _ => "unknown scheme",
    }
}

/// `v2 signer #1`: how a signer is named in errors. `index` counts from zero.
pub(crate) fn place(id: u32, index: usize) -> String {
    format!("{} signer #{}", scheme_name(id), index + 1)
}

/// The signers in the value of scheme `id`.
///
/// # Errors
/// [`Rule::MalformedSigners`], [`Rule::NoSigners`], [`Rule::TooManySigners`], [`Rule::MalformedSigner`].
pub(crate) fn signers(id: u32, value: &[u8]) -> Result<Vec<SignerRecord<'_>>, Error> {
    let scheme = scheme_name(id);
    let Some(list) = Cursor::new(value).prefixed() else {
        return Err(Error::signature(
            Rule::MalformedSigners,
            scheme,
            "the list of signers is cut off",
        ));
    };
    if list.is_empty() {
        return Err(Error::signature(
            Rule::NoSigners,
            scheme,
            "its list of signers is empty",
        ));
    }
    let mut cursor = Cursor::new(list);
    let mut found = Vec::new();
    while !cursor.is_empty() {
        if found.len() == MAX_SIGNERS {
            let detail = format!("more than {MAX_SIGNERS} signers");
            return Err(Error::signature(Rule::TooManySigners, scheme, detail));
        }
        let signer = cursor.prefixed().and_then(|bytes| SignerRecord::parse(id, bytes));
        found.push(signer.ok_or_else(|| {
            Error::signature(
                Rule::MalformedSigner,
                place(id, found.len()),
                "the record is cut off",
            )
        })?);
    }
    Ok(found)
}

impl<'a> SignerRecord<'a> {
    fn parse(id: u32, bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let signed_data = cursor.prefixed()?;
        let sdk = if id == V2 {
            None
        } else {
            Some((cursor.u32()?, cursor.u32()?))
        };
        Some(Self {
            signed_data,
            sdk,
            signatures: cursor.prefixed()?,
            public_key: cursor.prefixed()?,
        })
    }

    /// (algorithm, signature) pairs; `None` when the list is cut off or too long.
    pub(crate) fn signatures(&self) -> Option<Vec<Pair<'a>>> {
        list(self.signatures, |bytes| {
            let mut cursor = Cursor::new(bytes);
            Some(Pair {
                id: cursor.u32()?,
                value: cursor.prefixed()?,
            })
        })
    }
}

impl<'a> SignedData<'a> {
    /// Splits the signed data of a signer of scheme `id`.
    pub(crate) fn parse(id: u32, bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let (digests, certificates) = (cursor.prefixed()?, cursor.prefixed()?);
        let sdk = if id == V2 {
            None
        } else {
            Some((cursor.u32()?, cursor.u32()?))
        };
        Some(Self {
            digests,
            certificates,
            sdk,
            attributes: cursor.prefixed()?,
        })
    }

    /// (signature algorithm, content digest) pairs.
    pub(crate) fn digests(&self) -> Option<Vec<Pair<'a>>> {
        list(self.digests, |bytes| {
            let mut cursor = Cursor::new(bytes);
            Some(Pair {
                id: cursor.u32()?,
                value: cursor.prefixed()?,
            })
        })
    }

    /// The certificates' encodings, the signer's own first.
    pub(crate) fn certificates(&self) -> Option<Vec<&'a [u8]>> {
        list(self.certificates, Some)
    }

    /// (id, value) pairs.
    pub(crate) fn attributes(&self) -> Option<Vec<Pair<'a>>> {
        list(self.attributes, |bytes| {
            let mut cursor = Cursor::new(bytes);
            Some(Pair {
                id: cursor.u32()?,
                value: cursor.rest(),
            })
        })
    }
}

/// A sequence of length-prefixed items.
fn list<'a, T>(bytes: &'a [u8], item: impl Fn(&'a [u8]) -> Option<T>) -> Option<Vec<T>> {
    let mut cursor = Cursor::new(bytes);
    let mut items = Vec::new();
    while !cursor.is_empty() {
        if items.len() == MAX_LIST {
            return None;
        }
        items.push(item(cursor.prefixed()?)?);
    }
    Some(items)
}
