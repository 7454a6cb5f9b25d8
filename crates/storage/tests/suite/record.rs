//! The record: whoever writes the database without its key is found.

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tidegate_domain::Role;
use tidegate_storage::{
    AuditFilter, Broken, Error, NewAdminToken, NewServiceAccount, Page, RecordKey, Store, Tampered,
    UserChange, WrappedKey,
};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{actor, at};

on_both_engines!(
    a_log_that_was_rewritten_with_all_its_hashes_is_found,
    an_entry_written_behind_the_back_is_found,
    what_is_older_than_the_key_is_sealed_by_the_first_entry,
    the_record_begins_once_and_with_one_key,
    a_record_that_was_changed_is_told_and_not_trusted,
    a_user_written_behind_the_back_is_not_genuine,
    a_password_that_is_hashed_anew_stays_genuine,
    a_service_account_with_other_limits_has_no_access,
    without_the_key_nothing_is_written,
    going_back_keeps_the_chain_and_what_comes_again_seals_it_anew,
);

const SECRET: [u8; 32] = [7; 32];

fn wrapped() -> Vec<WrappedKey> {
    vec![WrappedKey {
        master_key: "first".into(),
        wrapped: vec![1, 2, 3],
    }]
}

/// Begins the record, or takes it up.
async fn begin(store: &Store) {
    let note = actor("console").note("audit.seal", "audit");
    let begun = store.begin_record(RecordKey::new(&SECRET), [9; 32], wrapped(), note);
    begun.await.unwrap();
    store.use_record_key(RecordKey::new(&SECRET));
}

async fn sealed_store(place: &Place) -> Store {
    let store = place.store().await;
    begin(&store).await;
    store
}

async fn write(store: &Store, count: i64) {
    for n in 1..=count {
        let mut note = actor("ann").note("ota.note", format!("thing/{n}"));
        note.after = Some(json!({ "n": n }));
        store.note(note).await.unwrap();
    }
}

async fn add_user(store: &Store, name: &str, role: Role) {
    let note = actor("root").note("user.add", format!("user/{name}"));
    store
        .add_user(name, role, "$argon2id$…".into(), note)
        .await
        .unwrap();
}

/// Takes the triggers away, as somebody would who owns the database.
fn unlock(place: &Place) {
    let on = if place.is_sqlite() { "" } else { " ON audit_log" };
    for trigger in ["audit_log_no_update", "audit_log_no_delete"] {
        place.execute(&format!("DROP TRIGGER {trigger}{on}")).unwrap();
    }
}

fn bytes(place: &Place, hex: &str) -> String {
    if place.is_sqlite() {
        format!("x'{hex}'")
    } else {
        format!("decode('{hex}', 'hex')")
    }
}

/// Makes `actor` the author of an entry, and computes the hashes from there on anew, as the chain's description tells
/// everybody how to.
async fn rewrite(place: &Place, store: &Store, from: i64, actor: &str) {
    let filter = AuditFilter::default();
    let mut entries = store
        .audit(filter, Page::new(Some(500), None).unwrap())
        .await
        .unwrap()
        .items;
    entries.reverse();
    let mut previous = [0; 32];
    for entry in &mut entries {
        if entry.seq >= from {
            if entry.seq == from {
                actor.clone_into(&mut entry.actor);
            }
            let mut hash = Sha256::new();
            hash.update(previous);
            hash.update(entry.seq.to_be_bytes());
            hash.update(entry.at.timestamp_micros().to_be_bytes());
            let mut put = |text: &str| {
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text);
            };
            for text in [&entry.actor, &entry.role, &entry.action, &entry.target] {
                put(text);
            }
            let json = |value: &Option<serde_json::Value>| value.as_ref().map(ToString::to_string);
            for text in [json(&entry.before), json(&entry.after), entry.request_id.clone()] {
                hash.update([u8::from(text.is_some())]);
                if let Some(text) = text {
                    hash.update((text.len() as u64).to_be_bytes());
                    hash.update(text);
                }
            }
            entry.hash = hash.finalize().into();
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            let sql = format!(
                "UPDATE audit_log SET actor = '{}', prev_hash = {}, hash = {} WHERE seq = {}",
                entry.actor,
                bytes(place, &hex(&previous)),
                bytes(place, &hex(&entry.hash)),
                entry.seq
            );
            assert_eq!(place.execute(&sql), Ok(1));
        }
        previous = entry.hash;
    }
}

async fn a_log_that_was_rewritten_with_all_its_hashes_is_found(place: &Place) {
    let store = sealed_store(place).await;
    write(&store, 6).await;
    assert_eq!(store.verify_audit().await, Ok(Ok(6)));
    unlock(place);
    rewrite(place, &store, 3, "eve").await;
    assert_eq!(store.verify_audit().await, Ok(Err(Broken { seq: 3, whole: 2 })));
    rewrite(place, &store, 3, "ann").await;
    assert_eq!(store.verify_audit().await, Ok(Ok(6)), "put back");
}

async fn an_entry_written_behind_the_back_is_found(place: &Place) {
    let store = sealed_store(place).await;
    write(&store, 2).await;
    let copy = format!(
        "INSERT INTO audit_log (seq, prev_hash, hash, at, actor, role, action, target, mac)
         SELECT 3, hash, {}, at, actor, role, action, target, mac FROM audit_log WHERE seq = 2",
        bytes(place, &"ab".repeat(32))
    );
    assert_eq!(place.execute(&copy), Ok(1));
    unlock(place);
    rewrite(place, &store, 3, "eve").await;
    assert_eq!(store.verify_audit().await, Ok(Err(Broken { seq: 3, whole: 2 })));
}

async fn what_is_older_than_the_key_is_sealed_by_the_first_entry(place: &Place) {
    let store = place.store().await;
    write(&store, 3).await;
    add_user(&store, "ann", Role::Admin).await;
    begin(&store).await;
    write(&store, 1).await;
    let sealed = store.sealed().await.unwrap().unwrap();
    assert_eq!((sealed.bare_entries, sealed.public_key), (4, [9; 32]));
    let entries = store
        .audit(AuditFilter::default(), Page::default())
        .await
        .unwrap();
    let seal = &entries.items[1];
    assert_eq!((seal.action.as_str(), seal.seq), ("audit.seal", 5));
    let told = json!({ "entries": 4, "users": 1, "service_accounts": 0 });
    assert_eq!(seal.after, Some(told));
    assert_eq!(store.verify_audit().await, Ok(Ok(6)));
    assert!(store.user("ann").await.unwrap().genuine);

    unlock(place);
    rewrite(place, &store, 2, "eve").await;
    // The entries before the seal fit each other again; the seal covers others.
    assert_eq!(store.verify_audit().await, Ok(Err(Broken { seq: 5, whole: 4 })));
    rewrite(place, &store, 2, "ann").await;
    assert_eq!(store.verify_audit().await, Ok(Ok(6)));
    place.execute("DELETE FROM audit_log WHERE seq >= 4").unwrap();
    assert_eq!(
        store.verify_audit().await,
        Ok(Err(Broken { seq: 4, whole: 3 })),
        "what was sealed is missing"
    );
}

async fn the_record_begins_once_and_with_one_key(place: &Place) {
    let stores = [place.store().await, place.store().await];
    let begin = |store: Store, secret: u8| {
        tokio::spawn(async move {
            let note = actor("console").note("audit.seal", "audit");
            let keys = vec![WrappedKey {
                master_key: format!("key {secret}"),
                wrapped: vec![secret],
            }];
            let key = RecordKey::new(&[secret; 32]);
            store.begin_record(key, [secret; 32], keys, note).await.unwrap()
        })
    };
    let starts = [begin(stores[0].clone(), 1), begin(stores[1].clone(), 2)];
    let mut begun = vec![];
    for start in starts {
        begun.push(start.await.unwrap());
    }
    assert_eq!(begun.iter().filter(|begun| **begun).count(), 1, "{begun:?}");
    let kept = stores[0].wrapped_record_keys().await.unwrap();
    let winner = if begun[0] { 1 } else { 2 };
    assert_eq!((kept.len(), kept[0].wrapped.clone()), (1, vec![winner]));

    let more = vec![
        WrappedKey {
            master_key: kept[0].master_key.clone(),
            wrapped: vec![77],
        },
        WrappedKey {
            master_key: "next".into(),
            wrapped: vec![8],
        },
    ];
    stores[1].add_wrapped_record_keys(more, at(1)).await.unwrap();
    let kept = stores[1].wrapped_record_keys().await.unwrap();
    let mut wrapped: Vec<_> = kept.into_iter().map(|key| key.wrapped).collect();
    wrapped.sort();
    assert_eq!(wrapped, [vec![winner], vec![8]], "what is kept is not replaced");
}

async fn a_record_that_was_changed_is_told_and_not_trusted(place: &Place) {
    let store = place.store().await;
    write(&store, 2).await;
    begin(&store).await;
    // So that the first three would count as older than the key.
    place.execute("UPDATE record SET bare_entries = 3").unwrap();
    assert_eq!(
        store.verify_audit().await,
        Err(Error::RecordTampered("its row is another one"))
    );
    place.execute("UPDATE record SET bare_entries = 2").unwrap();
    assert_eq!(store.verify_audit().await, Ok(Ok(3)));
    place.execute("DELETE FROM record").unwrap();
    assert_eq!(
        store.verify_audit().await,
        Err(Error::RecordTampered("its row is gone"))
    );
}

async fn a_user_written_behind_the_back_is_not_genuine(place: &Place) {
    let store = sealed_store(place).await;
    add_user(&store, "ann", Role::Admin).await;
    add_user(&store, "bob", Role::Viewer).await;
    let insert = "INSERT INTO users (name, role, password_hash, created_at)
                  VALUES ('eve', 'admin', '$argon2id$hers', 0)";
    assert_eq!(place.execute(insert), Ok(1));
    assert!(!store.user("eve").await.unwrap().genuine);
    let note = |action| actor("root").note(action, "user");
    let changed = store
        .change_user("eve", UserChange::Role(Role::Viewer), note("user.role"))
        .await;
    assert!(matches!(changed, Err(Error::Tampered { .. })), "{changed:?}");

    // Each column that decides, and bob's own row of before, which a backup would have.
    for (set, back) in [
        ("role = 'admin'", "role = 'viewer'"),
        ("password_hash = 'x'", "password_hash = '$argon2id$…'"),
        ("created_at = created_at + 1", "created_at = created_at - 1"),
        ("disabled_at = 5", "disabled_at = NULL"),
        ("name = 'mallory'", "name = 'bob'"),
    ] {
        let name = if set.starts_with("name") { "mallory" } else { "bob" };
        place
            .execute(&format!("UPDATE users SET {set} WHERE name = 'bob'"))
            .unwrap();
        assert!(!store.user(name).await.unwrap().genuine, "{set}");
        place
            .execute(&format!("UPDATE users SET {back} WHERE name = '{name}'"))
            .unwrap();
        assert!(store.user("bob").await.unwrap().genuine, "{back}");
    }
    let old = place.texts(if place.is_sqlite() {
        "SELECT hex(mac) AS value FROM users WHERE name = 'bob'"
    } else {
        "SELECT encode(mac, 'hex') AS value FROM users WHERE name = 'bob'"
    });
    store
        .change_user("bob", UserChange::Disable, note("user.disable"))
        .await
        .unwrap();
    assert!(store.user("bob").await.unwrap().genuine);
    let put_back = format!(
        "UPDATE users SET disabled_at = NULL, mac = {} WHERE name = 'bob'",
        bytes(place, &old[0])
    );
    place.execute(&put_back).unwrap();
    assert!(!store.user("bob").await.unwrap().genuine, "an earlier row");

    let expected = Tampered {
        users: vec!["bob".into(), "eve".into()],
        service_accounts: vec![],
    };
    assert_eq!(store.tampered_accounts().await, Ok(expected));
    // Nobody who is not genuine counts as the admin that there has to be, and they can be removed.
    let last = store.remove_user("ann", note("user.remove")).await;
    assert!(matches!(last, Err(Error::LastAdmin { .. })), "{last:?}");
    store.remove_user("eve", note("user.remove")).await.unwrap();
    store.remove_user("bob", note("user.remove")).await.unwrap();
    add_user(&store, "bob", Role::Viewer).await;
    assert!(
        store.user("bob").await.unwrap().genuine,
        "a name that was there before"
    );
    assert_eq!(store.tampered_accounts().await, Ok(Tampered::default()));
}

async fn a_password_that_is_hashed_anew_stays_genuine(place: &Place) {
    let store = sealed_store(place).await;
    add_user(&store, "ann", Role::Admin).await;
    store
        .rehash_user("ann", "$argon2id$…", "$fresh".into())
        .await
        .unwrap();
    let ann = store.user("ann").await.unwrap();
    assert_eq!((ann.password_hash.as_str(), ann.genuine), ("$fresh", true));
    // What somebody else wrote is not signed along the way.
    place
        .execute("UPDATE users SET password_hash = 'forged'")
        .unwrap();
    store.rehash_user("ann", "forged", "$mine".into()).await.unwrap();
    let ann = store.user("ann").await.unwrap();
    assert_eq!((ann.password_hash.as_str(), ann.genuine), ("forged", false));
}

async fn a_service_account_with_other_limits_has_no_access(place: &Place) {
    let store = sealed_store(place).await;
    let note = |action| actor("root").note(action, "service_account/ci");
    let account = NewServiceAccount {
        name: "ci".into(),
        role: Role::Operator,
        limits: tidegate_domain::Limits::new([], [tidegate_domain::Verb::Upload]).unwrap(),
        created_by: "root".into(),
    };
    let token = |id: &str| NewAdminToken {
        id: id.into(),
        subject: "service:ci".into(),
        role: Role::Operator,
        created_by: "root".into(),
        expires_at: at(3600),
    };
    let added = store.add_service_account(account, token("1"), note("service_account.create"));
    added.await.unwrap();
    let changes = store.account_changes(0).await.unwrap();
    assert!(
        matches!(&changes.service_accounts[..], [(_, Some(Some(_)))]),
        "{changes:?}"
    );
    place
        .execute("UPDATE service_accounts SET limits_json = NULL")
        .unwrap();
    let changes = store.account_changes(0).await.unwrap();
    assert_eq!(changes.service_accounts, [("service:ci".to_owned(), None)]);
    assert_eq!(changes.tampered, ["service:ci"]);
    assert!(!store.service_account("ci").await.unwrap().genuine);
    let more = store
        .add_service_token("ci", token("2"), note("service_account.token"))
        .await;
    assert!(matches!(more, Err(Error::Tampered { .. })), "{more:?}");
    store
        .remove_service_account("ci", note("service_account.remove"))
        .await
        .unwrap();
    place
        .execute("UPDATE service_accounts SET removed_at = NULL")
        .unwrap();
    assert_eq!(store.account_changes(0).await.unwrap().tampered, ["service:ci"]);
}

async fn without_the_key_nothing_is_written(place: &Place) {
    let store = sealed_store(place).await;
    write(&store, 1).await;
    let other = place.store().await;
    let note = actor("eve").note("ota.note", "thing/1");
    assert_eq!(other.note(note).await, Err(Error::RecordClosed));
    assert_eq!(other.verify_audit().await, Err(Error::RecordClosed));
    assert_eq!(
        other.users(Page::default()).await.map(drop),
        Err(Error::RecordClosed)
    );
    other.use_record_key(RecordKey::new(&SECRET));
    write(&other, 1).await;
    assert_eq!(store.verify_audit().await, Ok(Ok(2)));
}

async fn going_back_keeps_the_chain_and_what_comes_again_seals_it_anew(place: &Place) {
    let store = sealed_store(place).await;
    write(&store, 2).await;
    add_user(&store, "ann", Role::Admin).await;
    store.revert_to("0007").await.unwrap();
    let store = place.store().await;
    assert_eq!(
        store.verify_audit().await,
        Ok(Ok(3)),
        "as earlier versions verify it"
    );
    begin(&store).await;
    assert_eq!(store.verify_audit().await, Ok(Ok(4)));
    assert!(store.user("ann").await.unwrap().genuine);
}
