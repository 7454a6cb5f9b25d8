//! Proof of rotation: certificates, each signed by the key of the one before it.
//!
//! A device that trusts any certificate of a lineage accepts an update signed by the last one. What the
//! earlier ones may still do is said by their capabilities.
//!
//! Source: source.android.com, "APK Signature Scheme v3", "Proof-of-rotation attribute".

use serde::Serialize;

use super::algorithm::BlockAlgorithm;
use crate::bytes::Cursor;
use crate::cert::Certificate;
use crate::crypto;
use crate::{Error, Rule};

const VERSION: u32 = 1;
/// More links than this are refused; each costs a signature check.
const MAX_LINKS: usize = 64;

/// What an earlier certificate of a lineage may still do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Capabilities {
    /// Data of the app installed under it is kept: without this, a device refuses the update.
    pub installed_data: bool,
    /// Apps signed with it may share a user id.
    pub shared_uid: bool,
    /// Apps signed with it hold signature permissions.
    pub permission: bool,
    /// The app may go back to it: whoever holds the old key can take the app over again.
    pub rollback: bool,
    /// Authenticators signed with it are trusted.
    pub auth: bool,
}

impl Capabilities {
    /// What the platform's tools grant unless told otherwise: everything but taking the app back.
    pub const DEFAULT: Self = Self {
        installed_data: true,
        shared_uid: true,
        permission: true,
        rollback: false,
        auth: true,
    };

    /// The flags as a lineage stores them.
    #[cfg(feature = "build")]
    pub(crate) fn flags(self) -> u32 {
        let bits = [
            self.installed_data,
            self.shared_uid,
            self.permission,
            self.rollback,
            self.auth,
        ];
        bits.into_iter()
            .rev()
            .fold(0, |flags, bit| flags << 1 | u32::from(bit))
    }

    pub(crate) fn from_flags(flags: u32) -> Self {
        let set = |bit: u32| flags & bit != 0;
        Self {
            installed_data: set(1),
            shared_uid: set(2),
            permission: set(4),
            rollback: set(8),
            auth: set(16),
        }
    }
}

/// One certificate of a lineage that verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) certificate: Certificate,
    pub(crate) flags: u32,
    /// The algorithm this certificate was signed with, by the one before it.
    signed_with: u32,
    /// The algorithm this certificate signs the next one with.
    signs_with: u32,
    signature: Vec<u8>,
}

/// Reads and verifies the lineage in an attribute of the signer at `place`.
///
/// # Errors
/// [`Rule::Lineage`], naming the link.
pub(crate) fn verify(value: &[u8], place: &str) -> Result<Vec<Link>, Error> {
    let mut cursor = Cursor::new(value);
    match cursor.u32() {
        Some(VERSION) => {}
        Some(version) => return Err(broken(place, format!("lineage of unknown version {version}"))),
        None => return Err(broken(place, "the lineage is cut off")),
    }
    let mut links: Vec<Link> = Vec::new();
    while !cursor.is_empty() {
        let number = links.len() + 1;
        if links.len() == MAX_LINKS {
            return Err(broken(
                place,
                format!("more than {MAX_LINKS} links in the lineage"),
            ));
        }
        let node = cursor.prefixed().and_then(Node::parse);
        let node = node.ok_or_else(|| broken(place, format!("link #{number} is cut off")))?;
        let link = node
            .check(links.last())
            .map_err(|why| broken(place, format!("link #{number}: {why}")))?;
        if links
            .iter()
            .any(|other| other.certificate.der == link.certificate.der)
        {
            return Err(broken(
                place,
                format!("link #{number}: its certificate occurs twice"),
            ));
        }
        links.push(link);
    }
    if links.is_empty() {
        return Err(broken(place, "the lineage is empty"));
    }
    Ok(links)
}

/// Whether the longest of these lineages contains all others from its start.
pub(crate) fn longest<'a>(lineages: &[&'a [Link]], place: &str) -> Result<&'a [Link], Error> {
    // The first of equal length, as the platform's tools choose.
    let longest = lineages
        .iter()
        .rev()
        .max_by_key(|lineage| lineage.len())
        .copied()
        .unwrap_or_default();
    if lineages.iter().all(|lineage| longest.starts_with(lineage)) {
        return Ok(longest);
    }
    Err(broken(place, "the signers' lineages contradict each other"))
}

struct Node<'a> {
    signed: &'a [u8],
    flags: u32,
    signs_with: u32,
    signature: &'a [u8],
}

impl<'a> Node<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        Some(Self {
            signed: cursor.prefixed()?,
            flags: cursor.u32()?,
            signs_with: cursor.u32()?,
            signature: cursor.prefixed()?,
        })
    }

    /// Checks the node against the link before it.
    fn check(&self, parent: Option<&Link>) -> Result<Link, String> {
        let mut cursor = Cursor::new(self.signed);
        let der = cursor.prefixed().ok_or("the certificate is cut off")?;
        let signed_with = cursor.u32().ok_or("the signed algorithm is cut off")?;
        if let Some(parent) = parent {
            let algorithm = BlockAlgorithm::find(parent.signs_with)
                .ok_or_else(|| format!("signed with the unknown algorithm {:#06x}", parent.signs_with))?;
            let key = &parent.certificate.spki_der;
            crypto::verify(key, algorithm.signature, self.signed, self.signature)
                .map_err(|fault| format!("the certificate before it did not sign it: {fault}"))?;
            if signed_with != parent.signs_with {
                return Err("the algorithm it was signed with is not the one that was announced".to_owned());
            }
        }
        let certificate = Certificate::parse(der).map_err(|fault| fault.to_string())?;
        let (flags, signs_with, signature) = (self.flags, self.signs_with, self.signature.to_vec());
        Ok(Link {
            certificate,
            flags,
            signed_with,
            signs_with,
            signature,
        })
    }
}

fn broken(place: &str, detail: impl Into<String>) -> Error {
    Error::signature(Rule::Lineage, place, detail)
}
