//! A list of devices in JSON: left out, it stands for the fleet; an empty one is refused, for whoever chose nobody
//! must not wake everybody.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let devices = Vec::<String>::deserialize(deserializer)?;
    if devices.is_empty() {
        return Err(D::Error::custom(
            "names nobody; leave it out to address the fleet",
        ));
    }
    Ok(devices)
}
