//! The server: whether it and its replicas are well, whether it can nudge, and the settings in force.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use tidegate_domain::{DEFAULT_NUDGE_TTL, DeviceId, NudgeAudience, NudgeOrder, Priority, Role};
use tidegate_service::ServerHeartbeat;

use super::sheet::{App, Field, FieldKind, Sheet};
use super::{Query, Tab, done};
use crate::error::{Refusal, html};
use crate::form::Posted;
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

#[derive(Template)]
#[template(path = "settings_server.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    /// Why this server can't do its work, if it can't.
    unready: Option<String>,
    can_nudge: bool,
    replicas: Vec<Replica>,
    settings: String,
}

struct Replica {
    server: ServerHeartbeat,
    seen: String,
}

pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let servers = app.servers.list(&visitor.actor).await?;
    let replicas = servers.into_iter().map(|server| Replica {
        seen: match server.seen_ago.as_secs() {
            0 => "just now".to_owned(),
            seconds => format!("{} ago", show::lasting(seconds)),
        },
        server,
    });
    Ok(html(&Page {
        replicas: replicas.collect(),
        unready: app.readiness.check().await.err().map(|fault| fault.message),
        can_nudge: app.nudges.is_configured(),
        settings: app.settings.clone(),
        tab: Tab::Server,
        frame: Frame::new(&visitor, Section::Settings, "Server").after(&query),
    }))
}

fn test_sheet() -> Sheet {
    let once = uuid::Uuid::new_v4().to_string();
    Sheet {
        title: "Send a test message".to_owned(),
        says: vec![
            "One device is nudged, as if by a campaign of its own. It polls at once; nothing is released by it.".to_owned(),
        ],
        fields: vec![
            Field::new("device_id", "Device", FieldKind::Line(256)).required(),
            // A second click sends no second message.
            Field::new("once", "", FieldKind::Hidden).value(once),
        ],
        button: "Send",
        is_danger: false,
        to: format!("{}/test", Tab::Server.path()),
        back: Tab::Server.path(),
    }
}

pub(super) async fn test_page(visitor: Visitor) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(test_sheet().page(&visitor))
}

pub(super) async fn test(
    State(app): State<App>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let sent = async {
        let device = app
            .devices
            .get(&DeviceId::parse(fields.text("device_id"))?)
            .await?;
        let order = NudgeOrder {
            devices: Some(vec![device.device.id]),
            package: None,
            audience: NudgeAudience::All,
            rollout: None,
            priority: Priority::High,
            ttl: DEFAULT_NUDGE_TTL,
        };
        app.nudges
            .nudge(&visitor.actor, order, fields.given("once"))
            .await
    };
    let sent = sent.await;
    test_sheet().answer(&visitor, &fields, sent, |nudged| {
        done(&format!("/nudges/{}", nudged.campaign.id), "test_sent")
    })
}
