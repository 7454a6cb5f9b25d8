//! Values that are given by reference, read from `resources.arsc` when the first one is asked for.

use std::cell::OnceCell;

use super::resources::Resources;
use super::value::Value;
use crate::{Error, Rule};

/// A resource table that is loaded when it is needed, and once.
pub(crate) struct Lookup<'l> {
    load: &'l dyn Fn() -> Result<Vec<u8>, Error>,
    table: OnceCell<Vec<u8>>,
}

impl<'l> Lookup<'l> {
    pub(crate) fn new(load: &'l dyn Fn() -> Result<Vec<u8>, Error>) -> Self {
        Self {
            load,
            table: OnceCell::new(),
        }
    }

    /// What a device may read for `value`, by its configuration; the default configuration comes first. Never
    /// empty.
    fn values(&self, value: &Value) -> Result<Vec<Value>, Error> {
        let Value::Reference(id) = value else {
            return Ok(vec![value.clone()]);
        };
        let table = match self.table.get() {
            Some(table) => table,
            None => {
                let loaded = (self.load)()?;
                self.table.get_or_init(|| loaded)
            }
        };
        Resources::parse(table)?.resolve(*id)
    }

    /// A number, the same for all devices; 0 for none.
    pub(super) fn integer(&self, value: Option<&Value>, name: &str) -> Result<i32, Error> {
        let Some(value) = value else { return Ok(0) };
        let values = self.values(value)?;
        let number = |value: &Value| match value {
            Value::Absent => Ok(0),
            value => value.integer().ok_or_else(|| wrong_type(name, value, "a number")),
        };
        let first = values.first().map_or(Ok(0), number)?;
        for other in &values {
            if number(other)? != first {
                let detail = format!("{first} on some devices and {} on others", number(other)?);
                return Err(Error::manifest(Rule::TwoReadings, name, detail));
            }
        }
        Ok(first)
    }

    /// Whether it is true for some device; false for none.
    pub(super) fn boolean(&self, value: Option<&Value>, name: &str) -> Result<bool, Error> {
        let Some(value) = value else { return Ok(false) };
        let mut any = false;
        for value in self.values(value)? {
            any |= match value {
                Value::Absent => false,
                value => value
                    .boolean()
                    .ok_or_else(|| wrong_type(name, &value, "true or false"))?,
            };
        }
        Ok(any)
    }

    /// The same for what nothing depends on: what can't be resolved counts as `otherwise`.
    pub(super) fn boolean_or(&self, value: Option<&Value>, otherwise: bool) -> bool {
        match value {
            None => otherwise,
            value => self.boolean(value, "").unwrap_or(otherwise),
        }
    }

    /// A text that is only shown: empty when it can't be told, as with a text of the framework's.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub(super) fn shown(&self, value: Option<&Value>) -> Result<String, Error> {
        let Some(value) = value else {
            return Ok(String::new());
        };
        match self.values(value) {
            Ok(values) => Ok(values.first().and_then(Value::text).unwrap_or_default()),
            Err(error @ Error::Read(_)) => Err(error),
            Err(_) => Ok(String::new()),
        }
    }
}

pub(super) fn wrong_type(name: &str, value: &Value, wanted: &str) -> Error {
    Error::manifest(
        Rule::AttributeType,
        name,
        format!("{} is not {wanted}", value.kind()),
    )
}
