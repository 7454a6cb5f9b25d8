//! Service accounts' statements.

use diesel::prelude::*;
use serde_json::json;

use super::epochs::Epoch;
use super::{Conn, Db, accounts, admin_tokens, audit, epochs};
use crate::error::Fault;
use crate::rows::{clean, parsed, to_json};
use crate::schema::service_accounts;
use crate::time::{micros, moment};
use crate::{
    AuditNote, Error, MAX_SERVICE_ACCOUNTS, MAX_TOKENS_PER_ACCOUNT, NewAdminToken, NewServiceAccount, Page,
    Paged, ServiceAccount, service_subject,
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = service_accounts)]
struct AccountRow {
    id: i64,
    name: String,
    role: String,
    limits_json: Option<String>,
    created_by: String,
    created_at: i64,
}

impl AccountRow {
    fn into_account(self) -> Result<ServiceAccount, Error> {
        Ok(ServiceAccount {
            role: parsed("service_accounts.role", self.role.parse())?,
            name: self.name,
            limits: accounts::limits(self.limits_json)?,
            created_by: self.created_by,
            created_at: moment(self.created_at)?,
        })
    }
}

pub(crate) fn add(
    conn: &mut Conn,
    account: &NewServiceAccount,
    token: &NewAdminToken,
    note: &AuditNote,
) -> Result<(), Fault> {
    let epoch = epochs::raise(conn, Epoch::People)?;
    let there: i64 = service_accounts::table
        .filter(service_accounts::removed_at.is_null())
        .count()
        .get_result(conn)?;
    if there >= MAX_SERVICE_ACCOUNTS {
        let (what, limit) = ("service accounts", MAX_SERVICE_ACCOUNTS);
        return Err(Error::TooMany { what, limit }.into());
    }
    let name = clean(&account.name);
    // A removed one makes room for another of its name.
    let removed = service_accounts::table
        .filter(service_accounts::name.eq(&name))
        .filter(service_accounts::removed_at.is_not_null());
    diesel::delete(removed).execute(conn)?;
    let added = diesel::insert_into(service_accounts::table)
        .values((
            service_accounts::name.eq(&name),
            service_accounts::role.eq(account.role.as_str()),
            service_accounts::limits_json.eq(account.limits.as_ref().map(to_json).transpose()?),
            service_accounts::created_by.eq(clean(&account.created_by)),
            service_accounts::created_at.eq(micros(note.at)),
            service_accounts::epoch.eq(epoch),
        ))
        .on_conflict(service_accounts::name)
        .do_nothing()
        .execute(conn)?;
    if added == 0 {
        let what = format!("service account {}", account.name);
        return Err(Error::Duplicate { what }.into());
    }
    admin_tokens::insert(conn, token, note.at)?;
    audit::append(conn, note)
}

fn row(conn: &mut Conn, name: &str) -> Result<AccountRow, Fault> {
    let row: Option<AccountRow> = service_accounts::table
        .filter(service_accounts::name.eq(clean(name)))
        .filter(service_accounts::removed_at.is_null())
        .select(AccountRow::as_select())
        .first(conn)
        .optional()?;
    row.ok_or_else(|| Error::not_found(format!("service account {name}")).into())
}

pub(crate) fn get(conn: &mut Conn, name: &str) -> Result<ServiceAccount, Fault> {
    Ok(row(conn, name)?.into_account()?)
}

pub(crate) fn list(conn: &mut Conn, page: &Page) -> Result<Paged<ServiceAccount>, Fault> {
    let mut query = service_accounts::table
        .filter(service_accounts::removed_at.is_null())
        .select(AccountRow::as_select())
        .order(service_accounts::name)
        .limit(page.limit())
        .into_boxed::<Db>();
    if let Some(after) = page.after::<String>()? {
        query = query.filter(service_accounts::name.gt(after));
    }
    let paged = page.paged(query.load(conn)?, |row: &AccountRow| row.name.clone());
    Ok(paged.try_map(AccountRow::into_account)?)
}

pub(crate) fn add_token(
    conn: &mut Conn,
    name: &str,
    token: &NewAdminToken,
    note: &AuditNote,
) -> Result<(), Fault> {
    // Keeps others from adding one at the same time, and from removing the account.
    epochs::raise(conn, Epoch::People)?;
    let account = row(conn, name)?;
    let holding = admin_tokens::holding(conn, &service_subject(&account.name), note.at)?;
    if holding >= MAX_TOKENS_PER_ACCOUNT {
        let (what, limit) = ("tokens of this service account", MAX_TOKENS_PER_ACCOUNT);
        return Err(Error::TooMany { what, limit }.into());
    }
    admin_tokens::insert(conn, token, note.at)?;
    audit::append(conn, note)
}

pub(crate) fn remove(conn: &mut Conn, name: &str, note: &AuditNote) -> Result<(), Fault> {
    let epoch = epochs::raise(conn, Epoch::People)?;
    let row = row(conn, name)?;
    diesel::update(service_accounts::table.find(row.id))
        .set((
            service_accounts::removed_at.eq(micros(note.at)),
            service_accounts::epoch.eq(epoch),
        ))
        .execute(conn)?;
    let account = row.into_account()?;
    accounts::raise_generation(conn, &service_subject(&account.name), epoch, note.at)?;
    let note = AuditNote {
        before: Some(json!({ "role": account.role, "limits": account.limits })),
        ..note.clone()
    };
    audit::append(conn, &note)
}
