//! A device's timeline: one statement over all tables that know a part of it.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};
use tidegate_domain::{BuildId, CampaignId, DeviceId, RolloutId};

use super::statement::Statement;
use super::{Conn, devices};
use crate::Error;
use crate::device_timeline::{DeviceEvent, DeviceHappening, MAX_TIMELINE_PAGE, NamedBuild};
use crate::error::Fault;
use crate::rows::package_name;
use crate::time::{micros, moment};

#[derive(QueryableByName)]
struct EventRow {
    #[diesel(sql_type = BigInt)]
    at: i64,
    #[diesel(sql_type = Text)]
    kind: String,
    /// A build's number, or a campaign's.
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
    #[diesel(sql_type = Nullable<BigInt>)]
    rollout_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    status: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    message: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    package: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    version_name: Option<String>,
}

/// What each table knows: its kind, the moment, the number, the rollout, status, reason and message, and where from.
const PARTS: [(&str, &str, &str, &str, &str, &str, &str); 11] = [
    (
        "enrolled",
        "used_at",
        "NULL",
        "NULL",
        "NULL",
        "NULL",
        "enroll_token_uses WHERE device_id = ",
    ),
    (
        "imported",
        "imported_at",
        "NULL",
        "NULL",
        "NULL",
        "NULL",
        "imported_devices WHERE device_id = ",
    ),
    (
        "fcm_token",
        "fcm_token_at",
        "NULL",
        "NULL",
        "NULL",
        "NULL",
        "devices WHERE id = ",
    ),
    (
        "last_poll",
        "last_seen_at",
        "NULL",
        "NULL",
        "NULL",
        "NULL",
        "devices WHERE id = ",
    ),
    (
        "offered",
        "offered_at",
        "build_id",
        "rollout_id",
        "NULL",
        "NULL",
        "device_rollouts WHERE device_id = ",
    ),
    (
        "reported",
        "reported_at",
        "build_id",
        "NULL",
        "status",
        "reason",
        "reports WHERE device_id = ",
    ),
    (
        "nudged",
        "sent_at",
        "campaign_id",
        "NULL",
        "NULL",
        "NULL",
        "nudge_deliveries WHERE device_id = ",
    ),
    (
        "polled",
        "polled_at",
        "campaign_id",
        "NULL",
        "NULL",
        "NULL",
        "nudge_deliveries WHERE device_id = ",
    ),
    (
        "acknowledged",
        "acknowledged_at",
        "campaign_id",
        "NULL",
        "NULL",
        "NULL",
        "nudge_deliveries WHERE device_id = ",
    ),
    // Of a tag's change, the status is the tag and the reason who changed it.
    (
        "tag_given",
        "changed_at",
        "NULL",
        "NULL",
        "tag",
        "actor",
        "tag_changes WHERE is_given AND device_id = ",
    ),
    (
        "tag_taken",
        "changed_at",
        "NULL",
        "NULL",
        "tag",
        "actor",
        "tag_changes WHERE NOT is_given AND device_id = ",
    ),
];

pub(crate) fn events(
    conn: &mut Conn,
    id: &DeviceId,
    before: Option<DateTime<Utc>>,
    limit: u32,
) -> Result<Vec<DeviceEvent>, Fault> {
    let device = devices::number(conn, id)?;
    let before = before.map_or(i64::MAX, micros);
    let limit = limit.clamp(1, MAX_TIMELINE_PAGE);
    let parts: Vec<String> = PARTS
        .iter()
        .map(|(kind, at, number, rollout, status, reason, from)| {
            // A device's own message comes with its reports alone.
            let message = if *kind == "reported" { "message" } else { "NULL" };
            format!(
                "SELECT {at} AS at, '{kind}' AS kind, CAST({number} AS BIGINT) AS number,
                   CAST({rollout} AS BIGINT) AS rollout_id, CAST({status} AS TEXT) AS status,
                   CAST({reason} AS TEXT) AS reason, CAST({message} AS TEXT) AS message
                 FROM {from}{device} AND {at} < {before}"
            )
        })
        .collect();
    let all = parts.join(" UNION ALL ");
    // All of the last moment, so that the next page, which begins before it, misses nothing.
    let sql = format!(
        "WITH e AS ({all}),
           latest AS (SELECT at FROM e ORDER BY at DESC LIMIT {limit})
         SELECT e.at, e.kind, e.number, e.rollout_id, e.status, e.reason, e.message, p.name AS package,
           b.version_name
         FROM e
         LEFT JOIN builds b ON e.kind IN ('offered', 'reported') AND b.id = e.number
         LEFT JOIN packages p ON p.id = b.package_id
         WHERE e.at >= (SELECT min(at) FROM latest)
         ORDER BY e.at DESC, e.kind, e.number, e.status"
    );
    let rows: Vec<EventRow> = Statement::of(sql).load(conn)?;
    let events: Result<Vec<DeviceEvent>, Error> = rows.into_iter().map(event).collect();
    Ok(events?)
}

fn event(row: EventRow) -> Result<DeviceEvent, Error> {
    let campaign = CampaignId(row.number.unwrap_or_default());
    let what = match row.kind.as_str() {
        "enrolled" => DeviceHappening::Enrolled,
        "imported" => DeviceHappening::Imported,
        "fcm_token" => DeviceHappening::ToldFcmToken,
        "last_poll" => DeviceHappening::LastPoll,
        "nudged" => DeviceHappening::Nudged(campaign),
        "polled" => DeviceHappening::PolledAfterNudge(campaign),
        "acknowledged" => DeviceHappening::Acknowledged(campaign),
        "tag_given" | "tag_taken" => DeviceHappening::TagChanged {
            tag: super::tags::tag(&row.status.unwrap_or_default())?,
            is_given: row.kind == "tag_given",
            actor: row.reason.unwrap_or_default(),
        },
        kind => {
            let build = NamedBuild {
                id: BuildId(row.number.unwrap_or_default()),
                package: package_name(&row.package.unwrap_or_default())?,
                version_name: row.version_name.unwrap_or_default(),
            };
            match kind {
                "offered" => DeviceHappening::Offered(build, row.rollout_id.map(RolloutId)),
                _ => DeviceHappening::Reported {
                    build,
                    status: row.status.unwrap_or_default(),
                    reason: row.reason,
                    message: row.message,
                },
            }
        }
    };
    Ok(DeviceEvent {
        at: moment(row.at)?,
        what,
    })
}
