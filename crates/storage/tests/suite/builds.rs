//! Uploading, and finding what was uploaded.

use tidegate_domain::{
    Error as Rule, Finding, Installability, Levels, SignerFingerprint, SignerRange, Signers,
};
use tidegate_storage::{BuildFilter, Error, Page};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{APP, actor, all, at, facts, package, provenance, signers, upload};

on_both_engines!(
    a_build_comes_back_as_it_went_in,
    a_version_exists_once,
    builds_from_before_are_examined_once,
    the_first_build_pins_its_signer,
    a_proven_rotation_moves_the_pin,
    a_refused_upload_leaves_nothing,
    pages_stay_put_while_builds_arrive,
    a_text_that_postgresql_cannot_hold_is_made_one_that_it_can,
    uploads_of_one_version_at_once_leave_one_build,
);

async fn a_build_comes_back_as_it_went_in(place: &Place) {
    let store = place.store().await;
    let mut given = facts(APP, i64::MAX);
    given.signers = Signers::new(vec![
        SignerRange {
            fingerprint: SignerFingerprint([3; 32]),
            from_sdk: 33,
            to_sdk: u32::MAX,
        },
        SignerRange {
            fingerprint: SignerFingerprint([2; 32]),
            from_sdk: 24,
            to_sdk: 32,
        },
    ])
    .unwrap();
    let note = actor("ci").note("ota.upload", "package/com.example.app");
    let build = store
        .insert_build(given.clone(), provenance(), None, note)
        .await
        .unwrap();
    assert_eq!(build.facts, given);
    assert_eq!(build.provenance, provenance());
    assert_eq!(store.build(build.id).await, Ok(build.clone()));
    assert_eq!(store.stats(build.id).await, Ok(Default::default()));
    assert_eq!(store.blob_in_use(given.sha256).await, Ok(true));
    assert_eq!(store.blob_in_use(facts(APP, 2).sha256).await, Ok(false));

    let log = store.audit(Default::default(), Page::default()).await.unwrap();
    assert_eq!(log.items[0].action, "ota.upload");
    assert_eq!(log.items[0].after.as_ref().unwrap()["build_id"], build.id.0);
    assert!(matches!(
        store.build(tidegate_domain::BuildId(99)).await,
        Err(Error::NotFound { what }) if what == "build 99"
    ));
}

async fn a_version_exists_once(place: &Place) {
    let store = place.store().await;
    let first = upload(&store, APP, 7).await;
    let note = actor("ci").note("ota.upload", "package/com.example.app");
    let again = store.insert_build(facts(APP, 7), provenance(), None, note).await;
    assert_eq!(
        again,
        Err(Error::VersionExists {
            package: package(APP),
            version_code: first.facts.version_code,
            existing: first.id,
        })
    );
    upload(&store, "com.example.other", 7).await;
}

async fn the_first_build_pins_its_signer(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 1).await;
    assert_eq!(store.package(&package(APP)).await.unwrap().pin, Some(signers(1)));
    let mut foreign = facts(APP, 2);
    foreign.signers = signers(2);
    let note = actor("ci").note("ota.upload", "package/com.example.app");
    let refused = store
        .insert_build(foreign, provenance(), None, note)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("02:02"), "{refused}");
    assert!(matches!(refused, Error::SignerConflict { pinned, .. } if pinned == signers(1)));
}

async fn a_proven_rotation_moves_the_pin(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 1).await;
    let rotated = |code| {
        let mut rotated = facts(APP, code);
        rotated.signers = signers(2);
        rotated
    };
    let note = || actor("ci").note("ota.upload", "package/com.example.app");
    let stale = store
        .insert_rotated_build(
            rotated(2),
            provenance(),
            None,
            signers(9),
            rotated(2).signers,
            note(),
        )
        .await;
    assert!(matches!(stale, Err(Error::SignerConflict { .. })));
    store
        .insert_rotated_build(
            rotated(2),
            provenance(),
            None,
            signers(1),
            rotated(2).signers,
            note(),
        )
        .await
        .unwrap();
    assert_eq!(store.package(&package(APP)).await.unwrap().pin, Some(signers(2)));
    store
        .insert_build(rotated(3), provenance(), None, note())
        .await
        .unwrap();
}

async fn a_refused_upload_leaves_nothing(place: &Place) {
    let store = place.store().await;
    let mut impossible = facts(APP, 1);
    impossible.size = u64::MAX;
    let note = actor("ci").note("ota.upload", "package/com.example.app");
    let refused = store.insert_build(impossible, provenance(), None, note).await;
    assert!(matches!(
        refused,
        Err(Error::Rule(Rule::Invalid { field: "size", .. }))
    ));
    assert!(matches!(
        store.package(&package(APP)).await,
        Err(Error::NotFound { .. })
    ));
    assert_eq!(store.verify_audit().await, Ok(Ok(0)));
    assert_eq!(store.epochs().await.unwrap().catalog, 0);
}

async fn pages_stay_put_while_builds_arrive(place: &Place) {
    let store = place.store().await;
    for code in 1..=5 {
        upload(&store, APP, code).await;
        upload(&store, "com.example.other", code).await;
    }
    let filter = BuildFilter {
        package: Some(package(APP)),
    };
    let page = Page::new(Some(2), None).unwrap();
    let first = store.builds(filter.clone(), page).await.unwrap();
    assert_eq!(codes(&first.items), [5, 4]);
    upload(&store, APP, 6).await;
    let page = Page::new(Some(2), first.next_page_token).unwrap();
    let second = store.builds(filter.clone(), page).await.unwrap();
    assert_eq!(codes(&second.items), [3, 2], "the new build moves nothing");

    let whole = all(3, |page| store.builds(filter.clone(), page)).await;
    assert_eq!(codes(&whole), [6, 5, 4, 3, 2, 1]);
    let forged = Page::new(None, Some("zz".into())).unwrap();
    assert!(matches!(
        store.builds(BuildFilter::default(), forged).await,
        Err(Error::Rule(Rule::Invalid {
            field: "page_token",
            ..
        }))
    ));
}

fn codes(builds: &[tidegate_domain::Build]) -> Vec<i64> {
    builds
        .iter()
        .map(|build| build.facts.version_code.get())
        .collect()
}

async fn a_text_that_postgresql_cannot_hold_is_made_one_that_it_can(place: &Place) {
    let store = place.store().await;
    let mut provenance = provenance();
    provenance.notes = "a\0b".into();
    let mut note = actor("c\0i").note("ota.upload", "package/com.example.app");
    note.after = Some(serde_json::json!({ "notes": "a\0b" }));
    let build = store
        .insert_build(facts(APP, 1), provenance, None, note)
        .await
        .unwrap();
    assert_eq!(build.provenance.notes, "a\u{fffd}b");
    assert_eq!(store.verify_audit().await, Ok(Ok(1)));
}

async fn uploads_of_one_version_at_once_leave_one_build(place: &Place) {
    let store = place.store().await;
    let uploads: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            let note = actor("ci").note("ota.upload", "package/com.example.app");
            tokio::spawn(async move { store.insert_build(facts(APP, 1), provenance(), None, note).await })
        })
        .collect();
    let mut taken = 0;
    for upload in uploads {
        match upload.await.unwrap() {
            Ok(build) => {
                taken += 1;
                assert_eq!(build.provenance.uploaded_at, at(0));
            }
            Err(fault) => assert!(matches!(fault, Error::VersionExists { .. }), "{fault:?}"),
        }
    }
    assert_eq!(taken, 1);
}

fn examined() -> Installability {
    Installability {
        installs_on: vec![Levels {
            from_sdk: 24,
            to_sdk: 29,
        }],
        findings: vec![Finding {
            code: "resources-compressed".into(),
            blocks: true,
            levels: Levels {
                from_sdk: 30,
                to_sdk: u32::MAX,
            },
            message: "resources.arsc: is compressed".into(),
        }],
    }
}

async fn builds_from_before_are_examined_once(place: &Place) {
    let store = place.store().await;
    let (first, second) = (upload(&store, APP, 1).await, upload(&store, APP, 2).await);
    let mut known = facts(APP, 3);
    known.installability = Some(examined());
    let note = actor("ci").note("ota.upload", "package/com.example.app");
    let third = store
        .insert_build(known, provenance(), Some("{\"a\":1}".into()), note)
        .await
        .unwrap();
    assert_eq!(third.facts.installability, Some(examined()));
    assert_eq!(store.build_profile(third.id).await, Ok(Some("{\"a\":1}".into())));

    assert_eq!(store.unexamined_build(None).await, Ok(Some(second.clone())));
    assert_eq!(
        store.unexamined_build(Some(second.id)).await,
        Ok(Some(first.clone()))
    );
    assert_eq!(store.unexamined_build(Some(first.id)).await, Ok(None));
    assert_eq!(store.build_profile(second.id).await, Ok(None));

    let before = store.epochs().await.unwrap().catalog;
    store
        .keep_examination(second.id, examined(), "{}".into())
        .await
        .unwrap();
    assert_eq!(store.epochs().await.unwrap().catalog, before + 1);
    assert_eq!(
        store.build(second.id).await.unwrap().facts.installability,
        Some(examined())
    );
    assert_eq!(store.unexamined_build(None).await, Ok(Some(first)));
    // Another server was faster.
    store
        .keep_examination(second.id, Installability::default(), "[]".into())
        .await
        .unwrap();
    assert_eq!(store.epochs().await.unwrap().catalog, before + 1);
    assert_eq!(store.build_profile(second.id).await, Ok(Some("{}".into())));
}
