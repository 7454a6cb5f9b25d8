//! Whom an audience takes, of a fleet that is counted and of one that is sampled.

use tidegate_domain::Audience;
use tidegate_service::{Audiences, Kind};

use crate::instance::{Instance, admin, id, new_device, package, refusal};

/// A fleet of which every third device is in the north, in the order in which they came.
async fn fleet(devices: usize) -> Instance {
    let instance = Instance::start().await;
    let token = instance.enrollment_token(u32::try_from(devices).unwrap()).await;
    for number in 0..devices {
        let mut device = new_device(&format!("till-{number:04}"), &token);
        device.facts.region = Some(if number % 3 == 0 { "north" } else { "south" }.into());
        instance.devices.enroll(device).await.unwrap();
    }
    instance
}

fn audience(text: &str) -> Audience {
    Audience::parse(text).unwrap()
}

#[tokio::test]
async fn a_fleet_up_to_the_bound_is_counted_and_one_beyond_it_sampled() {
    let instance = fleet(301).await;
    let north = audience(r#"region == "north""#);
    let counted = Audiences::new(instance.store.clone(), instance.clock.clone(), 301);
    let exact = counted.reach(&north, None).await.unwrap();
    assert_eq!((exact.devices, exact.estimated, exact.total), (101, false, 301));
    assert_eq!(exact.examples.len(), 20);
    assert_eq!(exact.examples[1], id("till-0003"));

    let sampled = Audiences::new(instance.store.clone(), instance.clock.clone(), 300);
    let estimate = sampled.reach(&north, None).await.unwrap();
    assert!(estimate.estimated);
    assert_eq!(estimate.total, 301);
    assert!((80..=121).contains(&estimate.devices), "{estimate:?}");
    assert!(estimate.examples.len() == 20 && !estimate.examples.contains(&id("till-0001")));
    for (text, devices) in [("true", 301), ("false", 0), (r#"region == "west""#, 0)] {
        let reach = sampled.reach(&audience(text), None).await.unwrap();
        assert_eq!((reach.devices, reach.estimated), (devices, true), "{text}");
    }
}

#[tokio::test]
async fn who_left_is_not_counted_and_an_empty_fleet_is_nobody() {
    let instance = fleet(9).await;
    instance.devices.retire(admin(), &id("till-0003")).await.unwrap();
    let audiences = Audiences::new(instance.store.clone(), instance.clock.clone(), 1_000);
    let reach = audiences
        .reach(&audience(r#"region == "north""#), None)
        .await
        .unwrap();
    assert_eq!((reach.devices, reach.total), (2, 8));
    let empty = Instance::start().await;
    let nobody = Audiences::new(empty.store.clone(), empty.clock.clone(), 1_000);
    assert_eq!(nobody.reach(&Audience::everybody(), None).await.unwrap().total, 0);
}

#[tokio::test]
async fn a_version_is_asked_for_with_its_package() {
    let instance = fleet(3).await;
    instance.build(1).await;
    let audiences = Audiences::new(instance.store.clone(), instance.clock.clone(), 1_000);
    let asks = audience("sdk > 1 || version == 0");
    let refused = audiences.reach(&asks, None).await;
    assert_eq!(
        refused.as_ref().unwrap_err().field.as_deref(),
        Some("package_name")
    );
    assert_eq!(refusal(refused), (Kind::Invalid, "invalid_argument"));
    assert_eq!(audiences.reach(&asks, Some(&package())).await.unwrap().devices, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_two_are_counted_at_once() {
    let instance = fleet(200).await;
    let audiences = Audiences::new(instance.store.clone(), instance.clock.clone(), 100);
    let everybody = Audience::everybody();
    let ask = || audiences.reach(&everybody, None);
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    let refused: Vec<_> = [a, b, c, d].into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    for error in refused {
        assert_eq!((error.kind, error.code), (Kind::Exhausted, "too_many_counts"));
    }
    assert!(ask().await.is_ok(), "their places are free again");
}
