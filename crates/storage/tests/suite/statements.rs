//! How SQLite answers the statements that write many rows at once: by the key of each, and never by a walk through the
//! table for each row.
//!
//! Planned so, an update of 2,000 of 100,000 members takes milliseconds; planned by a part of the key, it took 107
//! seconds.

use std::collections::BTreeSet;
use std::sync::{Mutex, Once};

use diesel::connection::{InstrumentationEvent, set_default_instrumentation};
use tidegate_domain::ReportStatus;
use tidegate_storage::Seen;

use crate::gate_counts::{FIRST, at_hand, gated, observe};
use crate::gate_members::{control, offered_to};
use crate::place::Place;
use crate::samples::{downloaded, enroll_many, poll, proven, report, seen};

static UPDATES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Has every connection that opens from now on tell its updates of many rows.
fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| set_default_instrumentation(|| Some(Box::new(note))).unwrap());
}

#[expect(clippy::needless_pass_by_value, reason = "so diesel asks for it")]
fn note(event: InstrumentationEvent<'_>) {
    if let InstrumentationEvent::StartQuery { query, .. } = event {
        let query = query.to_string();
        let sql = query.split(" -- binds").next().unwrap_or_default().trim();
        if sql.starts_with("UPDATE ") && sql.contains("json_each") {
            UPDATES.lock().unwrap().insert(sql.to_owned());
        }
    }
}

/// The columns of the statement's table that it compares with a column of its rows, `v`.
fn key<'a>(sql: &'a str, table: &str) -> Vec<&'a str> {
    let conditions = sql.rsplit("WHERE").next().unwrap_or_default();
    let conditions = conditions.split("AND").map(str::trim);
    let compared = conditions.filter_map(|condition| condition.split_once('='));
    let own = compared.filter(|(_, other)| other.trim().starts_with("v."));
    own.map(|(column, _)| column.trim())
        .map(|column| column.strip_prefix(&format!("{table}.")).unwrap_or(column))
        .collect()
}

/// What is wrong with a statement's plan.
fn fault(place: &Place, sql: &str) -> Option<String> {
    let table = sql.split_whitespace().nth(1)?;
    let plan = place.plan(sql);
    let step = plan.split("; ").find(|step| {
        let mut words = step.split_whitespace();
        words.next() == Some("SEARCH") && words.next() == Some(table)
    });
    let by_key = step.is_some_and(|step| {
        let key = key(sql, table);
        // A whole number that is the key alone goes by this name.
        let is_used = |column: &&str| {
            step.contains("INTEGER PRIMARY KEY (rowid=?)") || step.contains(&format!("{column}=?"))
        };
        !key.is_empty() && key.iter().all(is_used)
    });
    (!by_key).then(|| format!("{sql}\n  is planned: {plan}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_of_many_rows_find_each_by_its_key() {
    listen();
    let place = Place::sqlite();
    let store = place.store().await;
    let (build, rollout) = gated(&store, 1).await;
    let of = (&build, rollout);
    let devices = enroll_many(&store, 4).await;
    let telling = |seen: Seen, crashes| Seen {
        crashes: Some(crashes),
        ..seen
    };
    let entries = vec![
        telling(offered_to(&devices[0], 0, of), 0),
        telling(offered_to(&devices[1], 0, of), 0),
        telling(control(&devices[2], 0, rollout, 0), 0),
    ];
    poll(&store, entries).await;
    let sent = downloaded(&devices[0], build.id, rollout, 5);
    store.record_downloads(vec![sent]).await.unwrap();
    let failed = report(build.id, ReportStatus::InstallFailed);
    store
        .record_reports(vec![proven(&devices[0], rollout, failed, 6)])
        .await
        .unwrap();
    poll(&store, vec![telling(seen(&devices[1], 7, 1), 3)]).await;
    // Eight hours later all are silent, and one has crashed.
    observe(&store, at_hand(rollout, FIRST(), 0, 8 * 3_600)).await;

    let updates = UPDATES.lock().unwrap().clone();
    for table in ["devices", "gate_members"] {
        let is_seen = updates
            .iter()
            .any(|sql| sql.starts_with(&format!("UPDATE {table} ")));
        assert!(is_seen, "the story updates {table}");
    }
    let faults: Vec<String> = updates.iter().filter_map(|sql| fault(&place, sql)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
