//! What `AndroidManifest.xml` says about the app, as a device reads it.
//!
//! Android knows an attribute by the resource id of its name. A value may be given directly or as a reference
//! into `resources.arsc`, which is then read. The rules are those of AOSP's `ParsingPackageUtils` and of
//! `ApkLiteParseUtils`, which looks at every file first and reads some attributes in another way: where the two,
//! or the build tools, would differ, the file is refused.

pub(crate) mod chunk;
mod details;
mod faults;
pub(crate) mod known;
mod lookup;
mod names;
mod resources;
mod sdk;
mod strings;
mod value;
mod xml;

pub use details::{Component, ComponentKind, Details, Feature, Library, Permission};

use known::Attribute;
use lookup::{Lookup, wrong_type};
use sdk::Level;
use value::Value;
use xml::{Document, Element, Event};

use crate::format;
use crate::text::visible;
use crate::zip::Archive;
use crate::{Error, Rule};

/// The entry's name.
pub(crate) const MANIFEST: &str = "AndroidManifest.xml";
pub(crate) const RESOURCES: &str = "resources.arsc";
/// The largest manifest that is read, unpacked, in bytes.
const MAX_MANIFEST_BYTES: u64 = 8 << 20;
/// The largest resource table that is read to resolve a reference, in bytes.
const MAX_RESOURCES_BYTES: u64 = 32 << 20;

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
    /// The release in development that it asks for, instead of a level.
    pub(crate) codename: Option<String>,
    pub(crate) max_sdk: Option<u32>,
    pub(crate) target_sandbox: u32,
    pub(crate) debuggable: bool,
    pub(crate) test_only: bool,
    /// Whether devices unpack native libraries instead of running them out of the file.
    pub(crate) extract_native_libs: bool,
    /// Whether there is an `<application>` that has code of its own.
    pub(crate) has_code: bool,
    pub(crate) shared_user: Option<String>,
    /// Whether there is an `<application>` or an `<instrumentation>`.
    pub(crate) has_application: bool,
}

/// Attributes as they were found, before references are resolved.
#[derive(Default)]
struct Raw {
    root_seen: bool,
    package: Option<String>,
    split: Option<String>,
    config_for_split: Option<String>,
    feature_split: Option<Value>,
    split_required: Option<Value>,
    split_types: Option<Value>,
    version_code: Option<Value>,
    version_code_major: Option<Value>,
    version_name: Option<Value>,
    target_sandbox: Option<Value>,
    shared_user: Option<Value>,
    sdk: Option<UsesSdk>,
    application: Option<Application>,
    instrumentation: bool,
}

/// What `<uses-sdk>` says. Of two, Android takes the last and `apksigner` the higher: they have to agree.
#[derive(Default, PartialEq)]
struct UsesSdk {
    min: Option<Value>,
    target: Option<Value>,
    max: Option<Value>,
}

#[derive(Default, PartialEq)]
struct Application {
    debuggable: Option<Value>,
    test_only: Option<Value>,
    extract_native_libs: Option<Value>,
    has_code: Option<Value>,
}

impl Manifest {
    /// Reads the manifest of an archive.
    ///
    /// # Errors
    /// [`Error::Manifest`] when it is malformed or unusable; [`Error::Archive`] when its bytes are, or when the
    /// archive is something else than an APK.
    pub(crate) fn read(archive: &Archive<'_>) -> Result<Self, Error> {
        let bytes = bytes_of(archive)?;
        let load = || archive.read(RESOURCES, MAX_RESOURCES_BYTES);
        Raw::read(&Document::parse(&bytes)?)?.finish(&Lookup::new(&load))
    }

    /// The same with all that is worth telling an operator.
    ///
    /// # Errors
    /// As [`Manifest::read`], and [`Rule::TooLarge`] for more elements than are listed.
    pub(crate) fn read_in_detail(archive: &Archive<'_>) -> Result<(Self, Details), Error> {
        let bytes = bytes_of(archive)?;
        let document = Document::parse(&bytes)?;
        let load = || archive.read(RESOURCES, MAX_RESOURCES_BYTES);
        let lookup = Lookup::new(&load);
        let manifest = Raw::read(&document)?.finish(&lookup)?;
        let details = Details::read(&document, &manifest, &lookup)?;
        Ok((manifest, details))
    }
}

fn bytes_of(archive: &Archive<'_>) -> Result<Vec<u8>, Error> {
    if archive.find(MANIFEST).is_none() {
        return Err(format::without_manifest(archive));
    }
    let bytes = archive.read(MANIFEST, MAX_MANIFEST_BYTES)?;
    match format::of_manifest(&bytes, archive) {
        Some(error) => Err(error),
        None => Ok(bytes),
    }
}

impl Raw {
    fn read(document: &Document<'_>) -> Result<Self, Error> {
        let mut raw = Self::default();
        document.walk(|event| match event {
            Event::Start(element) => raw.take(&element),
            Event::End(_) => Ok(()),
        })?;
        Ok(raw)
    }

    fn take(&mut self, element: &Element<'_>) -> Result<(), Error> {
        match (element.depth, element.name.as_str()) {
            (0, "manifest") if !self.root_seen => {
                self.root_seen = true;
                self.take_root(element)
            }
            (0, _) => {
                let detail = "the outermost element is not <manifest>, or there are two";
                Err(Error::manifest(Rule::MalformedXml, MANIFEST, detail))
            }
            (1, "uses-sdk") => self.take_sdk(element),
            (1, "application") => self.take_application(element),
            (_, "application" | "uses-sdk") => {
                let detail = "inside of another element, where some readers find it and devices don't";
                Err(Error::manifest(
                    Rule::TwoReadings,
                    format!("<{}>", element.name),
                    detail,
                ))
            }
            (1, "instrumentation") => {
                self.instrumentation = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn take_root(&mut self, element: &Element<'_>) -> Result<(), Error> {
        self.package = element.plain("package")?;
        self.split = element.plain("split")?;
        self.config_for_split = element.plain("configForSplit")?;
        for (place, attribute) in [
            (&mut self.version_name, known::VERSION_NAME),
            (&mut self.target_sandbox, known::TARGET_SANDBOX_VERSION),
            (&mut self.shared_user, known::SHARED_USER_ID),
            (&mut self.feature_split, known::IS_FEATURE_SPLIT),
            (&mut self.split_required, known::IS_SPLIT_REQUIRED),
            (&mut self.split_types, known::REQUIRED_SPLIT_TYPES),
        ] {
            *place = element.get(attribute)?;
        }
        self.version_code = element.number(known::VERSION_CODE)?;
        self.version_code_major = element.number(known::VERSION_CODE_MAJOR)?;
        Ok(())
    }

    fn take_sdk(&mut self, element: &Element<'_>) -> Result<(), Error> {
        let found = UsesSdk {
            min: element.level(known::MIN_SDK_VERSION)?,
            target: element.level(known::TARGET_SDK_VERSION)?,
            max: element.get(known::MAX_SDK_VERSION)?,
        };
        check_place(element, found != UsesSdk::default())?;
        if self.sdk.as_ref().is_some_and(|other| *other != found) {
            let detail = "two of them that differ: devices take the last, other readers don't";
            return Err(Error::manifest(Rule::TwoReadings, "<uses-sdk>", detail));
        }
        self.sdk = Some(found);
        Ok(())
    }

    fn take_application(&mut self, element: &Element<'_>) -> Result<(), Error> {
        if self.application.is_some() {
            let detail = "two of them: devices take one and then the other";
            return Err(Error::manifest(Rule::TwoReadings, "<application>", detail));
        }
        let get = |attribute: Attribute| element.get(attribute);
        let found = Application {
            debuggable: get(known::DEBUGGABLE)?,
            test_only: get(known::TEST_ONLY)?,
            extract_native_libs: get(known::EXTRACT_NATIVE_LIBS)?,
            has_code: get(known::HAS_CODE)?,
        };
        // Whether it has code matters to those who find it.
        let bare = Application {
            has_code: found.has_code.clone(),
            ..Application::default()
        };
        check_place(element, found != bare)?;
        self.application = Some(found);
        Ok(())
    }

    fn finish(self, lookup: &Lookup<'_>) -> Result<Manifest, Error> {
        if let Some(value @ Value::Other(_)) = &self.version_name {
            return Err(wrong_type("versionName", value, "a text"));
        }
        let package = self.package()?;
        self.check_whole(lookup)?;
        let sdk = self.sdk.unwrap_or_default();
        let level =
            |value: Option<Value>, name: &str| value.map(|value| sdk::level(&value, name)).transpose();
        let min = level(sdk.min, "minSdkVersion")?;
        let target = level(sdk.target, "targetSdkVersion")?;
        let min_sdk = min.as_ref().map_or(1, |level| level.number);
        let codename = [&min, &target]
            .into_iter()
            .flatten()
            .find_map(|level: &Level| level.codename.clone());
        let code = lookup.integer(self.version_code.as_ref(), "versionCode")?;
        let major = lookup.integer(self.version_code_major.as_ref(), "versionCodeMajor")?;
        let has_application = self.application.is_some() || self.instrumentation;
        let has_code = self
            .application
            .as_ref()
            .is_some_and(|application| has_code(application, lookup));
        let application = self.application.unwrap_or_default();
        Ok(Manifest {
            package,
            version_code: i64::from(major) << 32 | i64::from(code.cast_unsigned()),
            version_name: visible(&lookup.shown(self.version_name.as_ref())?),
            min_sdk,
            target_sdk: target.map_or(min_sdk, |level| level.number),
            codename: codename.map(|name| visible(&name)),
            max_sdk: sdk.max.and_then(|value| u32::try_from(value.integer()?).ok()),
            target_sandbox: lookup
                .integer(self.target_sandbox.as_ref(), "targetSandboxVersion")?
                .max(1)
                .unsigned_abs(),
            debuggable: lookup.boolean(application.debuggable.as_ref(), "debuggable")?,
            test_only: lookup.boolean(application.test_only.as_ref(), "testOnly")?,
            extract_native_libs: application
                .extract_native_libs
                .is_none_or(|value| value.boolean() != Some(false)),
            has_code,
            shared_user: shared_user(self.shared_user.as_ref(), lookup)?,
            has_application,
        })
    }

    fn package(&self) -> Result<String, Error> {
        let Some(package) = &self.package else {
            let detail = "<manifest> does not name it";
            return Err(Error::manifest(Rule::MissingAttribute, "package", detail));
        };
        check_name("package", package)?;
        Ok(package.clone())
    }

    /// One file of a set installs only together with the others, and is refused by itself.
    fn check_whole(&self, lookup: &Lookup<'_>) -> Result<(), Error> {
        let named = self.split.as_ref().filter(|split| !split.is_empty());
        let refuse = |detail: String| Err(Error::manifest(Rule::Split, MANIFEST, detail));
        if let Some(split) = named {
            return refuse(format!(
                "the split {split} of a set, and not an app by itself (-2). {BUILD_UNIVERSAL}"
            ));
        }
        if self
            .config_for_split
            .as_ref()
            .is_some_and(|split| !split.is_empty())
            || lookup.boolean(self.feature_split.as_ref(), "isFeatureSplit")?
        {
            return refuse(format!(
                "a split of a set, and not an app by itself (-2). {BUILD_UNIVERSAL}"
            ));
        }
        // As it is spelled: a reference is no name of a type, and refused as such.
        let types = match &self.split_types {
            None => false,
            Some(Value::Text(types)) => !types.is_empty(),
            Some(_) => true,
        };
        if lookup.boolean(self.split_required.as_ref(), "isSplitRequired")? || types {
            return refuse(format!(
                "the base of a set, which does not install without its splits (-28). {BUILD_UNIVERSAL}"
            ));
        }
        Ok(())
    }
}

/// Behind an element that never ends, the releases of Android differ in whether they find an element. It may stand
/// there as long as it says nothing.
fn check_place(element: &Element<'_>, says_something: bool) -> Result<(), Error> {
    if element.certain || !says_something {
        return Ok(());
    }
    let detail = "behind an element that never ends: some devices read it and others don't";
    Err(Error::manifest(
        Rule::TwoReadings,
        format!("<{}>", element.name),
        detail,
    ))
}

/// Whether `android:hasCode` is true, as it is when it is left out. What is no number is read as text.
fn has_code(application: &Application, lookup: &Lookup<'_>) -> bool {
    match &application.has_code {
        None => true,
        Some(Value::Text(text)) => matches!(text.as_str(), "1" | "true" | "TRUE"),
        value => lookup.boolean_or(value.as_ref(), false),
    }
}

const BUILD_UNIVERSAL: &str =
    "Build one APK for all devices: bundletool build-apks --mode=universal, or assembleRelease";

fn shared_user(value: Option<&Value>, lookup: &Lookup<'_>) -> Result<Option<String>, Error> {
    let name = lookup.shown(value)?;
    if name.is_empty() {
        return Ok(None);
    }
    check_name("sharedUserId", &name)?;
    Ok(Some(name))
}

fn check_name(attribute: &str, name: &str) -> Result<(), Error> {
    names::fault(name).map_or(Ok(()), |fault| {
        let detail = format!("{:?} is no name that devices accept: {fault}", shorten(name));
        Err(Error::manifest(Rule::PackageName, attribute, detail))
    })
}

/// A hostile string must not fill the log.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    text.chars().take(SHOWN).collect()
}
