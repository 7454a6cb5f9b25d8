//! Packages: the signer that each is pinned to.

use tidegate_domain::{SignerFingerprint, Signers};
use tidegate_service::{Kind, Page};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::instance::{Instance, admin, operator, package, refusal};

fn signer(key: &tidegate_apk::build::SigningKey) -> SignerFingerprint {
    SignerFingerprint(key.fingerprint())
}

#[tokio::test]
async fn the_first_build_pins_its_package_unless_it_is_pinned_already() {
    let instance = Instance::start().await;
    let (ours, theirs) = (signer(apks::key()), signer(apks::foreign_key()));
    let pinned = instance.packages.pin(admin(), &package(), theirs).await.unwrap();
    assert_eq!(pinned.pin, Some(Signers::one(theirs)));
    let refused = refusal(instance.upload(apks::build(PACKAGE, 1)).await);
    assert_eq!(refused, (Kind::Conflict, "signer_conflict"));

    let other = instance
        .upload(apks::build("com.example.other", 1))
        .await
        .unwrap();
    let known = instance.packages.list(Page::default()).await.unwrap().items;
    let pins: Vec<_> = known
        .into_iter()
        .map(|package| (package.name, package.pin))
        .collect();
    let expected = [
        (package(), Some(Signers::one(theirs))),
        (other.facts.package, Some(Signers::one(ours))),
    ];
    assert_eq!(pins, expected);
}

#[tokio::test]
async fn without_its_pin_the_next_build_decides_anew() {
    let instance = Instance::start().await;
    instance.build(1).await;
    let theirs = || apks::release(PACKAGE, 2).sign(apks::foreign_key()).unwrap();
    assert_eq!(refusal(instance.upload(theirs()).await).1, "signer_conflict");
    let unpinned = instance.packages.unpin(admin(), &package()).await.unwrap();
    assert_eq!(unpinned.pin, None);
    instance.upload(theirs()).await.unwrap();
    let ours = instance.upload(apks::build(PACKAGE, 3)).await;
    assert_eq!(refusal(ours), (Kind::Conflict, "signer_conflict"));
}

#[tokio::test]
async fn only_an_admin_sets_a_packages_rules() {
    let instance = Instance::start().await;
    let (packages, operator) = (&instance.packages, operator());
    let denied = [
        refusal(packages.pin(operator, &package(), signer(apks::key())).await),
        refusal(packages.unpin(operator, &package()).await),
        refusal(packages.allow_debuggable(operator, &package(), true).await),
    ];
    assert_eq!(denied, [(Kind::Forbidden, "role_too_low"); 3]);
    let unknown = packages.unpin(admin(), &package()).await;
    assert_eq!(refusal(unknown), (Kind::NotFound, "not_found"));
    assert_eq!(packages.list(Page::default()).await.unwrap().items, []);
}
