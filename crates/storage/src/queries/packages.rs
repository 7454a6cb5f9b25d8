//! Packages' statements.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use tidegate_domain::{PackageName, Signers};

use super::{Conn, Db, audit, lock};
use crate::error::Fault;
use crate::rows::{from_json, package_name, to_json};
use crate::schema::packages;
use crate::time::micros;
use crate::{AuditNote, Error, Package, Page, Paged};

#[derive(Queryable, Selectable)]
#[diesel(table_name = packages)]
struct PackageRow {
    name: String,
    signers_json: Option<String>,
    allow_debuggable: bool,
}

impl PackageRow {
    fn into_package(self) -> Result<Package, Error> {
        Ok(Package {
            name: package_name(&self.name)?,
            pin: self
                .signers_json
                .map(|text| from_json("packages.signers_json", &text))
                .transpose()?,
            allow_debuggable: self.allow_debuggable,
        })
    }
}

/// The number of a package that is added when it is not there, held until the transaction ends.
pub(crate) fn ensure(conn: &mut Conn, name: &PackageName, now: DateTime<Utc>) -> Result<i64, Fault> {
    diesel::insert_into(packages::table)
        .values((
            packages::name.eq(name.as_str()),
            packages::allow_debuggable.eq(false),
            packages::created_at.eq(micros(now)),
        ))
        .on_conflict(packages::name)
        .do_nothing()
        .execute(conn)?;
    lock::package(conn, name.as_str())?.ok_or_else(|| unknown(name).into())
}

pub(crate) fn pinned(conn: &mut Conn, id: i64) -> Result<Option<Signers>, Fault> {
    let text: Option<String> = packages::table
        .find(id)
        .select(packages::signers_json)
        .first(conn)?;
    Ok(text
        .map(|text| from_json("packages.signers_json", &text))
        .transpose()?)
}

pub(crate) fn set_pin(conn: &mut Conn, id: i64, signers: Option<&Signers>) -> Result<(), Fault> {
    diesel::update(packages::table.find(id))
        .set(packages::signers_json.eq(signers.map(to_json).transpose()?))
        .execute(conn)?;
    Ok(())
}

pub(crate) fn list(conn: &mut Conn, page: &Page) -> Result<Paged<Package>, Fault> {
    let mut query = packages::table
        .select(PackageRow::as_select())
        .order(packages::name)
        .limit(page.limit())
        .into_boxed::<Db>();
    if let Some(after) = page.after::<String>()? {
        query = query.filter(packages::name.gt(after));
    }
    let paged = page.paged(query.load(conn)?, |row| row.name.clone());
    Ok(paged.try_map(PackageRow::into_package)?)
}

pub(crate) fn get(conn: &mut Conn, name: &PackageName) -> Result<Package, Fault> {
    let row: Option<PackageRow> = packages::table
        .filter(packages::name.eq(name.as_str()))
        .select(PackageRow::as_select())
        .first(conn)
        .optional()?;
    Ok(row.ok_or_else(|| unknown(name))?.into_package()?)
}

pub(crate) fn pin(
    conn: &mut Conn,
    name: &PackageName,
    signers: &Signers,
    note: &AuditNote,
) -> Result<(), Fault> {
    let id = ensure(conn, name, note.at)?;
    let note = with_pin_before(conn, id, note)?;
    set_pin(conn, id, Some(signers))?;
    audit::append(conn, &note)
}

pub(crate) fn unpin(conn: &mut Conn, name: &PackageName, note: &AuditNote) -> Result<(), Fault> {
    let id = lock::package(conn, name.as_str())?.ok_or_else(|| unknown(name))?;
    if pinned(conn, id)?.is_none() {
        return Err(Error::not_found(format!("signer that {name} is pinned to")).into());
    }
    let note = with_pin_before(conn, id, note)?;
    set_pin(conn, id, None)?;
    audit::append(conn, &note)
}

fn with_pin_before(conn: &mut Conn, id: i64, note: &AuditNote) -> Result<AuditNote, Fault> {
    let before = pinned(conn, id)?.map(|pin| serde_json::json!({ "signers": pin }));
    Ok(AuditNote {
        before,
        ..note.clone()
    })
}

pub(crate) fn allow_debuggable(
    conn: &mut Conn,
    name: &PackageName,
    allow: bool,
    note: &AuditNote,
) -> Result<(), Fault> {
    let id = ensure(conn, name, note.at)?;
    diesel::update(packages::table.find(id))
        .set(packages::allow_debuggable.eq(allow))
        .execute(conn)?;
    audit::append(conn, note)
}

fn unknown(name: &PackageName) -> Error {
    Error::not_found(format!("package {name}"))
}
