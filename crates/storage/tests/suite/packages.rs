//! Signer pins, and what packages allow.

use tidegate_storage::{Error, Page};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{APP, actor, all, facts, package, provenance, signers, upload};

on_both_engines!(a_pin_is_set_lifted_and_set_anew, packages_are_listed_by_name,);

async fn a_pin_is_set_lifted_and_set_anew(place: &Place) {
    let store = place.store().await;
    let app = package(APP);
    let note = |action| actor("ann").note(action, "package/com.example.app");
    store
        .pin_signer(&app, signers(2), note("signer.pin"))
        .await
        .unwrap();
    let refused = store
        .insert_build(facts(APP, 1), provenance(), None, note("ota.upload"))
        .await;
    assert!(matches!(refused, Err(Error::SignerConflict { .. })));

    store.unpin_signer(&app, note("signer.unpin")).await.unwrap();
    assert_eq!(store.package(&app).await.unwrap().pin, None);
    let again = store.unpin_signer(&app, note("signer.unpin")).await;
    assert!(matches!(again, Err(Error::NotFound { .. })), "{again:?}");

    upload(&store, APP, 1).await;
    assert_eq!(store.package(&app).await.unwrap().pin, Some(signers(1)));
    assert_eq!(store.verify_audit().await, Ok(Ok(3)));
}

async fn packages_are_listed_by_name(place: &Place) {
    let store = place.store().await;
    for name in ["org.b", "com.c", "org.A"] {
        let note = actor("ann").note("package.allow_debuggable", format!("package/{name}"));
        let allow = name == "com.c";
        store
            .set_allow_debuggable(&package(name), allow, note)
            .await
            .unwrap();
    }
    let listed: Vec<_> = all(1, |page| store.packages(page))
        .await
        .into_iter()
        .map(|package| (package.name.to_string(), package.allow_debuggable))
        .collect();
    let expected = [("com.c", true), ("org.A", false), ("org.b", false)];
    assert_eq!(listed, expected.map(|(name, allow)| (name.to_owned(), allow)));
    assert_eq!(
        store.packages(Page::default()).await.unwrap().next_page_token,
        None
    );
    assert!(matches!(
        store.package(&package("no.such")).await,
        Err(Error::NotFound { .. })
    ));
}
