//! The rules of schemes v3 and v3.1 that go beyond a single signer: SDK ranges, rotation, lineage.
//!
//! Each signer is for a range of SDK levels, and a device sees only the signer of its own. v3.1 exists so
//! that a rotated key can be offered to API 33 and up while older devices, in the v3 block, still see the
//! original one; the two blocks name each other so that neither can be cut off unnoticed.
//!
//! Source: source.android.com, "APK Signature Scheme v3" and "v3.1".

use super::V31;
use super::lineage::{self, Link};
use super::record::scheme_name;
use super::signer::VerifiedSigner;
use crate::scheme::FIRST_V31;
use crate::{Error, Rule, SdkRange};

pub(crate) const PROOF_OF_ROTATION: u32 = 0x3ba0_6f8c;
pub(crate) const ROTATION_MIN_SDK: u32 = 0x559f_8b02;
pub(crate) const TARGETS_DEV_RELEASE: u32 = 0xc2a6_b3ba;
/// The attributes that have a meaning in these schemes.
pub(super) const ATTRIBUTES: [u32; 3] = [PROOF_OF_ROTATION, ROTATION_MIN_SDK, TARGETS_DEV_RELEASE];

/// The signers of a v3 or v3.1 block that obey the scheme's rules.
#[derive(Debug)]
pub(crate) struct V3Block {
    /// In the order of the file.
    pub(crate) signers: Vec<V3Signer>,
    /// The longest lineage, oldest first; empty when no key was rotated.
    pub(crate) lineage: Vec<Link>,
}

/// A signer with the levels it is for.
#[derive(Debug)]
pub(crate) struct V3Signer {
    pub(crate) signer: VerifiedSigner,
    pub(crate) min: u32,
    pub(crate) max: u32,
    lineage: Vec<Link>,
}

impl V3Block {
    /// Applies the rules of scheme `id` to its signers. `rotation` is the level from which a v3.1 block
    /// takes over, when there is one.
    ///
    /// # Errors
    /// [`Rule::Lineage`], [`Rule::SdkRange`], [`Rule::RotationTarget`], [`Rule::Stripped`].
    pub(crate) fn check(
        id: u32,
        signers: Vec<VerifiedSigner>,
        range: SdkRange,
        rotation: Option<u32>,
    ) -> Result<Self, Error> {
        let mut checked = Vec::new();
        for signer in signers {
            checked.push(V3Signer::check(signer, range, rotation)?);
        }
        let block = Self {
            signers: checked,
            lineage: Vec::new(),
        };
        block.check_levels(id, range, rotation)?;
        let lineages: Vec<&[Link]> = block
            .signers
            .iter()
            .map(|signer| signer.lineage.as_slice())
            .filter(|one| !one.is_empty())
            .collect();
        let lineage = lineage::longest(&lineages, scheme_name(id))?.to_vec();
        Ok(Self { lineage, ..block })
    }

    /// The lowest level that any signer is for.
    pub(crate) fn first_level(&self) -> Option<u32> {
        self.signers.iter().map(|signer| signer.min).min()
    }

    /// Ranges must join without gap or overlap, cover what is asked, and lineages may only grow.
    fn check_levels(&self, id: u32, range: SdkRange, rotation: Option<u32>) -> Result<(), Error> {
        let place = scheme_name(id);
        let mut sorted: Vec<&V3Signer> = self.signers.iter().collect();
        sorted.sort_by_key(|signer| signer.max);
        for pair in sorted.windows(2) {
            let (older, newer) = (pair[0], pair[1]);
            // A preview has the number of the release before it, so ranges may meet there.
            let joins = newer.min == older.max.saturating_add(1)
                || (newer.min == older.max && newer.targets_dev_release() && newer.max > older.max);
            if !joins {
                let detail = format!(
                    "signers for levels {} to {} and {} to {} leave a gap or overlap",
                    older.min, older.max, newer.min, newer.max
                );
                return Err(Error::signature(Rule::SdkRange, place, detail));
            }
        }
        let lengths: Vec<usize> = sorted
            .iter()
            .map(|signer| signer.lineage.len())
            .filter(|len| *len > 0)
            .collect();
        if !lengths.is_sorted() {
            let detail = "a signer for newer levels has a shorter lineage than one for older levels";
            return Err(Error::signature(Rule::Lineage, place, detail));
        }
        let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
            return Ok(());
        };
        // v3.1 may start at any level: v3 covers those below it.
        let wanted_min = if id == V31 { range.max } else { range.min };
        let wanted_max = rotation.map_or(range.max, |level| level.saturating_sub(1));
        if first.min > wanted_min || last.max < wanted_max {
            let detail = format!(
                "signed for levels {} to {} only, not for {range}",
                first.min, last.max
            );
            return Err(Error::signature(Rule::SdkRange, place, detail));
        }
        Ok(())
    }
}

impl V3Signer {
    fn check(signer: VerifiedSigner, range: SdkRange, rotation: Option<u32>) -> Result<Self, Error> {
        let (min, max) = signer.sdk.unwrap_or((0, SdkRange::OPEN));
        let mut lineage = Vec::new();
        for (attribute, value) in &signer.attributes {
            match *attribute {
                PROOF_OF_ROTATION => {
                    if !lineage.is_empty() {
                        return Err(Error::signature(Rule::Lineage, signer.place, "two lineages"));
                    }
                    lineage = lineage::verify(value, &signer.place)?;
                }
                ROTATION_MIN_SDK if range.max >= FIRST_V31 => check_rotation(&signer, value, rotation)?,
                _ => {}
            }
        }
        if lineage
            .last()
            .is_some_and(|last| last.certificate.der != signer.certificate.der)
        {
            let detail = "the signer's certificate is not the last one of its lineage";
            return Err(Error::signature(Rule::Lineage, signer.place, detail));
        }
        Ok(Self {
            signer,
            min,
            max,
            lineage,
        })
    }

    fn targets_dev_release(&self) -> bool {
        self.signer
            .attributes
            .iter()
            .any(|(id, _)| *id == TARGETS_DEV_RELEASE)
    }
}

/// A signer that announces a rotation needs the v3.1 block to perform it, from the same level on.
fn check_rotation(signer: &VerifiedSigner, value: &[u8], rotation: Option<u32>) -> Result<(), Error> {
    let announced = signer.number(value)?;
    match rotation {
        Some(level) if level == announced => Ok(()),
        Some(level) => {
            let detail =
                format!("announces a rotation from level {announced}, but v3.1 rotates from level {level}");
            Err(Error::signature(
                Rule::RotationTarget,
                signer.place.clone(),
                detail,
            ))
        }
        None => {
            let detail = format!(
                "announces a rotation from level {announced}, and there is no v3.1 signature: stripped?"
            );
            Err(Error::signature(Rule::Stripped, signer.place.clone(), detail))
        }
    }
}
