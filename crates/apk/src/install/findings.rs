//! The rules, each with the levels from which on devices hold a file to it.

use std::collections::BTreeSet;

use super::{Finding, FindingCode, Installability, Levels};
use crate::inspect::library_abi;
use crate::manifest::{Details, MANIFEST, Manifest, RESOURCES};
use crate::zip::{Archive, Entry};
use crate::{Schemes, SdkRange, SignerCertificate};

/// From this level on devices may run native libraries out of the file (`extractNativeLibs`).
const FIRST_IN_PLACE: u32 = 23;
/// The level from which on, for apps written for it or later, the resource table is mapped as it is, an
/// application is asked for, and v1 alone is not enough.
const ANDROID_11: u32 = 30;
/// The level from which on, for apps written for it or later, `exported` has to be said.
const ANDROID_12: u32 = 31;
/// The oldest target that devices install from a level on: (level, target).
/// Source: `MIN_INSTALLABLE_TARGET_SDK` of AOSP's `PackageManagerService`.
const OLDEST_TARGETS: [(u32, u32); 2] = [(34, 23), (35, 24)];
/// The entry in which devices look for an app's code.
const CODE: &str = "classes.dex";
/// The first level that runs on devices with pages of 16 KiB.
const FIRST_16K: u32 = 35;
/// How the resource table has to be aligned, in bytes.
const TABLE_ALIGNMENT: u64 = 4;
const PAGE_BYTES: u64 = 4 << 10;
const LARGE_PAGE_BYTES: u64 = 16 << 10;
const ABIS_64: [&str; 3] = ["arm64-v8a", "x86_64", "riscv64"];
const ABIS_32: [&str; 5] = ["armeabi-v7a", "armeabi", "x86", "mips", "mips64"];

/// What the verdict is computed from.
pub(crate) struct Facts<'f> {
    pub(crate) archive: &'f Archive<'f>,
    pub(crate) manifest: &'f Manifest,
    pub(crate) details: &'f Details,
    pub(crate) schemes: Schemes,
    pub(crate) signers: &'f [SignerCertificate],
}

/// Applies all rules.
pub(crate) fn examine(facts: &Facts<'_>) -> Installability {
    let mut findings = Vec::new();
    findings.extend(levels_asked_for(facts.manifest));
    findings.extend(target(facts.manifest));
    findings.extend(elements(facts));
    findings.extend(names(facts.archive));
    findings.extend(code(facts));
    findings.extend(malformed(facts));
    findings.extend(signatures(facts));
    findings.extend(resources(facts));
    findings.extend(libraries(facts));
    findings.extend(abis(facts));
    Installability::new(facts.manifest.min_sdk, findings)
}

fn levels_asked_for(manifest: &Manifest) -> Vec<Finding> {
    let mut findings = Vec::new();
    if manifest.min_sdk > 1 {
        let detail = format!("minSdkVersion is {} (-12)", manifest.min_sdk);
        let levels = Levels::between(1, manifest.min_sdk - 1);
        findings.push(Finding::blocking(
            FindingCode::BelowMinSdk,
            levels,
            MANIFEST,
            detail,
        ));
    }
    if let Some(codename) = &manifest.codename {
        let detail = format!(
            "asks for the release in development \"{codename}\"; released devices refuse it (-12). Build with the \
             SDK of a released level"
        );
        findings.push(Finding::blocking(
            FindingCode::CodenameSdk,
            Levels::ALL,
            MANIFEST,
            detail,
        ));
    }
    if let Some(above) = manifest.max_sdk.and_then(|max| max.checked_add(1)) {
        let detail = format!("maxSdkVersion is {}; stores heed it, devices don't", above - 1);
        findings.push(Finding::note(
            FindingCode::AboveMaxSdk,
            Levels::from(above),
            MANIFEST,
            detail,
        ));
    }
    if manifest.test_only {
        let detail = "marked testOnly: refused unless a developer insists (-15). Build a release variant";
        findings.push(Finding::blocking(
            FindingCode::TestOnly,
            Levels::ALL,
            MANIFEST,
            detail,
        ));
    }
    findings
}

/// A release older than a floor is refused for good; each newer floor takes in the older ones.
fn target(manifest: &Manifest) -> Option<Finding> {
    let target = manifest.target_sdk;
    let (level, oldest) = OLDEST_TARGETS.into_iter().find(|(_, oldest)| target < *oldest)?;
    let detail =
        format!("targetSdkVersion is {target}; devices of level {level} take {oldest} at least (-29)");
    Some(Finding::blocking(
        FindingCode::TargetTooLow,
        Levels::from(level),
        MANIFEST,
        detail,
    ))
}

fn elements(facts: &Facts<'_>) -> Vec<Finding> {
    let (manifest, details) = (facts.manifest, facts.details);
    let mut findings = Vec::new();
    if manifest.target_sdk >= ANDROID_12
        && let Some((first, others)) = details.unsaid.split_first()
    {
        let detail = format!(
            "{first}{} has an intent filter and no android:exported, which targetSdkVersion {} asks for (-108)",
            and_others(others.len()),
            manifest.target_sdk
        );
        let levels = Levels::from(ANDROID_12);
        findings.push(Finding::blocking(
            FindingCode::ExportedMissing,
            levels,
            MANIFEST,
            detail,
        ));
    }
    if manifest.target_sdk >= ANDROID_11 && !manifest.has_application {
        let detail = "neither <application> nor <instrumentation> (-108)";
        let levels = Levels::from(ANDROID_11);
        findings.push(Finding::blocking(
            FindingCode::NoApplication,
            levels,
            MANIFEST,
            detail,
        ));
    }
    findings
}

fn names(archive: &Archive<'_>) -> Option<Finding> {
    let entry = archive.entries().iter().find(|entry| entry.name.contains('\0'))?;
    let detail = "the entry's name contains a NUL, and no device reads such an archive";
    Some(Finding::blocking(
        FindingCode::UnreadableName,
        Levels::ALL,
        &entry.name,
        detail,
    ))
}

/// Source: `ScanPackageUtils.assertCodePolicy` of AOSP, which looks for `classes.dex` and for nothing else.
fn code(facts: &Facts<'_>) -> Option<Finding> {
    if !facts.manifest.has_code || facts.archive.find(CODE).is_some() {
        return None;
    }
    let detail = "there is none, and the manifest does not say hasCode=\"false\": code is missing (-2)";
    Some(Finding::blocking(FindingCode::NoCode, Levels::ALL, CODE, detail))
}

/// What Android's parser of manifests refuses, one finding for each kind.
fn malformed(facts: &Facts<'_>) -> Vec<Finding> {
    let faults = facts.details.faults.iter();
    let told = faults.map(|(fault, (place, count))| {
        let detail = format!("{place}{} {} (-108)", and_others(count - 1), fault.told());
        let levels = Levels::from(fault.first_level());
        Finding::blocking(FindingCode::ManifestMalformed, levels, MANIFEST, detail)
    });
    told.collect()
}

fn signatures(facts: &Facts<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let place = "signatures";
    for levels in unsigned_levels(facts.manifest.min_sdk.max(1), facts.signers) {
        let detail = if facts.signers.is_empty() {
            "not signed".to_owned()
        } else {
            format!("signed with {}, which these levels don't look at", facts.schemes)
        };
        findings.push(Finding::blocking(
            FindingCode::NoKnownSignature,
            levels,
            place,
            detail,
        ));
    }
    let schemes = facts.schemes;
    let only_v1 = schemes.v1 && !schemes.v2 && !schemes.v3 && !schemes.v31;
    if only_v1 && facts.manifest.target_sdk >= ANDROID_11 {
        let detail = format!(
            "signed with v1 alone; targetSdkVersion {} needs v2 or newer",
            facts.manifest.target_sdk
        );
        let levels = Levels::from(ANDROID_11);
        findings.push(Finding::blocking(
            FindingCode::SchemeTooOld,
            levels,
            place,
            detail,
        ));
    }
    findings
}

/// The levels from `from` on that no signer is seen by.
fn unsigned_levels(from: u32, signers: &[SignerCertificate]) -> Vec<Levels> {
    let mut seen: Vec<SdkRange> = signers.iter().map(|signer| signer.sdk).collect();
    seen.sort_unstable_by_key(|range| range.min);
    let (mut next, mut bare) = (from, Vec::new());
    for range in seen {
        if range.min > range.max || range.max < next {
            continue;
        }
        if range.min > next {
            bare.push(Levels::between(next, range.min - 1));
        }
        if range.max >= SdkRange::OPEN {
            return bare;
        }
        next = range.max + 1;
    }
    bare.push(Levels::from(next));
    bare
}

fn resources(facts: &Facts<'_>) -> Option<Finding> {
    let target = facts.manifest.target_sdk;
    let table = facts.archive.find(RESOURCES).filter(|_| target >= ANDROID_11)?;
    let (code, what) = if !table.is_stored() {
        (FindingCode::ResourcesCompressed, "is compressed")
    } else if !table.data.is_multiple_of(TABLE_ALIGNMENT) {
        (
            FindingCode::ResourcesUnaligned,
            "does not start at a multiple of 4 bytes: run zipalign before signing",
        )
    } else {
        return None;
    };
    let detail = format!("{what}, and targetSdkVersion is {target} (-124)");
    Some(Finding::blocking(
        code,
        Levels::from(ANDROID_11),
        RESOURCES,
        detail,
    ))
}

/// Libraries that are to be run out of the file lie in it as they are, at pages. A device looks at those of its
/// own ABI, so a fault of some ABIs is told and blocks only when all have it.
fn libraries(facts: &Facts<'_>) -> Vec<Finding> {
    if facts.manifest.extract_native_libs {
        return Vec::new();
    }
    let entries = facts.archive.entries().iter();
    let libraries: Vec<(&str, &Entry)> = entries
        .filter_map(|entry| Some((library_abi(&entry.name, facts.manifest.debuggable)?, entry)))
        .collect();
    let stored = |entry: &Entry| entry.is_stored();
    let from = Levels::from(FIRST_IN_PLACE);
    let compressed = fault(
        &libraries,
        |entry| !stored(entry),
        |what| {
            let detail = format!("{what} compressed, but extractNativeLibs is false (-2)");
            (FindingCode::LibraryCompressed, from, detail)
        },
    );
    let unaligned = fault(
        &libraries,
        |entry| stored(entry) && !entry.data.is_multiple_of(PAGE_BYTES),
        |what| {
            let detail = format!(
                "{what} not at a page of 4 KiB, but extractNativeLibs is false (-2): run zipalign -p 4"
            );
            (FindingCode::LibraryUnaligned, from, detail)
        },
    );
    let wide: Vec<(&str, &Entry)> = libraries
        .iter()
        .copied()
        .filter(|(abi, _)| ABIS_64.contains(abi))
        .collect();
    let unaligned_16k = fault(
        &wide,
        |entry| {
            stored(entry)
                && entry.data.is_multiple_of(PAGE_BYTES)
                && !entry.data.is_multiple_of(LARGE_PAGE_BYTES)
        },
        |what| {
            let detail =
                format!("{what} not at a page of 16 KiB, as some devices need: run zipalign -P 16 4");
            (FindingCode::LibraryUnaligned16k, Levels::from(FIRST_16K), detail)
        },
    );
    let large = unaligned_16k.map(|finding| Finding {
        blocks: false,
        ..finding
    });
    [compressed, unaligned, large].into_iter().flatten().collect()
}

/// The finding about those libraries that are `wrong`, if there are any.
fn fault(
    libraries: &[(&str, &Entry)],
    wrong: impl Fn(&Entry) -> bool,
    tell: impl FnOnce(&str) -> (FindingCode, Levels, String),
) -> Option<Finding> {
    let of_wrong = libraries.iter().filter(|(_, entry)| wrong(entry));
    let (first, count) = (of_wrong.clone().next()?, of_wrong.clone().count());
    let abis: BTreeSet<&str> = libraries.iter().map(|(abi, _)| *abi).collect();
    let faulty: BTreeSet<&str> = of_wrong.map(|(abi, _)| *abi).collect();
    let (code, levels, detail) = tell(&match count {
        1 => "it is".to_owned(),
        count => format!("it and {} other libraries are", count - 1),
    });
    let finding = Finding::blocking(code, levels, &first.1.name, detail);
    Some(Finding {
        blocks: faulty == abis,
        ..finding
    })
}

fn abis(facts: &Facts<'_>) -> Option<Finding> {
    let names = facts.archive.entries().iter().map(|entry| entry.name.as_str());
    let debuggable = facts.manifest.debuggable;
    let abis: BTreeSet<&str> = names.filter_map(|name| library_abi(name, debuggable)).collect();
    if abis.is_empty() {
        return nested(facts);
    }
    if abis.iter().any(|abi| ABIS_64.contains(abi)) {
        return None;
    }
    let list: Vec<&str> = abis.iter().copied().collect();
    let list = list.join(", ");
    if abis.iter().any(|abi| ABIS_32.contains(abi)) {
        let detail =
            format!("native libraries for {list} only; devices that run 64 bits only refuse it (-113)");
        return Some(Finding::note(FindingCode::Only32Bit, Levels::ALL, "lib/", detail));
    }
    let detail = format!("native libraries for {list}, which is no ABI of Android (-113)");
    Some(Finding::blocking(
        FindingCode::NoKnownAbi,
        Levels::ALL,
        "lib/",
        detail,
    ))
}

/// Libraries in a folder below that of their ABI are none to newer releases, and of no known ABI to older ones. Which
/// release was the first to pass over them is not known for sure, so it is told without blocking.
fn nested(facts: &Facts<'_>) -> Option<Finding> {
    const LAST_TO_MIND: u32 = 33;
    let mut entries = facts.archive.entries().iter();
    let entry = entries.find(|entry| {
        let path = entry
            .name
            .strip_prefix("lib/")
            .and_then(|path| path.rsplit_once('/'));
        path.is_some_and(|(folder, library)| {
            let flat = format!("lib/{}/{library}", folder.replace('/', "-"));
            folder.contains('/') && library_abi(&flat, facts.manifest.debuggable).is_some()
        })
    })?;
    let detail = "in a folder below that of its ABI: newer devices pass over it, older ones may refuse the file (-113)";
    let levels = Levels::between(1, LAST_TO_MIND);
    Some(Finding::note(
        FindingCode::NoKnownAbi,
        levels,
        &entry.name,
        detail,
    ))
}

fn and_others(count: usize) -> String {
    if count == 0 {
        String::new()
    } else {
        format!(" (and {count} more)")
    }
}
