//! The audit log.

use std::mem::take;

use tidegate_domain::{Role, Sha256};
use tidegate_proto::v1;
use tidegate_service::{Actor, AuditEntry, AuditFilter, AuditLog, Error};

use super::list::List;
use super::{moment, non_empty};
use crate::messages::time;

pub(crate) async fn list(
    log: &AuditLog,
    actor: &Actor,
    mut request: v1::ListAuditRequest,
) -> Result<v1::ListAuditResponse, Error> {
    actor.require(Role::Viewer)?;
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("audit", size, &token, &request)?;
    let filter = AuditFilter {
        actor: non_empty(request.actor),
        action: non_empty(request.action),
        target: non_empty(request.target),
        from: request.from.map(|time| moment("from", time)).transpose()?,
        to: request.to.map(|time| moment("to", time)).transpose()?,
    };
    let ask = |page| log.list(filter.clone(), page);
    let (items, next_page_token) = list.tell(ask, entry).await?;
    Ok(v1::ListAuditResponse {
        items,
        next_page_token,
    })
}

fn entry(entry: AuditEntry) -> v1::AuditEntry {
    let json = |value: Option<serde_json::Value>| value.map(|value| value.to_string()).unwrap_or_default();
    v1::AuditEntry {
        seq: entry.seq,
        at: time(entry.at),
        actor: entry.actor,
        role: entry.role,
        action: entry.action,
        target: entry.target,
        before: json(entry.before),
        after: json(entry.after),
        request_id: entry.request_id.unwrap_or_default(),
        hash: Sha256(entry.hash).to_string(),
        pseudonym: entry.pseudonym.unwrap_or_default(),
    }
}

pub(crate) async fn verify(
    log: &AuditLog,
    actor: &Actor,
    _: v1::VerifyAuditRequest,
) -> Result<v1::VerifyAuditResponse, Error> {
    actor.require(Role::Viewer)?;
    let walk = log.verify().await?;
    let intact = walk.is_intact();
    let count = |entries: u64| i64::try_from(entries).unwrap_or(i64::MAX);
    let (entries, broken_at_seq) = match walk.found {
        Ok(entries) => (entries, None),
        Err(broken) => (broken.whole, Some(broken.seq)),
    };
    let bare = walk.sealed.as_ref().map_or(entries, |sealed| sealed.bare_entries);
    let public_key = walk.sealed.map(|sealed| Sha256(sealed.public_key).to_string());
    Ok(v1::VerifyAuditResponse {
        intact,
        entries: count(entries),
        broken_at_seq,
        bare_entries: count(bare),
        public_key: public_key.unwrap_or_default(),
        tampered_users: walk.tampered.users,
        tampered_service_accounts: walk.tampered.service_accounts,
    })
}
