//! The audit log's entries of a filter as a file for spreadsheets, however many there are: one part at a time.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
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

/// Where the file goes on.
enum Next {
    /// From this page on.
    Part(Option<String>),
    Nothing,
}

pub(crate) async fn file(
    State(app): State<Arc<AppState>>,
    _: Visitor,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let filter = Typed::of(&query).parse()?;
    // The first part comes before the answer begins, so that what is wrong is said and not cut off.
    let (first, next) = part(&app, &filter, None).await?;
    let begin = stream::once(async move { Ok::<_, Error>(Bytes::from(format!("{HEAD}{first}"))) });
    let rest = stream::try_unfold((app, filter, next), |(app, filter, next)| async move {
        let Next::Part(token) = next else {
            return Ok(None);
        };
        let (text, next) = part(&app, &filter, token).await?;
        Ok::<_, Error>(Some((Bytes::from(text), (app, filter, next))))
    });
    Ok(csv::answer("audit.csv", futures::StreamExt::chain(begin, rest)))
}

async fn part(app: &AppState, filter: &AuditFilter, token: Option<String>) -> Result<(String, Next), Error> {
    let page = PageOf::new(Some(PART), token).map_err(Error::from)?;
    let page = app.audit.list(filter.clone(), page).await?;
    let mut text = String::new();
    for entry in &page.items {
        csv::write(&mut text, &cells(entry));
    }
    let next = match page.next_page_token {
        Some(token) => Next::Part(Some(token)),
        None => Next::Nothing,
    };
    Ok((text, next))
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
