//! Where a setting's value comes from: the environment over the file, and both over the default.
//!
//! Values are read as text and given their meaning by us, one setting at a time. A library that guessed types
//! would take a key of 64 decimal digits for a number, and its message would name a Rust type.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use toml::{Table, Value};

use super::Fault;

/// What the names of our environment variables begin with.
const PREFIX: &str = "TIDEGATE_";

/// The largest configuration file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// All values that were given, and the faults found in them so far.
pub(super) struct Layers {
    given: BTreeMap<String, Given>,
    faults: Vec<Fault>,
}

/// A value and where it was found.
struct Given {
    value: Value,
    origin: String,
}

impl Layers {
    /// Reads the file, if there is one, and takes the `TIDEGATE_*` variables of the environment.
    pub(super) fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Fault> {
        let mut layers = Self {
            given: BTreeMap::new(),
            faults: Vec::new(),
        };
        if let Some(path) = file {
            layers.lay(read_file(path)?, &path.display().to_string());
        }
        layers.lay(from_environment(environment), "the environment");
        Ok(layers)
    }

    /// Takes the values of one source. They win over those that were taken before.
    fn lay(&mut self, values: impl IntoIterator<Item = (String, Value)>, origin: &str) {
        let given = values.into_iter().map(|(key, value)| {
            let origin = origin.to_owned();
            (key, Given { value, origin })
        });
        self.given.extend(given);
    }

    /// The value of `key`, or `None` when it was not given or has a fault, which is noted.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Given { value, origin } = self.given.remove(key)?;
        let parsed = match as_text(&value) {
            Ok(text) => parse(&text).map_err(|allowed| (text, allowed)),
            Err(shape) => Err((
                shape.to_owned(),
                "must be a text, a number or true or false".into(),
            )),
        };
        parsed
            .map_err(|(got, allowed)| self.refuse(key, &origin, &got, &allowed))
            .ok()
    }

    /// As [`Layers::take`], for a value that no message may repeat.
    pub(super) fn take_secret<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Given { value, origin } = self.given.remove(key)?;
        let text = as_text(&value).unwrap_or_default();
        parse(&text)
            .map_err(|allowed| self.refuse(key, &origin, "", &allowed))
            .ok()
    }

    /// Notes that a value cannot be used.
    pub(super) fn fault(&mut self, key: &'static str, allowed: &str) {
        self.refuse(key, "", "", allowed);
    }

    fn refuse(&mut self, key: &'static str, origin: &str, got: &str, allowed: &str) {
        self.faults.push(Fault::of_key(key, origin, got, allowed));
    }

    /// Whatever was given and nobody took is unknown.
    pub(super) fn finish(mut self) -> Vec<Fault> {
        for (key, Given { origin, .. }) in &self.given {
            self.faults.push(Fault::unknown(key, origin));
        }
        self.faults
    }
}

/// A value's own way to be read, with what to say when it refuses.
pub(super) fn parsed<T: FromStr>(allowed: &'static str) -> impl Fn(&str) -> Result<T, String> {
    move |text| text.parse().map_err(|_| allowed.to_owned())
}

fn read_file(path: &Path) -> Result<Table, Fault> {
    let origin = path.display().to_string();
    let fault = |what: String| Fault::of_file(&origin, what);
    let size = std::fs::metadata(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
    if size.len() > MAX_FILE_BYTES {
        return Err(fault(format!("is larger than {MAX_FILE_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        // The parser quotes the line at fault, which may hold a secret.
        let words = error.to_string();
        let place = words.lines().next().unwrap_or_default();
        fault(format!("is not TOML: {place}"))
    })
}

fn from_environment(
    variables: impl IntoIterator<Item = (String, String)>,
) -> impl Iterator<Item = (String, Value)> {
    let own = variables.into_iter().filter(|(name, _)| !is_foreign(name));
    own.filter_map(|(name, value)| {
        let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
        Some((key, Value::String(value)))
    })
}

/// `TIDEGATE_CONFIG` is read by the command line. The others are what Kubernetes puts into every container beside
/// a service named `tidegate`; they must not stop a start.
fn is_foreign(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return true;
    };
    rest == "CONFIG" || rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_")
}

/// A single value as text, or what else it is.
fn as_text(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Boolean(yes) => Ok(yes.to_string()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Datetime(_) => Err("a date"),
        Value::Table(_) => Err("a table"),
        Value::Array(_) => Err("a list"),
    }
}
