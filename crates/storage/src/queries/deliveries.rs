//! Deliveries' statements.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde::Serialize;
use tidegate_domain::{self as domain, ActionResult, CampaignId, CampaignState, DeliveryFailure, DeviceId};

use super::counts::{Changes, Kind};
use super::devices;
use super::{BATCH, Conn, campaigns, counts, execute_on, lock, recipients, rows};
use crate::error::Fault;
use crate::rows::{clean, clean_if, device_id, parsed, small, to_json};
use crate::schema::nudge_campaigns;
use crate::time::{micros, moment};
use crate::{Answered, Claim, DeliveryOutcome, Error, FOLLOWED_FOR, MAX_CLAIM, Outcome, Recorded};

#[derive(Serialize)]
struct Numbered {
    id: i64,
}

pub(crate) fn claim(
    conn: &mut Conn,
    campaign: CampaignId,
    now: DateTime<Utc>,
    lease: TimeDelta,
    limit: u32,
) -> Result<Vec<Claim>, Fault> {
    if !(1..=MAX_CLAIM).contains(&limit) {
        let fault = format!("must be from 1 to {MAX_CLAIM}, not {limit}");
        return Err(Error::Rule(domain::Error::invalid("limit", fault)).into());
    }
    let state = state(conn, campaign)?;
    if !matches!(state, CampaignState::Queued | CampaignState::Running) {
        return Ok(Vec::new());
    }
    let due: Vec<Numbered> = lock::due(conn, campaign.0, micros(now), limit)?
        .into_iter()
        .map(|id| Numbered { id })
        .collect();
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "UPDATE nudge_deliveries
         SET due_at = {until}, attempts = attempts + 1, claimed_at = COALESCE(claimed_at, {now})
         WHERE campaign_id = {campaign} AND device_id IN (SELECT id FROM {source})",
        until = micros(now + lease),
        now = micros(now),
        source = rows(&[("id", "bigint")]),
    );
    execute_on(conn, &sql, &due)?;
    let claims = addresses(conn, campaign, &due, now)?;
    if state == CampaignState::Queued {
        start(conn, campaign, now)?;
    }
    Ok(claims)
}

fn state(conn: &mut Conn, campaign: CampaignId) -> Result<CampaignState, Fault> {
    let state: Option<String> = nudge_campaigns::table
        .find(campaign.0)
        .select(nudge_campaigns::state)
        .first(conn)
        .optional()?;
    let state = state.ok_or_else(|| campaigns::unknown(campaign))?;
    Ok(parsed("nudge_campaigns.state", state.parse())?)
}

fn start(conn: &mut Conn, campaign: CampaignId, now: DateTime<Utc>) -> Result<(), Fault> {
    let fresh = nudge_campaigns::table
        .filter(nudge_campaigns::id.eq(campaign.0))
        .filter(nudge_campaigns::state.eq(CampaignState::Queued.as_str()));
    diesel::update(fresh)
        .set((
            nudge_campaigns::state.eq(CampaignState::Running.as_str()),
            nudge_campaigns::started_at.eq(micros(now)),
        ))
        .execute(conn)?;
    Ok(())
}

#[derive(QueryableByName)]
struct AddressRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Nullable<Text>)]
    fcm_token: Option<String>,
    #[diesel(sql_type = BigInt)]
    token_generation: i64,
    #[diesel(sql_type = BigInt)]
    attempts: i64,
    #[diesel(sql_type = BigInt)]
    claimed_at: i64,
}

/// Where the claimed devices are woken. One that lost its address since the campaign was made is failed.
fn addresses(
    conn: &mut Conn,
    campaign: CampaignId,
    due: &[Numbered],
    now: DateTime<Utc>,
) -> Result<Vec<Claim>, Fault> {
    let sql = format!(
        "SELECT d.id, d.name, d.fcm_token, d.token_generation, n.attempts, n.claimed_at
         FROM {} CROSS JOIN devices d CROSS JOIN nudge_deliveries n
         WHERE d.id = v.id AND n.campaign_id = {campaign} AND n.device_id = v.id",
        rows(&[("id", "bigint")])
    );
    let query = diesel::sql_query(sql).bind::<Text, _>(to_json(&due)?);
    let mut claims = Vec::with_capacity(due.len());
    let mut lost = Ends::default();
    for row in query.load::<AddressRow>(conn)? {
        if let Some(fcm_token) = row.fcm_token {
            claims.push(Claim {
                device: device_id(&row.name)?,
                fcm_token,
                attempt: small("nudge_deliveries.attempts", row.attempts)?,
                first_claimed_at: moment(row.claimed_at)?,
            });
        } else if recipients::is_revoked(conn, row.id, row.token_generation)? {
            lost.fail(DeliveryFailure::Revoked, row.id);
        } else {
            lost.fail(DeliveryFailure::NoFcmToken, row.id);
        }
    }
    if !lost.failed.is_empty() {
        lost.write(conn, campaign, now)?;
    }
    Ok(claims)
}

/// Deliveries of one campaign that end.
#[derive(Default)]
struct Ends {
    sent: Vec<Numbered>,
    failed: BTreeMap<DeliveryFailure, Vec<Numbered>>,
}

impl Ends {
    fn fail(&mut self, reason: DeliveryFailure, id: i64) {
        self.failed.entry(reason).or_default().push(Numbered { id });
    }

    /// Returns how many were still open.
    fn write(&self, conn: &mut Conn, campaign: CampaignId, now: DateTime<Utc>) -> Result<u64, Fault> {
        let at = micros(now);
        let mut changes = Changes::default();
        let sent = settle(
            conn,
            campaign,
            &format!("state = 'sent', sent_at = {at}"),
            &self.sent,
        )?;
        changes.add(campaign.0, Kind::Sent, sent);
        let mut settled = sent;
        for (reason, ids) in &self.failed {
            let failed = settle(
                conn,
                campaign,
                &format!("state = 'failed', reason = '{reason}'"),
                ids,
            )?;
            changes.fail(campaign.0, reason.as_str(), failed);
            settled += failed;
        }
        if settled > 0 {
            changes.add(campaign.0, Kind::Queued, -settled);
            follow(conn, campaign, now)?;
            changes.write(conn)?;
            complete(conn, campaign, at)?;
        }
        Ok(u64::try_from(settled).unwrap_or(0))
    }
}

/// By `IN` and not by a join: SQLite would join each delivery of the campaign with each row of the batch.
fn settle(conn: &mut Conn, campaign: CampaignId, set: &str, ids: &[Numbered]) -> Result<i64, Fault> {
    let sql = format!(
        "UPDATE nudge_deliveries SET {set}
         WHERE campaign_id = {campaign} AND device_id IN (SELECT id FROM {}) AND state = 'queued'",
        rows(&[("id", "bigint")])
    );
    let mut settled = 0;
    for ids in ids.chunks(BATCH) {
        settled += execute_on(conn, &sql, ids)?;
    }
    Ok(i64::try_from(settled).unwrap_or(i64::MAX))
}

fn follow(conn: &mut Conn, campaign: CampaignId, now: DateTime<Utc>) -> Result<(), Fault> {
    diesel::update(nudge_campaigns::table.find(campaign.0))
        .set(nudge_campaigns::followed_until_at.eq(micros(now + FOLLOWED_FOR)))
        .execute(conn)?;
    Ok(())
}

/// The campaign's counts are this transaction's, so nobody else can end the last delivery meanwhile.
fn complete(conn: &mut Conn, campaign: CampaignId, at: i64) -> Result<(), Fault> {
    let progress = counts::progress(conn, &[campaign.0])?.remove(&campaign.0);
    if progress.is_some_and(|progress| progress.queued == 0) {
        campaigns::end(conn, campaign.0, CampaignState::Completed, at)?;
    }
    Ok(())
}

pub(crate) fn record(
    conn: &mut Conn,
    campaign: CampaignId,
    outcomes: &[Outcome],
    now: DateTime<Utc>,
) -> Result<Recorded, Fault> {
    #[derive(Serialize)]
    struct Reopened {
        campaign_id: i64,
        id: i64,
        attempt: i64,
        at: i64,
        /// When the claim was made that is undone.
        undone: Option<i64>,
    }
    #[derive(Serialize)]
    struct Forget<'a> {
        id: i64,
        token: &'a str,
    }
    let names: BTreeSet<&str> = outcomes.iter().map(|outcome| outcome.device.as_str()).collect();
    let numbers = devices::hold(conn, &names)?;
    let (mut ends, mut reopened, mut forgets) = (Ends::default(), Vec::new(), Vec::new());
    for outcome in outcomes {
        let Some(&id) = numbers.get(outcome.device.as_str()) else {
            continue;
        };
        let mut reopen = |at, undone: Option<DateTime<Utc>>| {
            reopened.push(Reopened {
                campaign_id: campaign.0,
                id,
                attempt: outcome.attempt.into(),
                at: micros(at),
                undone: undone.map(micros),
            });
        };
        match &outcome.fate {
            DeliveryOutcome::Sent => ends.sent.push(Numbered { id }),
            DeliveryOutcome::Failed { reason, forget } => {
                ends.fail(*reason, id);
                forgets.extend(forget.as_deref().map(|token| Forget { id, token }));
            }
            DeliveryOutcome::Retry { at } => reopen(*at, None),
            DeliveryOutcome::GivenBack { claimed_at } => reopen(now, Some(*claimed_at)),
        }
    }
    let forget = format!(
        "UPDATE devices SET fcm_token = NULL, fcm_token_at = NULL FROM {}
         WHERE devices.id = v.id AND devices.fcm_token = v.token",
        rows(&[("id", "bigint"), ("token", "text")])
    );
    for forgets in forgets.chunks(BATCH) {
        execute_on(conn, &forget, forgets)?;
    }
    // The campaign comes from the rows too, which makes SQLite look each of them up by the primary key.
    let reopen = format!(
        "UPDATE nudge_deliveries
         SET due_at = v.at, claimed_at = NULLIF(claimed_at, v.undone)
         FROM {}
         WHERE nudge_deliveries.campaign_id = v.campaign_id AND nudge_deliveries.device_id = v.id
           AND state = 'queued' AND attempts = v.attempt",
        rows(&[
            ("campaign_id", "bigint"),
            ("id", "bigint"),
            ("attempt", "bigint"),
            ("at", "bigint"),
            ("undone", "bigint"),
        ])
    );
    for reopened in reopened.chunks(BATCH) {
        execute_on(conn, &reopen, reopened)?;
    }
    let settled = ends.write(conn, campaign, now)?;
    let campaign = campaigns::get(conn, campaign)?;
    Ok(Recorded {
        settled,
        state: campaign.state,
        progress: campaign.progress,
    })
}

/// The oldest campaign that polls and installations still count for. Nearly always there is none, and this one
/// question is all that nudges cost.
fn oldest_followed(conn: &mut Conn, at: i64) -> Result<Option<i64>, Fault> {
    Ok(nudge_campaigns::table
        .filter(nudge_campaigns::followed_until_at.gt(at))
        .select(diesel::dsl::min(nudge_campaigns::id))
        .first(conn)?)
}

#[derive(QueryableByName)]
struct OfCampaign {
    #[diesel(sql_type = BigInt)]
    campaign_id: i64,
}

/// Notes the first poll since the command was taken up. `latest` is each device's last poll; the devices are held.
pub(crate) fn polled(conn: &mut Conn, latest: &BTreeMap<i64, i64>) -> Result<(), Fault> {
    #[derive(Serialize)]
    struct Polled {
        id: i64,
        at: i64,
    }
    let Some(youngest) = latest.values().max() else {
        return Ok(());
    };
    let Some(oldest) = oldest_followed(conn, *youngest)? else {
        return Ok(());
    };
    // Counted from the claim on, not from the answer of Google's: a device may be faster than that.
    let sql = format!(
        "UPDATE nudge_deliveries SET polled_at = v.at FROM {}
         WHERE nudge_deliveries.device_id = v.id AND nudge_deliveries.campaign_id >= {oldest}
           AND state <> 'failed' AND polled_at IS NULL AND claimed_at <= v.at
         RETURNING nudge_deliveries.campaign_id",
        rows(&[("id", "bigint"), ("at", "bigint")])
    );
    let polls: Vec<Polled> = latest.iter().map(|(&id, &at)| Polled { id, at }).collect();
    note_firsts(conn, &sql, Kind::Polled, &polls)
}

/// An installation of a package on a device.
#[derive(Serialize)]
pub(crate) struct Installation {
    pub(crate) device_id: i64,
    pub(crate) package_id: i64,
    pub(crate) at: i64,
}

/// Notes the first installation since the command was taken up. The devices are held.
pub(crate) fn installed(conn: &mut Conn, installations: &[Installation]) -> Result<(), Fault> {
    let Some(youngest) = installations.iter().map(|installed| installed.at).max() else {
        return Ok(());
    };
    let Some(oldest) = oldest_followed(conn, youngest)? else {
        return Ok(());
    };
    let sql = format!(
        "UPDATE nudge_deliveries SET installed_at = v.at FROM {}
         WHERE nudge_deliveries.device_id = v.device_id AND nudge_deliveries.campaign_id >= {oldest}
           AND state <> 'failed' AND installed_at IS NULL AND claimed_at <= v.at
           AND EXISTS (SELECT 1 FROM nudge_campaigns c WHERE c.id = nudge_deliveries.campaign_id
                       AND (c.package_id IS NULL OR c.package_id = v.package_id))
         RETURNING nudge_deliveries.campaign_id",
        rows(&[
            ("device_id", "bigint"),
            ("package_id", "bigint"),
            ("at", "bigint")
        ])
    );
    note_firsts(conn, &sql, Kind::Installed, installations)
}

fn note_firsts<T: Serialize>(conn: &mut Conn, sql: &str, kind: Kind, batch: &[T]) -> Result<(), Fault> {
    let mut changes = Changes::default();
    for batch in batch.chunks(BATCH) {
        let query = diesel::sql_query(sql).bind::<Text, _>(to_json(&batch)?);
        for row in query.load::<OfCampaign>(conn)? {
            changes.add(row.campaign_id, kind, 1);
        }
    }
    changes.write(conn)
}

#[derive(Serialize)]
struct AnswerRow {
    campaign_id: i64,
    device_id: i64,
    action: String,
    outcome: String,
    message: Option<String>,
    finished_at: i64,
    at: i64,
}

pub(crate) fn answer(
    conn: &mut Conn,
    batch: &[(DeviceId, ActionResult, DateTime<Utc>)],
) -> Result<Vec<Answered>, Fault> {
    let names: BTreeSet<&str> = batch.iter().map(|(device, ..)| device.as_str()).collect();
    let devices = devices::hold(conn, &names)?;
    let named = campaigns_named(
        conn,
        batch.iter().map(|(_, result, _)| result.request_id.as_str()),
    )?;
    let pairs: Vec<Option<(i64, i64)>> = batch
        .iter()
        .map(|(device, result, _)| Some((*named.get(&result.request_id)?, *devices.get(device.as_str())?)))
        .collect();
    let mut open = answerable(conn, pairs.iter().flatten())?;
    let mut fresh = Vec::new();
    let mut answers = Vec::with_capacity(batch.len());
    for (pair, (_, result, at)) in pairs.into_iter().zip(batch) {
        let Some((pair, answered)) = pair.and_then(|pair| Some((pair, open.get_mut(&pair)?))) else {
            answers.push(Answered::Unknown);
            continue;
        };
        if std::mem::replace(answered, true) {
            answers.push(Answered::Repeat);
            continue;
        }
        answers.push(Answered::Fresh);
        fresh.push(AnswerRow {
            campaign_id: pair.0,
            device_id: pair.1,
            action: clean(&result.action),
            outcome: clean(&result.outcome),
            message: clean_if(result.message.as_deref()),
            finished_at: micros(result.finished_at),
            at: micros(*at),
        });
    }
    store_answers(conn, &fresh)?;
    Ok(answers)
}

fn campaigns_named<'a>(
    conn: &mut Conn,
    request_ids: impl Iterator<Item = &'a str>,
) -> Result<HashMap<String, i64>, Fault> {
    // PostgreSQL cannot even be asked for a text with U+0000 in it.
    let wanted: BTreeSet<&str> = request_ids.filter(|id| !id.contains('\0')).collect();
    let wanted: Vec<&str> = wanted.into_iter().collect();
    let mut found = HashMap::new();
    for wanted in wanted.chunks(BATCH) {
        let rows: Vec<(String, i64)> = nudge_campaigns::table
            .filter(nudge_campaigns::request_id.eq_any(wanted))
            .select((nudge_campaigns::request_id, nudge_campaigns::id))
            .load(conn)?;
        found.extend(rows);
    }
    Ok(found)
}

/// Which of these pairs of campaign and device are commands that went out, and whether they were answered.
fn answerable<'a>(
    conn: &mut Conn,
    pairs: impl Iterator<Item = &'a (i64, i64)>,
) -> Result<HashMap<(i64, i64), bool>, Fault> {
    #[derive(Serialize)]
    struct Pair {
        campaign_id: i64,
        device_id: i64,
    }
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        campaign_id: i64,
        #[diesel(sql_type = BigInt)]
        device_id: i64,
        #[diesel(sql_type = Nullable<BigInt>)]
        acknowledged_at: Option<i64>,
    }
    let sql = format!(
        "SELECT n.campaign_id, n.device_id, n.acknowledged_at FROM {} CROSS JOIN nudge_deliveries n
         WHERE n.campaign_id = v.campaign_id AND n.device_id = v.device_id AND n.claimed_at IS NOT NULL",
        rows(&[("campaign_id", "bigint"), ("device_id", "bigint")])
    );
    let pairs: Vec<Pair> = pairs
        .map(|&(campaign_id, device_id)| Pair {
            campaign_id,
            device_id,
        })
        .collect();
    let mut found = HashMap::new();
    for pairs in pairs.chunks(BATCH) {
        let query = diesel::sql_query(&sql).bind::<Text, _>(to_json(&pairs)?);
        for row in query.load::<Row>(conn)? {
            found.insert((row.campaign_id, row.device_id), row.acknowledged_at.is_some());
        }
    }
    Ok(found)
}

fn store_answers(conn: &mut Conn, fresh: &[AnswerRow]) -> Result<(), Fault> {
    let sql = format!(
        "UPDATE nudge_deliveries
         SET acknowledged_at = v.at, action = v.action, outcome = v.outcome, message = v.message,
             finished_at = v.finished_at
         FROM {} WHERE nudge_deliveries.campaign_id = v.campaign_id AND nudge_deliveries.device_id = v.device_id",
        rows(&[
            ("campaign_id", "bigint"),
            ("device_id", "bigint"),
            ("action", "text"),
            ("outcome", "text"),
            ("message", "text"),
            ("finished_at", "bigint"),
            ("at", "bigint"),
        ])
    );
    let mut changes = Changes::default();
    for fresh in fresh.chunks(BATCH) {
        execute_on(conn, &sql, fresh)?;
        for row in fresh {
            changes.add(row.campaign_id, Kind::Acknowledged, 1);
        }
    }
    changes.write(conn)
}
