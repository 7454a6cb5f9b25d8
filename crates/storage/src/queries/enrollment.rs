//! Enrolment's statements.

use diesel::prelude::*;
use tidegate_domain as domain;

use super::devices::Installed;
use super::{Conn, audit, devices, rejections, retirement};
use crate::error::Fault;
use crate::rows::{DeviceShape, clean, small};
use crate::schema::{devices as device_table, enroll_token_uses as uses, enroll_tokens as tokens};
use crate::time::micros;
use crate::{AuditNote, Enrolled, Enrollment, Error, NewEnrollToken, TokenFault};

pub(crate) fn create_token(conn: &mut Conn, token: &NewEnrollToken, note: &AuditNote) -> Result<i64, Fault> {
    if token.uses == 0 {
        return Err(Error::Rule(domain::Error::invalid("uses", "must be at least 1")).into());
    }
    let id: Option<i64> = diesel::insert_into(tokens::table)
        .values((
            tokens::hash.eq(token.hash.to_vec()),
            tokens::uses.eq(i64::from(token.uses)),
            tokens::used.eq(0),
            tokens::expires_at.eq(micros(token.expires_at)),
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
    audit::append(conn, note)?;
    Ok(id)
}

pub(crate) fn enroll(conn: &mut Conn, enrollment: &Enrollment) -> Result<Enrolled, Fault> {
    let now = micros(enrollment.now);
    let token = open_token(conn, enrollment)?;
    let (device, mut enrolled) = upsert_device(conn, enrollment, now)?;
    retirement::rejoin(conn, device)?;
    enrolled.token_generation =
        retirement::begin_after_erasure(conn, device, &enrollment.erased_tags, enrolled.token_generation)?;
    if use_token(conn, token, device, &enrolled, now)? && !enrolled.is_new {
        // Another token than before enrols the same id: whoever held the device's credential so far loses it.
        enrolled.token_generation = devices::raise_generation(conn, device)?;
        devices::forget_polled(conn, device)?;
        // It is taken for another installation of Android: what failed on the one before may work on this.
        rejections::forget(conn, device, None)?;
    }
    note_generation(conn, token, device, &enrolled)?;
    if let Some((package, version)) = &enrollment.package {
        let known = devices::package_ids(conn, &[package.as_str()])?;
        if let Some(package) = known.get(package.as_str()) {
            let name = enrollment.device.as_str();
            let installed = Installed::reported(device, *package, version.get(), now, name);
            devices::set_installed(conn, &[installed])?;
        }
    }
    Ok(enrolled)
}

fn open_token(conn: &mut Conn, enrollment: &Enrollment) -> Result<i64, Fault> {
    let token: Option<(i64, i64)> = tokens::table
        .filter(tokens::hash.eq(enrollment.token_hash.to_vec()))
        .select((tokens::id, tokens::expires_at))
        .first(conn)
        .optional()?;
    let (id, expires_at) = token.ok_or(Error::Token(TokenFault::Unknown))?;
    if expires_at <= micros(enrollment.now) {
        return Err(Error::Token(TokenFault::Expired).into());
    }
    Ok(id)
}

fn upsert_device(conn: &mut Conn, enrollment: &Enrollment, now: i64) -> Result<(i64, Enrolled), Fault> {
    let name = enrollment.device.as_str();
    let shape = DeviceShape::of(enrollment.alias.as_deref(), &enrollment.facts, now)?;
    // The bare row first: after it the device exists and is this transaction's, whoever else enrols it now.
    let added = diesel::insert_into(device_table::table)
        .values((device_table::name.eq(name), &shape))
        .on_conflict(device_table::name)
        .do_nothing()
        .execute(conn)?;
    let (id, generation): (i64, i64) =
        diesel::update(device_table::table.filter(device_table::name.eq(name)))
            .set(&shape)
            .returning((device_table::id, device_table::token_generation))
            .get_result(conn)?;
    if let Some(token) = &enrollment.fcm_token {
        devices::store_fcm_token(conn, id, Some(token), now)?;
    }
    let enrolled = Enrolled {
        token_generation: small("devices.token_generation", generation)?,
        is_new: added == 1,
    };
    Ok((id, enrolled))
}

/// Whether it is this device's first use of the token. A repeated one is free, unless the device was revoked in the
/// meantime: a spent token must not bring it back.
///
/// Counts only what is below the bound, in one statement, so that two devices cannot both be the last one.
fn use_token(conn: &mut Conn, token: i64, device: i64, enrolled: &Enrolled, now: i64) -> Result<bool, Fault> {
    let generation = i64::from(enrolled.token_generation);
    let first = diesel::insert_into(uses::table)
        .values((
            uses::token_id.eq(token),
            uses::device_id.eq(device),
            uses::used_at.eq(now),
            uses::generation.eq(generation),
        ))
        .on_conflict((uses::token_id, uses::device_id))
        .do_nothing()
        .execute(conn)?;
    if first == 0 {
        let given: i64 = uses::table
            .find((token, device))
            .select(uses::generation)
            .first(conn)?;
        return if given < generation {
            Err(Error::Token(TokenFault::UsedUp).into())
        } else {
            Ok(false)
        };
    }
    let free = tokens::table
        .filter(tokens::id.eq(token))
        .filter(tokens::used.lt(tokens::uses));
    let counted = diesel::update(free)
        .set(tokens::used.eq(tokens::used + 1))
        .execute(conn)?;
    if counted == 0 {
        return Err(Error::Token(TokenFault::UsedUp).into());
    }
    Ok(true)
}

fn note_generation(conn: &mut Conn, token: i64, device: i64, enrolled: &Enrolled) -> Result<(), Fault> {
    diesel::update(uses::table.find((token, device)))
        .set(uses::generation.eq(i64::from(enrolled.token_generation)))
        .execute(conn)?;
    Ok(())
}
