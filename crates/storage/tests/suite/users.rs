//! Users.

use tidegate_domain::Role;
use tidegate_storage::Error;

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{actor, at};

on_both_engines!(a_name_is_taken_once);

async fn a_name_is_taken_once(place: &Place) {
    let store = place.store().await;
    let note = || actor("root").note("user.add", "user/ann");
    store
        .add_user("ann", Role::Admin, "$argon2id$…".into(), note())
        .await
        .unwrap();
    let again = store.add_user("ann", Role::Viewer, "other".into(), note()).await;
    let what = "user ann".to_owned();
    assert_eq!(again, Err(Error::Duplicate { what }));
    let ann = store.user("ann").await.unwrap();
    assert_eq!((ann.role, ann.created_at), (Role::Admin, at(0)));
    assert_eq!(ann.password_hash, "$argon2id$…");
    assert!(!format!("{ann:?}").contains("argon2id"));
    assert!(matches!(store.user("bob").await, Err(Error::NotFound { .. })));
    assert_eq!(store.verify_audit().await, Ok(Ok(1)));
}
