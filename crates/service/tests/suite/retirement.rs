//! Devices that leave: their tokens end on every server, and an erased id starts anew.

use tidegate_domain::{DeviceId, Reason};
use tidegate_service::{DeviceFilter, Kind, Page};
use tidegate_signing::ExposeSecret;

use crate::instance::{Instance, admin, id, new_device, operator, refusal};

async fn listed(instance: &Instance, retired: bool) -> Vec<DeviceId> {
    let filter = DeviceFilter {
        retired,
        ..DeviceFilter::default()
    };
    let found = instance.devices.list(filter, Page::default()).await.unwrap();
    found.items.into_iter().map(|device| device.id).collect()
}

#[tokio::test]
async fn a_retired_device_is_refused_everywhere_and_may_come_back() {
    let here = Instance::start().await;
    let there = here.beside().await;
    let build = here.release(1).await;
    let old = here.enrol("phone").await.device_token;
    here.enrol("other").await;
    let offer = here.poll("phone", 0).unwrap();
    here.fail(&offer, 3).await;
    there.snapshots.catch_up().await.unwrap();
    let check = |instance: &Instance| instance.authenticator.device(old.expose_secret());
    let denied = here.devices.retire(operator(), &id("phone")).await;
    assert_eq!(refusal(denied), (Kind::Forbidden, "role_too_low"));
    check(&here).unwrap();

    assert!(here.devices.retire(admin(), &id("phone")).await.unwrap());
    assert!(!here.devices.retire(admin(), &id("phone")).await.unwrap());
    there.snapshots.catch_up().await.unwrap();
    for instance in [&here, &there, &here.beside().await] {
        assert_eq!(refusal(check(instance)), (Kind::Unauthenticated, "token_revoked"));
    }
    let url = here.downloads.authorize(offer.build, &offer.query, None).await;
    assert_eq!(refusal(url), (Kind::Forbidden, "url_refused"));
    assert_eq!(listed(&here, false).await, [id("other")]);
    assert_eq!(listed(&here, true).await, [id("phone")]);

    let new = here.enrol("phone").await.device_token;
    there.snapshots.catch_up().await.unwrap();
    for instance in [&here, &there] {
        assert_eq!(
            instance.authenticator.device(new.expose_secret()).unwrap(),
            id("phone")
        );
        assert_eq!(refusal(check(instance)).1, "token_revoked");
        assert_eq!(instance.told("phone", 0), Ok(build), "it has given nothing up");
    }
    assert_eq!(listed(&here, false).await, [id("other"), id("phone")]);
    let unknown = here.devices.retire(admin(), &id("nobody")).await;
    assert_eq!(refusal(unknown), (Kind::NotFound, "not_found"));
}

#[tokio::test]
async fn an_erased_device_is_refused_everywhere_and_its_id_begins_anew() {
    let here = Instance::start().await;
    let there = here.beside().await;
    let build = here.release(1).await;
    let old = here.enrol("phone").await.device_token;
    let other = here.enrol("other").await.device_token;
    let offer = there.poll("phone", 0);
    assert_eq!(offer.map(|offer| offer.build), Err(Reason::NoCurrentBuild));
    there.snapshots.catch_up().await.unwrap();
    let offer = there.poll("phone", 0).unwrap();
    there.fail(&offer, 3).await;
    here.snapshots.catch_up().await.unwrap();
    assert_eq!(here.told("phone", 0), Err(Reason::RejectedByDevice));

    let denied = here.devices.erase(operator(), &id("phone"), "phone").await;
    assert_eq!(refusal(denied), (Kind::Forbidden, "role_too_low"));
    for confirmation in ["", "other", "Phone", "phone "] {
        let refused = here
            .devices
            .erase(admin(), &id("phone"), confirmation)
            .await
            .unwrap_err();
        assert_eq!(
            (refused.kind, refused.field.as_deref()),
            (Kind::Invalid, Some("confirm"))
        );
    }
    here.devices.get(&id("phone")).await.unwrap();
    here.devices.erase(admin(), &id("phone"), "phone").await.unwrap();
    let twice = here.devices.erase(admin(), &id("phone"), "phone").await;
    assert_eq!(refusal(twice), (Kind::NotFound, "not_found"));

    there.snapshots.catch_up().await.unwrap();
    let later = here.beside().await;
    for instance in [&here, &there, &later] {
        let refused = refusal(instance.authenticator.device(old.expose_secret()));
        assert_eq!(refused, (Kind::Unauthenticated, "token_revoked"));
        instance.authenticator.device(other.expose_secret()).unwrap();
        let url = instance
            .downloads
            .authorize(offer.build, &offer.query, None)
            .await;
        assert_eq!(refusal(url), (Kind::Forbidden, "url_refused"));
    }

    let token = here.enrollment_token(1).await;
    let new = here.devices.enroll(new_device("phone", &token)).await.unwrap();
    assert_ne!(new.device_token.expose_secret(), old.expose_secret());
    there.snapshots.catch_up().await.unwrap();
    for instance in [&here, &there, &here.beside().await] {
        let known = instance.authenticator.device(new.device_token.expose_secret());
        assert_eq!(known.unwrap(), id("phone"));
        assert_eq!(
            refusal(instance.authenticator.device(old.expose_secret())).1,
            "token_revoked"
        );
        assert_eq!(
            instance.told("phone", 0),
            Ok(build),
            "what it had given up is forgotten"
        );
    }
}

#[tokio::test]
async fn the_record_of_an_erased_device_names_nobody() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    instance.devices.revoke(admin(), &id("phone")).await.unwrap();
    let told = async || {
        let entries = instance.audit.list(Default::default(), Page::default()).await;
        entries.unwrap().items.remove(0).target
    };
    assert_eq!(told().await, "device/phone");
    instance
        .devices
        .erase(admin(), &id("phone"), "phone")
        .await
        .unwrap();
    let entries = instance
        .audit
        .list(Default::default(), Page::default())
        .await
        .unwrap();
    let text = format!("{entries:?}");
    assert!(!text.contains("phone"), "{text}");
    let of_it: Vec<_> = entries
        .items
        .iter()
        .filter(|entry| entry.pseudonym.is_some())
        .collect();
    assert_eq!(
        of_it.len(),
        2,
        "the entries can still be told to be of one device"
    );
    assert_eq!(of_it[0].target, of_it[1].target);
    assert!(instance.audit.verify().await.unwrap().found.is_ok());
}
