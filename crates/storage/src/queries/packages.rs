//! Packages' statements.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use tidegate_domain::{PackageName, Signers};

use super::epochs::Epoch;
use super::{Conn, Db, audit, epochs, lock};
use crate::error::Fault;
use crate::rows::{from_json, package_name, parsed, to_json};
use crate::schema::packages;
use crate::time::micros;
use crate::{AuditNote, Error, Package, PackageEdit, Page, Paged};

#[derive(Queryable, Selectable)]
#[diesel(table_name = packages)]
struct PackageRow {
    name: String,
    signers_json: Option<String>,
    allow_debuggable: bool,
    approval: String,
    approval_request_json: Option<String>,
    plan_json: Option<String>,
    gate_json: Option<String>,
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
            approval: parsed("packages.approval", self.approval.parse())?,
            approval_request: self
                .approval_request_json
                .map(|text| from_json("packages.approval_request_json", &text))
                .transpose()?,
            plan: self
                .plan_json
                .map(|text| from_json("packages.plan_json", &text))
                .transpose()?,
            gate: self
                .gate_json
                .map(|text| from_json("packages.gate_json", &text))
                .transpose()?,
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

pub(crate) fn edit(
    conn: &mut Conn,
    name: &PackageName,
    edit: &PackageEdit,
    note: &AuditNote,
) -> Result<Package, Fault> {
    let id = ensure(conn, name, note.at)?;
    let before = get(conn, name)?;
    let mut after = before.clone();
    if let Some(wanted) = edit.approval {
        (after.approval, after.approval_request) = match edit.break_glass {
            true => (wanted, None),
            false => before
                .approval
                .changed(before.approval_request.as_ref(), wanted, &note.actor, note.at),
        };
    }
    if let Some(plan) = &edit.plan {
        after.plan.clone_from(plan);
    }
    if let Some(gate) = edit.gate {
        after.gate = gate;
    }
    if after == before {
        return Ok(after);
    }
    diesel::update(packages::table.find(id))
        .set((
            packages::approval.eq(after.approval.to_string()),
            packages::approval_request_json.eq(after.approval_request.as_ref().map(to_json).transpose()?),
            packages::plan_json.eq(after.plan.as_ref().map(to_json).transpose()?),
            packages::gate_json.eq(after.gate.as_ref().map(to_json).transpose()?),
        ))
        .execute(conn)?;
    epochs::raise(conn, Epoch::Catalog)?;
    let facts = |package: &Package| {
        serde_json::json!({
            "approval": package.approval,
            "approval_request": package.approval_request,
            "plan": package.plan,
            "gate": package.gate,
        })
    };
    let mut after_facts = facts(&after);
    if edit.break_glass {
        after_facts["break_glass"] = true.into();
    }
    let note = AuditNote {
        before: Some(facts(&before)),
        after: Some(after_facts),
        ..note.clone()
    };
    audit::append(conn, &note)?;
    Ok(after)
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
