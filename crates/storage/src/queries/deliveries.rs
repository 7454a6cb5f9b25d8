//! Deliveries' statements.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde::Serialize;
use tidegate_domain::{self as domain, CampaignId, CampaignState, DeliveryFailure};

use super::counts::{Changes, Kind};
use super::devices;
use super::{BATCH, Conn, campaigns, counts, execute_on, lock, recipients, rows};
use crate::error::Fault;
use crate::rows::{device_id, parsed, small, to_json};
use crate::schema::nudge_campaigns;
use crate::time::{micros, moment};
use crate::{Claim, Claimed, DeliveryOutcome, Error, FOLLOWED_FOR, MAX_CLAIM, Outcome, Recorded};

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
) -> Result<Claimed, Fault> {
    let nothing = Claimed {
        claims: Vec::new(),
        completed: None,
    };
    if !(1..=MAX_CLAIM).contains(&limit) {
        let fault = format!("must be from 1 to {MAX_CLAIM}, not {limit}");
        return Err(Error::Rule(domain::Error::invalid("limit", fault)).into());
    }
    let state = state(conn, campaign)?;
    if !matches!(state, CampaignState::Queued | CampaignState::Running) {
        return Ok(nothing);
    }
    let due: Vec<Numbered> = lock::due(conn, campaign.0, micros(now), limit)?
        .into_iter()
        .map(|id| Numbered { id })
        .collect();
    if due.is_empty() {
        return Ok(nothing);
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
    if state == CampaignState::Queued {
        start(conn, campaign, now)?;
    }
    addresses(conn, campaign, &due, now)
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
    enrolled_generation: i64,
    #[diesel(sql_type = BigInt)]
    command_generation: i64,
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
) -> Result<Claimed, Fault> {
    let sql = format!(
        "SELECT d.id, d.name, d.fcm_token, d.token_generation, d.enrolled_generation, d.command_generation,
                n.attempts, n.claimed_at
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
                command_generation: small("devices.command_generation", row.command_generation)?,
                attempt: small("nudge_deliveries.attempts", row.attempts)?,
                first_claimed_at: moment(row.claimed_at)?,
            });
        } else if recipients::is_revoked(row.token_generation, row.enrolled_generation) {
            lost.fail(DeliveryFailure::Revoked, row.id);
        } else {
            lost.fail(DeliveryFailure::NoFcmToken, row.id);
        }
    }
    let completed = !lost.failed.is_empty() && lost.write(conn, campaign, now)?.completed;
    let completed = completed.then(|| campaigns::get(conn, campaign)).transpose()?;
    Ok(Claimed { claims, completed })
}

/// What writing ends did.
struct Written {
    /// How many of the deliveries were still open.
    settled: u64,
    /// Whether it completed the campaign.
    completed: bool,
}

/// A delivery whose device has given no sign yet.
const SILENT: &str = "AND polled_at IS NULL AND acknowledged_at IS NULL";

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

    fn write(&self, conn: &mut Conn, campaign: CampaignId, now: DateTime<Utc>) -> Result<Written, Fault> {
        let at = micros(now);
        let mut changes = Changes::default();
        // A device may have polled or answered before this is written: those are not silent.
        let set = format!("state = 'sent', sent_at = {at}");
        let silent = settle(conn, campaign, &set, SILENT, &self.sent)?;
        let sent = silent + settle(conn, campaign, &set, "", &self.sent)?;
        changes.add(campaign.0, Kind::Silent, silent);
        changes.add(campaign.0, Kind::Sent, sent);
        let mut settled = sent;
        for (reason, ids) in &self.failed {
            let set = format!("state = 'failed', reason = '{reason}'");
            let failed = settle(conn, campaign, &set, "", ids)?;
            changes.fail(campaign.0, reason.as_str(), failed);
            settled += failed;
        }
        let mut completed = false;
        if settled > 0 {
            changes.add(campaign.0, Kind::Queued, -settled);
            follow(conn, campaign, now)?;
            changes.write(conn)?;
            completed = complete(conn, campaign, at)?;
        }
        Ok(Written {
            settled: u64::try_from(settled).unwrap_or(0),
            completed,
        })
    }
}

/// Gives up what is still queued for a device that is about to be unknown.
pub(crate) fn give_up(conn: &mut Conn, device: i64, now: DateTime<Utc>) -> Result<(), Fault> {
    let live: Vec<i64> = nudge_campaigns::table
        .filter(nudge_campaigns::ended_at.is_null())
        .order(nudge_campaigns::id)
        .select(nudge_campaigns::id)
        .load(conn)?;
    for campaign in live {
        let mut ends = Ends::default();
        ends.fail(DeliveryFailure::UnknownDevice, device);
        ends.write(conn, CampaignId(campaign), now)?;
    }
    Ok(())
}

/// By `IN` and not by a join: SQLite would join each delivery of the campaign with each row of the batch.
fn settle(
    conn: &mut Conn,
    campaign: CampaignId,
    set: &str,
    and: &str,
    ids: &[Numbered],
) -> Result<i64, Fault> {
    let sql = format!(
        "UPDATE nudge_deliveries SET {set}
         WHERE campaign_id = {campaign} AND device_id IN (SELECT id FROM {}) AND state = 'queued' {and}",
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

/// Completes the campaign if nothing is queued any more. Returns whether this completed it. This transaction has
/// written the campaign's counts and so locked them: nobody else can end its last delivery meanwhile.
fn complete(conn: &mut Conn, campaign: CampaignId, at: i64) -> Result<bool, Fault> {
    let progress = counts::progress(conn, &[campaign.0])?.remove(&campaign.0);
    if progress.is_some_and(|progress| progress.queued == 0) {
        return campaigns::end(conn, campaign.0, CampaignState::Completed, at);
    }
    Ok(false)
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
        match &outcome.result {
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
    let Written { settled, completed } = ends.write(conn, campaign, now)?;
    Ok(Recorded {
        settled,
        campaign: campaigns::get(conn, campaign)?,
        completed,
    })
}
