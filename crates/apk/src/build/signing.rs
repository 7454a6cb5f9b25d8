//! Who signs an APK, with which schemes, and after which rotations.

use super::Error;
use super::key::SigningKey;
use super::lineage::Lineage;
use crate::Scheme;

/// A plan for signing. `Signing::new(&key)` is what a release build needs: schemes v2 and v3.
#[derive(Debug, Clone)]
pub struct Signing<'a> {
    pub(super) signers: Vec<&'a SigningKey>,
    schemes: Vec<Scheme>,
    pub(super) rotation: Option<Rotation<'a>>,
    pub(super) certificate: Option<Vec<u8>>,
    pub(super) public_key: Option<Vec<u8>>,
}

/// The key that took over, and why devices may believe it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rotation<'a> {
    pub(super) key: &'a SigningKey,
    pub(super) lineage: &'a Lineage,
    /// The level from which scheme v3.1 presents the new key; `None` presents it in v3.
    pub(super) from: Option<u32>,
}

impl<'a> Signing<'a> {
    /// Signs with schemes v2 and v3 by one key.
    #[must_use]
    pub fn new(key: &'a SigningKey) -> Self {
        Self {
            signers: vec![key],
            schemes: vec![Scheme::V2, Scheme::V3],
            rotation: None,
            certificate: None,
            public_key: None,
        }
    }

    /// Signs with these schemes instead. v3.1 comes with [`Signing::rotate_from`].
    #[must_use]
    pub fn schemes(mut self, schemes: &[Scheme]) -> Self {
        self.schemes = schemes.to_vec();
        self
    }

    /// Another signer, for schemes v1 and v2; v3 knows only one.
    #[must_use]
    pub fn and(mut self, key: &'a SigningKey) -> Self {
        self.signers.push(key);
        self
    }

    /// Presents `key` in v3, proven by `lineage`; v1 and v2 keep the original key.
    #[must_use]
    pub fn rotate(mut self, key: &'a SigningKey, lineage: &'a Lineage) -> Self {
        self.rotation = Some(Rotation {
            key,
            lineage,
            from: None,
        });
        self
    }

    /// Presents `key` in v3.1 to devices from SDK level `from` on (33 at least), proven by `lineage`;
    /// all others see the original key.
    #[must_use]
    pub fn rotate_from(mut self, from: u32, key: &'a SigningKey, lineage: &'a Lineage) -> Self {
        self.rotation = Some(Rotation {
            key,
            lineage,
            from: Some(from),
        });
        self
    }

    /// Puts these bytes where the signer's certificate belongs, whatever they are: for testing verifiers.
    #[must_use]
    pub fn certificate_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.certificate = Some(bytes.into());
        self
    }

    /// Puts these bytes where the signer's public key belongs, whatever they are: for testing verifiers.
    #[must_use]
    pub fn public_key_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.public_key = Some(bytes.into());
        self
    }

    pub(super) fn uses(&self, scheme: Scheme) -> bool {
        self.schemes.contains(&scheme)
    }

    /// The key that v3 presents unless a rotation says otherwise.
    pub(super) fn original(&self) -> Result<&'a SigningKey, Error> {
        self.signers
            .first()
            .copied()
            .ok_or_else(|| Error::Key("no signer".to_owned()))
    }
}
