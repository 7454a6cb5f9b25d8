//! Tags: by which operators tell devices apart.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use tidegate_domain::{Role, Tag};
use tidegate_service::Error;

use super::sheet::{App, Field, FieldKind, Sheet};
use super::{Query, Tab, done, next_of, no_such_page, page_of};
use crate::error::{Refusal, html};
use crate::form::Posted;
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

#[derive(Template)]
#[template(path = "settings_tags.html")]
struct Page {
    frame: Frame,
    tab: Tab,
    rows: Vec<Row>,
    next: Option<String>,
}

struct Row {
    tag: Tag,
    devices: u64,
    path: String,
    /// The devices that have it.
    list: String,
}

pub(super) async fn page(
    State(app): State<App>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let tags = app.tags.list(page_of(&query)?).await?;
    let rows = tags.items.into_iter().map(|count| Row {
        path: path_of(&count.tag),
        list: format!("/devices{}", show::query(&[("tag", count.tag.as_str())])),
        devices: count.devices,
        tag: count.tag,
    });
    Ok(html(&Page {
        rows: rows.collect(),
        next: next_of(tags.next_page_token),
        tab: Tab::Tags,
        frame: Frame::new(&visitor, Section::Settings, "Tags").after(&query),
    }))
}

fn path_of(tag: &Tag) -> String {
    format!("{}/{}", Tab::Tags.path(), show::segment(tag.as_str()))
}

fn sheet(tag: &Tag, word: &str) -> Result<Sheet, Error> {
    let (title, says, button) = match word {
        "rename" => (
            "Rename",
            "All devices and policies that have it get the new name. Audiences of rollouts are left as they are: change them \
             as well.",
            "Rename",
        ),
        "delete" => (
            "Delete",
            "It is taken from all devices. Audiences that ask for it take nobody for it from then on.",
            "Delete",
        ),
        _ => return Err(no_such_page()),
    };
    let fields = match word {
        "rename" => vec![
            Field::new("to", "New name", FieldKind::Line(64))
                .value(tag.as_str())
                .required(),
        ],
        _ => Vec::new(),
    };
    Ok(Sheet {
        title: format!("{title} {tag}"),
        says: vec![says.to_owned()],
        fields,
        button,
        is_danger: word == "delete",
        to: format!("{}/{word}", path_of(tag)),
        back: Tab::Tags.path(),
    })
}

pub(super) async fn verb_page(
    visitor: Visitor,
    Path((tag, word)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    Ok(sheet(&Tag::parse(&tag)?, &word)?.page(&visitor))
}

pub(super) async fn act(
    State(app): State<App>,
    Path((tag, word)): Path<(String, String)>,
    Posted { visitor, fields }: Posted,
) -> Result<Response, Refusal> {
    visitor.actor.require(Role::Admin)?;
    let tag = Tag::parse(&tag)?;
    let sheet = sheet(&tag, &word)?;
    let (changed, what) = match word.as_str() {
        "rename" => {
            let renamed = match Tag::parse(fields.text("to")) {
                Ok(to) => app.tags.rename(&visitor.actor, &tag, &to).await,
                Err(error) => Err(error.into()),
            };
            (renamed, "tag_renamed")
        }
        _ => (app.tags.delete(&visitor.actor, &tag).await, "tag_deleted"),
    };
    sheet.answer(&visitor, &fields, changed, |_| done(Tab::Tags.path(), what))
}
