//! All that is worth knowing of a file without verifying it: what it says of itself, where it installs, what it
//! asks for and what it weighs.

use serde::{Deserialize, Serialize};

use crate::inspect::{self, Inspection, library_abi};
use crate::install::{self, Facts, Installability};
use crate::manifest::{Details, Manifest, RESOURCES};
use crate::text::visible;
use crate::zip::Archive;
use crate::{Error, Source};

/// A file's own word, and where it installs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Survey {
    /// What the file says about itself.
    pub inspection: Inspection,
    /// What two builds are compared by.
    pub profile: Profile,
}

/// What two builds of a package are compared by, in a form to be stored. A field that a record of an older
/// version lacks is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    /// The application id.
    pub package: String,
    /// `versionCodeMajor << 32 | versionCode`.
    pub version_code: i64,
    /// The version's name.
    pub version_name: String,
    /// The lowest SDK level the app runs on.
    pub min_sdk: u32,
    /// The SDK level the app was written for.
    pub target_sdk: u32,
    /// The highest SDK level that the app names, which devices don't enforce.
    pub max_sdk: Option<u32>,
    /// Whether a debugger may attach.
    pub debuggable: bool,
    /// Whether devices refuse it unless told otherwise.
    pub test_only: bool,
    /// The user that it shares with other apps of its signer.
    pub shared_user: Option<String>,
    /// Who claims to have signed, by SHA-256 of the certificate in hex, newest scheme first, each once.
    pub signers: Vec<String>,
    /// The ABIs that it has native libraries for, sorted.
    pub abis: Vec<String>,
    /// Permissions, features, libraries, exported components.
    #[serde(flatten)]
    pub details: Details,
    /// Native libraries as `<abi>/<name>`, sorted.
    pub native_libraries: Vec<String>,
    /// What it weighs.
    pub sizes: Sizes,
    /// Where it installs.
    #[serde(flatten)]
    pub installability: Installability,
}

/// Sizes in bytes, in the archive: what is downloaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sizes {
    /// The whole file.
    pub file: u64,
    /// `classes*.dex`.
    pub dex: u64,
    /// `lib/`.
    pub native: u64,
    /// `res/` and `resources.arsc`.
    pub resources: u64,
    /// `assets/`.
    pub assets: u64,
    /// All other entries.
    pub other: u64,
}

impl Sizes {
    /// Each part's name and size, the whole file first.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, u64); 6] {
        [
            ("file", self.file),
            ("dex", self.dex),
            ("native", self.native),
            ("resources", self.resources),
            ("assets", self.assets),
            ("other", self.other),
        ]
    }
}

/// Reads a file as [`crate::inspect`] does, and more of its manifest. Nothing is verified.
///
/// # Errors
/// As [`crate::inspect`], and [`crate::Rule::TooLarge`] for a manifest of more than 8,192 permissions, features,
/// libraries and components.
pub fn survey(source: &dyn Source) -> Result<Survey, Error> {
    survey_from(source, 1)
}

/// The same for devices from `sdk` on: a signature that none of them looks at may be as broken as it likes.
///
/// # Errors
/// As [`survey`].
pub fn survey_from(source: &dyn Source, sdk: u32) -> Result<Survey, Error> {
    let archive = Archive::open(source)?;
    let (manifest, details) = Manifest::read_in_detail(&archive)?;
    let inspection = inspect::told(&archive, &manifest, sdk)?;
    let installability = install::examine(&Facts {
        archive: &archive,
        manifest: &manifest,
        details: &details,
        schemes: inspection.schemes,
        signers: &inspection.signers,
    });
    let mut signers: Vec<String> = Vec::new();
    for signer in inspection
        .signers
        .iter()
        .map(crate::SignerCertificate::fingerprint)
    {
        if !signers.contains(&signer) {
            signers.push(signer);
        }
    }
    let profile = Profile {
        package: manifest.package,
        version_code: manifest.version_code,
        version_name: manifest.version_name,
        min_sdk: manifest.min_sdk,
        target_sdk: manifest.target_sdk,
        max_sdk: manifest.max_sdk,
        debuggable: manifest.debuggable,
        test_only: manifest.test_only,
        shared_user: manifest.shared_user,
        signers,
        abis: inspection.abis.clone(),
        details,
        native_libraries: native_libraries(&archive, manifest.debuggable),
        sizes: Sizes::of(&archive, source.len()),
        installability,
    };
    Ok(Survey { inspection, profile })
}

fn native_libraries(archive: &Archive<'_>, debuggable: bool) -> Vec<String> {
    let names = archive.entries().iter().map(|entry| entry.name.as_str());
    let libraries = names.filter(|name| library_abi(name, debuggable).is_some());
    let mut libraries: Vec<String> = libraries
        .filter_map(|name| Some(visible(name.strip_prefix("lib/")?)))
        .collect();
    libraries.sort_unstable();
    libraries
}

impl Sizes {
    fn of(archive: &Archive<'_>, file: u64) -> Self {
        let mut sizes = Self {
            file,
            ..Self::default()
        };
        for entry in archive.entries() {
            *sizes.part(&entry.name) += entry.packed;
        }
        sizes
    }

    fn part(&mut self, name: &str) -> &mut u64 {
        match name.split_once('/') {
            Some(("lib", _)) => &mut self.native,
            Some(("res", _)) => &mut self.resources,
            Some(("assets", _)) => &mut self.assets,
            None if name == RESOURCES => &mut self.resources,
            None if name.starts_with("classes") && name.ends_with(".dex") => &mut self.dex,
            _ => &mut self.other,
        }
    }
}
