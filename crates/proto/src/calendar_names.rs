//! The calendars that a rollout goes by, in JSON: a name that is null is no name, as an empty one is none, while one that is
//! left out is not spoken of.

use serde::{Deserialize, Deserializer};

pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    Ok(Some(name.unwrap_or_default()))
}
