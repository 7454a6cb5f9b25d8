//! A change of a gate in JSON: the gate alone, or null for none. One that is left out changes nothing.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::v1::{Gate, GateChange};

pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<GateChange>, D::Error> {
    let gate = Option::<Gate>::deserialize(deserializer)?;
    Ok(Some(GateChange { gate }))
}

impl Serialize for GateChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.gate.serialize(serializer)
    }
}

#[cfg(feature = "openapi")]
mod openapi {
    use utoipa::openapi::{Ref, RefOr, Schema};

    use super::{Gate, GateChange};

    impl utoipa::PartialSchema for GateChange {
        fn schema() -> RefOr<Schema> {
            Ref::from_schema_name("Gate").into()
        }
    }

    impl utoipa::ToSchema for GateChange {
        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            let gate = <Gate as utoipa::PartialSchema>::schema();
            schemas.push(("Gate".to_owned(), gate));
        }
    }
}
