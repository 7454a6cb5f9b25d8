//! What devices did after a command: their polls, their installations and their answers, each counted for the
//! campaigns that woke them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use serde::Serialize;
use tidegate_domain::{ActionResult, DeviceId};

use super::counts::{Changes, Kind};
use super::devices;
use super::kept::Kept;
use super::{BATCH, Conn, rows};
use crate::error::Fault;
use crate::rows::{clean, clean_if, to_json};
use crate::schema::nudge_campaigns;
use crate::time::micros;
use crate::{ANSWER_MARGIN, Answered};

/// The oldest campaign that polls and installations still count for. Nearly always there is none, and then nudges
/// cost a flush of polls no more than this question.
fn oldest_followed(conn: &mut Conn, at: i64) -> Result<Option<i64>, Fault> {
    Ok(nudge_campaigns::table
        .filter(nudge_campaigns::followed_until_at.gt(at))
        .select(diesel::dsl::min(nudge_campaigns::id))
        .first(conn)?)
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
         RETURNING nudge_deliveries.campaign_id, sent_at, polled_at AS sign_at, acknowledged_at AS other_sign_at",
        rows(&[("id", "bigint"), ("at", "bigint")])
    );
    let polls: Vec<Polled> = latest.iter().map(|(&id, &at)| Polled { id, at }).collect();
    let mut changes = Changes::default();
    let mut signs = Vec::new();
    for polls in polls.chunks(BATCH) {
        let query = diesel::sql_query(&sql).bind::<Text, _>(to_json(&polls)?);
        for sign in query.load::<Sign>(conn)? {
            changes.add(sign.campaign_id, Kind::Polled, 1);
            signs.push(sign);
        }
    }
    end_silence(conn, &signs, &mut changes)?;
    changes.write(conn)
}

/// A device's first poll or its answer, beside the delivery's other sign.
#[derive(QueryableByName)]
struct Sign {
    #[diesel(sql_type = BigInt)]
    campaign_id: i64,
    /// NULL: FCM's answer is not written yet. Nothing was counted as silent then.
    #[diesel(sql_type = Nullable<BigInt>)]
    sent_at: Option<i64>,
    #[diesel(sql_type = BigInt)]
    sign_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    other_sign_at: Option<i64>,
}

impl Sign {
    /// Whether the device was silent until now and speaks in time. A sign that comes late leaves it silent: phones
    /// poll every few hours by themselves.
    fn ends_silence(&self, life: i64) -> bool {
        self.sent_at.is_some_and(|sent_at| {
            let until = sent_at.saturating_add(life);
            self.sign_at <= until && self.other_sign_at.is_none_or(|other| other > until)
        })
    }
}

/// Takes devices that gave their first sign in time off the silent ones.
fn end_silence(conn: &mut Conn, signs: &[Sign], changes: &mut Changes) -> Result<(), Fault> {
    let ids: BTreeSet<i64> = signs.iter().map(|sign| sign.campaign_id).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let lives: Vec<(i64, i64)> = nudge_campaigns::table
        .filter(nudge_campaigns::id.eq_any(ids))
        .select((nudge_campaigns::id, nudge_campaigns::ttl_s))
        .load(conn)?;
    let margin = ANSWER_MARGIN.num_seconds();
    let lives: HashMap<i64, i64> = lives
        .into_iter()
        .map(|(id, ttl)| (id, ttl.saturating_add(margin).saturating_mul(1_000_000)))
        .collect();
    for sign in signs {
        if lives
            .get(&sign.campaign_id)
            .is_some_and(|life| sign.ends_silence(*life))
        {
            changes.add(sign.campaign_id, Kind::Silent, -1);
        }
    }
    Ok(())
}

#[derive(QueryableByName)]
struct OfCampaign {
    #[diesel(sql_type = BigInt)]
    campaign_id: i64,
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
    let mut changes = Changes::default();
    for installations in installations.chunks(BATCH) {
        let query = diesel::sql_query(&sql).bind::<Text, _>(to_json(&installations)?);
        for row in query.load::<OfCampaign>(conn)? {
            changes.add(row.campaign_id, Kind::Installed, 1);
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
    let mut commands = commands(conn, pairs.iter().flatten())?;
    let mut fresh = Vec::new();
    let mut signs = Vec::new();
    let mut answers = Vec::with_capacity(batch.len());
    for (pair, (_, result, at)) in pairs.into_iter().zip(batch) {
        let Some((pair, command)) = pair.and_then(|pair| Some((pair, commands.get_mut(&pair)?))) else {
            answers.push(Answered::Unknown);
            continue;
        };
        if std::mem::replace(&mut command.is_answered, true) {
            answers.push(Answered::Repeat);
            continue;
        }
        answers.push(Answered::Fresh);
        signs.push(Sign {
            campaign_id: pair.0,
            sent_at: command.sent_at,
            sign_at: micros(*at),
            other_sign_at: command.polled_at,
        });
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
    store_answers(conn, &fresh, &signs)?;
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

/// A command that was claimed for sending, so that its device may answer it.
struct Command {
    is_answered: bool,
    sent_at: Option<i64>,
    polled_at: Option<i64>,
}

/// The commands among these pairs of campaign and device.
fn commands<'a>(
    conn: &mut Conn,
    pairs: impl Iterator<Item = &'a (i64, i64)>,
) -> Result<HashMap<(i64, i64), Command>, Fault> {
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
        #[diesel(sql_type = Nullable<BigInt>)]
        sent_at: Option<i64>,
        #[diesel(sql_type = Nullable<BigInt>)]
        polled_at: Option<i64>,
    }
    let sql = format!(
        "SELECT n.campaign_id, n.device_id, n.acknowledged_at, n.sent_at, n.polled_at
         FROM {} CROSS JOIN nudge_deliveries n
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
        let query = Kept::on(&sql, pairs)?;
        for row in query.load::<Row>(conn)? {
            let command = Command {
                is_answered: row.acknowledged_at.is_some(),
                sent_at: row.sent_at,
                polled_at: row.polled_at,
            };
            found.insert((row.campaign_id, row.device_id), command);
        }
    }
    Ok(found)
}

fn store_answers(conn: &mut Conn, fresh: &[AnswerRow], signs: &[Sign]) -> Result<(), Fault> {
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
        Kept::on(&sql, fresh)?.run(conn)?;
        for row in fresh {
            changes.add(row.campaign_id, Kind::Acknowledged, 1);
        }
    }
    end_silence(conn, signs, &mut changes)?;
    changes.write(conn)
}
