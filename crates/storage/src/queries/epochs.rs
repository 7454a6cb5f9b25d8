//! The numbers that tell other servers what changed.

use diesel::prelude::*;

use super::Conn;
use crate::error::Fault;
use crate::schema::epochs;
use crate::{Epochs, Error};

/// What servers keep in memory.
#[derive(Clone, Copy)]
pub(crate) enum Epoch {
    Catalog,
    Tokens,
    Rejections,
}

impl Epoch {
    fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Tokens => "tokens",
            Self::Rejections => "rejections",
        }
    }
}

/// Late in a transaction: until it ends, others that change the same thing wait.
pub(crate) fn raise(conn: &mut Conn, epoch: Epoch) -> Result<(), Fault> {
    diesel::update(epochs::table.find(epoch.name()))
        .set(epochs::value.eq(epochs::value + 1))
        .execute(conn)?;
    Ok(())
}

pub(crate) fn all(conn: &mut Conn) -> Result<Epochs, Fault> {
    let values: Vec<(String, i64)> = epochs::table.load(conn)?;
    let value = |epoch: Epoch| {
        values
            .iter()
            .find(|(name, _)| name == epoch.name())
            .map(|(_, value)| *value)
            .ok_or_else(|| Error::corrupt("epochs", format!("has no {}", epoch.name())))
    };
    Ok(Epochs {
        catalog: value(Epoch::Catalog)?,
        tokens: value(Epoch::Tokens)?,
        rejections: value(Epoch::Rejections)?,
    })
}
