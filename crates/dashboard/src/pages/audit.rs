//! The audit log, and whether its chain is whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use serde_json::Value;
use tidegate_service::{AuditEntry, AuditFilter, Error, Page as PageOf, Walk};

use super::Query;
use crate::AppState;
use crate::error::{Refusal, html};
use crate::form::{Fields, Posted};
use crate::frame::{Frame, Section};
use crate::session::Visitor;
use crate::show;

/// How many entries a page shows.
const ENTRIES_ON_A_PAGE: u32 = 30;

/// How much of a value before or after is shown, in characters. Release notes may be much longer.
const MAX_VALUE_CHARS: usize = 200;

/// How many values of one entry are shown.
const MAX_VALUES: usize = 24;

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    frame: Frame,
    rows: Vec<Row>,
    filter: Shown,
    first: String,
    next: Option<String>,
    is_first: bool,
    chain: Option<Walk>,
}

/// The filter as it was typed.
struct Shown {
    actor: String,
    action: String,
    target: String,
    from: String,
    to: String,
}

impl Shown {
    fn query(&self, page_token: &str) -> String {
        show::query(&[
            ("actor", &self.actor),
            ("action", &self.action),
            ("target", &self.target),
            ("from", &self.from),
            ("to", &self.to),
            ("page_token", page_token),
        ])
    }
}

struct Row {
    entry: AuditEntry,
    changes: Vec<ValueChange>,
    hash: String,
}

/// One value before and after.
struct ValueChange {
    name: String,
    before: String,
    after: String,
}

pub(crate) async fn page(
    State(app): State<Arc<AppState>>,
    visitor: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let filter = AuditFilter {
        actor: query.given("actor"),
        action: query.given("action"),
        target: query.given("target"),
        from: moment(&query, "from", TimeDelta::zero())?,
        to: moment(&query, "to", TimeDelta::days(1))?,
    };
    let token = query.given("page_token");
    let is_first = token.is_none();
    let page = PageOf::new(Some(ENTRIES_ON_A_PAGE), token).map_err(Error::from)?;
    let entries = app.audit.list(filter, page).await?;
    let text = |name| query.text(name).to_owned();
    let filter = Shown {
        actor: text("actor"),
        action: text("action"),
        target: text("target"),
        from: text("from"),
        to: text("to"),
    };
    let first = filter.query("");
    let next = entries.next_page_token.map(|token| filter.query(&token));
    Ok(html(&Page {
        rows: entries.items.into_iter().map(row).collect(),
        filter,
        next,
        first,
        is_first,
        chain: app.audit.last_walk(),
        frame: Frame::new(&visitor, Section::Audit, "Audit"),
    }))
}

pub(crate) async fn verify(State(app): State<Arc<AppState>>, _: Posted) -> Result<Response, Refusal> {
    app.audit.verify().await?;
    Ok(Redirect::to("/audit#chain").into_response())
}

/// A day or a moment, in UTC. A day as the end of a range means all of it.
fn moment(query: &Fields, field: &str, of_a_day: TimeDelta) -> Result<Option<DateTime<Utc>>, Error> {
    let text = query.text(field);
    if text.is_empty() {
        return Ok(None);
    }
    let day = text
        .parse::<NaiveDate>()
        .ok()
        .and_then(|day| day.and_hms_opt(0, 0, 0)?.checked_add_signed(of_a_day));
    let time = day.or_else(|| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").ok());
    let time = time.ok_or_else(|| Error::invalid(field, "must be a day such as 2026-11-23"))?;
    Ok(Some(time.and_utc()))
}

fn row(entry: AuditEntry) -> Row {
    Row {
        changes: changes(entry.before.as_ref(), entry.after.as_ref()),
        hash: tidegate_domain::Sha256(entry.hash).to_string(),
        entry,
    }
}

/// The values that an entry tells of. Where both sides are known, only those that differ.
fn changes(before: Option<&Value>, after: Option<&Value>) -> Vec<ValueChange> {
    let both = before.is_some() && after.is_some();
    let names: BTreeSet<&String> = [before, after]
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .flat_map(|object| object.keys())
        .collect();
    let value = |side: Option<&Value>, name: &str| side.and_then(|side| side.get(name).cloned());
    names
        .into_iter()
        .map(|name| (name, value(before, name), value(after, name)))
        .filter(|(_, before, after)| !both || before != after)
        .take(MAX_VALUES)
        .map(|(name, before, after)| ValueChange {
            name: name.clone(),
            // Where nothing was, there is nothing to strike out.
            before: before
                .as_ref()
                .map(|before| told(Some(before)))
                .unwrap_or_default(),
            after: told(after.as_ref()),
        })
        .collect()
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
        assert_eq!(changes(None, Some(&json!({"role": "viewer"}))).len(), 1);
        assert_eq!(changes(None, None).len(), 0);
    }

    #[test]
    fn a_day_is_all_of_it() {
        let query = Fields::parse(b"from=2026-11-23&to=2026-11-23&odd=yesterday");
        let time = |field, day| moment(&query, field, day).unwrap().unwrap().to_rfc3339();
        assert_eq!(time("from", TimeDelta::zero()), "2026-11-23T00:00:00+00:00");
        assert_eq!(time("to", TimeDelta::days(1)), "2026-11-24T00:00:00+00:00");
        assert!(moment(&query, "odd", TimeDelta::zero()).is_err());
    }
}
