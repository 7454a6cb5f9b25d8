//! What one `<intent>` in `<queries>` asks for.

use super::{Given, given};
use crate::manifest::known::{self, Attribute};
use crate::manifest::xml::{Element, Spelled};

/// The intent that is being read.
#[derive(Default)]
pub(super) struct Query {
    actions: Values,
    kinds: Values,
    schemes: Values,
    hosts: usize,
}

/// The values of one kind, as far as it matters whether they are none, one or several.
#[derive(Default)]
struct Values {
    first: Option<String>,
    any: bool,
    several: bool,
}

impl Values {
    fn add(&mut self, value: Given) {
        let Given::Text(value) = value else {
            self.any |= matches!(value, Given::Unknown);
            return;
        };
        self.any = true;
        match &self.first {
            None => self.first = Some(value),
            Some(first) => self.several |= *first != value,
        }
    }
}

impl Query {
    pub(super) fn take(&mut self, element: &Element<'_>) {
        match element.name.as_str() {
            "action" => self.actions.add(match element.spelled(known::NAME) {
                Spelled::Missing => Given::Missing,
                Spelled::Empty => Given::Text(String::new()),
                Spelled::Given(text) => Given::Text(text),
            }),
            "data" => {
                let attribute = |attribute: Attribute| given(element, attribute);
                self.kinds.add(attribute(known::MIME_TYPE));
                self.schemes.add(attribute(known::SCHEME));
                self.hosts += usize::from(element.is_given(known::HOST));
            }
            _ => {}
        }
    }

    /// What is wrong with it as a whole.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if !self.actions.any && !self.kinds.any && !self.schemes.any {
            return Some("has neither action nor data");
        }
        let several = self.actions.several || self.kinds.several || self.schemes.several || self.hosts > 1;
        several.then_some("has more than one action, type, scheme or host")
    }
}
