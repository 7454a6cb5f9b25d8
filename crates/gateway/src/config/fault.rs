//! What is wrong with a setting, told to the person who wrote it.

use std::fmt;

use super::SETTINGS;

/// How alike two names are, from 0 to 1, for one to be taken for the other. Of ten letters, four may be wrong.
const NEAR_ENOUGH: f64 = 0.6;

/// What is wrong with one setting or with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting's name; `None` for a fault of the whole file.
    pub key: Option<String>,
    message: String,
}

impl Fault {
    /// A setting that has a value which it cannot have. `got` is left empty for what must not be repeated.
    pub(super) fn of_key(key: &str, origin: &str, got: &str, allowed: &str) -> Self {
        let got = if got.is_empty() {
            String::new()
        } else {
            format!(" = {got:?}")
        };
        let origin = if origin.is_empty() {
            String::new()
        } else {
            format!(" (from {origin})")
        };
        Self {
            key: Some(key.to_owned()),
            message: format!("{key}{got}{origin}: {allowed}"),
        }
    }

    pub(super) fn of_file(file: &str, what: impl fmt::Display) -> Self {
        Self {
            key: None,
            message: format!("{file} {what}"),
        }
    }

    pub(super) fn unknown(key: &str, origin: &str) -> Self {
        let hint = match nearest(key) {
            Some(name) => format!("did you mean {name}?"),
            None => {
                let known: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
                format!("there are {}", known.join(", "))
            }
        };
        Self {
            key: Some(key.to_owned()),
            message: format!("{key} (from {origin}): there is no such setting; {hint}"),
        }
    }
}

/// The setting that is spelled most alike, if one is near enough to be meant.
fn nearest(key: &str) -> Option<&'static str> {
    let likeness = |name: &str| strsim::normalized_damerau_levenshtein(key, name);
    let names = SETTINGS
        .iter()
        .map(|setting| (setting.name, likeness(setting.name)));
    let (name, likeness) = names.max_by(|one, other| one.1.total_cmp(&other.1))?;
    (likeness >= NEAR_ENOUGH).then_some(name)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Everything that is wrong, at once: nobody likes to start a server six times to learn of six mistakes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        for fault in &self.0 {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
