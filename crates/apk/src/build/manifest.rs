//! The manifest of a built APK, and the resource table when the manifest refers to one.

use super::resource::{Attribute, Element, Value, document, table};
use crate::manifest as ids;

/// How the manifest writes its values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ManifestForm {
    /// Numbers and booleans as such: what the Android build tools write.
    #[default]
    Typed,
    /// Everything as text.
    Text,
    /// Everything as a reference into `resources.arsc`.
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
}

const HAS_CODE: u32 = 0x0101_000c;

impl Manifest {
    /// `AndroidManifest.xml`, and `resources.arsc` where it is needed.
    pub(super) fn write(&self) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut values = Vec::new();
        let root = self.root(&mut |value| self.shape(value, &mut values));
        let resources = (!values.is_empty()).then(|| table(&self.package, &values, self.utf8));
        (document(&root, self.utf8), resources)
    }

    fn root(&self, shape: &mut dyn FnMut(Value) -> Value) -> Element {
        let [high, low] = [self.version_code >> 32, self.version_code].map(low_half);
        let mut attributes: Vec<Attribute> = vec![
            (0, "package", Value::Text(self.package.clone())),
            (ids::VERSION_CODE, "versionCode", shape(Value::Integer(low))),
            (
                ids::VERSION_NAME,
                "versionName",
                shape(Value::Text(self.version_name.clone())),
            ),
        ];
        if high != 0 {
            attributes.push((
                ids::VERSION_CODE_MAJOR,
                "versionCodeMajor",
                shape(Value::Integer(high)),
            ));
        }
        Element {
            name: "manifest",
            attributes,
            children: vec![self.uses_sdk(shape), self.application(shape)],
        }
    }

    fn uses_sdk(&self, shape: &mut dyn FnMut(Value) -> Value) -> Element {
        let levels = [
            (ids::MIN_SDK_VERSION, "minSdkVersion", self.min_sdk),
            (ids::TARGET_SDK_VERSION, "targetSdkVersion", self.target_sdk),
        ];
        let given = levels
            .into_iter()
            .filter_map(|(id, name, level)| Some((id, name, level?)));
        let attributes =
            given.map(|(id, name, level)| (id, name, shape(Value::Integer(low_half(level.into())))));
        Element {
            name: "uses-sdk",
            attributes: attributes.collect(),
            children: Vec::new(),
        }
    }

    fn application(&self, shape: &mut dyn FnMut(Value) -> Value) -> Element {
        // Without code a device needs no classes.dex to accept the app.
        let mut attributes = vec![(HAS_CODE, "hasCode", Value::Boolean(false))];
        if self.debuggable {
            attributes.push((ids::DEBUGGABLE, "debuggable", shape(Value::Boolean(true))));
        }
        if self.test_only {
            attributes.push((ids::TEST_ONLY, "testOnly", shape(Value::Boolean(true))));
        }
        Element {
            name: "application",
            attributes,
            children: Vec::new(),
        }
    }

    fn shape(&self, value: Value, values: &mut Vec<Value>) -> Value {
        match (self.form, value) {
            (ManifestForm::Typed, value) => value,
            (ManifestForm::Text, Value::Integer(number)) => Value::Text(number.to_string()),
            (ManifestForm::Text, Value::Boolean(yes)) => Value::Text(yes.to_string()),
            (ManifestForm::Text, value) => value,
            (ManifestForm::References, value) => {
                values.push(value);
                Value::Reference(0x7f01_0000 + u32::try_from(values.len() - 1).unwrap_or(0))
            }
        }
    }
}

/// The low 32 bits, which is how the manifest stores each half of a version code.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the high half is stored by another attribute"
)]
fn low_half(number: i64) -> i32 {
    number as i32
}
