//! The audit log's entries of a filter as a file for spreadsheets, however many there are: one part at a time.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;
use tidegate_service::{AuditEntry, AuditFilter, Error, Page as PageOf};

use super::Query;
use super::audit_query::Typed;
use super::audit_sentence;
use crate::AppState;
use crate::csv;
use crate::error::Refusal;
use crate::session::Visitor;
use crate::show;

const HEAD: &str = "number,at,actor,role,action,subject,sentence,before,after,request_id,hash\r\n";

/// How many entries are held at once.
const PART: u32 = 200;

pub(crate) async fn file(
    State(app): State<Arc<AppState>>,
    _: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let filter = Typed::of(&query).parse()?;
    let part = move |token| part(Arc::clone(&app), filter.clone(), token);
    Ok(csv::file("audit.csv", HEAD, part).await?)
}

async fn part(app: Arc<AppState>, filter: AuditFilter, token: Option<String>) -> Result<csv::Part, Error> {
    let page = PageOf::new(Some(PART), token).map_err(Error::from)?;
    let page = app.audit.list(filter, page).await?;
    let mut text = String::new();
    for entry in &page.items {
        csv::write(&mut text, &cells(entry));
    }
    Ok((text, page.next_page_token))
}

fn cells(entry: &AuditEntry) -> [String; 11] {
    let side = |value: &Option<Value>| value.as_ref().map(Value::to_string).unwrap_or_default();
    [
        entry.seq.to_string(),
        show::stamp(entry.at),
        entry.actor.clone(),
        entry.role.clone(),
        entry.action.clone(),
        entry.target.clone(),
        audit_sentence::text(entry),
        side(&entry.before),
        side(&entry.after),
        entry.request_id.clone().unwrap_or_default(),
        tidegate_domain::Sha256(entry.hash).to_string(),
    ]
}
