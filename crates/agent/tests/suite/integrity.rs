//! A file that is not the manifest's is never installed, and the server is told what is wrong with it.

use std::io;
use std::sync::Arc;

use serde_json::json;
use tidegate_agent::apk::Capabilities;
use tidegate_agent::apk::build::{Lineage, Signing};
use tidegate_agent::{HttpTransport, MemoryStore, Phase, StateStore, StoredFile};
use tidegate_testkit::apks::{self, PACKAGE};

use crate::phone::{Held, Phone, fingerprint_of, later, open, settle, until};
use crate::stage::{Reply, Stage, Trick, credentials, manifest};

/// A phone with version 1 of the usual signer, at a stage that it reaches over sockets.
async fn phone_at(stage: &Arc<Stage>) -> (Arc<Phone>, Held<HttpTransport, MemoryStore>) {
    let base = stage.listen().await;
    let phone = Phone::with(1, fingerprint_of(&apks::build(PACKAGE, 1)));
    let transport = HttpTransport::direct().unwrap();
    let agent = open(
        &phone,
        &base,
        "phone-1",
        &credentials(),
        transport,
        MemoryStore::default(),
    );
    (phone, agent)
}

/// The offer is refused on these grounds, and the phone is left as it was.
async fn refused(stage: &Arc<Stage>, reason: &str) {
    let (phone, mut agent) = phone_at(stage).await;
    settle(&mut agent).await;
    assert_eq!(phone.facts().asked, [0_i64; 0], "{reason}: Android was asked");
    assert_eq!(phone.version(), Some(1));
    let said = stage.script().reports.last().cloned().unwrap_or_default();
    assert_eq!(
        (&said["status"], &said["reason"]),
        (&json!("verify_failed"), &json!(reason)),
        "{said}"
    );
    assert_eq!(agent.unacknowledged(), 0);
}

#[tokio::test]
async fn a_tampered_byte_is_refused() {
    let apk = apks::large(PACKAGE, 2, 100_000);
    for place in [0, apk.len() / 2, apk.len() - 1] {
        let stage = Stage::offering(&apk);
        stage.script().file[place] ^= 1;
        refused(&stage, "sha256_mismatch").await;
    }
}

#[tokio::test]
async fn a_file_that_is_announced_longer_or_shorter_is_refused_unread() {
    let apk = apks::build(PACKAGE, 2);
    let mut longer = apk.clone();
    longer.push(0);
    for file in [longer, apk[..apk.len() - 1].to_vec()] {
        let stage = Stage::offering(&apk);
        stage.script().file = file;
        refused(&stage, "size_mismatch").await;
    }
}

#[tokio::test]
async fn a_file_that_does_not_end_is_left_at_the_declared_size() {
    let apk = apks::build(PACKAGE, 2);
    for more in [1, 5_000_000] {
        let stage = Stage::offering(&apk);
        stage.script().tricks.push_back(Trick::Unmeasured(vec![0; more]));
        refused(&stage, "size_mismatch").await;
    }
}

#[tokio::test]
async fn a_file_that_turns_out_shorter_is_refused() {
    let apk = apks::build(PACKAGE, 2);
    let stage = Stage::offering(&apk);
    stage.script().file.truncate(apk.len() - 10);
    stage.script().tricks.push_back(Trick::Unmeasured(vec![]));
    let (phone, mut agent) = phone_at(&stage).await;
    // The end may have been a cut: the phone asks for the rest, and hears that there is none.
    later(&mut agent).await;
    assert_eq!(phone.facts().asked, [0_i64; 0]);
    assert!(
        stage.has_been_told("verify_failed", "size_mismatch"),
        "{:?}",
        stage.told()
    );
}

#[tokio::test]
async fn a_file_of_another_signer_is_refused() {
    let foreign = apks::release(PACKAGE, 2).sign(apks::foreign_key()).unwrap();
    let stage = Stage::offering(&foreign);
    let ours = fingerprint_of(&apks::build(PACKAGE, 1)).to_string();
    stage.script().offer.as_mut().unwrap()["signer_fingerprint"] = json!(ours);
    refused(&stage, "signer_mismatch").await;
}

/// Even when the server itself was taken over: what is installed knows who signed it.
#[tokio::test]
async fn a_signer_that_the_server_vouches_for_must_still_be_that_of_the_installed_app() {
    let foreign = apks::release(PACKAGE, 2).sign(apks::foreign_key()).unwrap();
    refused(&Stage::offering(&foreign), "installed_signer_mismatch").await;
}

/// An app whose signer can't be read is not the same as no app: it lets nobody in, and nobody is blamed for good.
#[tokio::test]
async fn an_installed_signer_that_cannot_be_read_lets_no_signer_in() {
    let foreign = apks::release(PACKAGE, 2).sign(apks::foreign_key()).unwrap();
    for (apk, ours) in [(foreign, false), (apks::build(PACKAGE, 2), true)] {
        let stage = Stage::offering(&apk);
        let (phone, mut agent) = phone_at(&stage).await;
        phone.facts().signer_is_hidden = true;
        settle(&mut agent).await;
        assert_eq!(phone.facts().asked, [0_i64; 0]);
        assert!(stage.has_been_told("verify_failed", "check_failed"));
        // Readable again it decides.
        phone.facts().signer_is_hidden = false;
        later(&mut agent).await;
        assert_eq!(phone.facts().installations.len(), usize::from(ours));
        let blamed = stage.has_been_told("verify_failed", "installed_signer_mismatch");
        assert_eq!(blamed, !ours);
        assert_eq!(stage.script().downloads.len(), 1, "the file was a good one");
    }
}

#[tokio::test]
async fn a_proven_rotation_of_the_key_is_accepted() {
    let (old, new) = (apks::key(), apks::foreign_key());
    let keep = Capabilities::DEFAULT;
    let line = Lineage::new(old, keep).then(old, new, keep).unwrap();
    let apk = apks::release(PACKAGE, 2)
        .sign_as(&Signing::new(old).rotate(new, &line))
        .unwrap();
    let stage = Stage::offering(&apk);
    let (phone, mut agent) = phone_at(&stage).await;
    settle(&mut agent).await;
    assert_eq!(phone.facts().installations, [2], "{:?}", stage.script().reports);
}

#[tokio::test]
async fn an_unsigned_file_is_refused() {
    let unsigned = apks::release(PACKAGE, 2).unsigned();
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let signer = stage.script().offer.as_ref().unwrap()["signer_fingerprint"].clone();
    {
        let mut script = stage.script();
        script.offer = Ok(manifest_of_bytes(&unsigned, signer));
        script.file = unsigned;
    }
    refused(&stage, "signature_refused").await;
}

fn manifest_of_bytes(bytes: &[u8], signer: serde_json::Value) -> serde_json::Value {
    use sha2::Digest;
    let mut offer = manifest(&apks::build(PACKAGE, 2), 2);
    let sha256 = tidegate_agent::domain::Sha256(sha2::Sha256::digest(bytes).into());
    offer["sha256"] = json!(sha256.to_string());
    offer["file_size"] = json!(bytes.len());
    offer["signer_fingerprint"] = signer;
    offer
}

#[tokio::test]
async fn a_rightly_signed_file_of_another_version_or_package_is_refused() {
    // The old, vulnerable version in the new one's clothes.
    let stage = Stage::offering(&apks::build(PACKAGE, 1));
    refused(&stage, "version_mismatch").await;
    let stage = Stage::offering(&apks::build("com.example.other", 2));
    refused(&stage, "package_mismatch").await;
}

#[tokio::test]
async fn an_offer_that_makes_no_sense_is_no_offer() {
    let apk = apks::build(PACKAGE, 2);
    for (field, value) in [
        ("package_name", json!("com.example.other")),
        ("file_size", json!(0)),
        ("file_size", json!(5_000_000_000_u64)),
        ("file_size", json!(-1)),
        ("version_code", json!(-2)),
        ("sha256", json!("abc")),
        ("signer_fingerprint", json!(null)),
    ] {
        let stage = Stage::offering(&apk);
        stage.script().offer.as_mut().unwrap()[field] = value;
        let (phone, mut agent) = phone_at(&stage).await;
        let next = settle(&mut agent).await;
        assert_eq!(next.phase, Phase::Idle, "{field}");
        assert!(stage.script().downloads.is_empty(), "{field}");
        assert_eq!(phone.facts().asked, [0_i64; 0]);
    }
    let stage = Stage::offering(&apk);
    let long = Reply::json(200, &json!({ "release_notes": "x".repeat(300_000) }));
    stage.script().poll_answers.push_back(long);
    let (_, mut agent) = phone_at(&stage).await;
    settle(&mut agent).await;
    assert!(stage.script().downloads.is_empty());
}

#[tokio::test]
async fn a_file_that_was_spoilt_on_the_way_is_fetched_again_and_three_times_is_enough_for_a_day() {
    let apk = apks::build(PACKAGE, 2);
    let stage = Stage::offering(&apk);
    stage.script().file[100] ^= 1;
    let (phone, mut agent) = phone_at(&stage).await;
    for _ in 0..5 {
        later(&mut agent).await;
    }
    assert_eq!(stage.script().downloads.len(), 3);
    stage.script().file[100] ^= 1;
    for _ in 0..6 {
        later(&mut agent).await;
    }
    assert_eq!(phone.facts().installations, [2]);
}

/// An app that was replaced when the file was trusted already has another signer to say who may replace it.
#[tokio::test]
async fn an_app_that_was_replaced_meanwhile_is_compared_anew() {
    let stage = Stage::offering(&apks::build(PACKAGE, 2));
    let (phone, mut agent) = phone_at(&stage).await;
    until(&mut agent, Phase::Installing).await;
    let foreign = apks::release(PACKAGE, 1).sign(apks::foreign_key()).unwrap();
    phone.facts().installed = Some((1, fingerprint_of(&foreign)));
    settle(&mut agent).await;
    assert_eq!(phone.facts().asked, [0_i64; 0]);
    assert!(stage.has_been_told("verify_failed", "installed_signer_mismatch"));
}

/// A store from which a file is read so slowly that a poll falls due each time.
#[derive(Debug)]
struct SlowToRead {
    store: MemoryStore,
    phone: Arc<Phone>,
}

impl StateStore for SlowToRead {
    fn load(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.store.load()
    }
    fn save(&mut self, state: &[u8]) -> io::Result<()> {
        self.store.save(state)
    }
    fn set_aside(&mut self, state: &[u8]) -> io::Result<()> {
        self.store.set_aside(state)
    }
    fn file_len(&mut self) -> io::Result<u64> {
        self.store.file_len()
    }
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.store.append(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.store.sync()
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.store.truncate(len)
    }
    fn file(&mut self) -> io::Result<StoredFile> {
        self.phone.facts().now += chrono::TimeDelta::seconds(2);
        self.store.file()
    }
}

/// Such as in a trial run with a poll every second.
#[tokio::test]
async fn a_file_that_is_read_more_slowly_than_polls_come_is_installed_all_the_same() {
    let apk = apks::build(PACKAGE, 2);
    let stage = Stage::offering(&apk);
    for _ in 0..4 {
        let mut offer = manifest(&apk, 2);
        offer["download_url"] = json!("https://stage/file");
        let answer = Reply::json(200, &offer).with("tidegate-poll-after", "1");
        stage.script().poll_answers.push_back(answer);
    }
    stage.script().offer = Err("halted");
    let phone = Phone::with(1, fingerprint_of(&apk));
    let store = SlowToRead {
        store: MemoryStore::default(),
        phone: Arc::clone(&phone),
    };
    let transport = Arc::clone(&stage);
    let mut agent = open(
        &phone,
        "https://stage",
        "phone-1",
        &credentials(),
        transport,
        store,
    );
    settle(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
    assert_eq!(stage.script().downloads.len(), 1);
}
