//! Snapshots: what one instance changes reaches another when that looks for changes.

use std::sync::Arc;

use chrono::TimeDelta;
use tidegate_domain::{Calendar, CalendarName, CalendarTerms, CalendarZone, Reason, Window, ZoneName};
use tidegate_service::{Calendars, Kind};
use tidegate_signing::ExposeSecret;

use crate::instance::{Instance, admin, id, operator, refusal, to};

#[tokio::test]
async fn a_promotion_reaches_another_instance_after_a_refresh() {
    let here = Instance::start().await;
    let there = here.beside().await;
    let build = here.release(1).await;
    assert_eq!(here.told("phone", 0), Ok(build));
    assert_eq!(there.told("phone", 0), Err(Reason::NoCurrentBuild));
    there.snapshots.catch_up().await.unwrap();
    assert_eq!(there.told("phone", 0), Ok(build));
    assert_eq!(
        there.snapshots.catalog_version(),
        here.snapshots.catalog_version()
    );

    there.rollouts.pause(operator(), build).await.unwrap();
    assert_eq!(here.told("phone", 0), Ok(build));
    here.snapshots.catch_up().await.unwrap();
    assert_eq!(here.told("phone", 0), Err(Reason::Paused));
}

#[tokio::test]
async fn a_revocation_reaches_another_instance_after_a_refresh() {
    let here = Instance::start().await;
    let there = here.beside().await;
    let token = here.enrol("phone").await.device_token;
    let check = |instance: &Instance| instance.authenticator.device(token.expose_secret());
    check(&there).unwrap();
    here.devices.revoke(admin(), &id("phone")).await.unwrap();
    assert!(check(&here).is_err());
    there.snapshots.catch_up().await.unwrap();
    assert_eq!(refusal(check(&there)), (Kind::Unauthenticated, "token_revoked"));
    let started_later = here.beside().await;
    assert_eq!(refusal(check(&started_later)).1, "token_revoked");
}

#[tokio::test]
async fn what_a_device_gave_up_and_is_let_try_again_reaches_another_instance_after_a_refresh() {
    let here = Instance::start().await;
    here.enrol("phone").await;
    let build = here.release(1).await;
    let there = here.beside().await;
    let offer = there.poll("phone", 0).unwrap();
    here.fail(&offer, 3).await;
    assert_eq!(here.told("phone", 0), Err(Reason::RejectedByDevice));
    assert_eq!(there.told("phone", 0), Ok(build));
    there.snapshots.catch_up().await.unwrap();
    assert_eq!(there.told("phone", 0), Err(Reason::RejectedByDevice));

    there.devices.retry(operator(), &id("phone"), None).await.unwrap();
    assert_eq!(here.told("phone", 0), Err(Reason::RejectedByDevice));
    here.snapshots.catch_up().await.unwrap();
    assert!(here.poll("phone", 0).unwrap().retry_granted);
}

#[tokio::test]
async fn what_was_given_up_is_known_again_when_its_build_is_released_again() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    instance.release(1).await;
    let offer = instance.poll("phone", 0).unwrap();
    instance.fail(&offer, 3).await;
    let next = instance.release(2).await;
    assert_eq!(instance.told("phone", 0), Ok(next));
    instance
        .rollouts
        .roll_back(operator(), None, None, false)
        .await
        .unwrap();
    assert_eq!(instance.told("phone", 0), Err(Reason::RejectedByDevice));
}

#[tokio::test]
async fn openings_are_worked_out_with_the_catalog_and_anew_each_day() {
    let here = Instance::start().await;
    let build = here.build(1).await;
    let calendars = Calendars::new(
        here.store.clone(),
        Arc::clone(&here.snapshots),
        Arc::clone(&here.clock) as _,
    );
    let name = CalendarName::parse("nights").unwrap();
    let calendar = Calendar {
        name: name.clone(),
        terms: CalendarTerms {
            zone: CalendarZone::Device {
                fallback: ZoneName::utc(),
            },
            windows: vec![Window::parse(&["mon"], "22:00", "04:00").unwrap()],
            freezes: vec![],
        },
    };
    calendars.create(operator(), calendar).await.unwrap();
    let mut by_night = to(100);
    by_night.settings.calendars.download = Some(name);
    here.promote(build, by_night).await;
    let is_stale = || here.snapshots.catalog().calendars().is_stale(here.clock.read());
    assert!(!is_stale(), "before the first poll");
    // Noon of a Monday.
    assert_eq!(here.told("phone", 0), Err(Reason::OutsideWindow));
    here.clock.advance(TimeDelta::hours(10));
    assert_eq!(here.told("phone", 0), Ok(build));
    for step in [TimeDelta::hours(25), TimeDelta::days(60), TimeDelta::days(-61)] {
        here.clock.advance(step);
        assert!(is_stale());
        here.snapshots.catch_up().await.unwrap();
        assert!(!is_stale(), "no change of the catalog is needed");
    }
    assert_eq!(
        here.told("phone", 0),
        Ok(build),
        "eleven in the evening of that Monday"
    );
}
