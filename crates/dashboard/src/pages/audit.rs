//! The audit log, and whether its chain is whole.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::Value;
use tidegate_service::{AuditEntry, Error, Page as PageOf, Walk};

use super::Query;
use super::audit_query::Typed;
use super::audit_sentence::{Piece, sentence};
use super::audit_words::ACTIONS;
use super::device_query::Chip;
use crate::AppState;
use crate::error::{Refusal, html};
use crate::form::Posted;
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// How many entries a page shows.
const ENTRIES_ON_A_PAGE: u32 = 30;

/// How much of a value before or after is shown, in characters. Release notes may be much longer.
const MAX_VALUE_CHARS: usize = 200;

/// How deep values within others are taken apart.
const MAX_DEPTH: u32 = 3;

/// How many values of one entry are shown.
const MAX_VALUES: usize = 24;

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    typed: Typed,
    chips: Vec<Chip>,
    csv: String,
    first: String,
    next: Option<String>,
    is_first: bool,
    chain: Option<Walk>,
}

struct Row {
    entry: AuditEntry,
    sentence: Vec<Piece>,
    /// Where the entries about the same are.
    subject: String,
    /// Where the entries of the same action are.
    action: String,
    changes: Vec<ValueChange>,
    hash: String,
}

/// One value before and after.
struct ValueChange {
    name: String,
    before: String,
    after: String,
}

impl Page {
    /// The actions that can be asked for.
    fn actions() -> impl Iterator<Item = &'static str> {
        ACTIONS.iter().map(|(action, _)| *action)
    }
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let typed = Typed::of(&query);
    let filter = typed.parse()?;
    let token = query.given("page_token");
    let is_first = token.is_none();
    let page = PageOf::new(Some(ENTRIES_ON_A_PAGE), token).map_err(Error::from)?;
    let entries = app.audit.list(filter, page).await?;
    Ok(html(&Page {
        rows: entries.items.into_iter().map(row).collect(),
        next: entries.next_page_token.map(|token| typed.query(&token)),
        first: typed.query(""),
        csv: typed.query(""),
        chips: typed.chips(),
        typed,
        is_first,
        chain: app.audit.last_walk(),
        frame: Frame::new(&visitor, Section::Audit, "Audit"),
    }))
}

pub(crate) async fn verify(State(app): State<Arc<AppState>>, _: Posted) -> Result<Response, Refusal> {
    app.audit.verify().await?;
    Ok(Redirect::to("/audit#chain").into_response())
}

fn row(entry: AuditEntry) -> Row {
    Row {
        sentence: sentence(&entry),
        subject: format!("/audit{}", show::query(&[("target", &entry.target)])),
        action: format!("/audit{}", show::query(&[("action", &entry.action)])),
        changes: changes(entry.before.as_ref(), entry.after.as_ref()),
        hash: tidegate_domain::Sha256(entry.hash).to_string(),
        entry,
    }
}

/// The values that an entry tells of. Where both sides are known, only those that differ.
fn changes(before: Option<&Value>, after: Option<&Value>) -> Vec<ValueChange> {
    let both = before.is_some() && after.is_some();
    let (before, after) = (flat(before), flat(after));
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    names
        .into_iter()
        .map(|name| (name, before.get(name), after.get(name)))
        .filter(|(_, before, after)| !both || before != after)
        .take(MAX_VALUES)
        .map(|(name, before, after)| ValueChange {
            name: name.clone(),
            // Where nothing was, there is nothing to strike out.
            before: before.map(|before| told(Some(*before))).unwrap_or_default(),
            after: told(after.copied()),
        })
        .collect()
}

/// The values by their names; those of a value within another by both, such as `slice.start`.
fn flat(side: Option<&Value>) -> BTreeMap<String, &Value> {
    let mut flat = BTreeMap::new();
    let mut rest: Vec<(String, &Value, u32)> =
        side.map(|side| (String::new(), side, 0)).into_iter().collect();
    while let Some((path, value, depth)) = rest.pop() {
        match value
            .as_object()
            .filter(|object| depth < MAX_DEPTH && !object.is_empty())
        {
            Some(object) => rest.extend(object.iter().map(|(name, value)| {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                (path, value, depth + 1)
            })),
            None if depth > 0 => drop(flat.insert(path, value)),
            None => {}
        }
    }
    flat
}

fn told(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => return "–".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    if text.chars().count() <= MAX_VALUE_CHARS {
        return text;
    }
    text.chars().take(MAX_VALUE_CHARS).collect::<String>() + " …"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_entry_tells_what_differs() {
        let told = changes(
            Some(&json!({"percent": 5, "salt": null})),
            Some(&json!({"percent": 10, "salt": null})),
        );
        let told: Vec<_> = told
            .iter()
            .map(|change| (&*change.name, &*change.before, &*change.after))
            .collect();
        assert_eq!(told, [("percent", "5", "10")]);
        let nested = changes(
            Some(&json!({"slice": {"start": 0, "width": 100}})),
            Some(&json!({"slice": {"start": 20, "width": 100}})),
        );
        assert_eq!(nested.len(), 1);
        assert_eq!((&*nested[0].name, &*nested[0].after), ("slice.start", "20"));
        assert_eq!(changes(None, Some(&json!({"role": "viewer"}))).len(), 1);
        assert_eq!(changes(None, None).len(), 0);
    }
}
