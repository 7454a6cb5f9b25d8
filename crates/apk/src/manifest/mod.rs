//! What `AndroidManifest.xml` says about the app.
//!
//! Android knows an attribute by the resource id of its name, never by the name itself, so this reader
//! does too: an attribute that merely looks like `android:debuggable` means nothing. A value may be given
//! directly or as a reference into `resources.arsc`, which is then read.

pub(crate) mod chunk;
mod resources;
mod sdk;
mod strings;
mod value;
mod xml;

use resources::Resources;
use value::Value;
use xml::{Document, Element};

use crate::zip::Archive;
use crate::{Error, Rule};

/// The entry's name.
pub(crate) const MANIFEST: &str = "AndroidManifest.xml";
const RESOURCES: &str = "resources.arsc";
/// The largest manifest that is read, unpacked, in bytes.
const MAX_MANIFEST_BYTES: u64 = 8 << 20;
/// The largest resource table that is read to resolve a reference, in bytes.
const MAX_RESOURCES_BYTES: u64 = 32 << 20;

/// More `<uses-sdk>` elements than this are refused; one is usual.
const MAX_USES_SDK: usize = 16;

// Resource ids of the attributes' names (`R.attr`).
pub(crate) const MIN_SDK_VERSION: u32 = 0x0101_020c;
pub(crate) const VERSION_CODE: u32 = 0x0101_021b;
pub(crate) const VERSION_NAME: u32 = 0x0101_021c;
pub(crate) const DEBUGGABLE: u32 = 0x0101_000f;
pub(crate) const TARGET_SDK_VERSION: u32 = 0x0101_0270;
pub(crate) const TEST_ONLY: u32 = 0x0101_0272;
const TARGET_SANDBOX_VERSION: u32 = 0x0101_054c;
pub(crate) const VERSION_CODE_MAJOR: u32 = 0x0101_0576;

/// The manifest's facts, defaults filled in as Android does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) package: String,
    /// `versionCodeMajor << 32 | versionCode`; 0 when the manifest names none.
    pub(crate) version_code: i64,
    pub(crate) version_name: String,
    /// 1 when the manifest names none.
    pub(crate) min_sdk: u32,
    /// The minimum when the manifest names none.
    pub(crate) target_sdk: u32,
    pub(crate) target_sandbox: u32,
    pub(crate) debuggable: bool,
    pub(crate) test_only: bool,
}

/// Attributes as they were found, before references are resolved.
#[derive(Default)]
struct Raw {
    root_seen: bool,
    package: Option<Value>,
    version_code: Option<Value>,
    version_code_major: Option<Value>,
    version_name: Option<Value>,
    target_sandbox: Option<Value>,
    min_sdk: Vec<Value>,
    target_sdk: Option<Value>,
    debuggable: Option<Value>,
    test_only: Option<Value>,
}

impl Manifest {
    /// Reads the manifest of an archive.
    ///
    /// # Errors
    /// [`Error::Manifest`] when it is missing, malformed or unusable; [`Error::Archive`] when its bytes are.
    pub(crate) fn read(archive: &Archive<'_>) -> Result<Self, Error> {
        if archive.find(MANIFEST).is_none() {
            return Err(Error::manifest(
                Rule::MissingEntry,
                MANIFEST,
                "not in the archive: not an APK",
            ));
        }
        let bytes = archive.read(MANIFEST, MAX_MANIFEST_BYTES)?;
        Self::parse(&bytes, || archive.read(RESOURCES, MAX_RESOURCES_BYTES))
    }

    /// Parses the manifest's bytes; `resources` is only called when an attribute refers to a resource.
    pub(crate) fn parse(
        bytes: &[u8],
        resources: impl FnOnce() -> Result<Vec<u8>, Error>,
    ) -> Result<Self, Error> {
        let mut raw = Raw::default();
        Document::parse(bytes)?.elements(1, |element| raw.take(element))?;
        raw.resolve(resources)?;
        raw.finish()
    }
}

impl Raw {
    fn take(&mut self, element: &Element<'_>) -> Result<(), Error> {
        match (element.depth, element.name.as_str()) {
            (0, "manifest") if !self.root_seen => {
                self.root_seen = true;
                self.package = element.by_name("package")?;
                self.version_code = element.by_id(VERSION_CODE, "versionCode")?;
                self.version_code_major = element.by_id(VERSION_CODE_MAJOR, "versionCodeMajor")?;
                self.version_name = element.by_id(VERSION_NAME, "versionName")?;
                self.target_sandbox = element.by_id(TARGET_SANDBOX_VERSION, "targetSandboxVersion")?;
            }
            (0, _) => {
                let detail = "the outermost element is not <manifest>, or there are two";
                return Err(Error::manifest(Rule::MalformedXml, MANIFEST, detail));
            }
            (1, "uses-sdk") => {
                if self.min_sdk.len() >= MAX_USES_SDK {
                    return Err(Error::manifest(
                        Rule::MalformedXml,
                        "uses-sdk",
                        "too many of them",
                    ));
                }
                self.min_sdk
                    .extend(element.by_id(MIN_SDK_VERSION, "minSdkVersion")?);
                let target = element.by_id(TARGET_SDK_VERSION, "targetSdkVersion")?;
                self.target_sdk = self.target_sdk.take().or(target);
            }
            (1, "application") => {
                let debuggable = element.by_id(DEBUGGABLE, "debuggable")?;
                let test_only = element.by_id(TEST_ONLY, "testOnly")?;
                self.debuggable = self.debuggable.take().or(debuggable);
                self.test_only = self.test_only.take().or(test_only);
            }
            _ => {}
        }
        Ok(())
    }

    /// Replaces references by what they refer to.
    fn resolve(&mut self, resources: impl FnOnce() -> Result<Vec<u8>, Error>) -> Result<(), Error> {
        let single = [
            &mut self.version_code,
            &mut self.version_code_major,
            &mut self.version_name,
            &mut self.target_sandbox,
            &mut self.target_sdk,
            &mut self.debuggable,
            &mut self.test_only,
        ];
        let values = single.into_iter().flatten().chain(self.min_sdk.iter_mut());
        let references: Vec<&mut Value> = values
            .filter(|value| matches!(value, Value::Reference(_)))
            .collect();
        if references.is_empty() {
            return Ok(());
        }
        let bytes = resources()?;
        let table = Resources::parse(&bytes)?;
        for value in references {
            if let Value::Reference(id) = value {
                *value = table.resolve(*id)?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Manifest, Error> {
        let package = match self.package {
            Some(Value::Text(package)) if is_package_name(&package) => package,
            Some(other) => return Err(wrong_type("package", &other, "a package name")),
            None => {
                return Err(Error::manifest(
                    Rule::MissingAttribute,
                    "package",
                    "<manifest> does not name it",
                ));
            }
        };
        let mut min_sdk = 1;
        for value in &self.min_sdk {
            min_sdk = min_sdk.max(sdk::level(value, "minSdkVersion")?);
        }
        let target_sdk = self
            .target_sdk
            .map(|value| sdk::level(&value, "targetSdkVersion"))
            .transpose()?;
        let code = integer(self.version_code.as_ref(), "versionCode")?;
        let major = integer(self.version_code_major.as_ref(), "versionCodeMajor")?;
        Ok(Manifest {
            package,
            version_code: i64::from(major) << 32 | i64::from(code.cast_unsigned()),
            version_name: text(self.version_name.as_ref(), "versionName")?,
            min_sdk,
            target_sdk: target_sdk.unwrap_or(min_sdk),
            target_sandbox: integer(self.target_sandbox.as_ref(), "targetSandboxVersion")?
                .max(1)
                .unsigned_abs(),
            debuggable: boolean(self.debuggable.as_ref(), "debuggable")?,
            test_only: boolean(self.test_only.as_ref(), "testOnly")?,
        })
    }
}

fn integer(value: Option<&Value>, name: &str) -> Result<i32, Error> {
    value.map_or(Ok(0), |value| {
        value.integer().ok_or_else(|| wrong_type(name, value, "a number"))
    })
}

fn boolean(value: Option<&Value>, name: &str) -> Result<bool, Error> {
    value.map_or(Ok(false), |value| {
        value
            .boolean()
            .ok_or_else(|| wrong_type(name, value, "true or false"))
    })
}

fn text(value: Option<&Value>, name: &str) -> Result<String, Error> {
    value.map_or(Ok(String::new()), |value| {
        value.text().ok_or_else(|| wrong_type(name, value, "a text"))
    })
}

fn wrong_type(name: &str, value: &Value, wanted: &str) -> Error {
    Error::manifest(
        Rule::AttributeType,
        name,
        format!("{} is not {wanted}", value.kind()),
    )
}

/// What Android's package parser accepts, roughly: letters, digits, `_` and `.`.
fn is_package_name(name: &str) -> bool {
    const MAX_BYTES: usize = 255;
    !name.is_empty()
        && name.len() <= MAX_BYTES
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'))
        && name
            .split('.')
            .all(|part| part.bytes().next().is_some_and(|first| !first.is_ascii_digit()))
}
