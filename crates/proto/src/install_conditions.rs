//! The conditions of an installation in JSON: the list of their names alone.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::v1::InstallConditions;

impl Serialize for InstallConditions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.conditions.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for InstallConditions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let conditions = Vec::deserialize(deserializer)?;
        Ok(Self { conditions })
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::openapi::{RefOr, Schema};

    use super::InstallConditions;

    impl utoipa::PartialSchema for InstallConditions {
        fn schema() -> RefOr<Schema> {
            Vec::<String>::schema()
        }
    }

    impl utoipa::ToSchema for InstallConditions {}
}
