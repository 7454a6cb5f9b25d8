//! Enrolment and revocation: which devices are let in, and which are shut out.

use chrono::TimeDelta;
use tidegate_service::{EnrollTokenSpec, Kind, MAX_ENROLL_USES};
use tidegate_signing::ExposeSecret;

use crate::instance::{Instance, admin, id, new_device, operator, refusal, token_for};

#[tokio::test]
async fn a_token_enrols_as_many_devices_as_it_says() {
    let instance = Instance::start().await;
    let token = instance.enrollment_token(2).await;
    let enrol = |name: &str| instance.devices.enroll(new_device(name, &token));
    let first = enrol("one").await.unwrap();
    enrol("two").await.unwrap();
    let third = refusal(enrol("three").await);
    assert_eq!(third, (Kind::Unauthenticated, "enrollment_token_used_up"));

    // The answer may be lost on the way.
    let again = enrol("one").await.unwrap();
    assert_eq!(
        again.device_token.expose_secret(),
        first.device_token.expose_secret()
    );
    let device = instance.authenticator.device(first.device_token.expose_secret());
    assert_eq!(device.unwrap(), id("one"));
}

#[tokio::test]
async fn a_token_ends_by_the_clock() {
    let instance = Instance::start().await;
    let token = instance.enrollment_token(10).await;
    let enrol = |name: &str| instance.devices.enroll(new_device(name, &token));
    instance.clock.advance(TimeDelta::days(7) - TimeDelta::seconds(1));
    enrol("early").await.unwrap();
    instance.clock.advance(TimeDelta::seconds(1));
    let late = refusal(enrol("late").await);
    assert_eq!(late, (Kind::Unauthenticated, "enrollment_token_expired"));
    let unknown = instance.devices.enroll(new_device("stranger", "no token")).await;
    assert_eq!(refusal(unknown), (Kind::Unauthenticated, "enrollment_refused"));
}

#[tokio::test]
async fn only_an_admin_makes_tokens_and_their_uses_and_life_have_bounds() {
    let instance = Instance::start().await;
    let hour = TimeDelta::hours(1);
    let devices = &instance.devices;
    let make = |actor, uses, ttl| async move {
        let spec = EnrollTokenSpec {
            ttl,
            ..token_for(uses)
        };
        let made = devices.create_enroll_token(actor, spec);
        made.await.map(|token| token.uses)
    };
    let denied = make(operator(), 1, hour).await;
    assert_eq!(refusal(denied), (Kind::Forbidden, "role_too_low"));
    for (uses, ttl, field) in [
        (0, hour, "uses"),
        (MAX_ENROLL_USES + 1, hour, "uses"),
        (1, TimeDelta::zero(), "ttl_s"),
        (1, TimeDelta::days(367), "ttl_s"),
    ] {
        let refused = make(admin(), uses, ttl).await.unwrap_err();
        assert_eq!(
            (refused.kind, refused.field.as_deref()),
            (Kind::Invalid, Some(field))
        );
    }
    assert_eq!(
        make(admin(), MAX_ENROLL_USES, TimeDelta::days(366))
            .await
            .unwrap(),
        MAX_ENROLL_USES
    );
}

#[tokio::test]
async fn a_revoked_device_is_refused_until_it_enrols_again() {
    let instance = Instance::start().await;
    instance.release(1).await;
    let old = instance.enrol("lost").await.device_token;
    let other = instance.enrol("other").await.device_token;
    let offer = instance.poll("lost", 0).unwrap();
    let check = |token: &str| instance.authenticator.device(token);

    let by_operator = instance.devices.revoke(operator(), &id("lost")).await;
    assert_eq!(refusal(by_operator), (Kind::Forbidden, "role_too_low"));
    check(old.expose_secret()).unwrap();

    instance.devices.revoke(admin(), &id("lost")).await.unwrap();
    let refused = refusal(check(old.expose_secret()));
    assert_eq!(refused, (Kind::Unauthenticated, "token_revoked"));
    check(other.expose_secret()).unwrap();
    let url = instance
        .downloads
        .authorize(offer.build, &offer.query, None)
        .await;
    assert_eq!(
        refusal(url),
        (Kind::Forbidden, "url_refused"),
        "a URL ends with it"
    );

    let without_leave = instance.enrollment_token(1).await;
    let known = instance.devices.enroll(new_device("lost", &without_leave)).await;
    assert_eq!(refusal(known), (Kind::Conflict, "device_known"));
    let hour = TimeDelta::hours(1);
    instance
        .devices
        .allow_enrolment(operator(), &id("lost"), hour)
        .await
        .unwrap();
    let new = instance.enrol("lost").await.device_token;
    assert_eq!(check(new.expose_secret()).unwrap(), id("lost"));
    assert_eq!(refusal(check(old.expose_secret())).1, "token_revoked");
}

#[tokio::test]
async fn a_device_asks_for_itself_alone() {
    let instance = Instance::start().await;
    let token = instance.enrol("one").await.device_token;
    let claim = |device: &str| {
        instance
            .authenticator
            .device_claiming(token.expose_secret(), device)
    };
    claim("one").unwrap();
    assert_eq!(refusal(claim("two")), (Kind::Forbidden, "foreign_device"));
    let forged = instance.authenticator.device("forged");
    assert_eq!(refusal(forged), (Kind::Unauthenticated, "invalid_token"));
}

#[tokio::test]
async fn two_phones_with_one_id_are_noticed() {
    let instance = Instance::start().await;
    let first = instance.enrol("cloned").await.device_token;
    let (cloned, leave) = (id("cloned"), TimeDelta::hours(1));
    let allowed = instance.devices.allow_enrolment(operator(), &cloned, leave);
    allowed.await.unwrap();
    let noted = async || {
        instance
            .authenticator
            .note_duplicates(&instance.store)
            .await
            .unwrap();
        instance
            .store
            .device(&id("cloned"))
            .await
            .unwrap()
            .duplicate_seen_at
    };
    let second = instance.enrol("cloned").await.device_token;
    let check = |token: &str| instance.authenticator.device(token);
    check(second.expose_secret()).unwrap();
    assert_eq!(noted().await, None);
    assert_eq!(refusal(check(first.expose_secret())).1, "token_revoked");
    assert!(noted().await.is_some());
}

#[tokio::test]
async fn a_poll_for_nothing_is_a_use_of_the_token() {
    let instance = Instance::start().await;
    let token = instance.enrollment_token(1).await;
    let enrol = || instance.devices.enroll(new_device("one", &token));
    enrol().await.unwrap();
    enrol().await.unwrap();
    // No package releases anything.
    assert!(instance.poll("one", 0).is_err());
    instance.activity.flush(&instance.store).await.unwrap();
    assert_eq!(refusal(enrol().await), (Kind::Conflict, "device_known"));
}
