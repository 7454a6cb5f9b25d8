//! Enrolment tokens: what lets a device in, and the QR code that the setup of fresh devices reads.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use tidegate_domain::{Role, SignerFingerprint};
use tidegate_service::{
    DEFAULT_ENROLL_TTL_DAYS, EnrollToken, EnrollTokenSpec, Error, IssuedEnrollToken, MAX_ENROLL_TTL_DAYS,
    MAX_ENROLL_USES, Provisioning,
};

use super::made::Made;
use super::service_accounts::days;
use super::sheet::{App, Field, FieldKind, Sheet};
use super::{Query, Tab, done, next_of, page_of};
use crate::error::{Refusal, html};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// How long an address may be, in bytes: a QR code holds no more than some 2,900 in all.
const MAX_ADDRESS_BYTES: usize = 1024;

/// How long the name of a device admin receiver may be, in bytes.
const MAX_COMPONENT_BYTES: usize = 256;

#[derive(Template)]
#[template(path = "settings_enrolment.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    token: EnrollToken,
    /// How many of its uses are left.
    uses: String,
    state: &'static str,
    tone: &'static str,
    /// The sheet that revokes it, while that changes anything.
    revoke: Option<String>,
}

pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let tokens = app
        .devices
        .enroll_tokens(&visitor.actor, page_of(&query)?)
        .await?;
    let now = app.clock.now();
    Ok(html(&Page {
        rows: tokens.items.into_iter().map(|token| row(token, now)).collect(),
        next: next_of(tokens.next_page_token),
        tab: Tab::Enrolment,
        frame: Frame::new(&visitor, Section::Settings, "Enrolment tokens").after(&query),
    }))
}

fn row(token: EnrollToken, now: DateTime<Utc>) -> Row {
    let left = token.uses.saturating_sub(token.used);
    let (state, tone) = match token.revoked_at {
        Some(_) => ("revoked", ""),
        None if token.expires_at <= now => ("expired", "warn"),
        None if left == 0 => ("used up", ""),
        None => ("active", "good"),
    };
    let count = |number: u32| show::count(i64::from(number));
    Row {
        uses: format!("{} of {}", count(left), count(token.uses)),
        state,
        tone,
        revoke: (state == "active").then(|| revoke_path(token.id)),
        token,
    }
}

fn revoke_path(id: i64) -> String {
    format!("{}/{id}/revoke", Tab::Enrolment.path())
}

fn add_sheet(app: &App) -> Sheet {
    let server = FieldKind::Line(MAX_ADDRESS_BYTES);
    Sheet {
        title: "Make an enrolment token".to_owned(),
        says: vec![
            "Whoever has it can enrol devices with it. It is shown once, after this.".to_owned(),
            "For a QR code that the setup of fresh devices reads, fill in the agent’s app as well."
                .to_owned(),
        ],
        fields: vec![
            Field::new(
                "uses",
                "Devices that it enrols",
                FieldKind::Number(1, MAX_ENROLL_USES.into()),
            )
            .value("1")
            .required(),
            Field::new("days", "It holds", FieldKind::Number(1, MAX_ENROLL_TTL_DAYS))
                .hint("days")
                .value(DEFAULT_ENROLL_TTL_DAYS.to_string())
                .required(),
            Field::new("note", "What it is for", FieldKind::Line(256)),
            Field::new("allow_known", "Take known ids over", FieldKind::Tick).hint(
                "devices that are enrolled already may enrol again; what was handed out for them before ends",
            ),
            Field::new(
                "component",
                "Agent’s device admin receiver",
                FieldKind::Line(MAX_COMPONENT_BYTES),
            )
            .hint("such as com.example.agent/.Owner; empty: no QR code"),
            Field::new(
                "apk_url",
                "Where fresh devices fetch the agent",
                FieldKind::Line(MAX_ADDRESS_BYTES),
            )
            .hint("by https, without a login"),
            Field::new("signer", "The agent’s signer", FieldKind::Line(128))
                .hint("SHA-256 of the certificate, in hex"),
            Field::new("server", "Where devices find this server", server).value(&*app.public_url),
        ],
        button: "Make the token",
        is_danger: false,
        to: format!("{}/add", Tab::Enrolment.path()),
        back: Tab::Enrolment.path(),
    }
}

pub(super) async fn add_page(State(app): State<App>, visitor: Visitor) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(add_sheet(&app).page(&visitor))
}

pub(super) async fn add(
    State(app): State<App>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let made = async {
        // Before there is a token that nobody could show.
        let provisioning = provisioning(&fields, &app.public_url)?;
        let spec = spec(&fields)?;
        let made = app.devices.create_enroll_token(&visitor.actor, spec).await?;
        Ok((made, provisioning))
    };
    let made = made.await;
    add_sheet(&app).answer(&visitor, &fields, made, |(made, provisioning)| {
        shown(&visitor, &made, provisioning)
    })
}

fn spec(fields: &Fields) -> Result<EnrollTokenSpec, Error> {
    let uses = u32::try_from(fields.number("uses")?);
    Ok(EnrollTokenSpec {
        uses: uses.map_err(|_| Error::invalid("uses", format!("must be from 1 to {MAX_ENROLL_USES}")))?,
        ttl: days(fields)?,
        note: fields.text("note").to_owned(),
        allow_known: fields.ticked("allow_known"),
    })
}

/// What the QR code is to say; none where nothing is said of the agent.
fn provisioning(fields: &Fields, public_url: &str) -> Result<Option<Provisioning>, Error> {
    let agent = ["component", "apk_url", "signer"];
    if agent.iter().all(|name| fields.text(name).is_empty()) {
        return Ok(None);
    }
    let checked = |name: &str, longest: usize, check: fn(&str) -> Result<(), &'static str>| {
        let text = fields.text(name);
        check(text).map_err(|fault| Error::invalid(name, fault))?;
        if text.len() > longest {
            return Err(Error::invalid(name, format!("is longer than {longest} bytes")));
        }
        Ok(text.to_owned())
    };
    // What is set for the server holds here as well, should its agents reach it without TLS.
    let server = match fields.text("server") {
        server if server == public_url => server.to_owned(),
        _ => checked("server", MAX_ADDRESS_BYTES, Provisioning::check_https)?,
    };
    Ok(Some(Provisioning {
        component: checked("component", MAX_COMPONENT_BYTES, Provisioning::check_component)?,
        apk_url: checked("apk_url", MAX_ADDRESS_BYTES, Provisioning::check_https)?,
        signer: SignerFingerprint::parse(fields.text("signer"))?,
        server,
    }))
}

fn shown(visitor: &Visitor, made: &IssuedEnrollToken, provisioning: Option<Provisioning>) -> Response {
    let devices = show::many(i64::from(made.uses), "device");
    let end = show::utc(made.expires_at);
    let page = Made {
        title: format!("Enrolment token {}", made.id),
        says: vec![format!("It enrols {devices}, until {end}.")],
        secret: made.token.expose_secret().to_owned(),
        provisioning: provisioning.map(|provisioning| provisioning.json(&made.token)),
        back: Tab::Enrolment.path(),
    };
    page.page(visitor)
}

fn revoke_sheet(id: i64) -> Sheet {
    Sheet {
        title: format!("Revoke enrolment token {id}"),
        says: vec!["No device enrols with it from now on. The devices that it let in stay.".to_owned()],
        fields: Vec::new(),
        button: "Revoke",
        is_danger: true,
        to: revoke_path(id),
        back: Tab::Enrolment.path(),
    }
}

pub(super) async fn revoke_page(visitor: Visitor, Path(id): Path<i64>) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(revoke_sheet(id).page(&visitor))
}

pub(super) async fn revoke(
    State(app): State<App>,
    Path(id): Path<i64>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    let revoked = app.devices.revoke_enroll_token(&visitor.actor, id).await;
    revoke_sheet(id).answer(&visitor, &fields, revoked, |_| {
        done(Tab::Enrolment.path(), "enroll_token_revoked")
    })
}
