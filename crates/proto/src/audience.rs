//! An audience in JSON: its message as an object, or its expression alone as a string. An empty string is refused: left
//! out it stands for everybody, and whoever has an expression that came out empty must not address everybody.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize as _, Deserializer};

use crate::v1::Audience;

pub(crate) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Audience>, D::Error> {
    deserializer.deserialize_any(Either)
}

struct Either;

impl<'de> Visitor<'de> for Either {
    type Value = Option<Audience>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an expression as a string, or an object")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        if text.is_empty() {
            return Err(E::custom("is empty; leave it out to address every device"));
        }
        Ok(Some(Audience {
            expression: text.to_owned(),
            ..Audience::default()
        }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        Audience::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}
