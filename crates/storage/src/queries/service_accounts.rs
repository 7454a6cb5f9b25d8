//! Service accounts' statements.

use diesel::prelude::*;
use serde_json::json;

use super::epochs::Epoch;
use super::{Conn, Db, accounts, admin_tokens, audit, epochs, record};
use crate::error::Fault;
use crate::record::{AccountParts, Tag};
use crate::rows::{clean, parsed, to_json};
use crate::schema::service_accounts;
use crate::time::{micros, moment};
use crate::{
    AuditNote, Error, MAX_SERVICE_ACCOUNTS, MAX_TOKENS_PER_ACCOUNT, NewAdminToken, NewServiceAccount, Page,
    Paged, RecordKey, ServiceAccount, service_subject,
};

#[derive(Queryable, Selectable)]
#[diesel(table_name = service_accounts)]
pub(super) struct AccountRow {
    id: i64,
    pub(super) name: String,
    role: String,
    pub(super) limits_json: Option<String>,
    created_by: String,
    created_at: i64,
    pub(super) removed_at: Option<i64>,
    mac: Option<Vec<u8>>,
}

impl AccountRow {
    fn tag(&self, key: &RecordKey) -> Tag {
        key.service_account(&AccountParts {
            name: &self.name,
            role: &self.role,
            limits: self.limits_json.as_deref(),
            created_at: self.created_at,
            removed_at: self.removed_at,
        })
    }

    pub(super) fn is_genuine(&self, key: Option<&RecordKey>) -> bool {
        key.is_none_or(|key| self.tag(key).is(self.mac.as_deref()))
    }

    fn into_account(self, key: Option<&RecordKey>) -> Result<ServiceAccount, Error> {
        Ok(ServiceAccount {
            genuine: self.is_genuine(key),
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
    sign(conn, &name)?;
    admin_tokens::insert(conn, token, note.at)?;
    audit::append(conn, note)
}

/// Gives an account the MAC of its row as it stands: after every change of it, in the same transaction, and never otherwise.
fn sign(conn: &mut Conn, name: &str) -> Result<(), Fault> {
    let Some(key) = record::key(conn)? else {
        return Ok(());
    };
    let row: AccountRow = service_accounts::table
        .filter(service_accounts::name.eq(clean(name)))
        .select(AccountRow::as_select())
        .first(conn)?;
    diesel::update(service_accounts::table.find(row.id))
        .set(service_accounts::mac.eq(row.tag(&key).bytes()))
        .execute(conn)?;
    Ok(())
}

/// Signs all accounts, and returns how many there are. For the beginning of the record alone.
pub(crate) fn sign_all(conn: &mut Conn) -> Result<usize, Fault> {
    let names: Vec<String> = service_accounts::table
        .select(service_accounts::name)
        .load(conn)?;
    for name in &names {
        sign(conn, name)?;
    }
    Ok(names.len())
}

/// Those whose rows are not as the server wrote them.
pub(crate) fn tampered(conn: &mut Conn) -> Result<Vec<String>, Fault> {
    let key = record::key(conn)?;
    let rows: Vec<AccountRow> = service_accounts::table
        .select(AccountRow::as_select())
        .order(service_accounts::name)
        .load(conn)?;
    let tampered = rows.into_iter().filter(|row| !row.is_genuine(key.as_ref()));
    Ok(tampered.map(|row| row.name).collect())
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
    let key = record::key(conn)?;
    Ok(row(conn, name)?.into_account(key.as_ref())?)
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
    let key = record::key(conn)?;
    Ok(paged.try_map(|row| row.into_account(key.as_ref()))?)
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
    if !account.is_genuine(record::key(conn)?.as_ref()) {
        let what = format!("the service account {name}");
        return Err(Error::Tampered { what }.into());
    }
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
    sign(conn, &row.name)?;
    let key = record::key(conn)?;
    let account = row.into_account(key.as_ref())?;
    accounts::raise_generation(conn, &service_subject(&account.name), epoch, note.at)?;
    let note = AuditNote {
        before: Some(json!({ "role": account.role, "limits": account.limits })),
        ..note.clone()
    };
    audit::append(conn, &note)
}
