//! People: who may log in, and what they may do.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use secrecy::SecretString;
use tidegate_domain::Role;
use tidegate_service::{Error, User};

use super::sheet::{App, Field, FieldKind, Sheet};
use super::{Query, Tab, done, next_of, no_such_page, page_of};
use crate::error::{Refusal, html};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

#[derive(Template)]
#[template(path = "settings_people.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    user: User,
    /// The begin of the addresses of their sheets.
    path: String,
    is_self: bool,
}

pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let users = app.users.list(&visitor.actor, page_of(&query)?).await?;
    let row = |user: User| Row {
        path: path_of(&user.name),
        is_self: user.name == visitor.actor.subject,
        user,
    };
    Ok(html(&Page {
        rows: users.items.into_iter().map(row).collect(),
        next: next_of(users.next_page_token),
        tab: Tab::People,
        frame: Frame::new(&visitor, Section::Settings, "People").after(&query),
    }))
}

fn path_of(name: &str) -> String {
    format!("{}/{}", Tab::People.path(), show::segment(name))
}

pub(super) fn role_field() -> Field {
    let words = |role: Role| match role {
        Role::Viewer => "viewer: sees everything, changes nothing",
        Role::Operator => "operator: releases builds",
        Role::Admin => "admin: manages people, devices and settings as well",
    };
    let options = Role::ALL.map(|role| (role.to_string(), words(role).to_owned()));
    Field::new("role", "Role", FieldKind::Choice(options.into()))
}

pub(super) fn password_field(name: &'static str, label: &'static str) -> Field {
    let hint = "8 characters at least; a sentence is good";
    Field::new(name, label, FieldKind::Password("new-password")).hint(hint)
}

/// A password as it was typed.
pub(super) fn password(fields: &Fields, name: &str) -> SecretString {
    SecretString::from(fields.raw(name).to_owned())
}

fn add_sheet() -> Sheet {
    Sheet {
        title: "Add a person".to_owned(),
        says: vec!["They log in with this name and password from now on. Ask them to change it.".to_owned()],
        fields: vec![
            Field::new("name", "Name", FieldKind::Line(64))
                .hint("letters, digits and . _ @ -")
                .required(),
            role_field(),
            password_field("password", "Password"),
        ],
        button: "Add",
        is_danger: false,
        to: format!("{}/add", Tab::People.path()),
        back: Tab::People.path(),
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
    let added = async {
        let role = role(&fields)?;
        let password = password(&fields, "password");
        app.users
            .add(&visitor.actor, fields.text("name"), role, password)
            .await
    };
    let added = added.await;
    add_sheet().answer(&visitor, &fields, added, |_| {
        done(Tab::People.path(), "person_added")
    })
}

fn role(fields: &Fields) -> Result<Role, Error> {
    Ok(fields.text("role").parse()?)
}

/// What is done to one person.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Role,
    Password,
    Disable,
    Enable,
    Remove,
}

impl Verb {
    fn of(word: &str) -> Result<Self, Error> {
        match word {
            "role" => Ok(Self::Role),
            "password" => Ok(Self::Password),
            "disable" => Ok(Self::Disable),
            "enable" => Ok(Self::Enable),
            "remove" => Ok(Self::Remove),
            _ => Err(no_such_page()),
        }
    }

    fn sheet(self, name: &str, word: &str) -> Sheet {
        let ended = "They are logged out everywhere, within a second.";
        let (title, says, button) = match self {
            Self::Role => ("Change the role of", ended, "Change role"),
            Self::Password => ("Set a password for", ended, "Set password"),
            Self::Disable => (
                "Disable",
                "They are logged out everywhere and can log in no more, until they are enabled again.",
                "Disable",
            ),
            Self::Enable => (
                "Enable",
                "They can log in again, with the password that they had.",
                "Enable",
            ),
            Self::Remove => (
                "Remove",
                "They are logged out everywhere, and the name is free again. What they did stays in the audit log.",
                "Remove",
            ),
        };
        let fields = match self {
            Self::Role => vec![role_field()],
            Self::Password => vec![password_field("password", "New password")],
            _ => Vec::new(),
        };
        Sheet {
            title: format!("{title} {name}"),
            says: vec![says.to_owned()],
            fields,
            button,
            is_danger: matches!(self, Self::Disable | Self::Remove),
            to: format!("{}/{word}", path_of(name)),
            back: Tab::People.path(),
        }
    }

    async fn run(self, app: &App, visitor: &Visitor, name: &str, fields: &Fields) -> Result<(), Error> {
        let (users, actor) = (&app.users, &visitor.actor);
        match self {
            Self::Role => users.set_role(actor, name, role(fields)?).await.map(drop),
            Self::Password => {
                let password = password(fields, "password");
                users.set_password(actor, name, password).await.map(drop)
            }
            Self::Disable => users.disable(actor, name).await.map(drop),
            Self::Enable => users.enable(actor, name).await.map(drop),
            Self::Remove => users.remove(actor, name).await,
        }
    }
}

pub(super) async fn verb_page(
    visitor: Visitor,
    Path((name, word)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(Verb::of(&word)?.sheet(&name, &word).page(&visitor))
}

pub(super) async fn act(
    State(app): State<App>,
    Path((name, word)): Path<(String, String)>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let verb = Verb::of(&word)?;
    let result = verb.run(&app, &visitor, &name, &fields).await;
    let what = match verb {
        Verb::Remove => "person_removed",
        _ => "person_changed",
    };
    let sheet = verb.sheet(&name, &word);
    sheet.answer(&visitor, &fields, result, |()| done(Tab::People.path(), what))
}
