//! A slice in JSON: `{"start": 25, "width_percent": 50}`, or `{"start": "auto"}`.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::v1::Slice;

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct Json {
    /// Where it begins, in percent, at least 0 and below 100; or "auto": where the package's last automatic one ended.
    start: Start,
    /// How much of the fleet it is, in percent, above 0 and at most 100; left out for 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    width_percent: Option<f64>,
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
enum Start {
    Percent(f64),
    Word(String),
}

impl Serialize for Slice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let start = match self.auto_start {
            true => Start::Word("auto".to_owned()),
            false => Start::Percent(self.start_percent),
        };
        let width_percent = self.width_percent;
        Json { start, width_percent }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Slice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let (start_percent, auto_start) = match json.start {
            Start::Percent(percent) => (percent, false),
            Start::Word(word) if word == "auto" => (0.0, true),
            Start::Word(word) => {
                let fault = format!("start must be a percentage or \"auto\", not {word:?}");
                return Err(D::Error::custom(fault));
            }
        };
        Ok(Self {
            start_percent,
            auto_start,
            width_percent: json.width_percent,
        })
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::openapi::{RefOr, Schema};

    use super::{Json, Slice};

    impl utoipa::PartialSchema for Slice {
        fn schema() -> RefOr<Schema> {
            Json::schema()
        }
    }

    impl utoipa::ToSchema for Slice {
        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            Json::schemas(schemas);
        }
    }
}
