//! Statements on enrolment tokens.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde_json::json;
use tidegate_domain as domain;

use super::{Conn, Db, audit};
use crate::error::Fault;
use crate::rows::{clean, small};
use crate::schema::{enroll_token_hours as hours, enroll_tokens as tokens};
use crate::time::{micros, moment, moment_if};
use crate::{AuditNote, EnrollToken, Error, NewEnrollToken, Page, Paged, TokenFault};

const HOUR_MICROS: i64 = 3_600_000_000;

/// How many sums one transaction writes.
const SUMS_AT_ONCE: i64 = 500;

/// What stands in the place of a token's number for devices that come with the token of their previous server.
pub(crate) const PREVIOUS_TOKENS: i64 = 0;

#[derive(Queryable, Selectable)]
#[diesel(table_name = tokens)]
struct TokenRow {
    id: i64,
    uses: i64,
    used: i64,
    expires_at: i64,
    allow_known: bool,
    created_by: String,
    note: String,
    created_at: i64,
    revoked_at: Option<i64>,
}

impl TokenRow {
    fn into_token(self) -> Result<EnrollToken, Error> {
        Ok(EnrollToken {
            id: self.id,
            uses: small("enroll_tokens.uses", self.uses)?,
            used: small("enroll_tokens.used", self.used)?,
            expires_at: moment(self.expires_at)?,
            allow_known: self.allow_known,
            created_by: self.created_by,
            note: self.note,
            created_at: moment(self.created_at)?,
            revoked_at: moment_if(self.revoked_at)?,
        })
    }
}

fn target(id: i64) -> String {
    match id {
        PREVIOUS_TOKENS => "import".to_owned(),
        id => format!("enrollment_token/{id}"),
    }
}

pub(crate) fn create(conn: &mut Conn, token: &NewEnrollToken, note: &AuditNote) -> Result<i64, Fault> {
    if token.uses == 0 {
        return Err(Error::Rule(domain::Error::invalid("uses", "must be at least 1")).into());
    }
    let id: Option<i64> = diesel::insert_into(tokens::table)
        .values((
            tokens::hash.eq(token.hash.to_vec()),
            tokens::uses.eq(i64::from(token.uses)),
            tokens::used.eq(0),
            tokens::expires_at.eq(micros(token.expires_at)),
            tokens::allow_known.eq(token.allow_known),
            tokens::created_by.eq(clean(&token.created_by)),
            tokens::note.eq(clean(&token.note)),
            tokens::created_at.eq(micros(note.at)),
        ))
        .on_conflict(tokens::hash)
        .do_nothing()
        .returning(tokens::id)
        .get_result(conn)
        .optional()?;
    let id = id.ok_or_else(|| Error::Duplicate {
        what: "an enrolment token with this hash".into(),
    })?;
    let note = AuditNote {
        target: target(id),
        ..note.clone()
    };
    audit::append(conn, &note)?;
    Ok(id)
}

pub(crate) fn list(conn: &mut Conn, page: &Page) -> Result<Paged<EnrollToken>, Fault> {
    let mut query = tokens::table
        .select(TokenRow::as_select())
        .order(tokens::id.desc())
        .limit(page.limit())
        .into_boxed::<Db>();
    if let Some(after) = page.after::<i64>()? {
        query = query.filter(tokens::id.lt(after));
    }
    let paged = page.paged(query.load(conn)?, |row: &TokenRow| row.id);
    Ok(paged.try_map(TokenRow::into_token)?)
}

fn get(conn: &mut Conn, id: i64) -> Result<EnrollToken, Fault> {
    let row: Option<TokenRow> = tokens::table
        .find(id)
        .select(TokenRow::as_select())
        .first(conn)
        .optional()?;
    let row = row.ok_or_else(|| Error::not_found(format!("enrolment token {id}")))?;
    Ok(row.into_token()?)
}

pub(crate) fn revoke(conn: &mut Conn, id: i64, note: &AuditNote) -> Result<EnrollToken, Fault> {
    let held = tokens::table
        .find(id)
        .filter(tokens::revoked_at.is_null())
        .filter(tokens::expires_at.gt(micros(note.at)));
    let ended = diesel::update(held)
        .set(tokens::revoked_at.eq(micros(note.at)))
        .execute(conn)?;
    let token = get(conn, id)?;
    if ended > 0 {
        let note = AuditNote {
            target: target(id),
            before: Some(json!({ "uses": token.uses, "used": token.used, "note": token.note })),
            ..note.clone()
        };
        audit::append(conn, &note)?;
    }
    Ok(token)
}

/// A token that holds, whether or not it is used up.
#[derive(Queryable, Selectable)]
#[diesel(table_name = tokens)]
pub(crate) struct OpenToken {
    pub(crate) id: i64,
    pub(crate) allow_known: bool,
    expires_at: i64,
    revoked_at: Option<i64>,
}

/// The token of this hash, which holds.
pub(crate) fn open(conn: &mut Conn, hash: &[u8; 32], now: i64) -> Result<OpenToken, Fault> {
    let token: Option<OpenToken> = tokens::table
        .filter(tokens::hash.eq(hash.to_vec()))
        .select(OpenToken::as_select())
        .first(conn)
        .optional()?;
    let token = token.ok_or(Error::Token(TokenFault::Unknown))?;
    if token.revoked_at.is_some() {
        return Err(Error::Token(TokenFault::Revoked).into());
    }
    if token.expires_at <= now {
        return Err(Error::Token(TokenFault::Expired).into());
    }
    Ok(token)
}

/// Uses a token up by so many. Counts only what is within the bound, in one statement, so that two devices cannot both be
/// the last one.
pub(crate) fn use_up(conn: &mut Conn, id: i64, devices: i64) -> Result<(), Fault> {
    let free = tokens::table
        .find(id)
        .filter(tokens::revoked_at.is_null())
        .filter((tokens::used + devices).le(tokens::uses));
    let counted = diesel::update(free)
        .set(tokens::used.eq(tokens::used + devices))
        .execute(conn)?;
    if counted == 0 {
        return Err(Error::Token(TokenFault::UsedUp).into());
    }
    Ok(())
}

/// Counts enrolments into their hour. The audit log hears of the sum, so that a fleet that enrols at once does not queue
/// for the chain.
pub(crate) fn count_enrolled(conn: &mut Conn, token: i64, now: i64, devices: i64) -> Result<(), Fault> {
    diesel::insert_into(hours::table)
        .values((
            hours::token_id.eq(token),
            hours::hour_at.eq(hour(now)),
            hours::enrolled.eq(devices),
        ))
        .on_conflict((hours::token_id, hours::hour_at))
        .do_update()
        .set(hours::enrolled.eq(hours::enrolled + devices))
        .execute(conn)?;
    Ok(())
}

/// Counts a refusal into its hour, and returns how many the hour has had.
pub(crate) fn count_refused(conn: &mut Conn, token: i64, now: i64) -> Result<i64, Fault> {
    Ok(diesel::insert_into(hours::table)
        .values((
            hours::token_id.eq(token),
            hours::hour_at.eq(hour(now)),
            hours::refused.eq(1),
        ))
        .on_conflict((hours::token_id, hours::hour_at))
        .do_update()
        .set(hours::refused.eq(hours::refused + 1))
        .returning(hours::refused)
        .get_result(conn)?)
}

/// When the hour began that a moment is in.
pub(crate) fn hour(now: i64) -> i64 {
    now - now.rem_euclid(HOUR_MICROS)
}

/// Whoever deletes a row writes its entry, so that several servers write each sum once.
pub(crate) fn sum_up(conn: &mut Conn, now: DateTime<Utc>) -> Result<usize, Fault> {
    let over: Vec<(i64, i64)> = hours::table
        .filter(hours::hour_at.lt(hour(micros(now))))
        .order((hours::hour_at, hours::token_id))
        .limit(SUMS_AT_ONCE)
        .select((hours::token_id, hours::hour_at))
        .load(conn)?;
    let mut sums = Vec::with_capacity(over.len());
    for (token, hour) in over {
        let sum: Option<(i64, i64)> = diesel::delete(hours::table.find((token, hour)))
            .returning((hours::enrolled, hours::refused))
            .get_result(conn)
            .optional()?;
        sums.extend(sum.map(|sum| (token, hour, sum)));
    }
    for (token, hour, (enrolled, refused)) in &sums {
        let after = json!({ "hour": moment(*hour)?, "enrolled": enrolled, "refused": refused });
        let note = AuditNote {
            actor: "server".to_owned(),
            role: "server".to_owned(),
            action: "enrollment_token.hour",
            target: target(*token),
            before: None,
            after: Some(after),
            request_id: None,
            at: now,
        };
        audit::append(conn, &note)?;
    }
    Ok(sums.len())
}
