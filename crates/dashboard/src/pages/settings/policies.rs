//! Policies: ceilings and holds that stand above every rollout.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, NaiveDateTime, Utc};
use tidegate_domain::{
    DeviceId, Hold, PackageName, Policy, PolicyId, PolicySpec, PolicySubject, PolicyTerms, Role, Tag,
    VersionCode,
};
use tidegate_service::{Error, PolicyFilter};

use super::super::policy_words;
use super::sheet::{App, Field, FieldKind, Sheet};
use super::{Query, Tab, done, next_of, page_of};
use crate::error::{Refusal, html};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;

/// The last minute of a moment as it is typed.
const TYPED: &str = "%Y-%m-%d %H:%M";

#[derive(Template)]
#[template(path = "settings_policies.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    policy: Policy,
    subject: String,
    package: String,
    demands: Vec<String>,
}

pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let policies = app
        .policies
        .list(PolicyFilter::default(), page_of(&query)?)
        .await?;
    let now = app.clock.now();
    Ok(html(&Page {
        rows: policies
            .items
            .into_iter()
            .map(|policy| row(policy, now))
            .collect(),
        next: next_of(policies.next_page_token),
        tab: Tab::Policies,
        frame: Frame::new(&visitor, Section::Settings, "Policies").after(&query),
    }))
}

fn row(policy: Policy, now: DateTime<Utc>) -> Row {
    Row {
        subject: policy.spec.subject.to_string(),
        package: policy_words::package(&policy),
        demands: policy_words::demands(&policy, now),
        policy,
    }
}

fn add_sheet() -> Sheet {
    let kinds = [
        ("everybody", "every device"),
        ("tag", "the devices with a tag"),
        ("device", "one device"),
    ];
    let kinds = kinds.map(|(word, words)| (word.to_owned(), words.to_owned()));
    Sheet {
        title: "Add a policy".to_owned(),
        says: vec![
            "It stands above every rollout. Of several, the lowest ceiling and the latest hold count."
                .to_owned(),
        ],
        fields: vec![
            Field::new("subject", "On whom", FieldKind::Choice(kinds.into())),
            Field::new("who", "The tag, or the device’s id", FieldKind::Line(256))
                .hint("empty for every device"),
            Field::new("package_name", "Package", FieldKind::Line(255)).hint("empty: all packages"),
            Field::new(
                "max_version",
                "Highest version code",
                FieldKind::Number(1, i64::MAX),
            )
            .hint("nothing above it is offered; empty: no ceiling"),
            Field::new("hold", "No update at all", FieldKind::Tick).hint("as long as the policy stands"),
            Field::new("hold_until", "No update until", FieldKind::Line(16))
                .hint("UTC, such as 2027-01-04 06:00; empty: until it is lifted"),
            Field::new("remark", "Why", FieldKind::Line(1000))
                .hint("for whoever sees it later")
                .required(),
        ],
        button: "Add",
        is_danger: false,
        to: format!("{}/add", Tab::Policies.path()),
        back: Tab::Policies.path(),
    }
}

pub(super) async fn add_page(visitor: Visitor) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(add_sheet().page(&visitor))
}

pub(super) async fn add(
    State(app): State<App>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let added = match spec(&fields) {
        Ok(spec) => app.policies.create(&visitor.actor, spec).await,
        Err(error) => Err(error),
    };
    add_sheet().answer(&visitor, &fields, added, |_| {
        done(Tab::Policies.path(), "policy_added")
    })
}

fn spec(fields: &Fields) -> Result<PolicySpec, Error> {
    let package = fields.given("package_name");
    let max_version = match fields.text("max_version") {
        "" => None,
        _ => Some(VersionCode::new(fields.number("max_version")?)?),
    };
    let terms = PolicyTerms {
        max_version,
        hold: hold(fields)?,
    };
    Ok(PolicySpec {
        subject: subject(fields)?,
        package: package.map(|name| PackageName::parse(&name)).transpose()?,
        terms,
        remark: fields.text("remark").to_owned(),
    })
}

fn subject(fields: &Fields) -> Result<PolicySubject, Error> {
    let who = fields.text("who");
    match fields.text("subject") {
        "everybody" if who.is_empty() => Ok(PolicySubject::Everybody),
        "everybody" => Err(Error::invalid("who", "must be empty for every device")),
        "tag" => Ok(PolicySubject::Tag(Tag::parse(who)?)),
        "device" => Ok(PolicySubject::Device(DeviceId::parse(who)?)),
        _ => Err(Error::invalid("subject", "must be everybody, tag or device")),
    }
}

fn hold(fields: &Fields) -> Result<Option<Hold>, Error> {
    let end = fields.text("hold_until").replace('T', " ");
    match (fields.ticked("hold"), end.as_str()) {
        (false, "") => Ok(None),
        (true, "") => Ok(Some(Hold::UntilLifted)),
        (_, end) => {
            let time = NaiveDateTime::parse_from_str(end, TYPED);
            let time = time.map_err(|_| Error::invalid("hold_until", "must be such as 2027-01-04 06:00"))?;
            Ok(Some(Hold::Until(time.and_utc())))
        }
    }
}

fn lift_sheet(policy: &Policy) -> Sheet {
    let spec = &policy.spec;
    Sheet {
        title: format!("Lift policy {}", policy.id),
        says: vec![
            format!("On {}: {}", spec.subject, spec.remark),
            "The next polls are answered without it.".to_owned(),
        ],
        fields: Vec::new(),
        button: "Lift",
        is_danger: false,
        to: format!("{}/{}/lift", Tab::Policies.path(), policy.id),
        back: Tab::Policies.path(),
    }
}

pub(super) async fn lift_page(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<i64>,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(lift_sheet(&app.policies.get(PolicyId(id)).await?).page(&visitor))
}

pub(super) async fn lift(
    State(app): State<App>,
    Path(id): Path<i64>,
    Posted { visitor, .. }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    app.policies.delete(&visitor.actor, PolicyId(id)).await?;
    Ok(done(Tab::Policies.path(), "policy_lifted"))
}
