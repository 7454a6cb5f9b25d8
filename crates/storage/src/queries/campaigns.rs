//! Campaigns' statements.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use sha2::{Digest, Sha256};
use tidegate_domain::{CampaignId, CampaignState, DeliveryFailure, NudgeOrder, PackageName};

use super::counts::{Changes, Kind};
use super::recipients::{self, Draft};
use super::{Conn, Db, analyze_deliveries, audit, counts, lock};
use crate::error::Fault;
use crate::rows::{CampaignRow, clean, clean_if, device_id, parsed, to_json};
use crate::schema::{
    nudge_campaigns as campaigns, nudge_deliveries, nudge_unknown_devices as unknown_devices, packages,
};
use crate::time::micros;
use crate::{
    Actor, AuditNote, Campaign, Error, FOLLOWED_FOR, FailedDelivery, MAX_LIVE_CAMPAIGNS, NewCampaign, Page,
    Paged, Progress,
};

/// A campaign of more deliveries than this makes the database measure its tables anew, so that it plans well.
const LARGE: u64 = 1000;

pub(crate) fn create(conn: &mut Conn, new: &NewCampaign, actor: &Actor) -> Result<(Campaign, bool), Fault> {
    let package = new
        .order
        .package
        .as_ref()
        .map(|name| package_number(conn, name))
        .transpose()?;
    let Some(id) = insert(conn, new, package, actor)? else {
        return Ok((repeated(conn, new, actor)?, false));
    };
    recipients::write(
        conn,
        &Draft {
            campaign: id,
            package,
            order: &new.order,
            now: actor.now,
            at: micros(actor.now),
        },
    )?;
    count(conn, id)?;
    let progress = counts::progress(conn, &[id])?.remove(&id).unwrap_or_default();
    if progress.queued == 0 {
        end(conn, id, CampaignState::Completed, micros(actor.now))?;
    }
    if progress.total > LARGE {
        analyze_deliveries(conn)?;
    }
    audit::append(conn, &note(actor, id, &new.order, &progress))?;
    Ok((get(conn, CampaignId(id))?, true))
}

fn package_number(conn: &mut Conn, name: &PackageName) -> Result<i64, Fault> {
    let found = packages::table
        .filter(packages::name.eq(name.as_str()))
        .select(packages::id)
        .first(conn)
        .optional()?;
    Ok(found.ok_or_else(|| Error::not_found(format!("package {name}")))?)
}

/// `None` when the actor used the key before.
fn insert(
    conn: &mut Conn,
    new: &NewCampaign,
    package: Option<i64>,
    actor: &Actor,
) -> Result<Option<i64>, Fault> {
    let order = &new.order;
    let ttl = i64::try_from(order.ttl.as_secs()).unwrap_or(i64::MAX);
    let id = diesel::insert_into(campaigns::table)
        .values((
            campaigns::request_id.eq(&new.request_id),
            campaigns::package_id.eq(package),
            campaigns::audience.eq(order.audience.as_str()),
            campaigns::named.eq(order.devices.is_some()),
            campaigns::priority.eq(order.priority.as_str()),
            campaigns::ttl_s.eq(ttl),
            campaigns::state.eq(CampaignState::Queued.as_str()),
            campaigns::created_by.eq(clean(&actor.subject)),
            campaigns::idempotency_key.eq(clean_if(new.idempotency_key.as_deref())),
            campaigns::order_hash.eq(hash(order)?),
            campaigns::created_at.eq(micros(actor.now)),
            campaigns::followed_until_at.eq(micros(actor.now + FOLLOWED_FOR)),
        ))
        .on_conflict((campaigns::created_by, campaigns::idempotency_key))
        .do_nothing()
        .returning(campaigns::id)
        .get_result(conn)
        .optional()?;
    Ok(id)
}

fn hash(order: &NudgeOrder) -> Result<Vec<u8>, Error> {
    Ok(Sha256::digest(to_json(order)?).to_vec())
}

/// The campaign that the same key made before, if it was asked for alike.
fn repeated(conn: &mut Conn, new: &NewCampaign, actor: &Actor) -> Result<Campaign, Fault> {
    let (id, made_of): (i64, Vec<u8>) = campaigns::table
        .filter(campaigns::created_by.eq(clean(&actor.subject)))
        .filter(campaigns::idempotency_key.eq(clean_if(new.idempotency_key.as_deref())))
        .select((campaigns::id, campaigns::order_hash))
        .first(conn)?;
    let campaign = CampaignId(id);
    if made_of != hash(&new.order)? {
        return Err(Error::KeyReused { campaign }.into());
    }
    get(conn, campaign)
}

/// Counts the deliveries once. From here on each change writes its own counts.
fn count(conn: &mut Conn, id: i64) -> Result<(), Fault> {
    let mut changes = Changes::default();
    let sums: Vec<(Option<String>, i64)> = nudge_deliveries::table
        .filter(nudge_deliveries::campaign_id.eq(id))
        .group_by(nudge_deliveries::reason)
        .select((nudge_deliveries::reason, diesel::dsl::count_star()))
        .load(conn)?;
    for (reason, count) in sums {
        match reason {
            Some(reason) => changes.fail(id, &reason, count),
            None => changes.add(id, Kind::Queued, count),
        }
    }
    let unknown: i64 = unknown_devices::table
        .filter(unknown_devices::campaign_id.eq(id))
        .count()
        .get_result(conn)?;
    changes.fail(id, DeliveryFailure::UnknownDevice.as_str(), unknown);
    changes.write(conn)
}

fn note(actor: &Actor, id: i64, order: &NudgeOrder, progress: &Progress) -> AuditNote {
    let mut note = actor.note("ota.nudge", format!("campaign/{id}"));
    let mut after = serde_json::json!({
        "audience": order.audience,
        "package_name": order.package,
        "named_devices": order.devices.as_ref().map(Vec::len),
        "priority": order.priority,
        "ttl_s": order.ttl.as_secs(),
        "total_devices": progress.total,
    });
    if let Some(rollout) = order.rollout {
        after["rollout_id"] = rollout.0.into();
    }
    note.after = Some(after);
    note
}

pub(crate) fn get(conn: &mut Conn, id: CampaignId) -> Result<Campaign, Fault> {
    let row: Option<(CampaignRow, Option<String>)> = campaigns::table
        .left_join(packages::table)
        .filter(campaigns::id.eq(id.0))
        .select((CampaignRow::as_select(), packages::name.nullable()))
        .first(conn)
        .optional()?;
    let mut found = with_progress(conn, row.into_iter().collect())?;
    Ok(found.pop().ok_or_else(|| unknown(id))?)
}

pub(crate) fn list(conn: &mut Conn, page: &Page) -> Result<Paged<Campaign>, Fault> {
    let mut query = campaigns::table
        .left_join(packages::table)
        .select((CampaignRow::as_select(), packages::name.nullable()))
        .order(campaigns::id.desc())
        .limit(page.limit())
        .into_boxed::<Db>();
    if let Some(after) = page.after::<i64>()? {
        query = query.filter(campaigns::id.lt(after));
    }
    let paged = page.paged(query.load::<(CampaignRow, Option<String>)>(conn)?, |(row, _)| {
        row.id
    });
    Ok(Paged {
        items: with_progress(conn, paged.items)?,
        next_page_token: paged.next_page_token,
    })
}

pub(crate) fn live(conn: &mut Conn) -> Result<Vec<Campaign>, Fault> {
    let rows = campaigns::table
        .left_join(packages::table)
        .filter(campaigns::ended_at.is_null())
        .filter(campaigns::state.ne(CampaignState::Paused.as_str()))
        .select((CampaignRow::as_select(), packages::name.nullable()))
        .order(campaigns::id)
        .limit(MAX_LIVE_CAMPAIGNS)
        .load(conn)?;
    with_progress(conn, rows)
}

pub(crate) fn suspended(conn: &mut Conn) -> Result<u64, Fault> {
    let suspended: i64 = campaigns::table
        .filter(campaigns::ended_at.is_null())
        .filter(campaigns::suspended.is_not_null())
        .count()
        .get_result(conn)?;
    Ok(suspended.unsigned_abs())
}

fn with_progress(conn: &mut Conn, rows: Vec<(CampaignRow, Option<String>)>) -> Result<Vec<Campaign>, Fault> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = rows.iter().map(|(row, _)| row.id).collect();
    let mut progress = counts::progress(conn, &ids)?;
    let found: Result<Vec<Campaign>, Error> = rows
        .into_iter()
        .map(|(row, package)| {
            let progress = progress.remove(&row.id).unwrap_or_default();
            row.into_campaign(package.as_deref(), progress)
        })
        .collect();
    Ok(found?)
}

pub(crate) fn change(
    conn: &mut Conn,
    id: CampaignId,
    next: CampaignState,
    suspended: Option<&str>,
    note: &AuditNote,
) -> Result<Campaign, Fault> {
    let from = lock::campaign(conn, id.0)?.ok_or_else(|| unknown(id))?;
    let from: CampaignState = parsed("nudge_campaigns.state", from.parse())?;
    let Some(next) = from.go(id, next).map_err(Error::Rule)? else {
        return get(conn, id);
    };
    if next.is_live() {
        diesel::update(campaigns::table.find(id.0))
            .set((
                campaigns::state.eq(next.as_str()),
                campaigns::suspended.eq(clean_if(suspended)),
            ))
            .execute(conn)?;
    } else {
        end(conn, id.0, next, micros(note.at))?;
    }
    let note = AuditNote {
        before: Some(serde_json::json!({ "state": from })),
        // The audit log keeps the word that its first entries have.
        after: Some(serde_json::json!({ "state": next, "held": suspended })),
        ..note.clone()
    };
    audit::append(conn, &note)?;
    get(conn, id)
}

/// Ends a campaign, unless it has ended already. Returns whether this ended it.
pub(crate) fn end(conn: &mut Conn, id: i64, state: CampaignState, at: i64) -> Result<bool, Fault> {
    let open = campaigns::table
        .filter(campaigns::id.eq(id))
        .filter(campaigns::ended_at.is_null());
    let ended = diesel::update(open)
        .set((
            campaigns::state.eq(state.as_str()),
            campaigns::suspended.eq(None::<String>),
            campaigns::ended_at.eq(at),
        ))
        .execute(conn)?;
    Ok(ended > 0)
}

#[derive(QueryableByName)]
struct FailureRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    alias: Option<String>,
    #[diesel(sql_type = Text)]
    reason: String,
}

impl FailureRow {
    /// The page's key: unknown devices go by their names, and the others by their numbers.
    fn key(&self) -> String {
        match self.id {
            0 => format!("u{}", self.name),
            id => format!("d{id}"),
        }
    }
}

pub(crate) fn failures(conn: &mut Conn, id: CampaignId, page: &Page) -> Result<Paged<FailedDelivery>, Fault> {
    get(conn, id)?;
    let after = page.after::<String>()?.unwrap_or_else(|| "u".to_owned());
    let bad_token = || {
        Error::Rule(tidegate_domain::Error::invalid(
            "page_token",
            "must be one that a page before it gave",
        ))
    };
    let (mut rows, after) = match after.split_at_checked(1) {
        Some(("u", name)) => (unknown_devices(conn, id, name, page.limit())?, 0),
        Some(("d", number)) => (Vec::new(), number.parse().map_err(|_| bad_token())?),
        _ => return Err(bad_token().into()),
    };
    let room = page.limit() - i64::try_from(rows.len()).unwrap_or(i64::MAX);
    if room > 0 {
        rows.extend(failed_devices(conn, id, after, room)?);
    }
    let paged = page.paged(rows, FailureRow::key);
    Ok(paged.try_map(|row| {
        Ok::<_, Error>(FailedDelivery {
            device: device_id(&row.name)?,
            alias: row.alias,
            reason: counts::failure(&row.reason),
        })
    })?)
}

fn unknown_devices(
    conn: &mut Conn,
    id: CampaignId,
    after: &str,
    limit: i64,
) -> Result<Vec<FailureRow>, Fault> {
    let names: Vec<String> = unknown_devices::table
        .filter(unknown_devices::campaign_id.eq(id.0))
        .filter(unknown_devices::name.gt(after))
        .order(unknown_devices::name)
        .limit(limit)
        .select(unknown_devices::name)
        .load(conn)?;
    let row = |name| FailureRow {
        id: 0,
        name,
        alias: None,
        reason: DeliveryFailure::UnknownDevice.as_str().into(),
    };
    Ok(names.into_iter().map(row).collect())
}

fn failed_devices(conn: &mut Conn, id: CampaignId, after: i64, limit: i64) -> Result<Vec<FailureRow>, Fault> {
    // Numbers of our own, spelled out so that the partial index serves.
    let sql = format!(
        "SELECT d.id, d.name, d.alias, n.reason FROM nudge_deliveries n CROSS JOIN devices d
         WHERE n.campaign_id = {} AND n.state = 'failed' AND n.device_id > {after} AND d.id = n.device_id
         ORDER BY n.device_id LIMIT {limit}",
        id.0
    );
    Ok(diesel::sql_query(sql).load(conn)?)
}

pub(crate) fn unknown(id: CampaignId) -> Error {
    Error::not_found(format!("campaign {id}"))
}
