//! Letting devices in.

use tidegate_domain::DeviceFacts;
use tidegate_storage::{
    AuditEntry, AuditFilter, EnrollCredential, Enrolled, EnrolledAs, Enrollment, Error, MAX_NOTED_REFUSALS,
    Page, Store, TokenFault,
};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, TOKEN, actor, at, device, enrollment, issue_taking, issue_token, package, poll, seen, upload,
    version,
};

on_both_engines!(
    a_device_enrols_with_all_it_says,
    a_token_is_used_up_by_devices_and_not_by_retries,
    a_token_that_is_not_good_lets_nobody_in,
    a_device_that_repeats_with_its_key_is_told_the_same_and_updated,
    a_token_alone_gives_nobody_what_a_device_was_given,
    without_a_key_a_lost_answer_is_repeated_until_the_token_is_used,
    an_unused_token_is_not_repeated_after_an_hour,
    a_token_that_says_so_takes_an_id_over_and_all_before_ends,
    an_operators_leave_is_for_one_enrolment,
    a_revoked_device_comes_back_only_with_leave,
    refusals_fill_no_log_and_hours_are_summed_up_once,
    tokens_are_listed_and_revoked,
    a_credential_from_before_the_last_enrolment_is_noticed,
    an_fcm_token_is_that_of_who_told_it_last,
    devices_of_before_keep_what_they_were_given,
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
    assert_eq!(enrolled, given_anew(1, EnrolledAs::New));
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

fn given_anew(generation: u32, how: EnrolledAs) -> Enrolled {
    Enrolled {
        token_generation: generation,
        command_generation: generation,
        how,
    }
}

/// A device with an enrolment key of its own.
fn keyed(name: &str, key: u8) -> Enrollment {
    Enrollment {
        key_hash: Some([key; 32]),
        ..enrollment(name)
    }
}

/// The same with another token.
fn with_token(enrollment: Enrollment, hash: [u8; 32]) -> Enrollment {
    Enrollment {
        credential: EnrollCredential::Token(hash),
        ..enrollment
    }
}

fn known(name: &str) -> Result<Enrolled, Error> {
    Err(Error::DeviceKnown { device: device(name) })
}

const OTHER: [u8; 32] = [8; 32];

/// The audit log's actions and targets, oldest first, without those of tokens' making.
async fn audited(store: &Store) -> Vec<(String, String)> {
    let entries = store
        .audit(AuditFilter::default(), Page::default())
        .await
        .unwrap();
    let entries = entries.items.into_iter().rev();
    let entries =
        entries.filter(|entry| !["enrollment_token.create", "device.enroll_token"].contains(&&*entry.action));
    entries.map(|entry| (entry.action, entry.target)).collect()
}

fn entry(action: &str, target: &str) -> (String, String) {
    (action.to_owned(), target.to_owned())
}

async fn a_device_that_repeats_with_its_key_is_told_the_same_and_updated(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 1).await;
    issue_token(&store, OTHER, 1).await;
    let mut given = keyed("a", 1);
    given.alias = Some("old".into());
    given.facts.region = Some("eu".into());
    given.fcm_token = Some("t".into());
    store.enroll(given.clone()).await.unwrap();
    poll(&store, vec![seen(&device("a"), 10, 1)]).await;

    given.alias = Some("new".into());
    given.facts.region = Some("us".into());
    given.fcm_token = None;
    given.now = at(80_000);
    let again = given_anew(1, EnrolledAs::Repeated);
    assert_eq!(store.enroll(given.clone()).await, Ok(again));
    // Whichever token it brings, and without using it up.
    assert_eq!(store.enroll(with_token(given.clone(), OTHER)).await, Ok(again));
    let known = store.device(&device("a")).await.unwrap();
    assert_eq!((&known.alias, &known.enrolled), (&given.alias, &given.facts));
    assert!(known.has_fcm_token, "what it leaves out stays");
    assert_eq!(known.enrolled_at, at(0), "it has not enrolled again");
    assert_eq!(
        store.enroll(with_token(enrollment("b"), OTHER)).await,
        Ok(given_anew(1, EnrolledAs::New))
    );
}

/// The hole that this closes: whoever held a batch token and named a device was given that device's credential.
async fn a_token_alone_gives_nobody_what_a_device_was_given(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 2).await;
    issue_token(&store, OTHER, 1).await;
    store.enroll(keyed("a", 1)).await.unwrap();
    store.enroll(enrollment("old-agent")).await.unwrap();
    poll(&store, vec![seen(&device("old-agent"), 1, 1)]).await;
    let before = store.device(&device("a")).await.unwrap();
    let mut stranger = enrollment("a");
    stranger.alias = Some("mine".into());
    stranger.fcm_token = Some("mine".into());
    for stranger in [
        stranger.clone(),
        with_token(stranger.clone(), OTHER),
        Enrollment {
            key_hash: Some([2; 32]),
            ..stranger
        },
    ] {
        assert_eq!(store.enroll(stranger).await, known("a"));
    }
    assert_eq!(store.enroll(enrollment("old-agent")).await, known("old-agent"));
    assert_eq!(
        store.device(&device("a")).await,
        Ok(before),
        "nothing of it was changed"
    );
    assert_eq!(store.revoked_generations().await, Ok(vec![]));
    assert_eq!(
        audited(&store).await,
        [
            entry("device.enrolment_refused", "device/a"),
            entry("device.enrolment_refused", "device/old-agent"),
        ],
        "one of each device in an hour"
    );
}

async fn without_a_key_a_lost_answer_is_repeated_until_the_token_is_used(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 3).await;
    let again = Ok(given_anew(1, EnrolledAs::Repeated));
    for name in ["polls", "tells-its-fcm-token"] {
        store.enroll(enrollment(name)).await.unwrap();
        assert_eq!(store.enroll(enrollment(name)).await, again, "{name}");
    }
    // Another poll of before says nothing about this enrolment.
    poll(&store, vec![seen(&device("polls"), -1, 1)]).await;
    assert_eq!(store.enroll(enrollment("polls")).await, again);

    poll(&store, vec![seen(&device("polls"), 1, 1)]).await;
    let tells = device("tells-its-fcm-token");
    let told = store.set_fcm_token(&tells, Some("t".into()), at(1)).await;
    told.unwrap();
    for name in ["polls", "tells-its-fcm-token"] {
        assert_eq!(store.enroll(enrollment(name)).await, known(name));
    }
}

async fn an_unused_token_is_not_repeated_after_an_hour(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 1).await;
    store.enroll(enrollment("a")).await.unwrap();
    let after = |seconds| Enrollment {
        now: at(seconds),
        ..enrollment("a")
    };
    assert_eq!(
        store.enroll(after(3_599)).await,
        Ok(given_anew(1, EnrolledAs::Repeated))
    );
    assert_eq!(
        store.enroll(after(3_600)).await,
        known("a"),
        "repeating does not make the time longer"
    );
}

async fn a_token_that_says_so_takes_an_id_over_and_all_before_ends(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 1).await;
    issue_taking(&store, OTHER, 2).await;
    let mut first = keyed("a", 1);
    first.fcm_token = Some("old-phone".into());
    store.enroll(first.clone()).await.unwrap();
    let before = store.epochs().await.unwrap();
    let second = with_token(keyed("a", 2), OTHER);
    assert_eq!(
        store.enroll(second.clone()).await,
        Ok(given_anew(2, EnrolledAs::TakenOver))
    );
    assert_eq!(store.revoked_generations().await, Ok(vec![(device("a"), 2)]));
    assert!(store.epochs().await.unwrap().tokens > before.tokens);
    let taken = store.device(&device("a")).await.unwrap();
    assert!(!taken.has_fcm_token, "the old phone is not woken for the new one");
    assert_eq!(store.enroll(first).await, known("a"), "the first key is over");
    assert_eq!(
        store.enroll(second).await,
        Ok(given_anew(2, EnrolledAs::Repeated)),
        "a lost answer is repeated and takes nothing over"
    );
    assert_eq!(
        store.enroll(with_token(keyed("a", 3), OTHER)).await,
        Ok(given_anew(3, EnrolledAs::TakenOver))
    );
    assert_eq!(
        store.enroll(with_token(keyed("a", 4), OTHER)).await,
        Err(Error::Token(TokenFault::UsedUp)),
        "each takeover uses it up by one"
    );
    assert_eq!(
        audited(&store).await,
        [
            entry("device.takeover", "device/a"),
            entry("device.enrolment_refused", "device/a"),
            entry("device.takeover", "device/a"),
        ]
    );
}

async fn an_operators_leave_is_for_one_enrolment(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 9).await;
    let allow = |name: &'static str, until| {
        let note = actor("olga").note("device.allow_enrolment", format!("device/{name}"));
        let store = store.clone();
        async move { store.allow_enrolment(&device(name), at(until), note).await }
    };
    assert!(matches!(allow("a", 60).await, Err(Error::NotFound { .. })));
    store.enroll(keyed("a", 1)).await.unwrap();
    allow("a", 60).await.unwrap();
    let shown = store.device(&device("a")).await.unwrap();
    assert_eq!(shown.enrolment_allowed_until, Some(at(60)));
    let late = Enrollment {
        now: at(60),
        ..keyed("a", 2)
    };
    assert_eq!(store.enroll(late).await, known("a"));
    assert_eq!(
        store.enroll(keyed("a", 2)).await,
        Ok(given_anew(2, EnrolledAs::TakenOver))
    );
    assert_eq!(store.enroll(keyed("a", 3)).await, known("a"), "it was for one");
    let shown = store.device(&device("a")).await.unwrap();
    assert_eq!(shown.enrolment_allowed_until, None);
}

async fn a_revoked_device_comes_back_only_with_leave(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 9).await;
    store.enroll(keyed("a", 1)).await.unwrap();
    let note = actor("ann").note("device.revoke", "device/a");
    store.revoke(&device("a"), note).await.unwrap();
    assert_eq!(
        store.enroll(keyed("a", 1)).await,
        known("a"),
        "whoever has the phone has its key"
    );
    let note = actor("olga").note("device.allow_enrolment", "device/a");
    store.allow_enrolment(&device("a"), at(60), note).await.unwrap();
    assert_eq!(
        store.enroll(keyed("a", 1)).await,
        Ok(given_anew(3, EnrolledAs::TakenOver))
    );
}

async fn refusals_fill_no_log_and_hours_are_summed_up_once(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 1_000).await;
    let devices = usize::try_from(MAX_NOTED_REFUSALS).unwrap() + 20;
    for n in 0..devices {
        store.enroll(keyed(&format!("d{n}"), 1)).await.unwrap();
    }
    assert_eq!(
        audited(&store).await,
        Vec::new(),
        "ordinary enrolments queue for no chain"
    );
    for n in 0..devices {
        store.enroll(keyed(&format!("d{n}"), 2)).await.unwrap_err();
    }
    let noted = store.audit(AuditFilter::default(), Page::new(Some(500), None).unwrap());
    let refused = |entries: &[AuditEntry]| {
        let refused = entries
            .iter()
            .filter(|entry| entry.action == "device.enrolment_refused");
        i64::try_from(refused.count()).unwrap()
    };
    assert_eq!(refused(&noted.await.unwrap().items), MAX_NOTED_REFUSALS);

    assert_eq!(
        store.sum_up_enrolments(at(3_599)).await,
        Ok(0),
        "the hour goes on"
    );
    let other = store.clone();
    let (one, two) = tokio::join!(
        store.sum_up_enrolments(at(3_600)),
        other.sum_up_enrolments(at(3_600))
    );
    assert_eq!(one.unwrap() + two.unwrap(), 1);
    let last = store.audit(AuditFilter::default(), Page::new(Some(1), None).unwrap());
    let last = last.await.unwrap().items.remove(0);
    assert_eq!(
        (last.action.as_str(), last.target.as_str()),
        ("enrollment_token.hour", "enrollment_token/1")
    );
    let sum = last.after.unwrap();
    assert_eq!(
        (&sum["enrolled"], &sum["refused"]),
        (&devices.into(), &devices.into())
    );
    assert_eq!(store.verify_audit().await, Ok(Ok(1 + 100 + 1)));
}

async fn tokens_are_listed_and_revoked(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 3).await;
    issue_taking(&store, OTHER, 1).await;
    store.enroll(enrollment("a")).await.unwrap();
    let page = store
        .enroll_tokens(Page::new(Some(1), None).unwrap())
        .await
        .unwrap();
    assert_eq!(page.items[0].note, "repairs");
    assert!(page.items[0].allow_known);
    let page = Page::new(Some(1), page.next_page_token).unwrap();
    let page = store.enroll_tokens(page).await.unwrap();
    assert_eq!(page.next_page_token, None);
    let token = &page.items[0];
    assert_eq!((token.uses, token.used, token.revoked_at), (3, 1, None));
    assert_eq!((token.created_by.as_str(), token.allow_known), ("ann", false));

    let note = || actor("ann").note("enrollment_token.revoke", "enrollment_token");
    let revoked = store.revoke_enroll_token(token.id, note()).await.unwrap();
    assert_eq!(revoked.revoked_at, Some(at(0)));
    assert_eq!(store.revoke_enroll_token(token.id, note()).await, Ok(revoked));
    assert_eq!(
        store.enroll(enrollment("b")).await,
        Err(Error::Token(TokenFault::Revoked))
    );
    assert!(matches!(
        store.revoke_enroll_token(99, note()).await,
        Err(Error::NotFound { .. })
    ));
    let target = format!("enrollment_token/{}", token.id);
    assert_eq!(
        audited(&store).await,
        [entry("enrollment_token.revoke", &target)],
        "once"
    );
}

async fn a_credential_from_before_the_last_enrolment_is_noticed(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 9).await;
    issue_taking(&store, OTHER, 9).await;
    for name in ["cloned", "revoked", "moved-on"] {
        store.enroll(keyed(name, 1)).await.unwrap();
    }
    let shown = |name: &str, second| (device(name), 1, at(second));
    let taken = Enrollment {
        now: at(10),
        ..with_token(keyed("cloned", 2), OTHER)
    };
    store.enroll(taken).await.unwrap();
    let note = actor("ann").note("device.revoke", "device/revoked");
    store.revoke(&device("revoked"), note).await.unwrap();
    let before = store
        .note_duplicates(vec![shown("cloned", 9), shown("revoked", 20)])
        .await;
    assert_eq!(before, Ok(vec![]), "neither is another phone");
    let noted = vec![shown("cloned", 20), shown("revoked", 20), shown("nobody", 20)];
    assert_eq!(store.note_duplicates(noted).await, Ok(vec![device("cloned")]));
    assert_eq!(
        store.note_duplicates(vec![shown("cloned", 30)]).await,
        Ok(vec![]),
        "told once"
    );
    let seen = async |name: &str| store.device(&device(name)).await.unwrap().duplicate_seen_at;
    assert_eq!(seen("cloned").await, Some(at(30)));
    assert_eq!((seen("revoked").await, seen("moved-on").await), (None, None));
    let again = Enrollment {
        now: at(40),
        ..with_token(keyed("cloned", 3), OTHER)
    };
    store.enroll(again).await.unwrap();
    assert_eq!(seen("cloned").await, None, "another enrolment, another look");
}

async fn an_fcm_token_is_that_of_who_told_it_last(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 9).await;
    let with_fcm = |name: &str| Enrollment {
        fcm_token: Some("one-phone".into()),
        ..enrollment(name)
    };
    let has = async |name: &str| store.device(&device(name)).await.unwrap().has_fcm_token;
    store.enroll(with_fcm("first")).await.unwrap();
    store.enroll(with_fcm("second")).await.unwrap();
    assert_eq!((has("first").await, has("second").await), (false, true));
    let first = device("first");
    let told = store.set_fcm_token(&first, Some("one-phone".into()), at(1)).await;
    told.unwrap();
    assert_eq!((has("first").await, has("second").await), (true, false));
}

/// A database of before: no column says what is derived from the generation, and nobody had a key.
async fn devices_of_before_keep_what_they_were_given(place: &Place) {
    let store = place.store().await;
    issue_token(&store, TOKEN, 9).await;
    issue_token(&store, OTHER, 9).await;
    for name in ["fresh", "seen", "revoked"] {
        store.enroll(enrollment(name)).await.unwrap();
    }
    poll(&store, vec![seen(&device("seen"), 1, 1)]).await;
    let note = actor("ann").note("device.revoke", "device/revoked");
    store.revoke(&device("revoked"), note).await.unwrap();
    let tokens = store.enroll_tokens(Page::default()).await.unwrap().items;
    let note = actor("ann").note("enrollment_token.revoke", "enrollment_token");
    store.revoke_enroll_token(tokens[0].id, note).await.unwrap();

    let reverted = store.revert_to("0007").await.unwrap();
    assert!(
        reverted.ends_with(&["0010".into(), "0009".into(), "0008".into()]),
        "{reverted:?}"
    );
    store.migrate().await.unwrap();
    let repeated = Enrolled {
        command_generation: 0,
        ..given_anew(1, EnrolledAs::Repeated)
    };
    assert_eq!(store.enroll(enrollment("fresh")).await, Ok(repeated));
    assert_eq!(store.enroll(enrollment("seen")).await, known("seen"));
    assert_eq!(store.enroll(enrollment("revoked")).await, known("revoked"));
    assert_eq!(
        store.enroll(with_token(enrollment("b"), OTHER)).await,
        Err(Error::Token(TokenFault::Expired)),
        "a token that was revoked does not come back"
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
