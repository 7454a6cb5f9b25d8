//! Where a setting's value comes from: the environment over the file, and both over the default.
//!
//! Values are read as text and given their meaning by us, one setting at a time. A library that guessed types
//! would take a key of 64 decimal digits for a number, and its message would name a Rust type.

use std::path::Path;
use std::str::FromStr;

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::Fault;

/// What the names of our environment variables begin with.
const PREFIX: &str = "TIDEGATE_";

/// The largest configuration file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// All values that were given, and the faults found in them so far.
pub(super) struct Layers {
    figment: Figment,
    given: Dict,
    faults: Vec<Fault>,
}

impl Layers {
    /// Reads the file, if there is one, and takes the `TIDEGATE_*` variables of the environment.
    pub(super) fn read(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Fault> {
        let mut figment = Figment::new();
        if let Some(path) = file {
            figment = figment.merge(read_file(path)?);
        }
        figment = figment.merge(from_environment(environment));
        let given = figment
            .extract()
            .map_err(|error| Fault::of_file("the configuration", error.to_string()))?;
        Ok(Self {
            figment,
            given,
            faults: Vec::new(),
        })
    }

    /// The value of `key`, or `None` when it was not given or has a fault, which is noted.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.given.remove(key)?;
        let parsed = match as_text(&value) {
            Some(text) => parse(&text).map_err(|allowed| (text, allowed)),
            None => Err((
                shape(&value).to_owned(),
                "must be a text, a number or true or false".into(),
            )),
        };
        parsed
            .map_err(|(got, allowed)| self.refuse(key, &value, &got, &allowed))
            .ok()
    }

    /// As [`Layers::take`], for a value that no message may repeat.
    pub(super) fn take_secret<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.given.remove(key)?;
        let text = as_text(&value).unwrap_or_default();
        parse(&text)
            .map_err(|allowed| self.refuse(key, &value, "", &allowed))
            .ok()
    }

    /// Notes that a value cannot be used.
    pub(super) fn fault(&mut self, key: &'static str, allowed: &str) {
        self.faults.push(Fault::of_key(key, "", "", allowed));
    }

    fn refuse(&mut self, key: &'static str, value: &Value, got: &str, allowed: &str) {
        let origin = self.origin(value);
        self.faults.push(Fault::of_key(key, &origin, got, allowed));
    }

    /// Whatever was given and nobody took is unknown.
    pub(super) fn finish(mut self) -> Vec<Fault> {
        for (key, value) in std::mem::take(&mut self.given) {
            let origin = self.origin(&value);
            self.faults.push(Fault::unknown(&key, &origin));
        }
        self.faults
    }

    fn origin(&self, value: &Value) -> String {
        let metadata = self.figment.get_metadata(value.tag());
        metadata.map_or_else(String::new, |metadata| metadata.name.to_string())
    }
}

/// A value's own way to be read, with what to say when it refuses.
pub(super) fn parsed<T: FromStr>(allowed: &'static str) -> impl Fn(&str) -> Result<T, String> {
    move |text| text.parse().map_err(|_| allowed.to_owned())
}

/// One source of values.
struct Layer {
    origin: String,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

fn read_file(path: &Path) -> Result<Layer, Fault> {
    let origin = path.display().to_string();
    let fault = |what: String| Fault::of_file(&origin, what);
    let size = std::fs::metadata(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
    if size.len() > MAX_FILE_BYTES {
        return Err(fault(format!("is larger than {MAX_FILE_BYTES} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
    let values = Toml::from_str(&text).map_err(|error| {
        // The parser quotes the line at fault, which may hold a secret.
        let words = error.to_string();
        let place = words.lines().next().unwrap_or_default();
        fault(format!("is not TOML: {place}"))
    })?;
    Ok(Layer { origin, values })
}

fn from_environment(variables: impl IntoIterator<Item = (String, String)>) -> Layer {
    let values = variables
        .into_iter()
        .filter(|(name, _)| !is_foreign(name))
        .filter_map(|(name, value)| {
            let key = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
            Some((key, Value::from(value)))
        })
        .collect();
    Layer {
        origin: "the environment".to_owned(),
        values,
    }
}

/// `TIDEGATE_CONFIG` is read by the command line. The others are what Kubernetes puts into every container beside
/// a service named `tidegate`; they must not stop a start.
fn is_foreign(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else {
        return true;
    };
    rest == "CONFIG" || rest == "PORT" || rest.starts_with("PORT_") || rest.starts_with("SERVICE_")
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, letter) => Some(letter.to_string()),
        Value::Bool(_, yes) => Some(yes.to_string()),
        Value::Num(_, number) => number
            .to_i128()
            .map(|number| number.to_string())
            .or_else(|| number.to_u128().map(|number| number.to_string()))
            .or_else(|| number.to_f64().map(|number| number.to_string())),
        Value::Empty(..) | Value::Dict(..) | Value::Array(..) => None,
    }
}

fn shape(value: &Value) -> &'static str {
    match value {
        Value::Dict(..) => "a table",
        Value::Array(..) => "a list",
        _ => "nothing",
    }
}
