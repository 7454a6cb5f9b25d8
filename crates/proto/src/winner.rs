//! The winner of an experiment in JSON: the number of a build, `{"build_id": 7}`, `{"rollout_id": 12}`, or `"none"`.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::v1::Winner;

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(untagged)]
enum Json {
    /// The arm that offers this build.
    Build(i64),
    /// "none": the arms only end.
    Word(String),
    /// An arm by one of its numbers.
    Arm(Arm),
}

#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
struct Arm {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    build_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rollout_id: Option<i64>,
}

impl Serialize for Winner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.build_id, self.rollout_id) {
            (0, 0) => Json::Word("none".to_owned()),
            (build, 0) => Json::Build(build),
            (_, rollout) => Json::Arm(Arm {
                build_id: None,
                rollout_id: Some(rollout),
            }),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Winner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fault = || D::Error::custom("winner must be a build's number, {\"rollout_id\": …} or \"none\"");
        let (build_id, rollout_id, none) = match Json::deserialize(deserializer).map_err(|_| fault())? {
            Json::Build(build) => (build, 0, false),
            Json::Word(word) if word == "none" => (0, 0, true),
            Json::Word(_) => return Err(fault()),
            Json::Arm(arm) => (
                arm.build_id.unwrap_or_default(),
                arm.rollout_id.unwrap_or_default(),
                false,
            ),
        };
        Ok(Self {
            build_id,
            rollout_id,
            none,
        })
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::openapi::{RefOr, Schema};

    use super::{Json, Winner};

    impl utoipa::PartialSchema for Winner {
        fn schema() -> RefOr<Schema> {
            Json::schema()
        }
    }

    impl utoipa::ToSchema for Winner {
        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            Json::schemas(schemas);
        }
    }
}
