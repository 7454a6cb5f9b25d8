//! Devices that come from another server.

use tidegate_domain::DeviceFacts;
use tidegate_storage::{
    AuditFilter, DeviceImport, EnrollCredential, Enrolled, EnrolledAs, Enrollment, Error, ImportOutcome,
    ImportedDevice, MAX_PREVIOUS_TOKEN_TRIES, Page, PreviousToken, Store, TokenFault,
};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, TOKEN, actor, at, device, enrollment, issue_token, package, poll, seen, upload, version,
};

on_both_engines!(
    an_erased_import_leaves_no_row,
    what_the_other_server_knew_is_known_here,
    a_dry_run_tells_the_same_and_writes_nothing,
    whoever_has_enrolled_is_left_alone,
    a_device_moves_once_and_only_its_key_repeats_it,
    a_previous_token_is_guessed_five_times_an_hour,
    without_a_previous_token_an_enrolment_token_will_do,
    a_revoked_device_does_not_move,
);

fn imported(name: &str) -> ImportedDevice {
    ImportedDevice {
        id: device(name),
        alias: None,
        facts: DeviceFacts::default(),
        fcm_token: None,
        installed: vec![],
        previous_token: Some(format!("sha256:{name}")),
    }
}

async fn import_as(store: &Store, devices: Vec<ImportedDevice>, dry_run: bool) -> ImportOutcome {
    let import = DeviceImport {
        devices,
        dry_run,
        now: at(0),
    };
    let note = actor("console").note("device.import", "import");
    store.import_devices(import, note).await.unwrap()
}

async fn import(store: &Store, devices: Vec<ImportedDevice>) -> ImportOutcome {
    import_as(store, devices, false).await
}

/// A device that comes with the right token of its previous server.
fn moving(name: &str) -> Enrollment {
    Enrollment {
        credential: EnrollCredential::PreviousToken(format!("sha256:{name}")),
        key_hash: Some([1; 32]),
        ..enrollment(name)
    }
}

async fn imports_on_record(store: &Store) -> usize {
    let filter = AuditFilter {
        action: Some("device.import".into()),
        ..AuditFilter::default()
    };
    store.audit(filter, Page::default()).await.unwrap().items.len()
}

async fn what_the_other_server_knew_is_known_here(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 1).await;
    let whole = || ImportedDevice {
        alias: Some("Dock 7".into()),
        facts: DeviceFacts {
            model: Some("TC52".into()),
            manufacturer: Some("Zebra".into()),
            sdk: Some(30),
            android: Some("11".into()),
            region: Some("eu".into()),
            tags: Some("dock,night".into()),
            ..DeviceFacts::default()
        },
        fcm_token: Some("fcm-7".into()),
        installed: vec![
            (package(APP), version(40)),
            (package(APP), version(41)),
            (package("com.example.none"), version(1)),
        ],
        ..imported("scanner-7")
    };
    let same_phone = ImportedDevice {
        fcm_token: Some("fcm-7".into()),
        ..imported("scanner-8")
    };
    let outcome = import(&store, vec![whole(), same_phone]).await;
    let expected = ImportOutcome {
        added: 2,
        fcm_token_taken: vec![device("scanner-8")],
        unknown_packages: [(package("com.example.none"), 1)].into(),
        ..ImportOutcome::default()
    };
    assert_eq!(outcome, expected);
    let known = store.device(&device("scanner-7")).await.unwrap();
    assert_eq!((known.alias, known.enrolled), (whole().alias, whole().facts));
    assert_eq!(known.installed, [(package(APP), version(41))]);
    assert!(known.has_fcm_token && !known.has_enrolled);
    assert!(!store.device(&device("scanner-8")).await.unwrap().has_fcm_token);
    assert!(!format!("{:?}", whole()).contains("fcm-7"));

    let again = ImportedDevice {
        alias: Some("Dock 8".into()),
        ..whole()
    };
    let outcome = import(&store, vec![again]).await;
    assert_eq!((outcome.added, outcome.updated), (0, 1));
    let known = store.device(&device("scanner-7")).await.unwrap();
    assert_eq!(
        (known.alias.as_deref(), known.has_fcm_token),
        (Some("Dock 8"), true)
    );
    assert_eq!(imports_on_record(&store).await, 2);
}

async fn a_dry_run_tells_the_same_and_writes_nothing(place: &Place) {
    let store = place.store().await;
    import(&store, vec![imported("a")]).await;
    let both = || vec![imported("a"), imported("b")];
    let told = import_as(&store, both(), true).await;
    assert!(matches!(
        store.device(&device("b")).await,
        Err(Error::NotFound { .. })
    ));
    assert_eq!(imports_on_record(&store).await, 1);
    assert_eq!(import(&store, both()).await, told);
}

async fn whoever_has_enrolled_is_left_alone(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 1).await;
    let mut given = enrollment("a");
    given.alias = Some("its own".into());
    store.enroll(given).await.unwrap();
    let outcome = import(&store, vec![imported("a")]).await;
    assert_eq!((outcome.added, outcome.updated), (0, 0));
    assert_eq!(outcome.enrolled, [device("a")]);
    let known = store.device(&device("a")).await.unwrap();
    assert_eq!(known.alias.as_deref(), Some("its own"));
    let answer = store.previous_token(&device("a"), [1; 32], at(0)).await;
    assert_eq!(answer, Ok(PreviousToken::Nothing));
    assert_eq!(imports_on_record(&store).await, 0, "nothing was done");
}

async fn a_device_moves_once_and_only_its_key_repeats_it(place: &Place) {
    let store = place.store().await;
    let mut known = imported("a");
    known.alias = Some("Till 3".into());
    known.facts.region = Some("eu".into());
    known.facts.tags = Some("till".into());
    import(&store, vec![known]).await;
    let ask = async |key| {
        store
            .previous_token(&device("a"), [key; 32], at(0))
            .await
            .unwrap()
    };
    assert_eq!(ask(1).await, PreviousToken::Check("sha256:a".into()));
    let wrong = Enrollment {
        credential: EnrollCredential::PreviousToken("sha256:b".into()),
        ..moving("a")
    };
    assert!(matches!(
        store.enroll(wrong).await,
        Err(Error::DeviceKnown { .. })
    ));
    let mut given = moving("a");
    given.facts.sdk = Some(34);
    given.facts.region = Some("us".into());
    let moved = Enrolled {
        token_generation: 1,
        command_generation: 1,
        how: EnrolledAs::Moved,
    };
    assert_eq!(store.enroll(given).await, Ok(moved));
    let device_now = store.device(&device("a")).await.unwrap();
    assert!(device_now.has_enrolled);
    assert_eq!(
        device_now.alias.as_deref(),
        Some("Till 3"),
        "what it left out stays"
    );
    let facts = DeviceFacts {
        sdk: Some(34),
        region: Some("us".into()),
        tags: Some("till".into()),
        ..DeviceFacts::default()
    };
    assert_eq!(device_now.enrolled, facts);

    assert_eq!(ask(2).await, PreviousToken::Nothing, "the hash is gone");
    assert!(matches!(
        store.enroll(moving("nobody")).await,
        Err(Error::Token(TokenFault::Unknown))
    ));
    assert_eq!(ask(1).await, PreviousToken::Moved);
    let again = Enrollment {
        credential: EnrollCredential::KeyAlone,
        ..moving("a")
    };
    let repeated = Enrolled {
        how: EnrolledAs::Repeated,
        ..moved
    };
    assert_eq!(store.enroll(again).await, Ok(repeated));
    let other = Enrollment {
        key_hash: Some([2; 32]),
        ..moving("a")
    };
    assert!(matches!(
        store.enroll(other).await,
        Err(Error::DeviceKnown { .. })
    ));
    assert_eq!(
        store.sum_up_enrolments(at(3_600)).await,
        Ok(1),
        "moves are summed up"
    );
}

async fn a_previous_token_is_guessed_five_times_an_hour(place: &Place) {
    let store = place.store().await;
    import(&store, vec![imported("a")]).await;
    let ask = async |second| {
        store
            .previous_token(&device("a"), [1; 32], at(second))
            .await
            .unwrap()
    };
    for second in 0..MAX_PREVIOUS_TOKEN_TRIES {
        assert!(matches!(ask(second).await, PreviousToken::Check(_)), "{second}");
    }
    for second in [10, 20, 3_599] {
        assert_eq!(ask(second).await, PreviousToken::TooManyTries);
    }
    let refused = AuditFilter {
        action: Some("device.enrolment_refused".into()),
        ..AuditFilter::default()
    };
    let noted = store.audit(refused, Page::default()).await.unwrap();
    assert_eq!(noted.items.len(), 1, "{noted:?}");
    assert!(matches!(ask(3_600).await, PreviousToken::Check(_)));
}

async fn without_a_previous_token_an_enrolment_token_will_do(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 9).await;
    let without = ImportedDevice {
        previous_token: None,
        ..imported("a")
    };
    import(&store, vec![without, imported("b")]).await;
    let answer = store.previous_token(&device("a"), [1; 32], at(0)).await;
    assert_eq!(answer, Ok(PreviousToken::Nothing));
    let moved = store.enroll(enrollment("a")).await.unwrap();
    assert_eq!(moved.how, EnrolledAs::Moved);
    assert!(
        matches!(
            store.enroll(enrollment("b")).await,
            Err(Error::DeviceKnown { .. })
        ),
        "somebody holds a credential for that id"
    );
    poll(&store, vec![seen(&device("a"), 1, 1)]).await;
    assert!(matches!(
        store.enroll(enrollment("a")).await,
        Err(Error::DeviceKnown { .. })
    ));
}

async fn a_revoked_device_does_not_move(place: &Place) {
    let store = place.store().await;
    import(&store, vec![imported("a")]).await;
    let note = actor("ann").note("device.revoke", "device/a");
    store.revoke(&device("a"), note).await.unwrap();
    import(&store, vec![imported("a")]).await;
    let answer = store.previous_token(&device("a"), [1; 32], at(0)).await;
    assert_eq!(
        answer,
        Ok(PreviousToken::Nothing),
        "another import brings it not back"
    );
    assert!(matches!(
        store.enroll(moving("a")).await,
        Err(Error::DeviceKnown { .. })
    ));
}

async fn an_erased_import_leaves_no_row(place: &Place) {
    let store = place.store().await;
    import(&store, vec![imported("phone")]).await;
    let note = actor("ann").note("ota.device.erase", "device/phone");
    store
        .erase_device(&device("phone"), vec![[1; 32]], note)
        .await
        .unwrap();
    for table in ["devices", "imported_devices"] {
        assert_eq!(
            place.number(&format!("SELECT count(*) AS value FROM {table}")),
            0,
            "{table}"
        );
    }
    // The id is free, and its tokens of before are not good again.
    import(&store, vec![imported("phone")]).await;
    let moved = Enrollment {
        erased_tags: vec![[1; 32]],
        ..moving("phone")
    };
    assert_eq!(store.enroll(moved).await.unwrap().token_generation, 2);
}
