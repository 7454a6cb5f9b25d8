//! Enrolment's statements.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;
use serde_json::json;
use subtle::ConstantTimeEq as _;
use tidegate_domain::{DeviceId, EnrolmentProof, EnrolmentVerdict, KnownDevice};

use super::devices::Installed;
use super::enroll_tokens::{self, OpenToken, PREVIOUS_TOKENS};
use super::{BATCH, Conn, audit, devices, execute_on, lock, recipients, rejections, retirement, rows};
use crate::error::Fault;
use crate::rows::{DeviceNews, DeviceShape, device_id, small, to_json};
use crate::schema::{devices as device_table, enroll_token_uses as uses, imported_devices as imported};
use crate::time::{micros, moment, moment_if};
use crate::{
    AuditNote, EnrollCredential, Enrolled, EnrolledAs, Enrollment, Error, MAX_NOTED_REFUSALS,
    MAX_PREVIOUS_TOKEN_TRIES, PREVIOUS_TOKEN_WINDOW, PreviousToken, TokenFault,
};

/// A device's row, as far as an enrolment asks for it.
#[derive(Queryable, Selectable)]
#[diesel(table_name = device_table)]
struct Row {
    id: i64,
    token_generation: i64,
    enrolled_generation: i64,
    command_generation: i64,
    enrollment_key_hash: Option<Vec<u8>>,
    enrolled_at: i64,
    token_used_at: Option<i64>,
    enrolment_allowed_until_at: Option<i64>,
    refusal_noted_at: Option<i64>,
    retired_at: Option<i64>,
}

impl Row {
    fn is_its_key(&self, key_hash: Option<&[u8; 32]>) -> bool {
        match (&self.enrollment_key_hash, key_hash) {
            (Some(stored), Some(given)) => stored.ct_eq(given).into(),
            _ => false,
        }
    }

    fn known(&self, has_previous_token: bool) -> Result<KnownDevice, Error> {
        Ok(KnownDevice {
            has_enrolled: self.enrolled_generation > 0,
            is_revoked: recipients::is_revoked(self.token_generation, self.enrolled_generation),
            is_retired: self.retired_at.is_some(),
            has_previous_token,
            has_key: self.enrollment_key_hash.is_some(),
            enrolled_at: moment(self.enrolled_at)?,
            is_token_used: self.token_used_at.is_some(),
            allowed_until: moment_if(self.enrolment_allowed_until_at)?,
        })
    }

    fn enrolled(&self, how: EnrolledAs) -> Result<Enrolled, Error> {
        Ok(Enrolled {
            token_generation: small("devices.token_generation", self.token_generation)?,
            command_generation: small("devices.command_generation", self.command_generation)?,
            how,
        })
    }
}

/// `None` for a refusal, which is written down.
pub(crate) fn enroll(conn: &mut Conn, enrollment: &Enrollment) -> Result<Option<Enrolled>, Fault> {
    let now = micros(enrollment.now);
    let token = match &enrollment.credential {
        EnrollCredential::Token(hash) => Some(enroll_tokens::open(conn, hash, now)?),
        EnrollCredential::PreviousToken(_) | EnrollCredential::KeyAlone => None,
    };
    if let Some(token) = &token
        && let Some(enrolled) = add(conn, enrollment, token, now)?
    {
        return Ok(Some(enrolled));
    }
    // The device exists, and is this transaction's from here on.
    let row = hold(conn, &enrollment.device)?.ok_or(Error::Token(TokenFault::Unknown))?;
    let verdict = judge(conn, enrollment, token.as_ref(), &row)?;
    let how = match verdict {
        EnrolmentVerdict::Repeat => {
            repeat(conn, enrollment, &row, now)?;
            return Ok(Some(row.enrolled(EnrolledAs::Repeated)?));
        }
        EnrolmentVerdict::Refuse => {
            refuse(conn, enrollment, token.as_ref(), &row, now)?;
            return Ok(None);
        }
        EnrolmentVerdict::First => EnrolledAs::Moved,
        EnrolmentVerdict::TakeOver => EnrolledAs::TakenOver,
    };
    begin(conn, enrollment, token.as_ref(), &row, how, now).map(Some)
}

/// The device as it was before, locked.
fn hold(conn: &mut Conn, device: &DeviceId) -> Result<Option<Row>, Fault> {
    lock::devices(conn, &[device.as_str()])?;
    Ok(device_table::table
        .filter(device_table::name.eq(device.as_str()))
        .select(Row::as_select())
        .first(conn)
        .optional()?)
}

/// Adds a device that nobody knew; `None` when somebody does.
fn add(
    conn: &mut Conn,
    enrollment: &Enrollment,
    token: &OpenToken,
    now: i64,
) -> Result<Option<Enrolled>, Fault> {
    let shape = DeviceShape::of(enrollment.alias.as_deref(), &enrollment.facts, now)?;
    let added: Option<i64> = diesel::insert_into(device_table::table)
        .values((
            device_table::name.eq(enrollment.device.as_str()),
            device_table::enrolled_generation.eq(1),
            device_table::command_generation.eq(1),
            device_table::enrollment_key_hash.eq(enrollment.key_hash.map(Vec::from)),
            &shape,
        ))
        .on_conflict(device_table::name)
        .do_nothing()
        .returning(device_table::id)
        .get_result(conn)
        .optional()?;
    let Some(device) = added else { return Ok(None) };
    let generation = retirement::begin_after_erasure(conn, device, &enrollment.erased_tags, 1)?;
    if generation > 1 {
        diesel::update(device_table::table.find(device))
            .set((
                device_table::enrolled_generation.eq(i64::from(generation)),
                device_table::command_generation.eq(i64::from(generation)),
            ))
            .execute(conn)?;
    }
    tell(conn, enrollment, device, now)?;
    spend(conn, token.id, device, generation.into(), now)?;
    enroll_tokens::count_enrolled(conn, token.id, now, 1)?;
    Ok(Some(Enrolled {
        token_generation: generation,
        command_generation: generation,
        how: EnrolledAs::New,
    }))
}

fn judge(
    conn: &mut Conn,
    enrollment: &Enrollment,
    token: Option<&OpenToken>,
    row: &Row,
) -> Result<EnrolmentVerdict, Fault> {
    let expected = expected_token(conn, row.id)?;
    let proof = match (&enrollment.credential, token) {
        (EnrollCredential::Token(_), Some(token)) => EnrolmentProof::Token {
            allows_known: token.allow_known,
            is_the_last: gave(conn, token.id, row)?,
        },
        (EnrollCredential::PreviousToken(hash), _) if expected.as_ref() == Some(hash) => {
            EnrolmentProof::PreviousToken
        }
        _ => EnrolmentProof::KeyAlone,
    };
    let key_matches = row.is_its_key(enrollment.key_hash.as_ref());
    let known = row.known(expected.is_some())?;
    Ok(known.judge(proof, key_matches, enrollment.now))
}

/// What an imported device was imported with.
fn expected_token(conn: &mut Conn, device: i64) -> Result<Option<String>, Fault> {
    let hash: Option<Option<String>> = imported::table
        .find(device)
        .select(imported::previous_token)
        .first(conn)
        .optional()?;
    Ok(hash.flatten())
}

/// Whether the device's last enrolment was with this token.
fn gave(conn: &mut Conn, token: i64, row: &Row) -> Result<bool, Fault> {
    let generation: Option<i64> = uses::table
        .find((token, row.id))
        .select(uses::generation)
        .first(conn)
        .optional()?;
    Ok(generation == Some(row.enrolled_generation))
}

/// Told again. What the device says now is taken over, and what it leaves out stays. The time of the enrolment stays as
/// well, and with it the end of the time in which it may be repeated without a key.
fn repeat(conn: &mut Conn, enrollment: &Enrollment, row: &Row, now: i64) -> Result<(), Fault> {
    let news = DeviceNews::of(enrollment.alias.as_deref(), &enrollment.facts, row.enrolled_at)?;
    diesel::update(device_table::table.find(row.id))
        .set(&news)
        .execute(conn)?;
    if let (None, Some(hash)) = (&row.enrollment_key_hash, enrollment.key_hash) {
        diesel::update(device_table::table.find(row.id))
            .set(device_table::enrollment_key_hash.eq(hash.to_vec()))
            .execute(conn)?;
    }
    retirement::rejoin(conn, row.id)?;
    tell(conn, enrollment, row.id, now)
}

/// Begins a generation, that of an imported device or one after all before.
fn begin(
    conn: &mut Conn,
    enrollment: &Enrollment,
    token: Option<&OpenToken>,
    row: &Row,
    how: EnrolledAs,
    now: i64,
) -> Result<Enrolled, Fault> {
    let device = device_table::table.find(row.id);
    let generation = if how == EnrolledAs::TakenOver {
        let shape = DeviceShape::of(enrollment.alias.as_deref(), &enrollment.facts, now)?;
        diesel::update(device).set(&shape).execute(conn)?;
        start_anew(conn, row.id, now)?
    } else {
        let news = DeviceNews::of(enrollment.alias.as_deref(), &enrollment.facts, now)?;
        diesel::update(device).set(&news).execute(conn)?;
        small("devices.token_generation", row.token_generation)?
    };
    let generation = retirement::begin_after_erasure(conn, row.id, &enrollment.erased_tags, generation)?;
    retirement::rejoin(conn, row.id)?;
    diesel::update(device)
        .set((
            device_table::enrolled_generation.eq(i64::from(generation)),
            device_table::command_generation.eq(i64::from(generation)),
            device_table::enrollment_key_hash.eq(enrollment.key_hash.map(Vec::from)),
            device_table::token_used_at.eq(None::<i64>),
            device_table::enrolment_allowed_until_at.eq(None::<i64>),
            device_table::duplicate_seen_at.eq(None::<i64>),
        ))
        .execute(conn)?;
    diesel::delete(imported::table.find(row.id)).execute(conn)?;
    tell(conn, enrollment, row.id, now)?;
    if let Some(token) = token {
        spend(conn, token.id, row.id, generation.into(), now)?;
    }
    if how == EnrolledAs::TakenOver {
        let after = json!({
            "token_id": token.map(|token| token.id),
            "generation": generation,
            "allowed_by": if token.is_some_and(|token| token.allow_known) { "token" } else { "operator" },
        });
        audit::append(conn, &note(enrollment, token, "device.takeover", after))?;
    } else {
        let token = token.map_or(PREVIOUS_TOKENS, |token| token.id);
        enroll_tokens::count_enrolled(conn, token, now, 1)?;
    }
    Ok(Enrolled {
        token_generation: generation,
        command_generation: generation,
        how,
    })
}

/// Whoever held the device's credential so far loses it. What enrols is taken for another installation of Android: it is
/// woken elsewhere, and what failed on the one before may work on this.
fn start_anew(conn: &mut Conn, device: i64, now: i64) -> Result<u32, Fault> {
    let generation = devices::raise_generation(conn, device)?;
    devices::store_fcm_token(conn, device, None, now)?;
    devices::forget_polled(conn, device)?;
    rejections::forget(conn, device, None)?;
    Ok(generation)
}

/// What a device that is let in says besides its facts.
fn tell(conn: &mut Conn, enrollment: &Enrollment, device: i64, now: i64) -> Result<(), Fault> {
    if let Some(token) = &enrollment.fcm_token {
        devices::store_fcm_token(conn, device, Some(token), now)?;
    }
    if let Some((package, version)) = &enrollment.package {
        let known = devices::package_ids(conn, &[package.as_str()])?;
        if let Some(package) = known.get(package.as_str()) {
            let name = enrollment.device.as_str();
            let installed = Installed::reported(device, *package, version.get(), now, name);
            devices::set_installed(conn, &[installed])?;
        }
    }
    Ok(())
}

/// Uses a token up by one, for a device that is given this generation.
fn spend(conn: &mut Conn, token: i64, device: i64, generation: i64, now: i64) -> Result<(), Fault> {
    enroll_tokens::use_up(conn, token, 1)?;
    diesel::insert_into(uses::table)
        .values((
            uses::token_id.eq(token),
            uses::device_id.eq(device),
            uses::used_at.eq(now),
            uses::generation.eq(generation),
        ))
        .on_conflict((uses::token_id, uses::device_id))
        .do_update()
        .set((uses::used_at.eq(now), uses::generation.eq(generation)))
        .execute(conn)?;
    Ok(())
}

/// Counts a refusal and notes it: one of each device within an hour, and [`MAX_NOTED_REFUSALS`] of a token.
fn refuse(
    conn: &mut Conn,
    enrollment: &Enrollment,
    token: Option<&OpenToken>,
    row: &Row,
    now: i64,
) -> Result<(), Fault> {
    let id = token.map_or(PREVIOUS_TOKENS, |token| token.id);
    let after = json!({ "token_id": token.map(|token| token.id) });
    let note = note(enrollment, token, "device.enrolment_refused", after);
    note_refusal(conn, id, row, &note, now)
}

fn note_refusal(conn: &mut Conn, token: i64, row: &Row, note: &AuditNote, now: i64) -> Result<(), Fault> {
    let refused = enroll_tokens::count_refused(conn, token, now)?;
    let lately = row
        .refusal_noted_at
        .is_some_and(|at| now - at < micros_of_an_hour());
    if lately || refused > MAX_NOTED_REFUSALS {
        return Ok(());
    }
    diesel::update(device_table::table.find(row.id))
        .set(device_table::refusal_noted_at.eq(now))
        .execute(conn)?;
    audit::append(conn, note)
}

fn micros_of_an_hour() -> i64 {
    chrono::TimeDelta::hours(1).num_microseconds().unwrap_or(i64::MAX)
}

/// The entry of an enrolment: who acts in it is known by the token alone.
fn note(
    enrollment: &Enrollment,
    token: Option<&OpenToken>,
    action: &'static str,
    after: serde_json::Value,
) -> AuditNote {
    AuditNote {
        actor: token.map_or_else(
            || "previous_token".to_owned(),
            |token| format!("enrollment_token:{}", token.id),
        ),
        role: "device".to_owned(),
        action,
        target: format!("device/{}", enrollment.device),
        before: None,
        after: Some(after),
        request_id: None,
        at: enrollment.now,
    }
}

pub(crate) fn previous_token(
    conn: &mut Conn,
    device: &DeviceId,
    key_hash: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<PreviousToken, Fault> {
    let Some(row) = hold(conn, device)? else {
        return Ok(PreviousToken::Nothing);
    };
    if row.enrolled_generation > 0 && row.is_its_key(Some(key_hash)) {
        return Ok(PreviousToken::Moved);
    }
    let import: Option<(Option<String>, i64, Option<i64>)> = imported::table
        .find(row.id)
        .select((imported::previous_token, imported::tries, imported::tries_at))
        .first(conn)
        .optional()?;
    let Some((Some(hash), tries, tries_at)) = import else {
        return Ok(PreviousToken::Nothing);
    };
    let at = micros(now);
    let window = PREVIOUS_TOKEN_WINDOW.num_microseconds().unwrap_or(i64::MAX);
    let (tries, since) = match tries_at {
        Some(since) if at - since < window => (tries, since),
        _ => (0, at),
    };
    if tries >= MAX_PREVIOUS_TOKEN_TRIES {
        let note = AuditNote {
            actor: "previous_token".to_owned(),
            role: "device".to_owned(),
            action: "device.enrolment_refused",
            target: format!("device/{device}"),
            before: None,
            after: Some(json!({ "tries": tries })),
            request_id: None,
            at: now,
        };
        note_refusal(conn, PREVIOUS_TOKENS, &row, &note, at)?;
        return Ok(PreviousToken::TooManyTries);
    }
    diesel::update(imported::table.find(row.id))
        .set((imported::tries.eq(tries + 1), imported::tries_at.eq(since)))
        .execute(conn)?;
    Ok(PreviousToken::Check(hash))
}

pub(crate) fn allow(
    conn: &mut Conn,
    device: &DeviceId,
    until: DateTime<Utc>,
    note: &AuditNote,
) -> Result<(), Fault> {
    let known = device_table::table.filter(device_table::name.eq(device.as_str()));
    let allowed = diesel::update(known)
        .set(device_table::enrolment_allowed_until_at.eq(micros(until)))
        .execute(conn)?;
    if allowed == 0 {
        return Err(devices::unknown(device).into());
    }
    audit::append(conn, note)
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'a str,
    generation: u32,
    at: i64,
}

/// Whether a device has enrolled again since the generation `v` that was shown. One that was revoked shows its old token
/// until then.
const ENROLLED_SINCE: &str =
    "devices.name = v.name AND devices.enrolled_generation > v.generation AND v.at >= devices.enrolled_at";

#[derive(QueryableByName)]
struct Fresh {
    #[diesel(sql_type = diesel::sql_types::Text)]
    name: String,
}

pub(crate) fn note_duplicates(
    conn: &mut Conn,
    shown: &[(DeviceId, u32, DateTime<Utc>)],
) -> Result<Vec<DeviceId>, Fault> {
    let source = rows(&[("name", "text"), ("generation", "bigint"), ("at", "bigint")]);
    let fresh = format!(
        "SELECT devices.name FROM {source} CROSS JOIN devices
         WHERE {ENROLLED_SINCE} AND devices.duplicate_seen_at IS NULL"
    );
    let note = format!("UPDATE devices SET duplicate_seen_at = v.at FROM {source} WHERE {ENROLLED_SINCE}");
    let mut found = Vec::new();
    for shown in shown.chunks(BATCH) {
        let shown: Vec<Shown<'_>> = shown
            .iter()
            .map(|(device, generation, at)| Shown {
                name: device.as_str(),
                generation: *generation,
                at: micros(*at),
            })
            .collect();
        let query = diesel::sql_query(&fresh).bind::<diesel::sql_types::Text, _>(to_json(&shown)?);
        for row in query.load::<Fresh>(conn)? {
            found.push(device_id(&row.name)?);
        }
        execute_on(conn, &note, &shown)?;
    }
    Ok(found)
}
