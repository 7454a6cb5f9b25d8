//! Service accounts: machines, with tokens that are made and revoked one by one.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use tidegate_domain::{Limits, PackageName, Role, Verb};
use tidegate_service::{
    AdminToken, DEFAULT_SERVICE_TTL_DAYS, Error, MAX_ADMIN_TTL_DAYS, MadeToken, NewServiceAccount,
    Page as PageOf, SERVICE_PREFIX, ServiceAccount,
};

use super::made::Made;
use super::people::role_field;
use super::sheet::{App, Field, FieldKind, Sheet};
use super::{Query, Tab, done, next_of, page_of_rows};
use crate::error::{Refusal, html};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// How many accounts a page shows.
const ACCOUNTS_ON_A_PAGE: u32 = 6;

/// How many tokens of an account are read, the newest first.
const TOKENS_READ: u32 = 100;

/// How many of these are shown, the active ones first. No account has more active ones.
const TOKENS_SHOWN: usize = 20;

#[derive(Template)]
#[template(path = "settings_service_accounts.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    account: ServiceAccount,
    limits: String,
    path: String,
    tokens: Vec<TokenRow>,
}

struct TokenRow {
    token: AdminToken,
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
    let accounts = app
        .service_accounts
        .list(&visitor.actor, page_of_rows(&query, ACCOUNTS_ON_A_PAGE)?)
        .await?;
    let mut rows = Vec::with_capacity(accounts.items.len());
    for account in accounts.items {
        rows.push(row(&app, &visitor, account).await?);
    }
    Ok(html(&Page {
        rows,
        next: next_of(accounts.next_page_token),
        tab: Tab::ServiceAccounts,
        frame: Frame::new(&visitor, Section::Settings, "Service accounts").after(&query),
    }))
}

async fn row(app: &App, visitor: &Visitor, account: ServiceAccount) -> Result<Row, Error> {
    let page = PageOf::new(Some(TOKENS_READ), None)?;
    let subject = format!("{SERVICE_PREFIX}{}", account.name);
    let tokens = app.tokens.list(&visitor.actor, Some(subject), page).await?;
    let now = app.clock.now();
    let tokens = tokens.items.into_iter().map(|token| token_row(token, now));
    let mut tokens: Vec<TokenRow> = tokens.collect();
    tokens.sort_by_key(|token| token.revoke.is_none());
    tokens.truncate(TOKENS_SHOWN);
    Ok(Row {
        limits: limits_of(account.limits.as_ref()),
        path: path_of(&account.name),
        tokens,
        account,
    })
}

fn token_row(token: AdminToken, now: DateTime<Utc>) -> TokenRow {
    let (state, tone) = match token.revoked_at {
        Some(_) => ("revoked", ""),
        None if token.expires_at <= now => ("expired", "warn"),
        None => ("active", "good"),
    };
    TokenRow {
        state,
        tone,
        revoke: (state == "active").then(|| revoke_path(&token.id)),
        token,
    }
}

fn limits_of(limits: Option<&Limits>) -> String {
    let Some(limits) = limits else {
        return "none".to_owned();
    };
    let or_all = |words: Vec<&str>, all: &str| match words[..] {
        [] => all.to_owned(),
        _ => words.join(", "),
    };
    let verbs = limits.verbs.iter().map(|verb| verb.as_str()).collect();
    let packages = limits.packages.iter().map(PackageName::as_str).collect();
    format!(
        "{} of {}",
        or_all(verbs, "all verbs"),
        or_all(packages, "all packages")
    )
}

fn path_of(name: &str) -> String {
    format!("{}/{}", Tab::ServiceAccounts.path(), show::segment(name))
}

fn days_field() -> Field {
    Field::new(
        "days",
        "Its token holds",
        FieldKind::Number(1, MAX_ADMIN_TTL_DAYS),
    )
    .hint("days")
    .value(DEFAULT_SERVICE_TTL_DAYS.to_string())
    .required()
}

/// A number of days as a length of time.
pub(super) fn days(fields: &Fields) -> Result<TimeDelta, Error> {
    let out_of_reach = || Error::invalid("days", "is out of reach");
    TimeDelta::try_days(fields.number("days")?).ok_or_else(out_of_reach)
}

fn add_sheet() -> Sheet {
    Sheet {
        title: "Add a service account".to_owned(),
        says: vec![
            "For a machine such as a build pipeline. Its first token is shown once, after this.".to_owned(),
        ],
        fields: vec![
            Field::new("name", "Name", FieldKind::Line(64))
                .hint("letters, digits and . _ @ -")
                .required(),
            role_field().value(Role::Operator.as_str()),
            Field::new("verbs", "Only these verbs", FieldKind::Line(256))
                .hint("of upload, promote, adjust, pause, resume, roll_back, nudge; empty: all"),
            Field::new("packages", "Only these packages", FieldKind::Area(2)).hint("one a line; empty: all"),
            days_field(),
        ],
        button: "Add",
        is_danger: false,
        to: format!("{}/add", Tab::ServiceAccounts.path()),
        back: Tab::ServiceAccounts.path(),
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
    let added = match asked(&fields) {
        Ok(new) => app.service_accounts.add(&visitor.actor, new).await,
        Err(error) => Err(error),
    };
    let name = fields.text("name");
    add_sheet().answer(&visitor, &fields, added, |made| shown(&visitor, name, &made))
}

fn asked(fields: &Fields) -> Result<NewServiceAccount, Error> {
    let words = |name| {
        let split = |c: char| c == ',' || c.is_whitespace();
        fields.raw(name).split(split).filter(|word| !word.is_empty())
    };
    let verbs = words("verbs")
        .map(str::parse::<Verb>)
        .collect::<Result<Vec<_>, _>>()?;
    let packages = words("packages")
        .map(PackageName::parse)
        .collect::<Result<Vec<_>, _>>()?;
    Ok(NewServiceAccount {
        name: fields.text("name").to_owned(),
        role: fields.text("role").parse()?,
        limits: Limits::new(packages, verbs)?,
        ttl: days(fields)?,
    })
}

fn shown(visitor: &Visitor, name: &str, made: &MadeToken) -> Response {
    let end = show::utc(made.expires_at);
    let page = Made {
        title: format!("Token of {name}"),
        says: vec![format!(
            "Send it as the header “Authorization: Bearer …”. It holds until {end}, or until it is revoked."
        )],
        secret: made.token.expose_secret().to_owned(),
        provisioning: None,
        back: Tab::ServiceAccounts.path(),
    };
    page.page(visitor)
}

fn token_sheet(name: &str) -> Sheet {
    Sheet {
        title: format!("Another token of {name}"),
        says: vec![
            "The tokens of before go on to hold. Revoke one when nothing uses it any more.".to_owned(),
        ],
        fields: vec![days_field()],
        button: "Make a token",
        is_danger: false,
        to: format!("{}/token", path_of(name)),
        back: Tab::ServiceAccounts.path(),
    }
}

pub(super) async fn token_page(visitor: Visitor, Path(name): Path<String>) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(token_sheet(&name).page(&visitor))
}

pub(super) async fn token(
    State(app): State<App>,
    Path(name): Path<String>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let made = match days(&fields) {
        Ok(ttl) => app.service_accounts.add_token(&visitor.actor, &name, ttl).await,
        Err(error) => Err(error),
    };
    let sheet = token_sheet(&name);
    sheet.answer(&visitor, &fields, made, |made| shown(&visitor, &name, &made))
}

fn remove_sheet(name: &str) -> Sheet {
    Sheet {
        title: format!("Remove {name}"),
        says: vec!["Its tokens are refused from now on, on every server.".to_owned()],
        fields: Vec::new(),
        button: "Remove",
        is_danger: true,
        to: format!("{}/remove", path_of(name)),
        back: Tab::ServiceAccounts.path(),
    }
}

pub(super) async fn remove_page(visitor: Visitor, Path(name): Path<String>) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(remove_sheet(&name).page(&visitor))
}

pub(super) async fn remove(
    State(app): State<App>,
    Path(name): Path<String>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    let removed = app.service_accounts.remove(&visitor.actor, &name).await;
    remove_sheet(&name).answer(&visitor, &fields, removed, |()| {
        done(Tab::ServiceAccounts.path(), "account_removed")
    })
}

fn revoke_path(id: &str) -> String {
    format!("/settings/tokens/{}/revoke", show::segment(id))
}

fn revoke_sheet(id: &str) -> Sheet {
    Sheet {
        title: "Revoke a token".to_owned(),
        says: vec![format!(
            "The token {id} is refused from now on, on every server. Whatever still uses it fails."
        )],
        fields: Vec::new(),
        button: "Revoke",
        is_danger: true,
        to: revoke_path(id),
        back: Tab::ServiceAccounts.path(),
    }
}

pub(super) async fn revoke_page(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(revoke_sheet(&id).page(&visitor))
}

pub(super) async fn revoke(
    State(app): State<App>,
    Path(id): Path<String>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    let revoked = app.tokens.revoke(&visitor.actor, &id).await;
    revoke_sheet(&id).answer(&visitor, &fields, revoked, |_| {
        done(Tab::ServiceAccounts.path(), "token_revoked")
    })
}
