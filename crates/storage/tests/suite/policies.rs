//! Policies, and what becomes of those on whom they hang.

use tidegate_domain::{
    Hold, MAX_POLICIES_PER_SUBJECT, NudgeAudience, NudgeOrder, Policy, PolicySpec, PolicySubject,
    PolicyTerms, Tag, VersionCode,
};
use tidegate_storage::{Actor, AuditFilter, AuditNote, Error, Page, PolicyFilter, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, actor, all, at, device, enroll_many, nudge, package, poll, release, seen, upload, version, wakeable,
};

on_both_engines!(
    a_policy_is_made_changed_and_removed,
    policies_stand_in_the_catalog,
    what_a_policy_names_must_be_there,
    a_subject_has_so_many_policies_and_no_more,
    there_is_one_hold_on_everybody_for_each_package,
    a_hold_is_lifted_and_a_ceiling_beside_it_stays,
    a_tag_with_a_policy_is_not_deleted_and_a_renamed_one_takes_it_along,
    a_policy_goes_with_its_device_and_the_log_names_nobody,
    devices_that_policies_hold_back_are_not_behind,
);

const LIFTED: Option<Hold> = Some(Hold::UntilLifted);

fn tagged(name: &str) -> PolicySubject {
    PolicySubject::Tag(Tag::parse(name).unwrap())
}

fn spec(subject: PolicySubject, max_version: Option<i64>, hold: Option<Hold>) -> PolicySpec {
    PolicySpec {
        subject,
        package: None,
        terms: PolicyTerms {
            max_version: max_version.map(version),
            hold,
        },
        remark: "tills lose receipts".to_owned(),
    }
}

async fn create(store: &Store, spec: PolicySpec) -> Policy {
    let made = store.create_policy(spec, actor("olga")).await.unwrap();
    assert!(made.changed);
    made.policy
}

async fn listed(store: &Store, filter: PolicyFilter) -> Vec<i64> {
    let found = all(2, |page| store.policies(filter.clone(), page)).await;
    found.iter().map(|policy| policy.id.0).collect()
}

async fn actions(store: &Store) -> Vec<String> {
    let entries = store
        .audit(AuditFilter::default(), Page::default())
        .await
        .unwrap()
        .items;
    let of_policies = entries.into_iter().map(|entry| entry.action);
    of_policies
        .filter(|action| action.starts_with("policy.") || action.starts_with("hold."))
        .collect()
}

async fn a_policy_is_made_changed_and_removed(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 1).await;
    let mut pin = spec(tagged("lab"), Some(41), Some(Hold::Until(at(60))));
    pin.package = Some(package(APP));
    let made = create(&store, pin.clone()).await;
    assert_eq!(
        (made.spec.clone(), made.created_by.as_str()),
        (pin.clone(), "olga")
    );
    let repeated = store.create_policy(pin.clone(), actor("olga")).await.unwrap();
    assert_eq!((repeated.policy, repeated.changed), (made.clone(), false));

    let other = create(&store, spec(PolicySubject::Everybody, Some(7), None)).await;
    assert_eq!(
        listed(&store, PolicyFilter::default()).await,
        [other.id.0, made.id.0]
    );
    let of_package = PolicyFilter {
        package: Some(package(APP)),
        ..PolicyFilter::default()
    };
    assert_eq!(listed(&store, of_package).await, [made.id.0]);
    for (name, expected) in [("lab", vec![made.id.0]), ("none", vec![])] {
        let of_tag = PolicyFilter {
            tag: Some(Tag::parse(name).unwrap()),
            ..PolicyFilter::default()
        };
        assert_eq!(listed(&store, of_tag).await, expected);
    }

    let lower = |policy: &Policy| {
        let mut spec = policy.spec.clone();
        spec.terms = PolicyTerms {
            max_version: Some(VersionCode::new(40)?),
            hold: None,
        };
        Ok(spec)
    };
    let changed = store.change_policy(made.id, actor("oscar"), lower).await.unwrap();
    assert!(changed.changed);
    assert_eq!(changed.policy.spec.terms.hold, None);
    assert_eq!(store.policy(made.id).await, Ok(changed.policy.clone()));
    assert!(
        !store
            .change_policy(made.id, actor("oscar"), lower)
            .await
            .unwrap()
            .changed
    );
    let no = |_: &Policy| Err(tidegate_domain::Error::invalid("remark", "no"));
    assert!(matches!(
        store.change_policy(made.id, actor("oscar"), no).await,
        Err(Error::Rule(_))
    ));

    assert_eq!(
        store.delete_policy(made.id, actor("olga")).await,
        Ok(changed.policy)
    );
    let gone = store.delete_policy(made.id, actor("olga")).await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    let told = ["policy.delete", "policy.change", "policy.create", "policy.create"];
    assert_eq!(actions(&store).await, told);
}

async fn policies_stand_in_the_catalog(place: &Place) {
    let store = place.store().await;
    let (before, read_at) = store.load_catalog().await.unwrap();
    assert!(before.policies().is_empty());
    create(&store, spec(PolicySubject::Everybody, None, LIFTED)).await;
    create(&store, spec(tagged("lab"), Some(3), None)).await;
    assert!(store.epochs().await.unwrap().catalog > read_at.catalog);
    let (catalog, _) = store.load_catalog().await.unwrap();
    assert_eq!(catalog.policies().len(), 2);
    assert!(catalog.needs_tags(APP));
    assert_eq!(catalog.policies().holds_on_everybody(at(0)).count(), 1);
}

async fn what_a_policy_names_must_be_there(place: &Place) {
    let store = place.store().await;
    let mut mistyped = spec(PolicySubject::Everybody, None, LIFTED);
    mistyped.package = Some(package("com.exmaple.app"));
    for spec in [
        mistyped,
        spec(PolicySubject::Device(device("nobody")), Some(3), None),
    ] {
        let refused = store.create_policy(spec, actor("olga")).await;
        assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    }
    let mistyped = Some(package("com.exmaple.app"));
    let refused = store
        .set_hold(mistyped, Hold::UntilLifted, "x".to_owned(), actor("olga"))
        .await;
    assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    assert_eq!(listed(&store, PolicyFilter::default()).await, [0_i64; 0]);
    create(&store, spec(tagged("to-come"), Some(3), None)).await;
    let tags = store.tags(Page::default()).await.unwrap().items;
    assert_eq!((tags[0].tag.as_str(), tags[0].devices), ("to-come", 0));
}

async fn a_subject_has_so_many_policies_and_no_more(place: &Place) {
    let store = place.store().await;
    let limit = i64::try_from(MAX_POLICIES_PER_SUBJECT).unwrap();
    for ceiling in 1..=limit {
        create(&store, spec(tagged("lab"), Some(ceiling), None)).await;
    }
    let refused = store
        .create_policy(spec(tagged("lab"), Some(limit + 1), None), actor("olga"))
        .await;
    assert!(matches!(refused, Err(Error::TooMany { .. })), "{refused:?}");
    create(&store, spec(tagged("shop"), Some(1), None)).await;
}

fn everybody_since(policy: &Policy) -> (Option<&str>, Option<Hold>, &str) {
    let spec = &policy.spec;
    (
        spec.package.as_ref().map(|name| name.as_str()),
        spec.terms.hold,
        &spec.remark,
    )
}

async fn there_is_one_hold_on_everybody_for_each_package(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 1).await;
    let hold = async |package, hold, remark: &str| {
        let set = store
            .set_hold(package, hold, remark.to_owned(), actor("olga"))
            .await;
        set.unwrap()
    };
    let all = hold(None, Hold::UntilLifted, "stop").await;
    let one = hold(Some(package(APP)), Hold::UntilLifted, "stop").await;
    assert!(all.changed && one.changed && all.policy.id != one.policy.id);
    assert!(!hold(None, Hold::UntilLifted, "stop").await.changed);
    let later = hold(None, Hold::Until(at(99)), "until morning").await;
    assert_eq!((later.policy.id, later.changed), (all.policy.id, true));
    assert_eq!(
        everybody_since(&later.policy),
        (None, Some(Hold::Until(at(99))), "until morning")
    );

    let by_otto = Actor {
        now: at(60),
        ..actor("otto")
    };
    let later = store
        .set_hold(None, Hold::UntilLifted, "inventory".to_owned(), by_otto)
        .await
        .unwrap();
    let told = |policy: &Policy| {
        (
            policy.spec.remark.clone(),
            policy.created_by.clone(),
            policy.created_at,
        )
    };
    let whose = ("inventory".to_owned(), "otto".to_owned(), at(60));
    assert_eq!(
        told(&later.policy),
        whose,
        "the remark's author, not the first one"
    );

    let lifted = store.lift_hold(None, actor("olga")).await.unwrap();
    assert_eq!(lifted, [later.policy]);
    assert_eq!(listed(&store, PolicyFilter::default()).await, [one.policy.id.0]);
    assert_eq!(store.lift_hold(None, actor("olga")).await, Ok(vec![]));
    assert_eq!(
        store
            .lift_hold(Some(package(APP)), actor("olga"))
            .await
            .unwrap()
            .len(),
        1
    );
    let told = [
        "hold.lift",
        "hold.lift",
        "hold.set",
        "hold.set",
        "hold.set",
        "hold.set",
    ];
    assert_eq!(actions(&store).await, told);
}

async fn a_hold_is_lifted_and_a_ceiling_beside_it_stays(place: &Place) {
    let store = place.store().await;
    let both = create(&store, spec(PolicySubject::Everybody, Some(5), LIFTED)).await;
    create(&store, spec(tagged("lab"), None, LIFTED)).await;
    assert_eq!(
        store.lift_hold(None, actor("olga")).await.unwrap().len(),
        1,
        "on everybody alone"
    );
    let left = store.policy(both.id).await.unwrap().spec.terms;
    assert_eq!((left.max_version, left.hold), (Some(version(5)), None));
    assert_eq!(listed(&store, PolicyFilter::default()).await.len(), 2);
}

async fn a_tag_with_a_policy_is_not_deleted_and_a_renamed_one_takes_it_along(place: &Place) {
    let store = place.store().await;
    let made = create(&store, spec(tagged("lab"), Some(3), None)).await;
    let (lab, room) = (Tag::parse("lab").unwrap(), Tag::parse("room").unwrap());
    let note = || actor("olga").note("tag.delete", "tag/lab");
    let refused = store.delete_tag(&lab, note()).await.unwrap_err();
    assert!(refused.to_string().contains(&made.id.to_string()), "{refused}");
    assert!(matches!(refused, Error::TagInUse { .. }));
    let before = store.epochs().await.unwrap().catalog;
    store.rename_tag(&lab, &room, note()).await.unwrap();
    assert!(
        store.epochs().await.unwrap().catalog > before,
        "the catalog names the tag"
    );
    assert_eq!(store.policy(made.id).await.unwrap().spec.subject, tagged("room"));
    store.delete_policy(made.id, actor("olga")).await.unwrap();
    assert_eq!(store.delete_tag(&room, note()).await, Ok(0));
}

async fn a_policy_goes_with_its_device_and_the_log_names_nobody(place: &Place) {
    let store = place.store().await;
    let devices = enroll_many(&store, 2).await;
    let of = |id: usize| spec(PolicySubject::Device(devices[id].clone()), Some(3), None);
    create(&store, of(0)).await;
    let stays = create(&store, of(1)).await;
    let before = store.epochs().await.unwrap().catalog;
    let note = AuditNote {
        at: at(5),
        ..actor("ada").note("device.erase", "device/d-0000")
    };
    store
        .erase_device(&devices[0], vec![[9; 32]], note)
        .await
        .unwrap();
    assert_eq!(listed(&store, PolicyFilter::default()).await, [stays.id.0]);
    assert!(store.epochs().await.unwrap().catalog > before);
    let entries = store
        .audit(AuditFilter::default(), Page::default())
        .await
        .unwrap()
        .items;
    assert!(!format!("{entries:?}").contains("d-0000"), "{entries:?}");
}

async fn devices_that_policies_hold_back_are_not_behind(place: &Place) {
    let store = place.store().await;
    release(&store, APP, 2).await;
    let devices = wakeable(&store, 4).await;
    poll(&store, devices.iter().map(|id| seen(id, 10, 1)).collect()).await;
    let lab = Tag::parse("lab").unwrap();
    let note = actor("olga").note("tag.add", "tag/lab");
    store
        .tag_devices(&lab, devices[..1].to_vec(), vec![], note)
        .await
        .unwrap();
    let mut pin = spec(tagged("lab"), Some(1), None);
    pin.package = Some(package(APP));
    create(&store, pin).await;
    create(
        &store,
        spec(PolicySubject::Device(devices[1].clone()), None, LIFTED),
    )
    .await;
    let everyone = NudgeOrder {
        package: Some(package(APP)),
        audience: NudgeAudience::Behind,
        ..NudgeOrder::everybody()
    };
    assert_eq!(nudge(&store, "1", everyone.clone()).await.progress.total, 2);
    let held = store
        .set_hold(None, Hold::UntilLifted, "stop".to_owned(), actor("olga"))
        .await;
    held.unwrap();
    assert_eq!(nudge(&store, "2", everyone).await.progress.total, 0);
}
