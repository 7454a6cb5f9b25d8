//! The audit log: each verb leaves its entry, and what is refused or changes nothing leaves none.

use serde_json::json;
use tidegate_domain::{NudgeOrder, Percent, Resume, Role, SignerFingerprint};
use tidegate_service::{AuditFilter, BuildEdit};
use tidegate_testkit::apks;

use crate::instance::{Instance, admin, id, operator, package, to};
use crate::offers::Offer;

/// Does what can be done to a release.
async fn release(instance: &Instance) -> Offer {
    let (rollouts, operator) = (&instance.rollouts, operator());
    instance.release(1).await;
    let build = instance.release(2).await;
    rollouts
        .adjust(operator, build, Percent::new(90).unwrap(), None)
        .await
        .unwrap();
    rollouts.pause(operator, build).await.unwrap();
    rollouts.resume(operator, build, Resume::default()).await.unwrap();
    rollouts.roll_back(operator, None, None, false).await.unwrap();
    instance.poll("phone", 0).unwrap()
}

/// Does what can be done to a package, a user and a device.
async fn administer(instance: &Instance, offer: &Offer) {
    let (admin, package) = (admin(), package());
    let packages = &instance.packages;
    packages.unpin(admin, &package).await.unwrap();
    let signer = SignerFingerprint(apks::key().fingerprint());
    packages.pin(admin, &package, signer).await.unwrap();
    packages.allow_debuggable(admin, &package, true).await.unwrap();
    let password = "correct horse battery".into();
    instance
        .users
        .add(admin, "olga", Role::Operator, password)
        .await
        .unwrap();
    instance.fail(offer, 3).await;
    instance
        .devices
        .retry(operator(), &id("phone"), None)
        .await
        .unwrap();
}

/// Does what can be done to a campaign, and shuts the device out.
async fn nudge(instance: &Instance) {
    let (nudges, operator) = (&instance.nudges, operator());
    let nudged = nudges
        .nudge(operator, NudgeOrder::everybody(), None)
        .await
        .unwrap();
    let campaign = nudged.campaign.id;
    nudges.pause(operator, campaign).await.unwrap();
    nudges.resume(operator, campaign).await.unwrap();
    nudges.cancel(operator, campaign).await.unwrap();
    instance.devices.revoke(admin(), &id("phone")).await.unwrap();
}

/// Does what can be done when something has had its day. What is erased has an entry of its own, told elsewhere: here it
/// would take the names out of the others.
async fn let_go(instance: &Instance, offer: &Offer) {
    instance.devices.retire(admin(), &id("phone")).await.unwrap();
    let notes = BuildEdit {
        notes: Some("No longer offered.".to_owned()),
        ..BuildEdit::default()
    };
    instance
        .builds
        .edit(operator(), offer.build, notes)
        .await
        .unwrap();
    let spare = instance.build(9).await;
    instance.uploads.delete(admin(), spare).await.unwrap();
}

#[tokio::test]
async fn each_verb_leaves_its_entry() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let offer = release(&instance).await;
    administer(&instance, &offer).await;
    nudge(&instance).await;
    let_go(&instance, &offer).await;
    let expected = [
        ("enrollment_token.create", "admin", "enrollment_token/1"),
        ("ota.upload", "operator", "package/com.example.app"),
        ("ota.promote", "operator", "package/com.example.app"),
        ("ota.upload", "operator", "package/com.example.app"),
        ("ota.promote", "operator", "package/com.example.app"),
        ("ota.rollout.adjust", "operator", "package/com.example.app"),
        ("ota.rollout.pause", "operator", "package/com.example.app"),
        ("ota.rollout.resume", "operator", "package/com.example.app"),
        ("ota.rollback", "operator", "package/com.example.app"),
        ("signer.unpin", "admin", "package/com.example.app"),
        ("signer.pin", "admin", "package/com.example.app"),
        ("package.allow_debuggable", "admin", "package/com.example.app"),
        ("user.add", "admin", "user/olga"),
        ("device.retry", "operator", "device/phone"),
        ("ota.nudge", "operator", "campaign/1"),
        ("ota.nudge.pause", "operator", "campaign/1"),
        ("ota.nudge.resume", "operator", "campaign/1"),
        ("ota.nudge.cancel", "operator", "campaign/1"),
        ("device.revoke", "admin", "device/phone"),
        ("device.retire", "admin", "device/phone"),
        ("ota.notes", "operator", "package/com.example.app"),
        ("ota.upload", "operator", "package/com.example.app"),
        ("ota.delete", "admin", "package/com.example.app"),
    ];
    let entries = instance.audit.list(AuditFilter::default(), Default::default());
    let entries = entries.await.unwrap().items;
    let told: Vec<(&str, &str, &str)> = entries
        .iter()
        .rev()
        .map(|entry| (entry.action.as_str(), entry.actor.as_str(), entry.target.as_str()))
        .collect();
    assert_eq!(told, expected);
    assert!(
        entries
            .iter()
            .all(|entry| entry.request_id.as_deref() == Some("request-1"))
    );
    assert!(entries.iter().all(|entry| entry.role == entry.actor));
    assert!(entries.is_sorted_by(|later, earlier| later.at > earlier.at));
}

#[tokio::test]
async fn an_entry_tells_how_it_stood_before_and_after() {
    let instance = Instance::start().await;
    let build = instance.build(1).await;
    instance.promote(build, to(10)).await;
    let percent = Percent::new(50).unwrap();
    instance
        .rollouts
        .adjust(operator(), build, percent, None)
        .await
        .unwrap();
    let filter = AuditFilter {
        action: Some("ota.rollout.adjust".to_owned()),
        ..AuditFilter::default()
    };
    let entry = instance
        .audit
        .list(filter, Default::default())
        .await
        .unwrap()
        .items
        .remove(0);
    let (before, after) = (entry.before.unwrap(), entry.after.unwrap());
    assert_eq!((&before["percent"], &after["percent"]), (&json!(10), &json!(50)));
    assert_eq!(after["build_id"], build.0);
}

#[tokio::test]
async fn what_changes_nothing_leaves_no_entry() {
    let instance = Instance::start().await;
    instance.enrol("phone").await;
    let build = instance.release(1).await;
    let before = instance.actions().await;
    let (rollouts, operator) = (&instance.rollouts, operator());
    rollouts.promote(operator, build, to(100), None).await.unwrap();
    rollouts
        .adjust(operator, build, Percent::EVERYBODY, None)
        .await
        .unwrap();
    assert!(
        rollouts
            .adjust(operator, build, Percent::NOBODY, None)
            .await
            .is_err()
    );
    assert!(rollouts.roll_back(operator, None, None, true).await.is_err());
    assert!(instance.upload(apks::build("com.example.app", 1)).await.is_err());
    assert_eq!(
        instance
            .devices
            .retry(operator, &id("phone"), None)
            .await
            .unwrap(),
        0
    );
    assert_eq!(instance.actions().await, before);
}

#[tokio::test]
async fn the_chain_is_whole_and_the_last_walk_is_remembered() {
    let instance = Instance::start().await;
    assert_eq!(instance.audit.last_walk(), None);
    instance.release(1).await;
    let walk = instance.audit.verify().await.unwrap();
    assert_eq!(walk.found, Ok(2));
    assert_eq!(instance.audit.last_walk(), Some(walk));
}
