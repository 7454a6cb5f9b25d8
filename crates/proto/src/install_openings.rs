//! When a device may install, in JSON: the list of openings alone.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::v1::{InstallOpenings, Opening};

impl Serialize for InstallOpenings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.openings.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for InstallOpenings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self {
            openings: Vec::<Opening>::deserialize(deserializer)?,
        })
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::openapi::{RefOr, Schema};

    use super::{InstallOpenings, Opening};

    impl utoipa::PartialSchema for InstallOpenings {
        fn schema() -> RefOr<Schema> {
            Vec::<Opening>::schema()
        }
    }

    impl utoipa::ToSchema for InstallOpenings {
        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            schemas.push(("Opening".to_owned(), <Opening as utoipa::PartialSchema>::schema()));
            Opening::schemas(schemas);
        }
    }
}
