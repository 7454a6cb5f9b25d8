//! Leases' statements.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};

use super::{Conn, NOW};
use crate::error::Fault;
use crate::rows::clean;
use crate::schema::leases;

/// Whether it is the holder's now: nobody else's lease lasts.
pub(crate) fn take(conn: &mut Conn, name: &str, holder: &str, lasts: Duration) -> Result<bool, Fault> {
    let taken = diesel::sql_query(format!(
        "INSERT INTO leases (name, holder, until_at) VALUES ($1, $2, {NOW} + $3)
         ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until_at = excluded.until_at
         WHERE leases.holder = excluded.holder OR leases.until_at <= {NOW}"
    ))
    .bind::<Text, _>(clean(name))
    .bind::<Text, _>(clean(holder))
    .bind::<BigInt, _>(i64::try_from(lasts.as_micros()).unwrap_or(i64::MAX / 2))
    .execute(conn)?;
    Ok(taken > 0)
}

pub(crate) fn give_back(conn: &mut Conn, name: &str, holder: &str) -> Result<(), Fault> {
    let own = leases::table
        .find(clean(name))
        .filter(leases::holder.eq(clean(holder)));
    diesel::delete(own).execute(conn)?;
    Ok(())
}
