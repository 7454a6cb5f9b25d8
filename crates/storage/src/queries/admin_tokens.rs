//! Admin tokens' statements.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::json;

use super::{Conn, Db, accounts, audit};
use crate::admin_tokens::CLOCKS_DIFFER_BY;
use crate::error::Fault;
use crate::rows::{clean, parsed};
use crate::schema::{admin_tokens, ended_tokens};
use crate::time::{micros, moment, moment_if};
use crate::{AdminToken, AuditNote, Error, NewAdminToken, Page, Paged, TOKENS_KEPT_FOR};

#[derive(Queryable, Selectable)]
#[diesel(table_name = admin_tokens)]
struct TokenRow {
    id: i64,
    token_id: String,
    subject: String,
    role: String,
    created_by: String,
    created_at: i64,
    expires_at: i64,
    last_used_at: Option<i64>,
    revoked_at: Option<i64>,
}

impl TokenRow {
    fn into_token(self) -> Result<AdminToken, Error> {
        Ok(AdminToken {
            id: self.token_id,
            subject: self.subject,
            role: parsed("admin_tokens.role", self.role.parse())?,
            created_by: self.created_by,
            created_at: moment(self.created_at)?,
            expires_at: moment(self.expires_at)?,
            last_used_at: moment_if(self.last_used_at)?,
            revoked_at: moment_if(self.revoked_at)?,
        })
    }
}

pub(crate) fn insert(conn: &mut Conn, token: &NewAdminToken, now: DateTime<Utc>) -> Result<(), Fault> {
    diesel::insert_into(admin_tokens::table)
        .values((
            admin_tokens::token_id.eq(clean(&token.id)),
            admin_tokens::subject.eq(clean(&token.subject)),
            admin_tokens::role.eq(token.role.as_str()),
            admin_tokens::created_by.eq(clean(&token.created_by)),
            admin_tokens::created_at.eq(micros(now)),
            admin_tokens::expires_at.eq(micros(token.expires_at)),
        ))
        .execute(conn)?;
    Ok(())
}

pub(crate) fn add(conn: &mut Conn, token: &NewAdminToken, note: &AuditNote) -> Result<(), Fault> {
    insert(conn, token, note.at)?;
    audit::append(conn, note)
}

/// How many tokens of a subject hold.
pub(crate) fn holding(conn: &mut Conn, subject: &str, now: DateTime<Utc>) -> Result<i64, Fault> {
    Ok(admin_tokens::table
        .filter(admin_tokens::subject.eq(clean(subject)))
        .filter(admin_tokens::revoked_at.is_null())
        .filter(admin_tokens::expires_at.gt(micros(now)))
        .count()
        .get_result(conn)?)
}

pub(crate) fn is_handed_out(conn: &mut Conn, id: &str) -> Result<bool, Fault> {
    let own = admin_tokens::table.filter(admin_tokens::token_id.eq(id));
    Ok(diesel::select(diesel::dsl::exists(own)).get_result(conn)?)
}

pub(crate) fn list(conn: &mut Conn, subject: Option<&str>, page: &Page) -> Result<Paged<AdminToken>, Fault> {
    let mut query = admin_tokens::table
        .select(TokenRow::as_select())
        .order(admin_tokens::id.desc())
        .limit(page.limit())
        .into_boxed::<Db>();
    if let Some(subject) = subject {
        query = query.filter(admin_tokens::subject.eq(clean(subject)));
    }
    if let Some(after) = page.after::<i64>()? {
        query = query.filter(admin_tokens::id.lt(after));
    }
    let paged = page.paged(query.load(conn)?, |row: &TokenRow| row.id);
    Ok(paged.try_map(TokenRow::into_token)?)
}

fn get(conn: &mut Conn, id: &str) -> Result<AdminToken, Fault> {
    let row: Option<TokenRow> = admin_tokens::table
        .filter(admin_tokens::token_id.eq(clean(id)))
        .select(TokenRow::as_select())
        .first(conn)
        .optional()?;
    let row = row.ok_or_else(|| Error::not_found(format!("token {id} on record")))?;
    Ok(row.into_token()?)
}

pub(crate) fn revoke(conn: &mut Conn, id: &str, note: &AuditNote) -> Result<AdminToken, Fault> {
    let token = get(conn, id)?;
    if token.revoked_at.is_some() || token.expires_at <= note.at {
        return Ok(token);
    }
    let note = AuditNote {
        target: format!("admin_token/{}", token.subject),
        before: Some(json!({ "role": token.role, "expires_at": token.expires_at, "token_id": id })),
        ..note.clone()
    };
    accounts::end_token(conn, id, token.expires_at, &note)?;
    get(conn, id)
}

pub(crate) fn note_uses(
    conn: &mut Conn,
    uses: &[(String, DateTime<Utc>)],
    now: DateTime<Utc>,
) -> Result<(), Fault> {
    for (id, at) in uses {
        let older = admin_tokens::table
            .filter(admin_tokens::token_id.eq(clean(id)))
            .filter(
                admin_tokens::last_used_at
                    .is_null()
                    .or(admin_tokens::last_used_at.lt(micros(*at))),
            );
        diesel::update(older)
            .set(admin_tokens::last_used_at.eq(micros(*at)))
            .execute(conn)?;
    }
    let ended = ended_tokens::table.filter(ended_tokens::expires_at.lt(micros(now - CLOCKS_DIFFER_BY)));
    diesel::delete(ended).execute(conn)?;
    let expired = admin_tokens::table.filter(admin_tokens::expires_at.lt(micros(now - TOKENS_KEPT_FOR)));
    diesel::delete(expired).execute(conn)?;
    Ok(())
}
