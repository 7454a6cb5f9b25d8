//! What ends people's and machines' access.

use tidegate_domain::{Limits, Role, Verb};
use tidegate_storage::{
    AccountChanges, Error, MAX_TOKENS_PER_ACCOUNT, NewAdminToken, NewServiceAccount, Page, Store,
    TOKENS_KEPT_FOR, UserChange,
};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{actor, at};

on_both_engines!(
    a_change_is_told_since_the_epoch_before_it,
    an_unchanged_user_writes_nothing,
    the_last_admin_is_kept_by_the_database,
    a_token_ends_once,
    an_account_has_so_many_tokens_at_once,
    what_expired_is_forgotten,
    going_back_and_forth_keeps_people,
);

fn note(action: &'static str) -> tidegate_storage::AuditNote {
    actor("root").note(action, "user/ann")
}

async fn add(store: &Store, name: &str, role: Role) {
    store
        .add_user(name, role, "$argon2id$…".into(), note("user.add"))
        .await
        .unwrap();
}

fn token(id: &str, subject: &str, expires_at: i64) -> NewAdminToken {
    NewAdminToken {
        id: id.into(),
        subject: subject.into(),
        role: Role::Operator,
        created_by: "root".into(),
        expires_at: at(expires_at),
    }
}

fn ci(limits: Option<Limits>) -> NewServiceAccount {
    NewServiceAccount {
        name: "ci".into(),
        role: Role::Operator,
        limits,
        created_by: "root".into(),
    }
}

async fn a_change_is_told_since_the_epoch_before_it(place: &Place) {
    let store = place.store().await;
    let epoch = || async { store.epochs().await.unwrap().people };
    assert_eq!(store.account_changes(0).await, Ok(AccountChanges::default()));
    add(&store, "ann", Role::Viewer).await;
    let role = UserChange::Role(Role::Operator);
    let ann = store.change_user("ann", role, note("user.role")).await.unwrap();
    assert_eq!((ann.role, ann.generation), (Role::Operator, 2));
    assert_eq!(store.account_generation("ann").await, Ok(2));
    assert_eq!(store.account_generation("bob").await, Ok(1));

    let before = epoch().await;
    store.end_token("t1", at(60), note("user.log_out")).await.unwrap();
    let limits = Limits::new([], [Verb::Upload]).unwrap();
    store
        .add_service_account(ci(limits.clone()), token("t2", "service:ci", 60), note("add"))
        .await
        .unwrap();
    let since = store.account_changes(before).await.unwrap();
    assert_eq!(since.generations, []);
    assert_eq!(since.ended, [("t1".to_owned(), at(60))]);
    assert_eq!(since.service_accounts, [("service:ci".to_owned(), Some(limits))]);

    let before = epoch().await;
    store.remove_service_account("ci", note("remove")).await.unwrap();
    store.remove_user("ann", note("user.remove")).await.unwrap();
    let mut since = store.account_changes(before).await.unwrap();
    since.generations.sort();
    assert_eq!(
        since.generations,
        [("ann".to_owned(), 3), ("service:ci".to_owned(), 2)]
    );
    assert_eq!(since.service_accounts, [("service:ci".to_owned(), None)]);
    assert_eq!(
        store.account_changes(epoch().await).await,
        Ok(AccountChanges::default())
    );
    let tokens = store.admin_tokens(None, Page::default()).await.unwrap().items;
    assert_eq!(tokens[0].revoked_at, Some(at(0)));
    add(&store, "ann", Role::Viewer).await;
    assert_eq!(store.user("ann").await.unwrap().generation, 3);
}

async fn an_unchanged_user_writes_nothing(place: &Place) {
    let store = place.store().await;
    add(&store, "ann", Role::Viewer).await;
    let ann = store.user("ann").await.unwrap();
    for change in [UserChange::Enable, UserChange::Role(Role::Viewer)] {
        assert_eq!(
            store.change_user("ann", change, note("none")).await,
            Ok(ann.clone())
        );
    }
    let disabled = store
        .change_user("ann", UserChange::Disable, note("user.disable"))
        .await;
    assert_eq!(
        store.change_user("ann", UserChange::Disable, note("none")).await,
        disabled
    );
    assert_eq!(store.verify_audit().await, Ok(Ok(2)));
    store.note_login("ann", at(7)).await.unwrap();
    assert_eq!(store.user("ann").await.unwrap().last_login_at, Some(at(7)));
}

async fn the_last_admin_is_kept_by_the_database(place: &Place) {
    let store = place.store().await;
    add(&store, "ann", Role::Admin).await;
    add(&store, "bob", Role::Admin).await;
    let demote = |name: &'static str| {
        let store = store.clone();
        tokio::spawn(async move {
            let role = UserChange::Role(Role::Viewer);
            store.change_user(name, role, note("user.role")).await
        })
    };
    let answers = [demote("ann"), demote("bob")];
    let mut refused = 0;
    for answer in answers {
        match answer.await.unwrap() {
            Err(Error::LastAdmin { .. }) => refused += 1,
            other => drop(other.unwrap()),
        }
    }
    assert_eq!(refused, 1);
    let users = store.users(Page::default()).await.unwrap().items;
    let last = users.iter().find(|user| user.role == Role::Admin).unwrap();
    let last_admin = |answer| {
        let name = last.name.clone();
        assert_eq!(answer, Err(Error::LastAdmin { name }));
    };
    let disabled = store
        .change_user(&last.name, UserChange::Disable, note("user.disable"))
        .await;
    last_admin(disabled.map(drop));
    last_admin(store.remove_user(&last.name, note("user.remove")).await);
    assert_eq!(store.verify_audit().await, Ok(Ok(3)));
}

async fn a_token_ends_once(place: &Place) {
    let store = place.store().await;
    store
        .add_admin_token(token("t1", "ann", 60), note("token.create"))
        .await
        .unwrap();
    let revoked = store
        .revoke_admin_token("t1", note("token.revoke"))
        .await
        .unwrap();
    assert_eq!(revoked.revoked_at, Some(at(0)));
    let again = store.revoke_admin_token("t1", note("token.revoke")).await;
    assert_eq!(again, Ok(revoked));
    store.end_token("t1", at(60), note("user.log_out")).await.unwrap();
    assert_eq!(store.verify_audit().await, Ok(Ok(2)));
    let unknown = store.revoke_admin_token("t2", note("token.revoke")).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })), "{unknown:?}");
}

async fn an_account_has_so_many_tokens_at_once(place: &Place) {
    let store = place.store().await;
    store
        .add_service_account(ci(None), token("t0", "service:ci", 60), note("add"))
        .await
        .unwrap();
    for number in 1..MAX_TOKENS_PER_ACCOUNT {
        let token = token(&format!("t{number}"), "service:ci", 60);
        store.add_service_token("ci", token, note("token")).await.unwrap();
    }
    let more = || store.add_service_token("ci", token("more", "service:ci", 60), note("token"));
    assert!(matches!(more().await, Err(Error::TooMany { limit: 20, .. })));
    store
        .revoke_admin_token("t0", note("token.revoke"))
        .await
        .unwrap();
    more().await.unwrap();
    let page = store
        .admin_tokens(Some("service:ci".into()), Page::default())
        .await
        .unwrap();
    assert_eq!(page.items[0].id, "more", "the newest first");
    let again = store
        .add_service_account(ci(None), token("x", "service:ci", 60), note("add"))
        .await;
    assert!(matches!(again, Err(Error::Duplicate { .. })), "{again:?}");
}

async fn what_expired_is_forgotten(place: &Place) {
    let store = place.store().await;
    store
        .add_admin_token(token("t1", "ann", 60), note("token.create"))
        .await
        .unwrap();
    store.end_token("t2", at(60), note("user.log_out")).await.unwrap();
    let uses = vec![("t1".to_owned(), at(30)), ("unknown".to_owned(), at(30))];
    store.note_token_uses(uses, at(60)).await.unwrap();
    let earlier = vec![("t1".to_owned(), at(20))];
    store.note_token_uses(earlier, at(60 + 3600)).await.unwrap();
    let listed = || async { store.admin_tokens(None, Page::default()).await.unwrap().items };
    assert_eq!(
        listed().await[0].last_used_at,
        Some(at(30)),
        "the later use stays"
    );
    assert_eq!(store.account_changes(0).await.unwrap().ended.len(), 1);
    store.note_token_uses(vec![], at(61 + 3600)).await.unwrap();
    assert_eq!(store.account_changes(0).await.unwrap().ended, []);
    store
        .note_token_uses(vec![], at(60) + TOKENS_KEPT_FOR)
        .await
        .unwrap();
    assert_eq!(listed().await.len(), 1);
    store
        .note_token_uses(vec![], at(61) + TOKENS_KEPT_FOR)
        .await
        .unwrap();
    assert_eq!(listed().await, []);
}

/// Whoever may not log in must not come back by going back to the tables of before.
async fn going_back_and_forth_keeps_people(place: &Place) {
    let store = place.store().await;
    add(&store, "ann", Role::Admin).await;
    add(&store, "bob", Role::Viewer).await;
    store
        .change_user("bob", UserChange::Disable, note("user.disable"))
        .await
        .unwrap();
    let reverted = store.revert_to("0005").await.unwrap();
    assert_eq!(reverted.last().map(String::as_str), Some("0006"));
    assert_eq!(place.texts("SELECT name AS value FROM users"), ["ann"]);
    store.migrate().await.unwrap();
    let ann = store.user("ann").await.unwrap();
    assert_eq!(
        (ann.role, ann.generation, ann.disabled_at),
        (Role::Admin, 1, None)
    );
    assert_eq!(store.epochs().await.unwrap().people, 0);
}
