//! Loading the catalog.

use tidegate_domain::Catalog;

use super::{Conn, calendars, epochs, policies, rollouts};
use crate::Epochs;
use crate::error::Fault;

/// The caller's transaction makes the epochs those of this very catalog.
pub(crate) fn load(conn: &mut Conn) -> Result<(Catalog, Epochs), Fault> {
    let epochs = epochs::all(conn)?;
    let catalog = Catalog::new(rollouts::tracks(conn, None)?);
    let catalog = catalog
        .with_policies(policies::all(conn)?)
        .with_calendars(calendars::all(conn)?);
    Ok((catalog, epochs))
}
