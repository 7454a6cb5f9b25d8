//! A backup in the place of the database.

use tidegate_domain::Role;
use tidegate_storage::{GENERATIONS_SKIPPED, NUMBERS_SKIPPED, NewAdminToken, RecordKey, Store, UserChange};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{APP, actor, at, upload};

on_both_engines!(
    tokens_end_and_numbers_skip_ahead,
    a_restoration_is_told_until_it_is_dismissed,
);

fn note(action: &'static str) -> tidegate_storage::AuditNote {
    actor("console").note(action, "server")
}

async fn sealed(place: &Place) -> Store {
    let store = place.store().await;
    let key = RecordKey::new(&[3; 32]);
    store
        .begin_record(key.clone(), [9; 32], vec![], note("audit.seal"))
        .await
        .unwrap();
    store.use_record_key(key);
    store
}

async fn tokens_end_and_numbers_skip_ahead(place: &Place) {
    let store = sealed(place).await;
    for name in ["ann", "bob"] {
        let added = store.add_user(name, Role::Admin, "hash".into(), note("user.add"));
        added.await.unwrap();
    }
    store
        .change_user("bob", UserChange::Role(Role::Viewer), note("user.role"))
        .await
        .unwrap();
    let token = NewAdminToken {
        id: "jti".into(),
        subject: "cat".into(),
        role: Role::Viewer,
        created_by: "console".into(),
        expires_at: at(3600),
    };
    store
        .add_admin_token(token, note("admin_token.create"))
        .await
        .unwrap();
    let before = upload(&store, APP, 1).await.id.0;
    let device_tokens = store.revoked_generations().await.unwrap();

    store.note_restoration(note("server.restored")).await.unwrap();
    let changes = store.account_changes(0).await.unwrap();
    assert_eq!(changes.not_before, Some(at(0)));
    for (subject, generation) in [("ann", 1), ("bob", 2), ("cat", 1)] {
        let generation = generation + u32::try_from(GENERATIONS_SKIPPED).unwrap();
        assert!(
            changes.generations.contains(&(subject.to_owned(), generation)),
            "{subject}: {changes:?}"
        );
    }
    for name in ["ann", "bob"] {
        assert!(store.user(name).await.unwrap().genuine, "{name}");
    }
    let tokens = store
        .admin_tokens(None, tidegate_storage::Page::default())
        .await
        .unwrap();
    assert_eq!(tokens.items[0].revoked_at, Some(at(0)));
    assert_eq!(store.revoked_generations().await.unwrap(), device_tokens);
    let after = upload(&store, APP, 2).await.id.0;
    assert!(after > before + NUMBERS_SKIPPED, "{before} and then {after}");
    // Also where there was no row yet.
    for table in ["rollouts", "nudge_campaigns"] {
        let next = if place.is_sqlite() {
            format!("SELECT seq AS value FROM sqlite_sequence WHERE name = '{table}'")
        } else {
            format!("SELECT nextval(pg_get_serial_sequence('{table}', 'id')) AS value")
        };
        assert!(place.number(&next) >= NUMBERS_SKIPPED, "{table}");
    }
    assert!(store.verify_audit().await.unwrap().is_ok());
}

async fn a_restoration_is_told_until_it_is_dismissed(place: &Place) {
    let store = sealed(place).await;
    assert_eq!(store.open_restoration().await, Ok(None));
    store
        .dismiss_restoration(note("server.restored.dismiss"))
        .await
        .unwrap();
    assert_eq!(
        store.verify_audit().await,
        Ok(Ok(0)),
        "nothing was to be dismissed"
    );
    store.note_restoration(note("server.restored")).await.unwrap();
    let told = store.open_restoration().await.unwrap().unwrap();
    assert_eq!((told.at, told.by.as_str()), (at(0), "console"));
    store
        .dismiss_restoration(note("server.restored.dismiss"))
        .await
        .unwrap();
    assert_eq!(store.open_restoration().await, Ok(None));
    assert_eq!(store.verify_audit().await, Ok(Ok(2)));
    let changes = store.account_changes(0).await.unwrap();
    assert_eq!(changes.not_before, Some(at(0)), "what ended stays ended");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_made_while_others_write() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::sqlite();
    let store = sealed(&place).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy.db");
    let writer = {
        let store = place.store().await;
        store.use_record_key(RecordKey::new(&[3; 32]));
        tokio::spawn(async move {
            for _ in 0..200 {
                store.note(note("ota.note")).await.unwrap();
            }
        })
    };
    assert_eq!(store.copy_to(file.clone()).await, Ok(true));
    writer.await.unwrap();
    assert_eq!(store.verify_audit().await, Ok(Ok(200)));
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let copy = Store::open(&tidegate_storage::Settings::new(file.to_str().unwrap()))
        .await
        .unwrap();
    copy.use_record_key(RecordKey::new(&[3; 32]));
    assert!(copy.verify_audit().await.unwrap().is_ok());
    assert!(store.copy_to(file).await.is_err(), "it is there already");
}
