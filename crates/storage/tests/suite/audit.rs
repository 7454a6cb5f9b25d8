//! The audit log shows any later edit.

use serde_json::json;
use tidegate_storage::{AuditFilter, Broken, Page, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{actor, all, at};

on_both_engines!(
    entries_come_back_newest_first,
    the_database_refuses_to_change_an_entry,
    an_edited_entry_is_found,
    a_removed_entry_is_found,
    writers_at_once_make_one_chain,
);

async fn write(store: &Store, count: i64) {
    for n in 1..=count {
        let mut by = actor(if n % 2 == 0 { "ann" } else { "bob" });
        by.now = at(n);
        let mut note = by.note("ota.note", format!("thing/{n}"));
        note.before = Some(json!({ "n": n }));
        store.note(note).await.unwrap();
    }
}

async fn entries_come_back_newest_first(place: &Place) {
    let store = place.store().await;
    write(&store, 7).await;
    let filter = AuditFilter {
        actor: Some("bob".into()),
        from: Some(at(2)),
        to: Some(at(7)),
        ..AuditFilter::default()
    };
    let found = all(1, |page| store.audit(filter.clone(), page)).await;
    let seqs: Vec<i64> = found.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [5, 3]);
    let entry = &found[0];
    assert_eq!(entry.at, at(5));
    assert_eq!(
        (entry.before.clone(), entry.after.clone()),
        (Some(json!({ "n": 5 })), None)
    );
    assert_eq!(entry.request_id.as_deref(), Some("request-1"));
    for (filter, count) in [
        (
            AuditFilter {
                target: Some("thing/3".into()),
                ..AuditFilter::default()
            },
            1,
        ),
        (
            AuditFilter {
                action: Some("ota.note".into()),
                ..AuditFilter::default()
            },
            7,
        ),
        (
            AuditFilter {
                action: Some("ota.other".into()),
                ..AuditFilter::default()
            },
            0,
        ),
    ] {
        let found = store.audit(filter, Page::default()).await.unwrap();
        assert_eq!(found.items.len(), count);
    }
}

async fn the_database_refuses_to_change_an_entry(place: &Place) {
    let store = place.store().await;
    write(&store, 2).await;
    let copy = "SELECT 2, prev_hash, hash, at, 'eve', role, action, target FROM audit_log WHERE seq = 2";
    let columns = "(seq, prev_hash, hash, at, actor, role, action, target)";
    let mut edits = vec![
        "UPDATE audit_log SET actor = 'eve' WHERE seq = 1".to_owned(),
        "DELETE FROM audit_log WHERE seq = 2".to_owned(),
    ];
    if place.is_sqlite() {
        edits.push(format!("INSERT OR REPLACE INTO audit_log {columns} {copy}"));
    } else {
        edits.push("TRUNCATE audit_log".to_owned());
        edits.push(format!(
            "INSERT INTO audit_log {columns} {copy} ON CONFLICT (seq) DO UPDATE SET actor = excluded.actor"
        ));
    }
    for edit in edits {
        let fault = place.execute(&edit).expect_err(&edit);
        assert!(fault.contains("append-only"), "{edit}: {fault}");
    }
    // A fork: a second entry after the first.
    let fork = place.execute(&format!(
        "INSERT INTO audit_log {columns}
         SELECT 3, prev_hash, {}, at, 'eve', role, action, target FROM audit_log WHERE seq = 2",
        if place.is_sqlite() {
            "zeroblob(32)"
        } else {
            "decode(repeat('00', 32), 'hex')"
        }
    ));
    assert!(fork.is_err());
    assert_eq!(store.verify_audit().await, Ok(Ok(2)));
}

fn unlock(place: &Place, trigger: &str) {
    let on = if place.is_sqlite() { "" } else { " ON audit_log" };
    place.execute(&format!("DROP TRIGGER {trigger}{on}")).unwrap();
}

async fn an_edited_entry_is_found(place: &Place) {
    let store = place.store().await;
    write(&store, 5).await;
    unlock(place, "audit_log_no_update");
    for (edit, undo) in [
        ("actor = 'eve'", "actor = 'bob'"),
        ("before_json = NULL", "before_json = '{\"n\":3}'"),
        ("at = at + 1", "at = at - 1"),
    ] {
        let edit = format!("UPDATE audit_log SET {edit} WHERE seq = 3");
        place.execute(&edit).unwrap();
        assert_eq!(
            store.verify_audit().await,
            Ok(Err(Broken { seq: 3, whole: 2 })),
            "{edit}"
        );
        place
            .execute(&format!("UPDATE audit_log SET {undo} WHERE seq = 3"))
            .unwrap();
        assert_eq!(store.verify_audit().await, Ok(Ok(5)), "{undo}");
    }
}

async fn a_removed_entry_is_found(place: &Place) {
    let store = place.store().await;
    write(&store, 5).await;
    unlock(place, "audit_log_no_delete");
    place.execute("DELETE FROM audit_log WHERE seq = 3").unwrap();
    assert_eq!(store.verify_audit().await, Ok(Err(Broken { seq: 4, whole: 2 })));
}

async fn writers_at_once_make_one_chain(place: &Place) {
    let stores = [place.store().await, place.store().await];
    let writers: Vec<_> = (0..8)
        .map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move { write(&store, 10).await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(stores[0].verify_audit().await, Ok(Ok(80)));
}
