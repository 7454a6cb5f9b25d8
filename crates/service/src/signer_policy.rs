//! Whether a build may follow the builds that its package had before, as far as its signer goes.
//!
//! The first build pins its package. A later one must show every device that it is for the signer that this device
//! trusts already, or a lineage by which that signer hands the app over to the new one. Android would refuse
//! anything else on the device (`INSTALL_FAILED_UPDATE_INCOMPATIBLE`), after the download, on the whole fleet.

use tidegate_apk::Verification;
use tidegate_domain::{PackageName, SdkLevel, SignerFingerprint, SignerRange, Signers};

use crate::{Error, Kind};

/// The first level at which the new build shows a device a signer that it would not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    sdk: SdkLevel,
    pinned: SignerFingerprint,
    got: SignerFingerprint,
}

impl Conflict {
    pub(crate) fn refusal(&self, package: &PackageName) -> Error {
        let Self { sdk, pinned, got } = self;
        let message = format!(
            "{package} is pinned to the signer {pinned}, but a device of API level {sdk} would see {got}, and no \
             lineage leads from the one to the other; sign with the pinned key, or rotate the key with a lineage"
        );
        Error::new(Kind::Conflict, "signer_conflict", message)
    }
}

/// Checks a build that was verified for levels from `verification.range.min` on against its package's pin. Returns
/// the pin that holds afterwards: the build's signers at the levels that it is for, the old pin below them.
pub(crate) fn follow(
    pinned: &Signers,
    signers: &Signers,
    verification: &Verification,
) -> Result<Signers, Conflict> {
    let lowest = verification.range.min;
    for sdk in turning_points(pinned, signers, lowest) {
        let (pinned, got) = (pinned.seen_by(Some(sdk)), signers.seen_by(Some(sdk)));
        if pinned != got && !verification.updates_from(&pinned.0, sdk) {
            return Err(Conflict { sdk, pinned, got });
        }
    }
    Ok(joined(pinned, signers, lowest))
}

/// The levels from `lowest` on at which either side's signer may change.
fn turning_points(pinned: &Signers, signers: &Signers, lowest: SdkLevel) -> Vec<SdkLevel> {
    let both = pinned.ranges().iter().chain(signers.ranges());
    let mut levels: Vec<SdkLevel> = both.map(|range| range.from_sdk.max(lowest)).collect();
    levels.sort_unstable();
    levels.dedup();
    levels
}

fn joined(pinned: &Signers, signers: &Signers, lowest: SdkLevel) -> Signers {
    let below = pinned
        .ranges()
        .iter()
        .filter(|range| range.from_sdk < lowest)
        .map(|range| (range.from_sdk, range.fingerprint));
    let above = signers
        .ranges()
        .iter()
        .filter(|range| range.to_sdk >= lowest)
        .map(|range| (range.from_sdk.max(lowest), range.fingerprint));
    let mut seen: Vec<(SdkLevel, SignerFingerprint)> = below.chain(above).collect();
    seen.dedup_by_key(|(_, fingerprint)| *fingerprint);
    from_turns(&seen).unwrap_or_else(|| signers.clone())
}

/// Signers by the level from which each is seen, ascending. The first is taken to be seen from the lowest level on,
/// so that builds of one signer compare equal whatever their minimum. `None` unless the levels ascend.
pub(crate) fn from_turns(seen: &[(SdkLevel, SignerFingerprint)]) -> Option<Signers> {
    let ends = seen
        .iter()
        .skip(1)
        .map(|(from, _)| from.saturating_sub(1))
        .chain([SdkLevel::MAX]);
    let ranges = seen
        .iter()
        .zip(ends)
        .enumerate()
        .map(|(at, (&(from, fingerprint), to_sdk))| SignerRange {
            fingerprint,
            from_sdk: if at == 0 { 0 } else { from },
            to_sdk,
        });
    Signers::new(ranges.collect()).ok()
}

#[cfg(test)]
mod tests {
    use tidegate_apk::SdkRange;

    use super::*;

    const OLD: SignerFingerprint = SignerFingerprint([1; 32]);
    const NEW: SignerFingerprint = SignerFingerprint([2; 32]);

    fn without_lineage(lowest: u32) -> Verification {
        Verification {
            range: SdkRange::from(lowest),
            schemes: tidegate_apk::Schemes::default(),
            signers: vec![],
            lineage: vec![],
            warnings: vec![],
        }
    }

    fn rotated_at(level: SdkLevel) -> Signers {
        from_turns(&[(24, OLD), (level, NEW)]).unwrap()
    }

    #[test]
    fn another_key_is_refused_at_the_first_level_that_sees_it() {
        let refused = follow(&Signers::one(OLD), &rotated_at(33), &without_lineage(24));
        assert_eq!(
            refused,
            Err(Conflict {
                sdk: 33,
                pinned: OLD,
                got: NEW
            })
        );
        let back = follow(&rotated_at(33), &Signers::one(OLD), &without_lineage(24));
        assert_eq!(
            back,
            Err(Conflict {
                sdk: 33,
                pinned: NEW,
                got: OLD
            })
        );
    }

    #[test]
    fn a_build_for_newer_devices_leaves_the_pin_of_older_ones_alone() {
        let pin = follow(&rotated_at(33), &Signers::one(NEW), &without_lineage(34)).unwrap();
        assert_eq!(pin, rotated_at(33));
        assert!(follow(&rotated_at(33), &Signers::one(NEW), &without_lineage(30)).is_err());
    }
}
