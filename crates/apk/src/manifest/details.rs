//! What an operator wants to know of an app before it goes out: permissions, features, libraries, components.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::faults::{self, Faults};
use super::known;
use super::lookup::Lookup;
use super::value::Value;
use super::xml::{Document, Element, Event};
use super::{MANIFEST, Manifest};
use crate::text::visible;
use crate::{Error, Rule};

/// The most elements that are listed, all kinds together; the largest apps have some thousands.
const MAX_ITEMS: usize = 8192;
/// A provider is exported by default in apps that were written for an older level than this.
const PROVIDER_PRIVATE: u32 = 17;

/// A permission that the app asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Permission {
    /// `android.permission.CAMERA`.
    pub name: String,
    /// The last SDK level that it is asked for on, when there is one.
    pub max_sdk: Option<u32>,
}

/// A feature of devices that the app uses. Android does not enforce it; stores do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Feature {
    /// `android.hardware.camera`, or `OpenGL ES 3.1`.
    pub name: String,
    /// Whether the app is of no use without it.
    pub required: bool,
}

/// A library of the device's, or of another app's, that the app uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Library {
    /// `org.apache.http.legacy`, `libOpenCL.so`.
    pub name: String,
    /// Whether devices without it refuse the app.
    pub required: bool,
}

/// What kind of component it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ComponentKind {
    /// `<activity>`.
    Activity,
    /// `<activity-alias>`.
    ActivityAlias,
    /// `<service>`.
    Service,
    /// `<receiver>`.
    Receiver,
    /// `<provider>`.
    Provider,
}

/// A component that other apps may use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Component {
    /// Its kind.
    pub kind: ComponentKind,
    /// Its class, with the package.
    pub name: String,
    /// The permission that they need for it.
    pub permission: Option<String>,
}

/// With the last level that it is asked for on.
impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match self.max_sdk {
            Some(level) => write!(f, " (up to API level {level})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        optional(f, &self.name, self.required)
    }
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        optional(f, &self.name, self.required)
    }
}

fn optional(f: &mut fmt::Formatter<'_>, name: &str, required: bool) -> fmt::Result {
    f.write_str(name)?;
    f.write_str(if required { "" } else { " (not required)" })
}

/// As the manifest's element has it.
impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Activity => "activity",
            Self::ActivityAlias => "activity-alias",
            Self::Service => "service",
            Self::Receiver => "receiver",
            Self::Provider => "provider",
        })
    }
}

/// With its kind, and who may use it.
impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)?;
        match &self.permission {
            Some(permission) => write!(f, " (needs {permission})"),
            None => f.write_str(" (for every app)"),
        }
    }
}

/// The manifest's lists, each sorted and without doubles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Details {
    /// Permissions that it asks for.
    pub permissions: Vec<Permission>,
    /// Permissions that it declares, and owns where no other app does.
    pub declared_permissions: Vec<String>,
    /// Features that it uses.
    pub features: Vec<Feature>,
    /// Libraries that it uses.
    pub libraries: Vec<Library>,
    /// Components that other apps may use.
    pub exported: Vec<Component>,
    /// Components that have an intent filter and don't say whether they are exported.
    #[serde(skip)]
    pub(crate) unsaid: Vec<String>,
    /// What Android's parser refuses.
    #[serde(skip)]
    pub(crate) faults: Faults,
}

/// A component whose end was not yet reached.
struct Open {
    kind: ComponentKind,
    name: String,
    exported: Option<Value>,
    permission: Option<String>,
    /// Whether it has an intent filter that counts.
    filtered: bool,
}

struct Reader<'r> {
    manifest: &'r Manifest,
    lookup: &'r Lookup<'r>,
    /// Whether some element never ends, so that nothing is known to contain anything.
    flat: bool,
    details: Details,
    items: usize,
    open: Option<Open>,
}

impl Details {
    pub(super) fn read(
        document: &Document<'_>,
        manifest: &Manifest,
        lookup: &Lookup<'_>,
    ) -> Result<Self, Error> {
        let mut reader = Reader {
            manifest,
            lookup,
            flat: document.is_unclosed(),
            details: Self::default(),
            items: 0,
            open: None,
        };
        document.walk(|event| match event {
            Event::Start(element) => reader.start(&element),
            Event::End(depth) => {
                if depth == 2 {
                    reader.close();
                }
                Ok(())
            }
        })?;
        reader.close();
        let mut details = reader.details;
        details.sort();
        // Behind the reader above, which bounds the number of components.
        details.faults = faults::read(document, manifest)?;
        Ok(details)
    }

    fn sort(&mut self) {
        fn tidy<T: Ord>(list: &mut Vec<T>) {
            list.sort_unstable();
            list.dedup();
        }
        tidy(&mut self.permissions);
        tidy(&mut self.declared_permissions);
        tidy(&mut self.exported);
        tidy(&mut self.unsaid);
        // What is required once is required.
        let features: BTreeMap<String, bool> =
            merged(self.features.drain(..).map(|one| (one.name, one.required)));
        let libraries: BTreeMap<String, bool> =
            merged(self.libraries.drain(..).map(|one| (one.name, one.required)));
        self.features = features
            .into_iter()
            .map(|(name, required)| Feature { name, required })
            .collect();
        self.libraries = libraries
            .into_iter()
            .map(|(name, required)| Library { name, required })
            .collect();
    }
}

fn merged(list: impl Iterator<Item = (String, bool)>) -> BTreeMap<String, bool> {
    let mut merged = BTreeMap::new();
    for (name, required) in list {
        *merged.entry(name).or_default() |= required;
    }
    merged
}

impl Reader<'_> {
    fn start(&mut self, element: &Element<'_>) -> Result<(), Error> {
        let at = |depth: usize| self.flat || element.depth == depth;
        match element.name.as_str() {
            "uses-permission" | "uses-permission-sdk-23" | "uses-permission-sdk-m" if at(1) => {
                self.permission(element)
            }
            "permission" if at(1) => {
                let name = self.name(element)?;
                self.details.declared_permissions.extend(name);
                Ok(())
            }
            "uses-feature" if at(1) => self.feature(element),
            "uses-library" | "uses-native-library" | "uses-static-library" if at(2) => self.library(element),
            "activity" if at(2) => self.component(ComponentKind::Activity, element),
            "activity-alias" if at(2) => self.component(ComponentKind::ActivityAlias, element),
            "service" if at(2) => self.component(ComponentKind::Service, element),
            "receiver" if at(2) => self.component(ComponentKind::Receiver, element),
            "provider" if at(2) => self.component(ComponentKind::Provider, element),
            // Of a service any filter counts, of others one with an action.
            "intent-filter" if at(3) => {
                if let Some(open) = &mut self.open {
                    open.filtered |= open.kind == ComponentKind::Service;
                }
                Ok(())
            }
            "action" if at(4) => {
                if let Some(open) = &mut self.open {
                    open.filtered = true;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn permission(&mut self, element: &Element<'_>) -> Result<(), Error> {
        let Some(name) = self.name(element)? else {
            return Ok(());
        };
        let max_sdk = element
            .get(known::MAX_SDK_VERSION)?
            .and_then(|value| value.integer());
        let max_sdk = max_sdk.and_then(|level| u32::try_from(level).ok());
        self.details.permissions.push(Permission { name, max_sdk });
        Ok(())
    }

    fn feature(&mut self, element: &Element<'_>) -> Result<(), Error> {
        let required = self.required(element)?;
        let name = match (self.name(element)?, element.get(known::GL_ES_VERSION)?) {
            (Some(name), _) => name,
            (None, Some(Value::Integer(version))) => {
                format!("OpenGL ES {}.{}", version >> 16 & 0xffff, version & 0xffff)
            }
            _ => return Ok(()),
        };
        self.details.features.push(Feature { name, required });
        Ok(())
    }

    fn library(&mut self, element: &Element<'_>) -> Result<(), Error> {
        let required = element.name == "uses-static-library" || self.required(element)?;
        if let Some(name) = self.name(element)? {
            self.details.libraries.push(Library { name, required });
        }
        Ok(())
    }

    fn component(&mut self, kind: ComponentKind, element: &Element<'_>) -> Result<(), Error> {
        self.close();
        let Some(name) = self.name(element)? else {
            return Ok(());
        };
        self.open = Some(Open {
            kind,
            name: class_name(&self.manifest.package, name),
            exported: element.get(known::EXPORTED)?,
            permission: text(element.get(known::PERMISSION)?),
            filtered: false,
        });
        Ok(())
    }

    /// Judges the component that was open.
    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let by_default = match open.kind {
            ComponentKind::Provider => self.manifest.target_sdk < PROVIDER_PRIVATE,
            _ => open.filtered,
        };
        if open.exported.is_none() && open.filtered && open.kind != ComponentKind::Provider {
            self.details.unsaid.push(open.name.clone());
        }
        // What cannot be resolved may be exported.
        let exported = match &open.exported {
            None => by_default,
            value => self.lookup.boolean_or(value.as_ref(), true),
        };
        if exported {
            self.details.exported.push(Component {
                kind: open.kind,
                name: open.name,
                permission: open.permission,
            });
        }
    }

    fn required(&self, element: &Element<'_>) -> Result<bool, Error> {
        Ok(self
            .lookup
            .boolean_or(element.get(known::REQUIRED)?.as_ref(), true))
    }

    /// The element's name; each one counts.
    fn name(&mut self, element: &Element<'_>) -> Result<Option<String>, Error> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            let detail = format!("more than {MAX_ITEMS} permissions, features, libraries and components");
            return Err(Error::manifest(Rule::TooLarge, MANIFEST, detail));
        }
        Ok(text(element.get(known::NAME)?))
    }
}

/// A text that is given directly: Android takes no resource for a name.
fn text(value: Option<Value>) -> Option<String> {
    match value {
        Some(Value::Text(text)) if !text.is_empty() => Some(visible(&text)),
        _ => None,
    }
}

/// The class that a component's name stands for. Source: `ParsingUtils.buildClassName` of AOSP.
pub(super) fn class_name(package: &str, name: String) -> String {
    if name.starts_with('.') {
        format!("{package}{name}")
    } else if name.contains('.') {
        name
    } else {
        format!("{package}.{name}")
    }
}
