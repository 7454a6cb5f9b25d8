//! What a file says about itself, its archive checked and its signatures not.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::block::{self, SignedData, SigningBlock};
use crate::cert::Certificate;
use crate::jar::claimed_signers;
use crate::manifest::Manifest;
use crate::scheme::{FIRST_V2, FIRST_V3, FIRST_V31};
use crate::zip::Archive;
use crate::{Error, Rule, Scheme, Schemes, SdkRange, SignerCertificate, Source};

/// What a file says about itself. The manifest's defaults are filled in as Android does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The application id.
    pub package: String,
    /// `versionCodeMajor << 32 | versionCode`; 0 when the manifest names none.
    pub version_code: i64,
    /// Empty when the manifest names none.
    pub version_name: String,
    /// The lowest SDK level the app runs on.
    pub min_sdk: u32,
    /// The SDK level the app was written for.
    pub target_sdk: u32,
    /// The folders of `lib/` that hold native libraries, sorted; empty for an app without native code.
    pub abis: Vec<String>,
    /// Whether a debugger may attach: not for a fleet.
    pub debuggable: bool,
    /// Whether devices refuse it unless told otherwise: not for a fleet.
    pub test_only: bool,
    /// The schemes whose signatures the file carries.
    pub schemes: Schemes,
    /// Who claims to have signed, newest scheme first. Empty when the file is unsigned.
    pub signers: Vec<SignerCertificate>,
}

impl Inspection {
    /// The claimed signers as a device of this SDK level would see them: one, or several with v1 and v2.
    pub fn signers_at(&self, sdk: u32) -> impl Iterator<Item = &SignerCertificate> {
        self.signers.iter().filter(move |signer| signer.sdk.contains(sdk))
    }
}

/// Reads archive, manifest and claimed signers of an APK. Nothing is verified: see [`crate::verify`].
///
/// Reads the directory, the local headers, the manifest and the signing block, never the whole file.
///
/// # Errors
/// [`Error::Archive`], [`Error::Manifest`], [`Error::Signature`] when the signers cannot even be read, or
/// [`Error::Read`].
pub fn inspect(source: &dyn Source) -> Result<Inspection, Error> {
    let archive = Archive::open(source)?;
    let manifest = Manifest::read(&archive)?;
    told(&archive, &manifest, 1)
}

/// The same of an archive and a manifest that were read, for devices from `sdk` on.
pub(crate) fn told(archive: &Archive<'_>, manifest: &Manifest, sdk: u32) -> Result<Inspection, Error> {
    let (schemes, signers) = claimed(archive, manifest.min_sdk.max(sdk))?;
    Ok(Inspection {
        package: manifest.package.clone(),
        version_code: manifest.version_code,
        version_name: manifest.version_name.clone(),
        min_sdk: manifest.min_sdk,
        target_sdk: manifest.target_sdk,
        abis: abis(archive, manifest.debuggable),
        debuggable: manifest.debuggable,
        test_only: manifest.test_only,
        schemes,
        signers,
    })
}

/// The unpacked bytes of the archive's entry `name`, refused when it declares more than `limit` bytes.
///
/// # Errors
/// [`Error::Archive`], with [`Rule::MissingEntry`] when there is no such entry, or [`Error::Read`].
pub fn read_entry(source: &dyn Source, name: &str, limit: u64) -> Result<Vec<u8>, Error> {
    Archive::open(source)?.read(name, limit)
}

/// How many bytes the archive's deflated entries have when they are inflated, as its directory says. A patch's scratch file
/// holds no more of a base.
///
/// # Errors
/// [`Error::Archive`] or [`Error::Read`].
pub fn inflated_bytes(source: &dyn Source) -> Result<u64, Error> {
    let archive = Archive::open(source)?;
    let deflated = archive.entries().iter().filter(|entry| !entry.is_stored());
    Ok(deflated.map(|entry| entry.unpacked).fold(0, u64::saturating_add))
}

/// The folders of `lib/` with what devices take for a native library.
fn abis(archive: &Archive<'_>, debuggable: bool) -> Vec<String> {
    let names = archive.entries().iter().map(|entry| entry.name.as_str());
    let abis: BTreeSet<&str> = names.filter_map(|name| library_abi(name, debuggable)).collect();
    abis.into_iter().map(str::to_owned).collect()
}

/// The ABI of the native library that an entry of this name is: `lib/<abi>/lib*.so`, and any file there in a
/// debuggable app (`wrap.sh`, `gdbserver`). Devices pass over all others.
///
/// Source: `ValidLibraryPathLastSlash` and `isFilenameSafe` in AOSP's `ApkParsing.cpp`.
pub(crate) fn library_abi(name: &str, debuggable: bool) -> Option<&str> {
    /// `lib/ab/libx.so`.
    const SHORTEST: usize = 14;
    let (abi, library) = name.strip_prefix("lib/")?.split_once('/')?;
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"+,-.=_".contains(&byte);
    let is_library = debuggable || library.starts_with("lib") && library.ends_with(".so");
    let taken = name.len() >= SHORTEST && !library.is_empty() && library.bytes().all(safe) && is_library;
    (taken && is_abi(abi)).then_some(abi)
}

fn is_abi(name: &str) -> bool {
    const MAX_BYTES: usize = 32;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.len() <= MAX_BYTES && name.bytes().all(plain)
}

/// Each scheme's signers, with the levels that would look at them: a level reads the newest scheme it
/// knows and never falls back to an older one that is there too. A scheme that no level from `min_sdk` on
/// looks at may be as broken as it likes.
fn claimed(archive: &Archive<'_>, min_sdk: u32) -> Result<(Schemes, Vec<SignerCertificate>), Error> {
    let (mut schemes, mut signers) = (Schemes::default(), Vec::new());
    let mut below = SdkRange::OPEN;
    if let Ok(block) = SigningBlock::find(archive)? {
        schemes.v32_present = block.contains(block::V32);
        for (id, scheme, first) in [
            (block::V31, Scheme::V31, FIRST_V31),
            (block::V3, Scheme::V3, FIRST_V3),
            (block::V2, Scheme::V2, FIRST_V2),
        ] {
            let Some(value) = block.value(id)? else { continue };
            match scheme {
                Scheme::V31 => schemes.v31 = true,
                Scheme::V3 => schemes.v3 = true,
                _ => schemes.v2 = true,
            }
            let seen = SdkRange {
                min: first,
                max: below,
            };
            let found = match in_block(id, &value, scheme, seen) {
                Err(Error::Signature(_)) if below < min_sdk => continue,
                found => found?,
            };
            // A rotation may start later than its scheme; below it, v3 still counts.
            below = found
                .iter()
                .map(|signer| signer.sdk.min)
                .min()
                .unwrap_or(first)
                .saturating_sub(1);
            signers.extend(found);
        }
    }
    let jar = match claimed_signers(archive) {
        Err(error) if below < min_sdk && !matches!(error, Error::Read(_)) => Vec::new(),
        found => found?,
    };
    schemes.v1 = !jar.is_empty();
    let sdk = SdkRange { min: 1, max: below };
    signers.extend(
        jar.iter()
            .map(|certificate| SignerCertificate::new(Scheme::V1, sdk, certificate)),
    );
    Ok((schemes, signers))
}

fn in_block(id: u32, value: &[u8], scheme: Scheme, seen: SdkRange) -> Result<Vec<SignerCertificate>, Error> {
    let mut found = Vec::new();
    for (index, record) in block::signers(id, value)?.iter().enumerate() {
        let place = || block::place(id, index);
        let data = SignedData::parse(id, record.signed_data)
            .ok_or_else(|| Error::signature(Rule::MalformedSigner, place(), "the signed data is cut off"))?;
        let certificates = data.certificates().unwrap_or_default();
        let der = certificates.first().ok_or_else(|| {
            Error::signature(
                Rule::NoCertificates,
                place(),
                "the signed data holds no certificate",
            )
        })?;
        let certificate = Certificate::parse(der)
            .map_err(|fault| Error::signature(Rule::MalformedCertificate, place(), fault.to_string()))?;
        let (min, max) = record.sdk.unwrap_or((0, SdkRange::OPEN));
        let sdk = SdkRange {
            min: min.max(seen.min),
            max: max.min(seen.max),
        };
        found.push(SignerCertificate::new(scheme, sdk, &certificate));
    }
    Ok(found)
}
