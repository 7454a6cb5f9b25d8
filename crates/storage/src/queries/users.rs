//! Users' statements.

use diesel::prelude::*;
use tidegate_domain::Role;

use super::{Conn, audit};
use crate::error::Fault;
use crate::rows::{clean, parsed};
use crate::schema::users;
use crate::time::{micros, moment};
use crate::{AuditNote, Error, User};

pub(crate) fn add(
    conn: &mut Conn,
    name: &str,
    role: Role,
    password_hash: &str,
    note: &AuditNote,
) -> Result<(), Fault> {
    let added = diesel::insert_into(users::table)
        .values((
            users::name.eq(clean(name)),
            users::role.eq(role.as_str()),
            users::password_hash.eq(password_hash),
            users::created_at.eq(micros(note.at)),
        ))
        .on_conflict(users::name)
        .do_nothing()
        .execute(conn)?;
    if added == 0 {
        let what = format!("user {name}");
        return Err(Error::Duplicate { what }.into());
    }
    audit::append(conn, note)
}

pub(crate) fn get(conn: &mut Conn, name: &str) -> Result<User, Fault> {
    let row: Option<(String, String, String, i64)> = users::table
        .filter(users::name.eq(clean(name)))
        .select((users::name, users::role, users::password_hash, users::created_at))
        .first(conn)
        .optional()?;
    let (name, role, password_hash, created_at) =
        row.ok_or_else(|| Error::not_found(format!("user {name}")))?;
    Ok(User {
        name,
        role: parsed("users.role", role.parse())?,
        password_hash,
        created_at: moment(created_at)?,
    })
}
