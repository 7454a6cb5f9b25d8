//! Makes and signs small APKs, for the demo and for tests, without an Android SDK or Java.
//!
//! What comes out is what the platform's own tools would make: a binary manifest, aligned entries, a
//! signing block of whole pages. Devices accept it; the app has no code.
//!
//! ```
//! # use tidegate_apk::build::{ApkBuilder, SigningKey};
//! let key = SigningKey::generate("Example release")?;
//! let apk = ApkBuilder::new("com.example.app", 7)
//!     .version_name("1.2")
//!     .lib("arm64-v8a", "libexample.so", vec![0; 100])
//!     .sign(&key)?;
//! assert_eq!(tidegate_apk::inspect(&apk).unwrap().version_code, 7);
//! # Ok::<(), tidegate_apk::build::Error>(())
//! ```

mod archive;
mod block;
mod jar;
mod key;
mod lineage;
mod manifest;
mod resource;
mod signing;

pub use key::SigningKey;
pub use lineage::Lineage;
pub use manifest::ManifestForm;
pub use resource::{Spelling, XmlAttribute, XmlElement, XmlValue};
pub use signing::Signing;

use crate::Scheme;
use archive::File;
use manifest::Manifest;

/// Why an APK could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key could not be made, read or used.
    #[error("signing key: {0}")]
    Key(String),
    /// The archive could not be written.
    #[error("writing the archive: {0}")]
    Write(String),
}

/// An APK in the making. Every setting has a default.
#[derive(Debug, Clone)]
pub struct ApkBuilder {
    manifest: Manifest,
    files: Vec<File>,
    raw_manifest: Option<Vec<u8>>,
}

impl ApkBuilder {
    /// An app of this package and version code (the upper half becomes `versionCodeMajor`), for SDK 24 and
    /// up, written for SDK 34.
    #[must_use]
    pub fn new(package: &str, version_code: i64) -> Self {
        let manifest = Manifest {
            package: package.to_owned(),
            version_code,
            version_name: version_code.to_string(),
            min_sdk: Some(24),
            target_sdk: Some(34),
            debuggable: false,
            test_only: false,
            form: ManifestForm::default(),
            utf8: false,
            resources: Vec::new(),
        };
        Self {
            manifest,
            files: Vec::new(),
            raw_manifest: None,
        }
    }

    /// The version's name; the version code by default.
    #[must_use]
    pub fn version_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.manifest.version_name);
        self
    }

    /// The lowest SDK level; `None` leaves it out of the manifest.
    #[must_use]
    pub fn min_sdk(mut self, level: impl Into<Option<u32>>) -> Self {
        self.manifest.min_sdk = level.into();
        self
    }

    /// The SDK level it is written for; `None` leaves it out of the manifest.
    #[must_use]
    pub fn target_sdk(mut self, level: impl Into<Option<u32>>) -> Self {
        self.manifest.target_sdk = level.into();
        self
    }

    /// Whether a debugger may attach.
    #[must_use]
    pub fn debuggable(mut self, yes: bool) -> Self {
        self.manifest.debuggable = yes;
        self
    }

    /// Whether devices are to refuse it unless told otherwise.
    #[must_use]
    pub fn test_only(mut self, yes: bool) -> Self {
        self.manifest.test_only = yes;
        self
    }

    /// How the manifest writes its values.
    #[must_use]
    pub fn manifest_form(mut self, form: ManifestForm) -> Self {
        self.manifest.form = form;
        self
    }

    /// Writes the manifest's strings in UTF-8 instead of UTF-16.
    #[must_use]
    pub fn utf8_strings(mut self) -> Self {
        self.manifest.utf8 = true;
        self
    }

    /// Adds a resource to `resources.arsc`, with a value for the default configuration and one for each further
    /// language. The first has the id `0x7f01_0000`, the next one more, and so on.
    #[must_use]
    pub fn resource(mut self, values: &[XmlValue]) -> Self {
        self.manifest.resources.push(values.to_vec());
        self
    }

    /// The elements of the manifest as it is by now, to be changed and given back to
    /// [`ApkBuilder::manifest_tree`].
    #[must_use]
    pub fn tree(&self) -> XmlElement {
        self.manifest.tree().0
    }

    /// Uses these elements as the manifest; what is set otherwise doesn't count any more.
    #[must_use]
    pub fn manifest_tree(self, root: &XmlElement) -> Self {
        let bytes = resource::document(root, self.manifest.utf8);
        self.raw_manifest(bytes)
    }

    /// Changes the elements of the manifest as it is by now.
    #[must_use]
    pub fn edit_manifest(self, edit: impl FnOnce(&mut XmlElement)) -> Self {
        let mut root = self.tree();
        edit(&mut root);
        self.manifest_tree(&root)
    }

    /// Uses these bytes as the manifest, whatever they are.
    #[must_use]
    pub fn raw_manifest(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.raw_manifest = Some(bytes.into());
        self
    }

    /// Adds an entry, compressed where that helps.
    #[must_use]
    pub fn file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push(File {
            name: name.to_owned(),
            bytes: bytes.into(),
            compressed: true,
            aligned: true,
        });
        self
    }

    /// Adds an entry as it is.
    #[must_use]
    pub fn stored_file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push(File {
            name: name.to_owned(),
            bytes: bytes.into(),
            compressed: false,
            aligned: true,
        });
        self
    }

    /// Adds an entry as it is, at a place from which devices can't map it.
    #[must_use]
    pub fn unaligned_file(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push(File {
            name: name.to_owned(),
            bytes: bytes.into(),
            compressed: false,
            aligned: false,
        });
        self
    }

    /// Adds a native library: `lib/<abi>/<name>`, stored and page-aligned.
    #[must_use]
    pub fn lib(self, abi: &str, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.stored_file(&format!("lib/{abi}/{name}"), bytes)
    }

    /// Adds `assets/padding.bin` of so many bytes, incompressible and the same every time.
    #[must_use]
    pub fn padding(self, bytes: usize) -> Self {
        self.stored_file("assets/padding.bin", noise(bytes))
    }

    /// The APK without any signature.
    #[must_use]
    pub fn unsigned(self) -> Vec<u8> {
        archive::write(&self.contents()).join(&[])
    }

    /// The APK signed with schemes v2 and v3, good from SDK 24 on.
    ///
    /// # Errors
    /// [`Error::Key`] when signing fails.
    pub fn sign(self, key: &SigningKey) -> Result<Vec<u8>, Error> {
        self.sign_with(key, &[Scheme::V2, Scheme::V3])
    }

    /// The APK signed with the given schemes.
    ///
    /// # Errors
    /// [`Error::Key`] when signing fails.
    pub fn sign_with(self, key: &SigningKey, schemes: &[Scheme]) -> Result<Vec<u8>, Error> {
        self.sign_as(&Signing::new(key).schemes(schemes))
    }

    /// The APK signed as planned.
    ///
    /// # Errors
    /// [`Error::Key`] when signing fails.
    pub fn sign_as(self, plan: &Signing<'_>) -> Result<Vec<u8>, Error> {
        let mut files = self.contents();
        if plan.uses(Scheme::V1) {
            files.extend(jar::sign(&files, plan)?);
        }
        let halves = archive::write(&files);
        let block = block::sign(&halves, plan)?;
        Ok(halves.join(&block))
    }

    fn contents(self) -> Vec<File> {
        let (manifest, resources) = self.manifest.write();
        let file = |name: &str, bytes, compressed| File {
            name: name.to_owned(),
            bytes,
            compressed,
            aligned: true,
        };
        let mut files = vec![file(
            "AndroidManifest.xml",
            self.raw_manifest.unwrap_or(manifest),
            true,
        )];
        // Devices from SDK 30 on want the table as it is.
        files.extend(resources.map(|bytes| file("resources.arsc", bytes, false)));
        files.extend(self.files);
        files
    }
}

/// Bytes that do not compress, from a xorshift generator with a fixed start.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
