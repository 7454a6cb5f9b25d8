//! Letting devices in.

use tidegate_domain::DeviceFacts;
use tidegate_storage::{Enrolled, Error, TokenFault};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{APP, TOKEN, actor, at, device, enrollment, issue_token, package, upload, version};

on_both_engines!(
    a_device_enrols_with_all_it_says,
    a_token_is_used_up_by_devices_and_not_by_retries,
    a_token_that_is_not_good_lets_nobody_in,
    a_device_that_enrols_again_is_updated,
    another_token_takes_the_credential_from_whoever_had_it,
    devices_at_once_cannot_overuse_a_token,
);

async fn a_device_enrols_with_all_it_says(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 1).await;
    upload(&store, APP, 1).await;
    let mut given = enrollment("scanner-7");
    given.alias = Some("Dock 7".into());
    given.facts = DeviceFacts {
        model: Some("TC52".into()),
        manufacturer: Some("Zebra".into()),
        sdk: Some(30),
        android: Some("11".into()),
        region: Some("eu".into()),
        tags: Some("dock,night".into()),
        ..DeviceFacts::default()
    };
    given.fcm_token = Some("fcm-secret".into());
    given.package = Some((package(APP), version(1)));
    assert!(!format!("{given:?}").contains("fcm-secret"));
    let enrolled = store.enroll(given.clone()).await.unwrap();
    assert_eq!(
        enrolled,
        Enrolled {
            token_generation: 1,
            is_new: true
        }
    );
    let known = store.device(&device("scanner-7")).await.unwrap();
    assert_eq!((&known.alias, &known.enrolled), (&given.alias, &given.facts));
    assert!(known.has_fcm_token);
    assert_eq!(known.installed, [(package(APP), version(1))]);
    assert_eq!((known.enrolled_at, known.last_seen_at), (at(0), None));
}

async fn a_token_is_used_up_by_devices_and_not_by_retries(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 2).await;
    for name in ["a", "a", "b", "a", "b"] {
        store.enroll(enrollment(name)).await.expect("these two may");
    }
    assert_eq!(
        store.enroll(enrollment("c")).await,
        Err(Error::Token(TokenFault::UsedUp))
    );
    assert!(matches!(
        store.device(&device("c")).await,
        Err(Error::NotFound { .. })
    ));
}

async fn a_token_that_is_not_good_lets_nobody_in(place: &Place) {
    let store = place.store().await;
    let unknown = store.enroll(enrollment("a")).await;
    assert_eq!(unknown, Err(Error::Token(TokenFault::Unknown)));
    issue_token(&store, TOKEN, 5).await;
    let mut late = enrollment("a");
    late.now = at(86_400);
    assert_eq!(store.enroll(late).await, Err(Error::Token(TokenFault::Expired)));
    assert!(matches!(
        store.device(&device("a")).await,
        Err(Error::NotFound { .. })
    ));
}

async fn a_device_that_enrols_again_is_updated(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 1).await;
    let mut given = enrollment("a");
    given.alias = Some("old".into());
    given.facts.region = Some("eu".into());
    given.fcm_token = Some("t".into());
    store.enroll(given.clone()).await.unwrap();
    let note = actor("ann").note("device.revoke", "device/a");
    store.revoke(&device("a"), note).await.unwrap();
    let spent = store.enroll(given.clone()).await;
    assert_eq!(
        spent,
        Err(Error::Token(TokenFault::UsedUp)),
        "a spent token brings nobody back"
    );
    issue_token(&store, [8; 32], 1).await;
    given.token_hash = [8; 32];

    given.alias = Some("new".into());
    given.facts.region = None;
    given.fcm_token = None;
    let again = store.enroll(given.clone()).await.unwrap();
    assert_eq!(
        again,
        Enrolled {
            token_generation: 3,
            is_new: false
        }
    );
    assert_eq!(
        store.enroll(given.clone()).await,
        Ok(again),
        "a lost answer is repeated"
    );
    let known = store.device(&device("a")).await.unwrap();
    assert_eq!((&known.alias, &known.enrolled), (&given.alias, &given.facts));
    assert!(!known.has_fcm_token, "the revocation forgot it");
}

async fn another_token_takes_the_credential_from_whoever_had_it(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 1).await;
    issue_token(&store, [8; 32], 1).await;
    assert_eq!(store.enroll(enrollment("a")).await.unwrap().token_generation, 1);
    let before = store.epochs().await.unwrap();
    let mut stranger = enrollment("a");
    stranger.token_hash = [8; 32];
    assert_eq!(store.enroll(stranger).await.unwrap().token_generation, 2);
    assert_eq!(store.revoked_generations().await, Ok(vec![(device("a"), 2)]));
    assert!(store.epochs().await.unwrap().tokens > before.tokens);
    // What the first token gave has ended, so it gives nothing again.
    assert_eq!(
        store.enroll(enrollment("a")).await,
        Err(Error::Token(TokenFault::UsedUp))
    );
}

async fn devices_at_once_cannot_overuse_a_token(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 3).await;
    let tries: Vec<_> = (0..10)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.enroll(enrollment(&format!("d{n}"))).await })
        })
        .collect();
    let mut in_ = 0;
    for done in tries {
        match done.await.unwrap() {
            Ok(_) => in_ += 1,
            Err(fault) => assert_eq!(fault, Error::Token(TokenFault::UsedUp)),
        }
    }
    assert_eq!(in_, 3);
}
