//! What Android's parser of manifests refuses a file for (`INSTALL_PARSE_FAILED_MANIFEST_MALFORMED`), beside what makes
//! a file unreadable here.
//!
//! Source: `ParsingPackageUtils` and what it calls (`ParsedActivityUtils`, `ParsedProviderUtils`, `ParsedIntentInfoUtils`,
//! `ParsedPermissionUtils`, `ComponentParseUtils`), and `PackageParser` before Android 11. Nothing is judged that depends on
//! a resource, or that cannot be read here: what is not known to be a fault is none.

mod query;

use std::collections::{BTreeMap, BTreeSet};

use super::details::class_name;
use super::known::{self, Attribute};
use super::names;
use super::value::Value;
use super::xml::{Document, Element, Event, Spelled};
use super::{Manifest, shorten};
use crate::Error;
use query::Query;

/// Longer names of classes are not remembered.
const MAX_CLASS_BYTES: usize = 512;
/// What Android adds to every app by itself.
const APP_DETAILS: &str = "android.app.AppDetailsActivity";
/// From this target on, and from this level on, an action may not be empty.
const ANDROID_11: u32 = 30;
const NO_NAME: Fault = Fault::since(1, "has no android:name");

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    first_level: u32,
    what: &'static str,
}

impl Fault {
    const fn since(first_level: u32, what: &'static str) -> Self {
        Self { first_level, what }
    }

    /// The first level whose devices refuse it.
    pub(crate) fn first_level(self) -> u32 {
        self.first_level
    }

    /// What is wrong, to stand behind the element.
    pub(crate) fn told(self) -> &'static str {
        self.what
    }
}

/// Each kind with the first element that has it, and how many have it.
pub(crate) type Faults = BTreeMap<Fault, (String, usize)>;

/// What an element is to the parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Manifest,
    Application,
    Activity,
    Component,
    /// A permission, a group or a tree of them, an instrumentation.
    Declaration,
    Filter,
    Queries,
    Intent,
    Processes,
    Other,
}

/// What an attribute says.
enum Given {
    Missing,
    Text(String),
    /// Something that depends on a resource, or that is no text.
    Unknown,
}

struct Reader<'r> {
    manifest: &'r Manifest,
    /// The elements that contain the next one.
    places: Vec<Place>,
    /// The component that was met last, as it is told.
    component: String,
    /// The classes of the activities so far; `None` once there is one that is not known.
    activities: Option<BTreeSet<String>>,
    /// Permissions with their level of protection and their group.
    permissions: BTreeMap<String, (i32, Option<String>)>,
    query: Query,
    found: Faults,
}

/// The faults of a document whose elements all end; where one doesn't, nobody can say what contains what.
pub(super) fn read(document: &Document<'_>, manifest: &Manifest) -> Result<Faults, Error> {
    let mut reader = Reader {
        manifest,
        places: Vec::new(),
        component: String::new(),
        activities: Some(BTreeSet::new()),
        permissions: BTreeMap::new(),
        query: Query::default(),
        found: Faults::new(),
    };
    if document.is_unclosed() {
        return Ok(reader.found);
    }
    document.walk(|event| {
        match event {
            Event::Start(element) => reader.start(&element),
            Event::End(depth) => reader.end(depth),
        }
        Ok(())
    })?;
    Ok(reader.found)
}

impl Reader<'_> {
    fn start(&mut self, element: &Element<'_>) {
        self.places.truncate(element.depth);
        let place = match self.places.last() {
            None => Place::Manifest,
            Some(Place::Manifest) => self.in_manifest(element),
            Some(Place::Application) => self.in_application(element),
            Some(Place::Activity) if element.name == "preferred" => Place::Filter,
            Some(Place::Activity | Place::Component) => self.in_component(element),
            Some(Place::Declaration) if element.name == "meta-data" => self.data(element, 1),
            Some(Place::Filter) => self.in_filter(element, 1),
            Some(Place::Queries) => self.in_queries(element),
            Some(Place::Intent) => self.in_intent(element),
            Some(Place::Processes) if element.name == "process" => self.process(element, ANDROID_11),
            Some(Place::Declaration | Place::Processes | Place::Other) => Place::Other,
        };
        self.places.push(place);
    }

    fn end(&mut self, depth: usize) {
        self.places.truncate(depth + 1);
        if self.places.pop() == Some(Place::Intent)
            && let Some(what) = self.query.fault()
        {
            self.add(Fault::since(ANDROID_11, what), "<intent> in <queries>".to_owned());
        }
    }

    fn in_manifest(&mut self, element: &Element<'_>) -> Place {
        self.component.clear();
        match element.name.as_str() {
            "application" => return self.application(element),
            "permission" => {
                self.named(element);
                self.permission(element);
            }
            "permission-group" | "instrumentation" => {
                self.named(element);
            }
            "permission-tree" => self.tree(element),
            "queries" => return Place::Queries,
            "overlay" if !element.is_given(known::TARGET_PACKAGE) => {
                self.judge(element, Fault::since(1, "has no android:targetPackage"));
            }
            "uses-split" if element.spelled(known::NAME) == Spelled::Missing => {
                self.judge(element, Fault::since(26, NO_NAME.what));
            }
            _ => return Place::Other,
        }
        self.component = self.shown(element);
        Place::Declaration
    }

    fn application(&mut self, element: &Element<'_>) -> Place {
        for attribute in [known::NAME, known::MANAGE_SPACE_ACTIVITY] {
            if matches!(given(element, attribute), Given::Text(name) if name.is_empty()) {
                self.judge(element, Fault::since(1, "names an empty class"));
            }
        }
        self.process(element, 1);
        self.affinity(element);
        Place::Application
    }

    fn in_application(&mut self, element: &Element<'_>) -> Place {
        self.component.clear();
        let place = match element.name.as_str() {
            "activity" => {
                self.named(element);
                self.remember(element);
                Place::Activity
            }
            "receiver" | "service" => {
                self.named(element);
                Place::Component
            }
            "provider" => {
                self.named(element);
                self.authorities(element);
                Place::Component
            }
            "activity-alias" => {
                self.alias(element);
                Place::Component
            }
            "processes" => return Place::Processes,
            "uses-static-library" => {
                return self.library(element, &[known::NAME, known::VERSION, known::CERT_DIGEST]);
            }
            "static-library" => return self.library(element, &[known::NAME, known::VERSION]),
            _ => return self.in_component(element),
        };
        if element.name != "activity-alias" {
            self.process(element, 1);
        }
        if matches!(element.name.as_str(), "activity" | "receiver") {
            self.affinity(element);
        }
        self.component = self.shown(element);
        place
    }

    fn in_component(&mut self, element: &Element<'_>) -> Place {
        match element.name.as_str() {
            "meta-data" => self.data(element, 1),
            "property" => self.data(element, 31),
            "intent-filter" if self.places.len() > 2 => Place::Filter,
            _ => Place::Other,
        }
    }

    fn in_filter(&mut self, element: &Element<'_>, first_level: u32) -> Place {
        match element.name.as_str() {
            "action" | "category" => match element.spelled(known::NAME) {
                Spelled::Missing => self.judge(element, Fault::since(first_level, NO_NAME.what)),
                Spelled::Empty if self.manifest.target_sdk >= ANDROID_11 => {
                    let what =
                        "has an empty android:name, which apps for API level 30 or later must not have";
                    self.judge(element, Fault::since(ANDROID_11, what));
                }
                _ => {}
            },
            "data" => {
                if matches!(given(element, known::MIME_TYPE), Given::Text(kind) if !is_mime_type(&kind)) {
                    let what = "has an android:mimeType that is none";
                    self.judge(element, Fault::since(first_level, what));
                }
            }
            _ => {}
        }
        Place::Other
    }

    fn in_queries(&mut self, element: &Element<'_>) -> Place {
        let missing = |attribute| match given(element, attribute) {
            Given::Missing => true,
            Given::Text(text) => text.is_empty(),
            Given::Unknown => false,
        };
        match element.name.as_str() {
            "intent" => {
                self.query = Query::default();
                return Place::Intent;
            }
            "package" if missing(known::NAME) => {
                self.judge(element, Fault::since(ANDROID_11, NO_NAME.what));
            }
            "provider" if missing(known::AUTHORITIES) => {
                self.judge(element, Fault::since(ANDROID_11, "has no android:authorities"));
            }
            _ => {}
        }
        Place::Other
    }

    fn in_intent(&mut self, element: &Element<'_>) -> Place {
        self.query.take(element);
        self.in_filter(element, ANDROID_11)
    }

    /// Asks for a name, of which Android makes that of a class.
    fn named(&mut self, element: &Element<'_>) {
        match given(element, known::NAME) {
            Given::Missing => self.judge(element, NO_NAME),
            Given::Text(name) if name.is_empty() => self.judge(element, NO_NAME),
            Given::Text(name) if name == APP_DETAILS => {
                self.judge(
                    element,
                    Fault::since(29, "has a name that Android keeps for itself"),
                );
            }
            _ => {}
        }
    }

    fn remember(&mut self, element: &Element<'_>) {
        match (given(element, known::NAME), &mut self.activities) {
            (Given::Text(name), Some(activities)) if name.len() <= MAX_CLASS_BYTES => {
                activities.insert(class_name(&self.manifest.package, name));
            }
            _ => self.activities = None,
        }
    }

    /// An alias is for an activity that stands before it, or for another alias.
    fn alias(&mut self, element: &Element<'_>) {
        self.named(element);
        match given(element, known::TARGET_ACTIVITY) {
            Given::Text(target) if !target.is_empty() => {
                let target = class_name(&self.manifest.package, target);
                if self
                    .activities
                    .as_ref()
                    .is_some_and(|activities| !activities.contains(&target))
                {
                    let what = "has an android:targetActivity that is no activity before it";
                    self.judge(element, Fault::since(1, what));
                }
            }
            Given::Unknown => {}
            _ => self.judge(element, Fault::since(1, "has no android:targetActivity")),
        }
        self.remember(element);
    }

    fn authorities(&mut self, element: &Element<'_>) {
        match given(element, known::AUTHORITIES) {
            Given::Missing => self.judge(element, Fault::since(1, "has no android:authorities")),
            Given::Text(text) if text.is_empty() => {
                self.judge(element, Fault::since(24, "has empty android:authorities"));
            }
            _ => {}
        }
    }

    fn process(&mut self, element: &Element<'_>, first_level: u32) -> Place {
        if matches!(given(element, known::PROCESS), Given::Text(name) if !names::is_process(&name)) {
            let what = "has an android:process that is no name of one";
            self.judge(element, Fault::since(first_level, what));
        }
        Place::Other
    }

    /// An affinity is named as a process is.
    fn affinity(&mut self, element: &Element<'_>) {
        if matches!(given(element, known::TASK_AFFINITY), Given::Text(name) if !names::is_process(&name)) {
            let what = "has an android:taskAffinity that is no name of one";
            self.judge(element, Fault::since(1, what));
        }
    }

    fn tree(&mut self, element: &Element<'_>) {
        self.named(element);
        if let Given::Text(name) = given(element, known::NAME)
            && !name.is_empty()
        {
            let name = class_name(&self.manifest.package, name);
            let second = name
                .find('.')
                .is_some_and(|at| at == 0 || name[at + 1..].contains('.'));
            if !second {
                self.judge(element, Fault::since(1, "has a name of less than three parts"));
            }
        }
    }

    /// Flags are for permissions that go by the signature; of two declarations of one, neither may differ.
    fn permission(&mut self, element: &Element<'_>) {
        const BASE: i32 = 0xf;
        const SIGNATURE: i32 = 2;
        const SIGNATURE_OR_SYSTEM: i32 = 3;
        const PRIVILEGED: i32 = 0x10;
        /// What some releases take with any base: app operations, instant apps, runtime only.
        const HARMLESS: i32 = 0x40 | 0x1000 | 0x2000;
        let level = match element.get(known::PROTECTION_LEVEL) {
            Ok(None) => 0,
            Ok(Some(Value::Integer(level))) if level & BASE == SIGNATURE_OR_SYSTEM => {
                level & !BASE | SIGNATURE | PRIVILEGED
            }
            Ok(Some(Value::Integer(level))) => level,
            _ => return,
        };
        // Beyond the base of a signature there is one of the system's own.
        if level & !BASE != 0 && level & HARMLESS == 0 && level & BASE < SIGNATURE {
            let what = "has an android:protectionLevel with flags and without signature";
            self.judge(element, Fault::since(1, what));
        }
        let (Given::Text(name), false) = (
            given(element, known::NAME),
            element.is_given(known::MAX_SDK_VERSION),
        ) else {
            return;
        };
        let group = match given(element, known::PERMISSION_GROUP) {
            Given::Text(group) => Some(group),
            _ => None,
        };
        let name = class_name(&self.manifest.package, name);
        let first = self.permissions.entry(name).or_insert((level, group.clone()));
        if *first != (level, group) {
            let what = "is declared twice, with another level or group";
            self.judge(element, Fault::since(33, what));
        }
    }

    /// `<meta-data>` and `<property>`.
    fn data(&mut self, element: &Element<'_>, first_level: u32) -> Place {
        if !element.is_given(known::NAME) {
            self.judge(element, Fault::since(first_level, NO_NAME.what));
        }
        if !element.is_given(known::VALUE) && !element.is_reference(known::RESOURCE) {
            let what = "has neither android:value nor android:resource";
            self.judge(element, Fault::since(first_level, what));
        }
        Place::Other
    }

    fn library(&mut self, element: &Element<'_>, wanted: &[Attribute]) -> Place {
        if wanted.iter().any(|attribute| !element.is_given(*attribute)) {
            let what = "lacks its android:name, android:version or android:certDigest";
            self.judge(element, Fault::since(26, what));
        }
        Place::Other
    }

    fn judge(&mut self, element: &Element<'_>, fault: Fault) {
        let mut place = self.shown(element);
        if !self.component.is_empty() {
            place = format!("{place} in {}", self.component);
        } else if self.places.contains(&Place::Queries) {
            place += " in <queries>";
        }
        self.add(fault, place);
    }

    fn add(&mut self, fault: Fault, place: String) {
        self.found.entry(fault).or_insert((place, 0)).1 += 1;
    }

    /// The element and its name.
    fn shown(&self, element: &Element<'_>) -> String {
        match given(element, known::NAME) {
            Given::Text(name) if !name.is_empty() => format!("<{}> {}", element.name, shorten(&name)),
            _ => format!("<{}>", element.name),
        }
    }
}

/// An attribute as `TypedArray.getNonConfigurationString` gives it.
fn given(element: &Element<'_>, attribute: Attribute) -> Given {
    match element.get(attribute) {
        _ if !element.is_given(attribute) => Given::Missing,
        Ok(Some(Value::Text(text))) => Given::Text(text),
        _ => Given::Unknown,
    }
}

/// Whether `IntentFilter.addDataType` takes it: something before a slash and something behind it.
fn is_mime_type(text: &str) -> bool {
    text.split_once('/')
        .is_some_and(|(kind, rest)| !kind.is_empty() && !rest.is_empty())
}
