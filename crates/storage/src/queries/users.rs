//! Users' statements.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::{Value, json};
use tidegate_domain::Role;

use super::epochs::Epoch;
use super::{Conn, Db, accounts, audit, epochs, record};
use crate::error::Fault;
use crate::record::UserParts;
use crate::rows::{clean, parsed, small};
use crate::schema::{account_generations, users};
use crate::time::{micros, moment, moment_if};
use crate::{AuditNote, Error, Page, Paged, RecordKey, User, UserChange};

#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
struct UserRow {
    id: i64,
    name: String,
    role: String,
    password_hash: String,
    created_at: i64,
    disabled_at: Option<i64>,
    last_login_at: Option<i64>,
    mac: Option<Vec<u8>>,
}

impl UserRow {
    fn parts(&self, generation: Option<i64>) -> UserParts<'_> {
        UserParts {
            name: &self.name,
            role: &self.role,
            password_hash: &self.password_hash,
            created_at: self.created_at,
            disabled_at: self.disabled_at,
            generation: generation.unwrap_or(1),
        }
    }
}

type WithGeneration = (UserRow, Option<i64>);

fn into_user(key: Option<&RecordKey>, (row, generation): WithGeneration) -> Result<User, Error> {
    Ok(User {
        genuine: key.is_none_or(|key| key.user(&row.parts(generation)).is(row.mac.as_deref())),
        role: parsed("users.role", row.role.parse())?,
        name: row.name,
        password_hash: row.password_hash,
        created_at: moment(row.created_at)?,
        disabled_at: moment_if(row.disabled_at)?,
        last_login_at: moment_if(row.last_login_at)?,
        generation: small("account_generations.generation", generation.unwrap_or(1))?,
    })
}

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
    sign(conn, name)?;
    audit::append(conn, note)
}

/// Gives somebody the MAC of their row as it stands: after every change of it, in the same transaction, and never
/// otherwise.
pub(crate) fn sign(conn: &mut Conn, name: &str) -> Result<(), Fault> {
    let Some(key) = record::key(conn)? else {
        return Ok(());
    };
    let (row, generation) = row(conn, name)?;
    diesel::update(users::table.find(row.id))
        .set(users::mac.eq(key.user(&row.parts(generation)).bytes()))
        .execute(conn)?;
    Ok(())
}

/// Signs everybody, and returns how many there are. For the beginning of the record alone.
pub(crate) fn sign_all(conn: &mut Conn) -> Result<usize, Fault> {
    let names: Vec<String> = users::table.select(users::name).load(conn)?;
    for name in &names {
        sign(conn, name)?;
    }
    Ok(names.len())
}

/// Those whose rows are not as the server wrote them.
pub(crate) fn tampered(conn: &mut Conn) -> Result<Vec<String>, Fault> {
    let Some(key) = record::key(conn)? else {
        return Ok(Vec::new());
    };
    let rows: Vec<WithGeneration> = users::table
        .left_join(account_generations::table.on(account_generations::subject.eq(users::name)))
        .select((UserRow::as_select(), account_generations::generation.nullable()))
        .order(users::name)
        .load(conn)?;
    let tampered = rows
        .into_iter()
        .filter(|(row, generation)| !key.user(&row.parts(*generation)).is(row.mac.as_deref()));
    Ok(tampered.map(|(row, _)| row.name).collect())
}

pub(crate) fn get(conn: &mut Conn, name: &str) -> Result<User, Fault> {
    let key = record::key(conn)?;
    Ok(into_user(key.as_ref(), row(conn, name)?)?)
}

fn row(conn: &mut Conn, name: &str) -> Result<WithGeneration, Fault> {
    let row: Option<WithGeneration> = users::table
        .left_join(account_generations::table.on(account_generations::subject.eq(users::name)))
        .filter(users::name.eq(clean(name)))
        .select((UserRow::as_select(), account_generations::generation.nullable()))
        .first(conn)
        .optional()?;
    row.ok_or_else(|| Error::not_found(format!("user {name}")).into())
}

pub(crate) fn list(conn: &mut Conn, page: &Page) -> Result<Paged<User>, Fault> {
    let mut query = users::table
        .left_join(account_generations::table.on(account_generations::subject.eq(users::name)))
        .select((UserRow::as_select(), account_generations::generation.nullable()))
        .order(users::name)
        .limit(page.limit())
        .into_boxed::<Db>();
    if let Some(after) = page.after::<String>()? {
        query = query.filter(users::name.gt(after));
    }
    let rows: Vec<WithGeneration> = query.load(conn)?;
    let paged = page.paged(rows, |(row, _)| row.name.clone());
    let key = record::key(conn)?;
    Ok(paged.try_map(|row| into_user(key.as_ref(), row))?)
}

pub(crate) fn change(
    conn: &mut Conn,
    name: &str,
    change: &UserChange,
    note: &AuditNote,
) -> Result<User, Fault> {
    // First: whoever changes people waits here, so that what is read below stays as it is.
    let epoch = epochs::raise(conn, Epoch::People)?;
    let key = record::key(conn)?;
    let (row, generation) = row(conn, name)?;
    let id = row.id;
    let before = into_user(key.as_ref(), (row, generation))?;
    if !before.genuine {
        let what = format!("the user {name}");
        return Err(Error::Tampered { what }.into());
    }
    let mut after = before.clone();
    match change {
        UserChange::Disable => after.disabled_at = before.disabled_at.or(Some(note.at)),
        UserChange::Enable => after.disabled_at = None,
        UserChange::Role(role) => after.role = *role,
        UserChange::Password(hash) => after.password_hash.clone_from(hash),
    }
    if before == after {
        return Ok(before);
    }
    if !may_manage(&after) {
        keep_an_admin(conn, &before)?;
    }
    diesel::update(users::table.find(id))
        .set((
            users::role.eq(after.role.as_str()),
            users::password_hash.eq(&after.password_hash),
            users::disabled_at.eq(after.disabled_at.map(micros)),
        ))
        .execute(conn)?;
    accounts::raise_generation(conn, &before.name, epoch, note.at)?;
    sign(conn, &before.name)?;
    audit::append(conn, &with_states(note, Some(&before), Some(&after)))?;
    get(conn, name)
}

pub(crate) fn remove(conn: &mut Conn, name: &str, note: &AuditNote) -> Result<(), Fault> {
    let epoch = epochs::raise(conn, Epoch::People)?;
    let key = record::key(conn)?;
    let (row, generation) = row(conn, name)?;
    let id = row.id;
    let before = into_user(key.as_ref(), (row, generation))?;
    keep_an_admin(conn, &before)?;
    diesel::delete(users::table.find(id)).execute(conn)?;
    accounts::raise_generation(conn, &before.name, epoch, note.at)?;
    audit::append(conn, &with_states(note, Some(&before), None))
}

/// Keeps another hash of the same password, unless the row changed since `before` was read.
pub(crate) fn rehash(conn: &mut Conn, name: &str, before: &str, after: &str) -> Result<(), Fault> {
    // First, as in `change`: what is signed below must be what is read here.
    epochs::raise(conn, Epoch::People)?;
    let key = record::key(conn)?;
    let (row, generation) = row(conn, name)?;
    let id = row.id;
    let user = into_user(key.as_ref(), (row, generation))?;
    if !user.genuine || user.password_hash != before {
        return Ok(());
    }
    diesel::update(users::table.find(id))
        .set(users::password_hash.eq(after))
        .execute(conn)?;
    sign(conn, name)
}

pub(crate) fn note_login(conn: &mut Conn, name: &str, now: DateTime<Utc>) -> Result<(), Fault> {
    diesel::update(users::table.filter(users::name.eq(clean(name))))
        .set(users::last_login_at.eq(micros(now)))
        .execute(conn)?;
    Ok(())
}

fn may_manage(user: &User) -> bool {
    user.genuine && user.role == Role::Admin && user.disabled_at.is_none()
}

/// Refuses when this is the last one who may manage people.
fn keep_an_admin(conn: &mut Conn, leaving: &User) -> Result<(), Fault> {
    if !may_manage(leaving) {
        return Ok(());
    }
    let others: Vec<WithGeneration> = users::table
        .left_join(account_generations::table.on(account_generations::subject.eq(users::name)))
        .filter(users::role.eq(Role::Admin.as_str()))
        .filter(users::disabled_at.is_null())
        .filter(users::name.ne(&leaving.name))
        .select((UserRow::as_select(), account_generations::generation.nullable()))
        .load(conn)?;
    let key = record::key(conn)?;
    let mut others = others.into_iter().map(|row| into_user(key.as_ref(), row));
    if others.any(|other| other.is_ok_and(|other| may_manage(&other))) {
        return Ok(());
    }
    let name = leaving.name.clone();
    Err(Error::LastAdmin { name }.into())
}

fn with_states(note: &AuditNote, before: Option<&User>, after: Option<&User>) -> AuditNote {
    AuditNote {
        before: before.map(state),
        after: after.map(state),
        ..note.clone()
    }
}

fn state(user: &User) -> Value {
    json!({ "role": user.role, "disabled": user.disabled_at.is_some() })
}
