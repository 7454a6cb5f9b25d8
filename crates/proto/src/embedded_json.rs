//! A string field that holds JSON: shown in REST as the value itself, `null` when empty.

use serde::{Deserialize, Deserializer, Serialize, Serializer, ser};
use serde_json::Value;

pub(crate) fn serialize<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if text.is_empty() {
        return serializer.serialize_none();
    }
    serde_json::from_str::<Value>(text)
        .map_err(ser::Error::custom)?
        .serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(if value.is_null() {
        String::new()
    } else {
        value.to_string()
    })
}
