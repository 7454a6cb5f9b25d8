//! The numbers that tell other servers what changed.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use super::{Conn, HAS_EPOCHS, NOW};
use crate::error::Fault;
use crate::schema::epochs;
use crate::time::moment;
use crate::{Epochs, Error};

/// What servers keep in memory.
#[derive(Clone, Copy)]
pub(crate) enum Epoch {
    Catalog,
    Tokens,
    Rejections,
    People,
    Tags,
    Patches,
}

impl Epoch {
    fn name(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Tokens => "tokens",
            Self::Rejections => "rejections",
            Self::People => "people",
            Self::Tags => "tags",
            Self::Patches => "patches",
        }
    }
}

/// Late in a transaction: until it ends, others that change the same thing wait. So values are committed in their
/// order, and who has read one has read all that was stamped with it or with a lower one.
pub(crate) fn raise(conn: &mut Conn, epoch: Epoch) -> Result<i64, Fault> {
    Ok(diesel::update(epochs::table.find(epoch.name()))
        .set(epochs::value.eq(epochs::value + 1))
        .returning(epochs::value)
        .get_result(conn)?)
}

/// Whether the first migration was run. Asks for no row, and creates nothing.
pub(crate) fn are_there(conn: &mut Conn) -> Result<bool, Fault> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        count: i64,
    }
    let tables: Count = diesel::sql_query(HAS_EPOCHS).get_result(conn)?;
    Ok(tables.count > 0)
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
        people: value(Epoch::People)?,
        tags: value(Epoch::Tags)?,
        patches: value(Epoch::Patches)?,
    })
}

/// The database's time.
pub(crate) fn time(conn: &mut Conn) -> Result<DateTime<Utc>, Fault> {
    #[derive(QueryableByName)]
    struct Time {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        at: i64,
    }
    let time: Time = diesel::sql_query(format!("SELECT {NOW} AS at")).get_result(conn)?;
    Ok(moment(time.at)?)
}

/// Writes what is there already, to see that writes go through.
pub(crate) fn touch(conn: &mut Conn) -> Result<(), Fault> {
    diesel::update(epochs::table.find(Epoch::Catalog.name()))
        .set(epochs::value.eq(epochs::value))
        .execute(conn)?;
    Ok(())
}
