//! `tidegate audit`.

use std::process::ExitCode;
use std::sync::Arc;

use tidegate_domain::Sha256;
use tidegate_service::{AuditLog, SystemClock, Walk, WitnessFault, Witnessed, check_witness};

use super::{print, runtime};
use crate::config::LogFormat;
use crate::wiring::{Stores, open_witness};
use crate::{Config, Error, telemetry};

/// Checks the log, and prints what is wrong.
pub(super) fn verify(config: &Config, witness: Option<String>) -> Result<ExitCode, Error> {
    telemetry::start_with("warn", LogFormat::Text)?;
    let place = witness.or_else(|| config.audit_witness.clone());
    let (walk, witnessed) = runtime()?.block_on(async {
        let store = Stores::open_made(config, false).await?.store;
        let walk = AuditLog::new(store.clone(), Arc::new(SystemClock))
            .verify()
            .await?;
        let witnessed = match place {
            Some(place) => Some(check_witness(&store, &open_witness(config, &place)?).await?),
            None => None,
        };
        Ok::<_, Error>((walk, witnessed))
    })?;
    let contradicted = witnessed.as_ref().is_some_and(|found| found.fault.is_some());
    let mut lines = told(&walk);
    lines.extend(witnessed.as_ref().map(told_witness));
    print(&lines.join("\n"))?;
    Ok(if walk.is_intact() && !contradicted {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The public key, in hex.
pub(super) async fn key(config: &Config) -> Result<String, Error> {
    let record = Stores::open_made(config, false).await?.record;
    Ok(Sha256(record.public_key()).to_string())
}

pub(super) fn told(walk: &Walk) -> Vec<String> {
    let mut lines = vec![match walk.found {
        Ok(entries) => format!("the chain is whole: {entries} entries"),
        Err(broken) => format!(
            "the chain is broken at entry {}: it is not the one that was written, or does not follow the one before it; \
             {} entries before it are whole",
            broken.seq, broken.whole
        ),
    }];
    match &walk.sealed {
        Some(sealed) if sealed.bare_entries > 0 => lines.push(format!(
            "entries 1 to {} are older than the log's key: they have hashes alone, and the entry behind them seals them",
            sealed.bare_entries
        )),
        _ => {}
    }
    let users = walk.tampered.users.iter().map(|name| format!("user {name}"));
    let accounts = walk.tampered.service_accounts.iter();
    let accounts = accounts.map(|name| format!("service account {name}"));
    let tampered = users.chain(accounts);
    lines
        .extend(tampered.map(|who| format!("{who} was changed behind the server's back, and has no access")));
    lines
}

fn told_witness(found: &Witnessed) -> String {
    let unreadable = match found.unreadable {
        0 => String::new(),
        lines => format!("; {lines} lines of it are no head, and were passed over"),
    };
    match (found.fault, found.last) {
        (None, None) => format!("the witness was told nothing yet{unreadable}"),
        (None, Some(last)) => format!(
            "the witness agrees: {} heads, the last of entry {last}{unreadable}",
            found.heads
        ),
        (Some(WitnessFault::Cut(seq)), _) => {
            format!(
                "the witness knows entry {seq}, which is gone: the log was cut or replaced by an earlier one{unreadable}"
            )
        }
        (Some(WitnessFault::Rewritten(seq)), _) => {
            format!("the witness knows another entry {seq}: the log was rewritten{unreadable}")
        }
        (Some(WitnessFault::Unsigned(seq)), _) => format!(
            "the witness's head of entry {seq} is not signed with the key of this log: it is forged, or the log was begun \
             anew with another key{unreadable}"
        ),
    }
}
