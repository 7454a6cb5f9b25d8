//! The usual enrolments, many in one transaction: of devices that nobody knew, with a token that holds.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::prelude::*;
use serde::Serialize;

use super::device_rows::{self, DeviceRow};
use super::devices::{self, Installed};
use super::kept::Kept;
use super::{BATCH, Conn, enroll_tokens, rows};
use crate::error::Fault;
use crate::rows::clean_if;
use crate::schema::{devices as device_table, erased_devices};
use crate::time::micros;
use crate::{EnrollCredential, Enrolled, EnrolledAs, Enrollment, Error, Grouped, TokenFault};

/// A device's use of a token.
#[derive(Serialize)]
struct Use {
    token_id: i64,
    device_id: i64,
    used_at: i64,
    generation: i64,
}

/// Whoever enrols in the usual way, by the number of the token.
type Usual<'a> = Vec<(&'a Enrollment, i64)>;

/// What the tokens come to that devices bring: their numbers, or what is wrong with them.
type Tokens = HashMap<[u8; 32], Result<i64, TokenFault>>;

/// Lets in the devices that nobody knew, and says what became of each, in the order of `enrollments`.
pub(crate) fn enroll_new(conn: &mut Conn, enrollments: &[Enrollment]) -> Result<Vec<Grouped>, Fault> {
    let tokens = tokens(conn, enrollments)?;
    let mut usual: Usual<'_> = enrollments
        .iter()
        .filter_map(|enrollment| Some((enrollment, brought(&tokens, enrollment)?.ok()?)))
        .collect();
    leave_out_erased(conn, &mut usual)?;
    leave_out_shared_fcm_tokens(conn, &mut usual)?;
    // In one order, so that no two servers wait for each other.
    usual.sort_by(|(one, _), (other, _)| one.device.cmp(&other.device));
    usual.dedup_by(|(later, _), (earlier, _)| later.device == earlier.device);
    let added = add(conn, &usual)?;
    install(conn, &usual, &added)?;
    spend(conn, &usual, &added)?;
    let mut told: HashSet<&str> = HashSet::new();
    let outcome = |enrollment: &Enrollment| {
        if let Some(Err(fault)) = brought(&tokens, enrollment) {
            return Grouped::Refused(fault);
        }
        let name = enrollment.device.as_str();
        // The sort is stable: of two with one id, it was the first.
        match added.get_key_value(name) {
            Some((name, _)) if told.insert(name) => Grouped::New(NEW),
            _ => Grouped::Apart,
        }
    };
    Ok(enrollments.iter().map(outcome).collect())
}

/// What a device that nobody knew is given.
const NEW: Enrolled = Enrolled {
    token_generation: 1,
    command_generation: 1,
    how: EnrolledAs::New,
};

fn brought(tokens: &Tokens, enrollment: &Enrollment) -> Option<Result<i64, TokenFault>> {
    match &enrollment.credential {
        EnrollCredential::Token(hash) => tokens.get(hash).copied(),
        EnrollCredential::PreviousToken(_) | EnrollCredential::KeyAlone => None,
    }
}

fn tokens(conn: &mut Conn, enrollments: &[Enrollment]) -> Result<Tokens, Fault> {
    let mut tokens = Tokens::new();
    for enrollment in enrollments {
        let EnrollCredential::Token(hash) = &enrollment.credential else {
            continue;
        };
        if let Entry::Vacant(unknown) = tokens.entry(*hash) {
            unknown.insert(match enroll_tokens::open(conn, hash, micros(enrollment.now)) {
                Ok(token) => Ok(token.id),
                Err(Fault::Refused(Error::Token(fault))) => Err(fault),
                Err(fault) => return Err(fault),
            });
        }
    }
    Ok(tokens)
}

/// An id that was erased goes on from a later generation.
fn leave_out_erased(conn: &mut Conn, usual: &mut Usual<'_>) -> Result<(), Fault> {
    let tags: Vec<Vec<u8>> = usual
        .iter()
        .flat_map(|(enrollment, _)| enrollment.erased_tags.iter().map(|tag| tag.to_vec()))
        .collect();
    let mut erased: HashSet<Vec<u8>> = HashSet::new();
    for tags in tags.chunks(BATCH) {
        let found: Vec<Vec<u8>> = erased_devices::table
            .filter(erased_devices::tag.eq_any(tags))
            .select(erased_devices::tag)
            .load(conn)?;
        erased.extend(found);
    }
    usual.retain(|(enrollment, _)| {
        let mut tags = enrollment.erased_tags.iter();
        !tags.any(|tag| erased.contains(&tag[..]))
    });
    Ok(())
}

/// An FCM token goes over to the device that told it last.
fn leave_out_shared_fcm_tokens(conn: &mut Conn, usual: &mut Usual<'_>) -> Result<(), Fault> {
    let told = |enrollment: &Enrollment| clean_if(enrollment.fcm_token.as_deref());
    let mut times: HashMap<String, u32> = HashMap::new();
    for token in usual.iter().filter_map(|(enrollment, _)| told(enrollment)) {
        *times.entry(token).or_default() += 1;
    }
    let mut shared: HashSet<String> = HashSet::new();
    let tokens: Vec<&String> = times.keys().collect();
    for tokens in tokens.chunks(BATCH) {
        let held: Vec<Option<String>> = device_table::table
            .filter(device_table::fcm_token.eq_any(tokens.iter().copied()))
            .select(device_table::fcm_token)
            .load(conn)?;
        shared.extend(held.into_iter().flatten());
    }
    shared.extend(
        times
            .into_iter()
            .filter(|(_, times)| *times > 1)
            .map(|(token, _)| token),
    );
    usual.retain(|(enrollment, _)| told(enrollment).is_none_or(|token| !shared.contains(&token)));
    Ok(())
}

/// Adds the devices, and returns the numbers of those that nobody knew.
fn add(conn: &mut Conn, usual: &Usual<'_>) -> Result<HashMap<String, i64>, Fault> {
    let mut added = HashMap::new();
    for usual in usual.chunks(BATCH) {
        let rows: Vec<DeviceRow<'_>> = usual
            .iter()
            .map(|(enrollment, _)| {
                let row = DeviceRow::of(
                    enrollment.device.as_str(),
                    enrollment.alias.as_deref(),
                    &enrollment.facts,
                    enrollment.fcm_token.as_deref(),
                    micros(enrollment.now),
                );
                row.map(|row| row.enrolled(enrollment.key_hash.as_ref()))
            })
            .collect::<Result<_, _>>()?;
        let new = device_rows::add(conn, &rows)?;
        added.extend(new.into_iter().map(|device| (device.name, device.id)));
    }
    Ok(added)
}

fn install(conn: &mut Conn, usual: &Usual<'_>, added: &HashMap<String, i64>) -> Result<(), Fault> {
    let running = usual.iter().filter_map(|(enrollment, _)| {
        let (package, version) = enrollment.package.as_ref()?;
        let device = *added.get(enrollment.device.as_str())?;
        Some((enrollment, device, package.as_str(), version.get()))
    });
    let running: Vec<_> = running.collect();
    let names: HashSet<&str> = running.iter().map(|(_, _, package, _)| *package).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let known = devices::package_ids(conn, &names)?;
    let installed: Vec<Installed> = running
        .iter()
        .filter_map(|(enrollment, device, package, version)| {
            let (now, name) = (micros(enrollment.now), enrollment.device.as_str());
            let package = known.get(*package)?;
            Some(Installed::reported(*device, *package, *version, now, name))
        })
        .collect();
    devices::set_installed(conn, &installed)
}

/// Uses the tokens up. One that doesn't suffice has everything fail.
fn spend(conn: &mut Conn, usual: &Usual<'_>, added: &HashMap<String, i64>) -> Result<(), Fault> {
    let uses: Vec<Use> = usual
        .iter()
        .filter_map(|(enrollment, token)| {
            Some(Use {
                token_id: *token,
                device_id: *added.get(enrollment.device.as_str())?,
                used_at: micros(enrollment.now),
                generation: 1,
            })
        })
        .collect();
    let sql = format!(
        "INSERT INTO enroll_token_uses (token_id, device_id, used_at, generation)
         SELECT token_id, device_id, used_at, generation FROM {}",
        rows(&[
            ("token_id", "bigint"),
            ("device_id", "bigint"),
            ("used_at", "bigint"),
            ("generation", "bigint")
        ])
    );
    for uses in uses.chunks(BATCH) {
        Kept::on(&sql, uses)?.run(conn)?;
    }
    // By token and hour, in one order for all servers.
    let mut counts: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    for one in &uses {
        *counts
            .entry((one.token_id, enroll_tokens::hour(one.used_at)))
            .or_default() += 1;
    }
    for ((token, hour), devices) in counts {
        enroll_tokens::use_up(conn, token, devices)?;
        enroll_tokens::count_enrolled(conn, token, hour, devices)?;
    }
    Ok(())
}
