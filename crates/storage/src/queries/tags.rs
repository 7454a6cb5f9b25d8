//! Tags' statements.

use std::collections::{BTreeSet, HashMap, HashSet};

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde::Serialize;
use serde_json::json;
use tidegate_domain::{DeviceId, MAX_TAG_NAMES, MAX_TAGS_PER_DEVICE, Overlay, Tag, check_tag_count};

use super::epochs::Epoch;
use super::rollouts_in_use::{self, InUse};
use super::{BATCH, Conn, Db, audit, devices as device_queries, epochs, execute_on, policies, rows};
use crate::error::Fault;
use crate::rows::{clean, device_id, parsed, to_json};
use crate::schema::{device_tags, devices, tag_changes, tagged_devices, tags};
use crate::time::micros;
use crate::{AuditNote, Error, Page, Paged, TagCount, TagCursor, Tagged};

/// A device by its number, as statements get it and give it back.
#[derive(Clone, Copy, Serialize, QueryableByName)]
struct Numbered {
    #[diesel(sql_type = BigInt)]
    device_id: i64,
}

const NUMBERED: [(&str, &str); 1] = [("device_id", "bigint")];

pub(crate) fn tag(name: &str) -> Result<Tag, Error> {
    parsed("tags.name", Tag::parse(name))
}

pub(crate) fn list(conn: &mut Conn, page: &Page) -> Result<Paged<TagCount>, Fault> {
    let mut query = tags::table
        .select((tags::name, tags::devices))
        .order(tags::name)
        .limit(page.limit())
        .into_boxed::<Db>();
    if let Some(after) = page.after::<String>()? {
        query = query.filter(tags::name.gt(after));
    }
    let rows: Vec<(String, i64)> = query.load(conn)?;
    let paged = page.paged(rows, |(name, _)| name.clone());
    let count = |(name, devices): (String, i64)| {
        Ok::<_, Error>(TagCount {
            tag: tag(&name)?,
            devices: u64::try_from(devices).unwrap_or(0),
        })
    };
    Ok(paged.try_map(count)?)
}

/// Those of these that some device has.
pub(crate) fn known(conn: &mut Conn, asked: &BTreeSet<String>) -> Result<HashSet<String>, Fault> {
    let mut known = HashSet::new();
    let asked: Vec<&String> = asked.iter().collect();
    for asked in asked.chunks(BATCH) {
        let names: Vec<String> = tags::table
            .filter(tags::name.eq_any(asked.iter().copied()).and(tags::devices.gt(0)))
            .select(tags::name)
            .load(conn)?;
        known.extend(names);
    }
    Ok(known)
}

pub(crate) fn devices(conn: &mut Conn, tag: &Tag, page: &Page) -> Result<Paged<DeviceId>, Fault> {
    let number = number(conn, tag)?.ok_or_else(|| unknown(tag))?;
    let mut query = device_tags::table
        .inner_join(devices::table)
        .filter(device_tags::tag_id.eq(number))
        .order(device_tags::device_id)
        .limit(page.limit())
        .select((device_tags::device_id, devices::name))
        .into_boxed::<Db>();
    if let Some(after) = page.after::<i64>()? {
        query = query.filter(device_tags::device_id.gt(after));
    }
    let rows: Vec<(i64, String)> = query.load(conn)?;
    let paged = page.paged(rows, |(id, _)| *id);
    Ok(paged.try_map(|(_, name)| device_id(&name))?)
}

pub(crate) fn change(
    conn: &mut Conn,
    tag: &Tag,
    add: &[DeviceId],
    remove: &[DeviceId],
    note: &AuditNote,
) -> Result<Tagged, Fault> {
    let named: BTreeSet<&str> = add.iter().chain(remove).map(DeviceId::as_str).collect();
    let held = device_queries::hold(conn, &named)?;
    let known = |ids: &[DeviceId]| -> Vec<Numbered> {
        let known = ids.iter().filter_map(|id| held.get(id.as_str()));
        known
            .map(|device_id| Numbered {
                device_id: *device_id,
            })
            .collect()
    };
    let (to_add, to_remove) = (known(add), known(remove));
    let number = match to_add.is_empty() {
        // A tag that no device gets is not made for it.
        true => number(conn, tag)?,
        false => Some(ensure(conn, tag)?),
    };
    let (mut added, mut removed) = (vec![], vec![]);
    if let Some(number) = number {
        added = give(conn, number, &to_add)?;
        removed = take(conn, number, &to_remove)?;
        refuse_too_many(conn, &added)?;
        let more = added.len() as i64 - removed.len() as i64;
        count(conn, number, more)?;
    }
    let unknown = named.iter().filter(|name| !held.contains_key(**name));
    let unknown: Result<Vec<DeviceId>, Error> = unknown.map(|name| device_id(name)).collect();
    let done = Tagged {
        added: added.len() as u64,
        removed: removed.len() as u64,
        unknown: unknown?,
    };
    if done.added + done.removed > 0 {
        remember(conn, tag, true, &added, note)?;
        remember(conn, tag, false, &removed, note)?;
        added.extend(removed);
        announce(conn, &added)?;
        let after = json!({
            "added": done.added,
            "removed": done.removed,
            "unknown": done.unknown.len(),
        });
        audit::append(conn, &with_after(note, after))?;
    }
    Ok(done)
}

fn with_after(note: &AuditNote, after: serde_json::Value) -> AuditNote {
    AuditNote {
        after: Some(after),
        ..note.clone()
    }
}

/// Those of the devices that did not have the tag.
fn give(conn: &mut Conn, tag: i64, to: &[Numbered]) -> Result<Vec<Numbered>, Fault> {
    let sql = format!(
        "INSERT INTO device_tags (device_id, tag_id) SELECT v.device_id, {tag} FROM {} WHERE true
         ON CONFLICT (device_id, tag_id) DO NOTHING RETURNING device_id",
        rows(&NUMBERED)
    );
    returned(conn, &sql, to)
}

/// Those of the devices that had the tag.
fn take(conn: &mut Conn, tag: i64, from: &[Numbered]) -> Result<Vec<Numbered>, Fault> {
    let sql = format!(
        "DELETE FROM device_tags WHERE tag_id = {tag} AND device_id IN (SELECT v.device_id FROM {})
         RETURNING device_id",
        rows(&NUMBERED)
    );
    returned(conn, &sql, from)
}

fn returned(conn: &mut Conn, sql: &str, of: &[Numbered]) -> Result<Vec<Numbered>, Fault> {
    let mut found = Vec::with_capacity(of.len());
    for of in of.chunks(BATCH) {
        let query = diesel::sql_query(sql).bind::<Text, _>(to_json(&of)?);
        found.extend(query.load::<Numbered>(conn)?);
    }
    Ok(found)
}

fn refuse_too_many(conn: &mut Conn, of: &[Numbered]) -> Result<(), Fault> {
    for of in of.chunks(BATCH) {
        let ids = of.iter().map(|numbered| numbered.device_id);
        let counts: Vec<(i64, i64)> = device_tags::table
            .filter(device_tags::device_id.eq_any(ids))
            .group_by(device_tags::device_id)
            .select((device_tags::device_id, diesel::dsl::count_star()))
            .load(conn)?;
        let most = counts.into_iter().max_by_key(|(_, tags)| *tags);
        let Some((device, tags)) = most.filter(|(_, tags)| *tags > MAX_TAGS_PER_DEVICE as i64) else {
            continue;
        };
        let name: String = devices::table.find(device).select(devices::name).first(conn)?;
        let tags = usize::try_from(tags).unwrap_or(usize::MAX);
        check_tag_count(&device_id(&name)?, tags).map_err(Error::Rule)?;
    }
    Ok(())
}

fn count(conn: &mut Conn, tag: i64, more: i64) -> Result<(), Fault> {
    diesel::update(tags::table.find(tag))
        .set(tags::devices.eq(tags::devices + more))
        .execute(conn)?;
    Ok(())
}

/// Keeps for the timelines of these devices who gave them the tag, or took it.
fn remember(
    conn: &mut Conn,
    tag: &Tag,
    is_given: bool,
    devices: &[Numbered],
    note: &AuditNote,
) -> Result<(), Fault> {
    let source = format!("SELECT v.device_id FROM {}", rows(&NUMBERED));
    let sql = remembering(&source, ["$2", "$3"], is_given, note);
    for devices in devices.chunks(BATCH) {
        diesel::sql_query(&sql)
            .bind::<Text, _>(to_json(&devices)?)
            .bind::<Text, _>(tag.as_str())
            .bind::<Text, _>(clean(&note.actor))
            .execute(conn)?;
    }
    Ok(())
}

/// The same for all devices that have a tag and are about to lose it.
fn remember_loss(conn: &mut Conn, tag: &Tag, number: i64, note: &AuditNote) -> Result<(), Fault> {
    let source = format!("SELECT device_id FROM device_tags WHERE tag_id = {number}");
    diesel::sql_query(remembering(&source, ["$1", "$2"], false, note))
        .bind::<Text, _>(tag.as_str())
        .bind::<Text, _>(clean(&note.actor))
        .execute(conn)?;
    Ok(())
}

/// `texts` stand for the tag and for who changed it. SQLite numbers what is bound as it comes, so the source is first.
fn remembering(source: &str, texts: [&str; 2], is_given: bool, note: &AuditNote) -> String {
    let ([tag, actor], at) = (texts, micros(note.at));
    format!(
        "WITH changed AS ({source})
         INSERT INTO tag_changes (device_id, tag, is_given, actor, changed_at)
         SELECT device_id, {tag}, {is_given}, {actor}, {at} FROM changed WHERE true
         ON CONFLICT (device_id, tag) DO UPDATE SET is_given = excluded.is_given, actor = excluded.actor,
           changed_at = excluded.changed_at"
    )
}

/// Tells other servers that these devices' tags are others now.
fn announce(conn: &mut Conn, devices: &[Numbered]) -> Result<(), Fault> {
    let epoch = epochs::raise(conn, Epoch::Tags)?;
    let sql = stamp(epoch, &format!("v.device_id, {epoch} FROM {}", rows(&NUMBERED)));
    for devices in devices.chunks(BATCH) {
        execute_on(conn, &sql, devices)?;
    }
    Ok(())
}

fn stamp(epoch: i64, source: &str) -> String {
    format!(
        "INSERT INTO tagged_devices (device_id, epoch) SELECT {source} WHERE true
         ON CONFLICT (device_id) DO UPDATE SET epoch = {epoch}"
    )
}

/// The same for all devices that have a tag.
fn announce_all(conn: &mut Conn, tag: i64) -> Result<(), Fault> {
    let epoch = epochs::raise(conn, Epoch::Tags)?;
    let source =
        format!("t.device_id, {epoch} FROM (SELECT device_id FROM device_tags WHERE tag_id = {tag}) t");
    diesel::sql_query(stamp(epoch, &source)).execute(conn)?;
    Ok(())
}

/// Tells other servers that nothing is left of the tags that a device had which was erased, now that its id is there again.
pub(crate) fn announce_erased(conn: &mut Conn, device: i64) -> Result<(), Fault> {
    announce(conn, &[Numbered { device_id: device }])
}

/// Takes all tags from a device that is to be erased. The device is held by the transaction.
pub(crate) fn forget(conn: &mut Conn, device: i64) -> Result<(), Fault> {
    let taken: Vec<i64> = diesel::delete(device_tags::table.filter(device_tags::device_id.eq(device)))
        .returning(device_tags::tag_id)
        .get_results(conn)?;
    let taken: BTreeSet<i64> = taken.into_iter().collect();
    for tag in taken {
        count(conn, tag, -1)?;
    }
    diesel::delete(tagged_devices::table.find(device)).execute(conn)?;
    diesel::delete(tag_changes::table.filter(tag_changes::device_id.eq(device))).execute(conn)?;
    Ok(())
}

pub(super) fn number(conn: &mut Conn, tag: &Tag) -> Result<Option<i64>, Fault> {
    Ok(tags::table
        .filter(tags::name.eq(tag.as_str()))
        .select(tags::id)
        .first(conn)
        .optional()?)
}

/// The number of a tag, which is made when it is not there.
pub(crate) fn ensure(conn: &mut Conn, tag: &Tag) -> Result<i64, Fault> {
    if let Some(number) = number(conn, tag)? {
        return Ok(number);
    }
    let limit = MAX_TAG_NAMES as i64;
    let known: i64 = tags::table.count().get_result(conn)?;
    if known >= limit {
        return Err(Error::TooMany { what: "tags", limit }.into());
    }
    diesel::insert_into(tags::table)
        .values(tags::name.eq(tag.as_str()))
        .on_conflict(tags::name)
        .do_nothing()
        .execute(conn)?;
    Ok(number(conn, tag)?.ok_or_else(|| unknown(tag))?)
}

pub(crate) fn rename(conn: &mut Conn, from: &Tag, to: &Tag, note: &AuditNote) -> Result<u64, Fault> {
    let tag = number(conn, from)?.ok_or_else(|| unknown(from))?;
    if number(conn, to)?.is_some() {
        return Err(Error::Duplicate {
            what: format!("tag {to}"),
        }
        .into());
    }
    // Policies follow a tag by its number; what an audience says stays as it was written.
    refuse_used(from, rollouts_naming(conn, from)?)?;
    let devices: i64 = diesel::update(tags::table.find(tag))
        .set(tags::name.eq(to.as_str()))
        .returning(tags::devices)
        .get_result(conn)?;
    announce_all(conn, tag)?;
    // Policies name it, and stand in the catalog.
    epochs::raise(conn, Epoch::Catalog)?;
    audit::append(conn, &with_after(note, json!({ "tag": to, "devices": devices })))?;
    Ok(u64::try_from(devices).unwrap_or(0))
}

pub(crate) fn delete(conn: &mut Conn, tag: &Tag, note: &AuditNote) -> Result<u64, Fault> {
    let number = number(conn, tag)?.ok_or_else(|| unknown(tag))?;
    let naming = policies::of_tag(conn, number)?;
    let mut by: Vec<String> = naming.iter().map(|id| format!("policy {id}")).collect();
    by.extend(rollouts_naming(conn, tag)?);
    refuse_used(tag, by)?;
    announce_all(conn, number)?;
    remember_loss(conn, tag, number, note)?;
    let devices = diesel::delete(device_tags::table.filter(device_tags::tag_id.eq(number))).execute(conn)?;
    diesel::delete(tags::table.find(number)).execute(conn)?;
    audit::append(conn, &with_after(note, json!({ "devices": devices })))?;
    Ok(devices as u64)
}

/// The rollouts whose audience names this tag: now, by a change that waits, or after a roll-back.
fn rollouts_naming(conn: &mut Conn, tag: &Tag) -> Result<Vec<String>, Fault> {
    let in_use = rollouts_in_use::all(conn)?;
    let naming = in_use.iter().filter(|used| used.rollout.spec.names_tag(tag));
    Ok(naming.map(InUse::told).collect())
}

fn refuse_used(tag: &Tag, by: Vec<String>) -> Result<(), Error> {
    if by.is_empty() {
        return Ok(());
    }
    Err(Error::TagInUse { tag: tag.clone(), by })
}

pub(crate) fn of_device(conn: &mut Conn, id: &DeviceId) -> Result<Overlay, Fault> {
    let names: Vec<String> = device_tags::table
        .inner_join(devices::table)
        .inner_join(tags::table)
        .filter(devices::name.eq(id.as_str()))
        .select(tags::name)
        .load(conn)?;
    overlay(&names)
}

fn overlay<S: AsRef<str>>(names: &[S]) -> Result<Overlay, Fault> {
    let tags: Result<Vec<Tag>, Error> = names.iter().map(|name| tag(name.as_ref())).collect();
    Ok(Overlay::new(tags?))
}

/// What operators gave to these devices, by their numbers; those to which nothing was given are left out.
pub(crate) fn overlays(conn: &mut Conn, ids: &[i64]) -> Result<HashMap<i64, Overlay>, Fault> {
    let mut names: HashMap<i64, Vec<String>> = HashMap::new();
    for ids in ids.chunks(BATCH) {
        let rows: Vec<(i64, String)> = device_tags::table
            .inner_join(tags::table)
            .filter(device_tags::device_id.eq_any(ids))
            .select((device_tags::device_id, tags::name))
            .load(conn)?;
        for (device, name) in rows {
            names.entry(device).or_default().push(name);
        }
    }
    let overlays = names
        .into_iter()
        .map(|(device, names)| Ok((device, overlay(&names)?)));
    overlays.collect()
}

pub(crate) fn after(
    conn: &mut Conn,
    after: TagCursor,
    limit: u32,
) -> Result<(Vec<(DeviceId, Overlay)>, TagCursor), Fault> {
    let later = tagged_devices::epoch
        .gt(after.epoch)
        .or(tagged_devices::device_id.gt(after.device));
    let stamped: Vec<(i64, i64, String)> = tagged_devices::table
        .inner_join(devices::table)
        .filter(tagged_devices::epoch.ge(after.epoch))
        .filter(later)
        .order((tagged_devices::epoch, tagged_devices::device_id))
        .limit(limit.into())
        .select((tagged_devices::epoch, tagged_devices::device_id, devices::name))
        .load(conn)?;
    let Some((epoch, device, _)) = stamped.last() else {
        return Ok((vec![], after));
    };
    let last = TagCursor {
        epoch: *epoch,
        device: *device,
    };
    let ids: Vec<i64> = stamped.iter().map(|(_, id, _)| *id).collect();
    let mut overlays = overlays(conn, &ids)?;
    let found: Result<Vec<_>, Error> = stamped
        .into_iter()
        .map(|(_, id, name)| Ok((device_id(&name)?, overlays.remove(&id).unwrap_or_default())))
        .collect();
    Ok((found?, last))
}

fn unknown(tag: &Tag) -> Error {
    Error::not_found(format!("tag {tag}"))
}
