//! A device's timeline in words.

use chrono::{DateTime, Utc};
use tidegate_domain::DeviceId;
use tidegate_service::{AuditEntry, DeviceHappening, Error, Happened, NamedBuild, TimelineEntry};

use super::reason_words;
use crate::AppState;
use crate::form::Fields;
use crate::show;

/// How many lines a page of the timeline has.
const LINES: u32 = 50;

/// A page of the timeline.
pub(crate) struct Timeline {
    pub(crate) lines: Vec<Line>,
    /// The query of the next page.
    pub(crate) next: Option<String>,
    pub(crate) is_first: bool,
}

/// One thing that happened.
pub(crate) struct Line {
    pub(crate) at: String,
    pub(crate) stamp: String,
    /// What, before the link.
    pub(crate) what: String,
    /// What it is about, and where that is shown.
    pub(crate) about: Option<(String, String)>,
    /// What else is known of it.
    pub(crate) detail: String,
    /// `good`, `bad` or nothing.
    pub(crate) tone: &'static str,
}

pub(crate) async fn of(app: &AppState, id: &DeviceId, query: &Fields) -> Result<Timeline, Error> {
    let before = query.given("before").map(|text| moment(&text)).transpose()?;
    let timeline = app.devices.timeline(id, before, LINES).await?;
    let next = timeline.next.map(|at| at.timestamp_micros().to_string());
    Ok(Timeline {
        lines: timeline.entries.into_iter().map(line).collect(),
        next: next.map(|before| show::query(&[("before", &before)])),
        is_first: before.is_none(),
    })
}

fn moment(text: &str) -> Result<DateTime<Utc>, Error> {
    let micros = text.parse().ok();
    let at = micros.and_then(DateTime::from_timestamp_micros);
    at.ok_or_else(|| Error::invalid("before", "must be what a page before it gave"))
}

fn line(entry: TimelineEntry) -> Line {
    let (what, about, detail, tone) = match entry.what {
        Happened::ToDevice(what) => told(what),
        Happened::ByOperator(entry) => by_operator(&entry),
    };
    Line {
        at: show::moment(entry.at),
        stamp: show::stamp(entry.at),
        what,
        about,
        detail,
        tone,
    }
}

type Told = (String, Option<(String, String)>, String, &'static str);

fn told(what: DeviceHappening) -> Told {
    let plain = |what: &str| (what.to_owned(), None, String::new(), "");
    match what {
        DeviceHappening::Enrolled => plain("Enrolled"),
        DeviceHappening::Imported => plain("Imported"),
        DeviceHappening::ToldFcmToken => plain("Told how to nudge it"),
        DeviceHappening::LastPoll => plain("Polled, the last time so far"),
        DeviceHappening::Offered(build, rollout) => {
            let of = rollout.map(|rollout| format!("by rollout {rollout}"));
            (
                "Offered".to_owned(),
                Some(link(&build)),
                of.unwrap_or_default(),
                "",
            )
        }
        DeviceHappening::Reported {
            build,
            status,
            reason,
            message,
        } => {
            let tone = match status.as_str() {
                "install_success" => "good",
                "install_failed" | "verify_failed" => "bad",
                _ => "",
            };
            let reason = reason.map(|code| reason_words::reason(&code).into_owned());
            let detail: Vec<String> = reason.into_iter().chain(message).collect();
            let what = reason_words::status(&status).to_owned();
            (what, Some(link(&build)), detail.join(": "), tone)
        }
        DeviceHappening::Nudged(campaign) => nudge("Nudged by", campaign.0),
        DeviceHappening::PolledAfterNudge(campaign) => nudge("Polled after", campaign.0),
        DeviceHappening::Acknowledged(campaign) => nudge("Confirmed the command of", campaign.0),
        DeviceHappening::TagChanged { tag, is_given, actor } => {
            let done = if is_given { "given" } else { "taken" };
            // No link: the tag may be gone by now.
            (format!("Tag {tag} {done}"), None, format!("by {actor}"), "")
        }
    }
}

fn nudge(what: &str, campaign: i64) -> Told {
    let about = (format!("campaign {campaign}"), format!("/nudges/{campaign}"));
    (what.to_owned(), Some(about), String::new(), "")
}

fn link(build: &NamedBuild) -> (String, String) {
    let name = format!("{} {}", build.package, build.version_name);
    (name, format!("/builds/{}", build.id))
}

fn by_operator(entry: &AuditEntry) -> Told {
    let what = match entry.action.as_str() {
        "device.revoke" => "Token revoked",
        "device.retire" => "Retired",
        "device.retry" => "Allowed to try again",
        "device.allow_enrolment" => "Allowed to enrol once more",
        "device.takeover" => "Its id was taken over by an enrolment",
        other => other,
    };
    (what.to_owned(), None, format!("by {}", entry.actor), "")
}
