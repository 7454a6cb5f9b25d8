//! The manifest of a built APK, and the resource table when something refers to one.

use super::resource::{XmlAttribute, XmlElement, XmlValue, document, table};
use crate::manifest::known::{self, Attribute};

/// How the manifest writes its values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ManifestForm {
    /// Numbers and booleans as such: what the Android build tools write.
    #[default]
    Typed,
    /// Names and flags as references into `resources.arsc`. Devices take none for SDK levels and version codes.
    References,
}

/// What the manifest is to say.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) package: String,
    pub(super) version_code: i64,
    pub(super) version_name: String,
    pub(super) min_sdk: Option<u32>,
    pub(super) target_sdk: Option<u32>,
    pub(super) debuggable: bool,
    pub(super) test_only: bool,
    pub(super) form: ManifestForm,
    pub(super) utf8: bool,
    /// The first resources of the table, each with a value for every configuration.
    pub(super) resources: Vec<Vec<XmlValue>>,
}

impl Manifest {
    /// `AndroidManifest.xml`, and `resources.arsc` where it is needed.
    pub(super) fn write(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let (root, resources) = self.tree();
        let resources = (!resources.is_empty()).then(|| table(&self.package, &resources, self.utf8));
        (document(&root, self.utf8), resources)
    }

    /// The manifest's elements, and the resources that they refer to.
    pub(super) fn tree(&self) -> (XmlElement, Vec<Vec<XmlValue>>) {
        let mut resources = self.resources.clone();
        let root = self.root(&mut |value| self.shape(value, &mut resources));
        (root, resources)
    }

    fn root(&self, shape: &mut dyn FnMut(XmlValue) -> XmlValue) -> XmlElement {
        let [high, low] = [self.version_code >> 32, self.version_code].map(low_half);
        let name = XmlValue::Text(self.version_name.clone());
        let mut root = XmlElement::new("manifest")
            .with(XmlAttribute::plain(
                "package",
                XmlValue::Text(self.package.clone()),
            ))
            .with(attribute(known::VERSION_CODE, XmlValue::Integer(low)))
            .with(attribute(known::VERSION_NAME, shape(name)));
        if high != 0 {
            root = root.with(attribute(known::VERSION_CODE_MAJOR, XmlValue::Integer(high)));
        }
        root.containing(self.uses_sdk())
            .containing(self.application(shape))
    }

    fn uses_sdk(&self) -> XmlElement {
        let levels = [
            (known::MIN_SDK_VERSION, self.min_sdk),
            (known::TARGET_SDK_VERSION, self.target_sdk),
        ];
        let given = levels
            .into_iter()
            .filter_map(|(name, level)| Some((name, level?)));
        given.fold(XmlElement::new("uses-sdk"), |element, (name, level)| {
            element.with(attribute(name, XmlValue::Integer(low_half(level.into()))))
        })
    }

    fn application(&self, shape: &mut dyn FnMut(XmlValue) -> XmlValue) -> XmlElement {
        // Without code a device needs no classes.dex to accept the app.
        let mut element =
            XmlElement::new("application").with(attribute(known::HAS_CODE, XmlValue::Boolean(false)));
        for (name, set) in [
            (known::DEBUGGABLE, self.debuggable),
            (known::TEST_ONLY, self.test_only),
        ] {
            if set {
                element = element.with(attribute(name, shape(XmlValue::Boolean(true))));
            }
        }
        element
    }

    fn shape(&self, value: XmlValue, resources: &mut Vec<Vec<XmlValue>>) -> XmlValue {
        match (self.form, value) {
            (ManifestForm::Typed, value) => value,
            (ManifestForm::References, value) => {
                resources.push(vec![value]);
                XmlValue::Reference(FIRST_RESOURCE + u32::try_from(resources.len() - 1).unwrap_or(0))
            }
        }
    }
}

/// The id of a built table's first resource; the others follow.
pub(super) const FIRST_RESOURCE: u32 = 0x7f01_0000;

fn attribute(known: Attribute, value: XmlValue) -> XmlAttribute {
    XmlAttribute::android(known.id, known.name, value)
}

/// The low 32 bits, which is how the manifest stores each half of a version code.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the high half is stored by another attribute"
)]
fn low_half(number: i64) -> i32 {
    number as i32
}
