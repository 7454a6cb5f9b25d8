//! Many devices at once.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tidegate_domain::Role;
use tidegate_testkit::agent::{Agent, Polled};
use tidegate_testkit::apks::PACKAGE;
use tidegate_testkit::server::TestServer;

/// How many devices call at once.
const AT_ONCE: usize = 32;

/// Enrols so many devices that run a version of [`PACKAGE`], all with one token.
pub(crate) async fn enroll(server: &TestServer, devices: usize, version: i64) -> Vec<Agent> {
    let token = server
        .operator(Role::Admin)
        .enroll_token(i64::try_from(devices).unwrap())
        .await;
    let enroll = |number: usize| {
        let request = json!({
            "enrollment_token": token, "device_id": format!("device-{number:04}"),
            "package_name": PACKAGE, "current_version_code": version,
        });
        async move { server.enroll_as(&request).await.unwrap() }
    };
    futures::stream::iter(0..devices)
        .map(enroll)
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Every device polls once.
pub(crate) async fn poll(fleet: &[Agent], version: i64) -> Vec<(&Agent, Polled)> {
    futures::stream::iter(fleet)
        .map(|device| async move { (device, device.poll(version).await) })
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// The ids of the devices that are offered a build, after checking that all others are told the same reason.
pub(crate) async fn offered(fleet: &[Agent], version: i64, build: i64, others: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for (device, polled) in poll(fleet, version).await {
        match polled.build() {
            Some(offer) => {
                assert_eq!(offer, build, "{}", device.id);
                ids.insert(device.id.clone());
            }
            None => assert_eq!(polled.why_not(), others, "{}", device.id),
        }
    }
    ids
}

/// The ids that the formula names which agents in the field know, written out once more.
pub(crate) fn cohort(fleet: &[Agent], percent: u32) -> BTreeSet<String> {
    let of = |id: &str| {
        let hash = Sha256::digest(id.as_bytes());
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % 100
    };
    let ids = fleet.iter().map(|device| device.id.clone());
    ids.filter(|id| of(id) < percent).collect()
}
