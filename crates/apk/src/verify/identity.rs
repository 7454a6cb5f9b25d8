//! Whom devices see, and whether all schemes mean the same one.

use super::blocks::BlockVerdict;
use crate::block::V3Block;
use crate::cert::Certificate;
use crate::jar::JarVerdict;
use crate::scheme::{FIRST_V2, FIRST_V3, FIRST_V31};
use crate::{Error, Rule, Scheme, SdkRange, SignerCertificate};

/// An update from one level of Android to the next must not turn an app into somebody else's: what older
/// schemes show must be what newer ones show, or the root of the lineage that leads there.
pub(super) fn check(verdict: &BlockVerdict, jar: Option<&JarVerdict>) -> Result<(), Error> {
    let v1: Vec<&Certificate> = jar.map(jar_certificates).unwrap_or_default();
    let v2: Vec<&Certificate> = verdict
        .v2
        .iter()
        .flatten()
        .map(|signer| &signer.certificate)
        .collect();
    if jar.is_some() && verdict.v2.is_some() {
        let missing = |from: &[&Certificate], to: &[&Certificate]| {
            from.iter()
                .find(|one| !to.iter().any(|other| other.der == one.der))
                .map(|one| one.subject.clone())
        };
        if let Some(subject) = missing(&v1, &v2) {
            return Err(mismatch(
                "v2",
                format!("{subject} signed with v1, but not with v2"),
            ));
        }
        if let Some(subject) = missing(&v2, &v1) {
            return Err(mismatch(
                "v1",
                format!("{subject} signed with v2, but not with v1"),
            ));
        }
    }
    let Some(v3) = &verdict.v3 else { return Ok(()) };
    match if jar.is_some() {
        v1.as_slice()
    } else {
        v2.as_slice()
    } {
        [] => Ok(()),
        [past] => check_succession(past, v3, verdict),
        several => {
            let detail = format!(
                "{} signers with older schemes, but v3 knows only one",
                several.len()
            );
            Err(mismatch("v3", detail))
        }
    }
}

fn check_succession(past: &Certificate, v3: &V3Block, verdict: &BlockVerdict) -> Result<(), Error> {
    if let Some(root) = verdict.lineage().first() {
        if root.certificate.der == past.der {
            return Ok(());
        }
        let detail = format!(
            "older schemes are signed by {}, which is not the root of the lineage",
            past.subject
        );
        return Err(mismatch("v3", detail));
    }
    match v3.signers.as_slice() {
        [only] if only.signer.certificate.der == past.der => Ok(()),
        [only] => {
            let newer = &only.signer.certificate.subject;
            let detail = format!(
                "signed by {newer}, older schemes by {}, and no lineage joins them",
                past.subject
            );
            Err(mismatch("v3", detail))
        }
        several => {
            let detail = format!("{} signers and no lineage that joins them", several.len());
            Err(mismatch("v3", detail))
        }
    }
}

fn mismatch(place: &str, detail: String) -> Error {
    Error::signature(Rule::SignerMismatch, place, detail)
}

fn jar_certificates(jar: &JarVerdict) -> Vec<&Certificate> {
    jar.signers
        .iter()
        .filter_map(|signer| signer.certificates.first())
        .collect()
}

/// The signers, newest scheme first, each with the levels of `range` that see it.
pub(super) fn signers(
    range: SdkRange,
    verdict: &BlockVerdict,
    jar: Option<&JarVerdict>,
) -> Vec<SignerCertificate> {
    let mut signers = Vec::new();
    let mut below = range.max;
    for (scheme, first, block) in [
        (Scheme::V31, FIRST_V31, &verdict.v31),
        (Scheme::V3, FIRST_V3, &verdict.v3),
    ] {
        let Some(block) = block else { continue };
        for signer in &block.signers {
            let sdk = SdkRange {
                min: signer.min.max(first).max(range.min),
                max: signer.max.min(below),
            };
            if sdk.min <= sdk.max {
                signers.push(SignerCertificate::new(scheme, sdk, &signer.signer.certificate));
            }
        }
        below = block
            .first_level()
            .unwrap_or(first)
            .max(first)
            .saturating_sub(1)
            .min(below);
    }
    if let Some(v2) = &verdict.v2 {
        let sdk = SdkRange {
            min: range.min.max(FIRST_V2),
            max: below,
        };
        signers.extend(
            v2.iter()
                .map(|signer| SignerCertificate::new(Scheme::V2, sdk, &signer.certificate)),
        );
        below = FIRST_V2 - 1;
    }
    if let Some(jar) = jar {
        let sdk = SdkRange {
            min: range.min,
            max: below,
        };
        let certificates = jar_certificates(jar).into_iter();
        signers.extend(certificates.map(|certificate| SignerCertificate::new(Scheme::V1, sdk, certificate)));
    }
    signers
}
