//! Patches: a phone takes the way that costs fewer bytes, and ends with the very file on each.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use tidegate_agent::domain::{DeferReason, Network};
use tidegate_agent::{FolderStore, HttpTransport, MemoryStore, Phase, StateStore, StoredFile};

use crate::patched::{
    agent, agent_of, assert_installed, assert_told, credentials_of_protocol_2, fetched, noise, offer,
    offer_of, patch, phone, release, sha256, stage_with, version,
};
use crate::phone::{Phone, fingerprint_of, later, open, settle};
use crate::stage::{Reply, Stage, Trick};

const PATCH: (&str, Option<&str>) = ("/patch", None);
const FILE: (&str, Option<&str>) = ("/file", None);

fn assert_fetched(stage: &Stage, expected: &[(&str, Option<&str>)]) {
    let fetched = fetched(stage);
    let fetched: Vec<_> = fetched
        .iter()
        .map(|(path, range)| (path.as_str(), range.as_deref()))
        .collect();
    assert_eq!(fetched, expected);
}

#[tokio::test]
async fn a_phone_that_can_read_its_app_fetches_what_changed() {
    let stage = stage_with(&release().patch);
    let phone = phone();
    let mut agent = agent(&stage, &phone);
    settle(&mut agent).await;
    assert_installed(&phone);
    assert_told(&stage, Some("applied"));
    assert_fetched(&stage, &[PATCH]);
    let script = stage.script();
    assert!(script.polls[0].contains("&patches=tgp1"), "{:?}", script.polls);
    assert_eq!(agent.unacknowledged(), 0);
}

/// A folder, an app's file where Android keeps it, and real sockets.
#[tokio::test]
async fn a_patch_is_applied_in_a_folder_and_leaves_nothing_behind() {
    let stage = stage_with(&release().patch);
    let server = stage.listen().await;
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base.apk");
    std::fs::write(&base, &release().base).unwrap();
    let phone = phone();
    phone.facts().apk = Some(StoredFile::Path(base));
    let store = FolderStore::open(&folder.path().join("agent")).unwrap();
    let transport = HttpTransport::direct().unwrap();
    let mut agent = open(
        &phone,
        &server,
        "phone-1",
        &credentials_of_protocol_2(),
        transport,
        store,
    );
    settle(&mut agent).await;
    assert_installed(&phone);
    assert_told(&stage, Some("applied"));
    assert_fetched(&stage, &[PATCH]);
    drop(agent);
    let mut left: Vec<_> = std::fs::read_dir(folder.path().join("agent"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["lock", "state.json"]);
}

/// One that can't read the app's file says nothing of patches, and takes none that is offered all the same.
#[tokio::test]
async fn a_phone_that_cannot_read_its_app_takes_whole_files() {
    let stage = stage_with(&release().patch);
    let phone = Phone::with(1, fingerprint_of(&release().base));
    let mut agent = agent(&stage, &phone);
    settle(&mut agent).await;
    assert_eq!(phone.facts().installations, [2]);
    assert_told(&stage, None);
    assert_fetched(&stage, &[FILE]);
    assert!(!stage.script().polls[0].contains("patches"));
}

#[tokio::test]
async fn another_base_takes_the_whole_file_at_once() {
    let other_version = {
        let mut offer = offer_of(&release().patch, &release().base);
        offer["from_version_code"] = json!(3);
        offer
    };
    for patch in [offer_of(&release().patch, b"another"), other_version] {
        let stage = stage_with(&release().patch);
        offer(&stage, patch);
        let phone = phone();
        settle(&mut agent(&stage, &phone)).await;
        assert_installed(&phone);
        assert_told(&stage, Some("base_differs"));
        assert_fetched(&stage, &[FILE]);
    }
}

/// The hash of the installed file is computed once, and applying looks at the file again.
#[tokio::test]
async fn a_base_that_was_exchanged_since_it_was_hashed_is_found() {
    let stage = stage_with(&release().patch);
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base.apk");
    std::fs::write(&base, &release().base).unwrap();
    let phone = phone();
    phone.facts().apk = Some(StoredFile::Path(base.clone()));
    stage.script().patch_tricks.push_back(Trick::Cut(100));
    let mut agent = agent(&stage, &phone);
    settle(&mut agent).await;
    let mut exchanged = release().base.clone();
    let middle = exchanged.len() / 2;
    exchanged[middle] ^= 1;
    std::fs::write(&base, exchanged).unwrap();
    later(&mut agent).await;
    assert_installed(&phone);
    assert_told(&stage, Some("base_differs"));
    assert_fetched(&stage, &[PATCH, ("/patch", Some("bytes=100-")), FILE]);
}

/// Each row: what is offered, what comes, and what is told.
#[tokio::test]
async fn a_patch_that_is_not_what_was_promised_leads_to_the_whole_file() {
    let good = &release().patch;
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    let longer = [good.as_slice(), b"more"].concat();
    let garbage = noise(9, 5_000);
    let other = version(3);
    let to_other = patch(&release().base, &other);
    let from_other = patch(&other, &release().apk);
    let cut = good[..good.len() - 1].to_vec();
    for (offered, comes, outcome) in [
        (good, &flipped, "damaged"),
        (good, &longer, "damaged"),
        (&garbage, &garbage, "damaged"),
        (&flipped, &flipped, "damaged"),
        (&cut, &cut, "damaged"),
        (&to_other, &to_other, "apply_failed"),
        (&from_other, &from_other, "apply_failed"),
    ] {
        let stage = stage_with(offered);
        stage.script().patch.clone_from(comes);
        let phone = phone();
        let mut agent = agent(&stage, &phone);
        settle(&mut agent).await;
        let context = format!("{} bytes, {outcome}", comes.len());
        assert_eq!(phone.facts().installations, [2], "{context}");
        assert_installed(&phone);
        assert_told(&stage, Some(outcome));
        assert_fetched(&stage, &[PATCH, FILE]);
    }
}

/// Where it ends can't be told from a connection that broke, until the server says how long it is.
#[tokio::test]
async fn a_patch_that_is_shorter_than_was_promised_leads_to_the_whole_file() {
    let stage = stage_with(&release().patch);
    let short = release().patch.len() - 1;
    stage.script().patch.truncate(short);
    let phone = phone();
    let mut agent = agent(&stage, &phone);
    settle(&mut agent).await;
    later(&mut agent).await;
    assert_installed(&phone);
    assert_told(&stage, Some("damaged"));
    assert_fetched(
        &stage,
        &[PATCH, ("/patch", Some(&format!("bytes={short}-"))), FILE],
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The manifest vouches for the damaged patch: only what is in it can tell.
    #[test]
    fn a_damaged_patch_never_leads_to_another_file(at in 0..release().patch.len(), flip in 1_u8..) {
        let mut damaged = release().patch.clone();
        damaged[at] ^= flip;
        let stage = stage_with(&damaged);
        let phone = phone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { settle(&mut agent(&stage, &phone)).await });
        assert_installed(&phone);
        let told = crate::patched::told(&stage);
        let outcome = told.last().unwrap().1.clone().unwrap();
        // A compressed stream has bits that mean nothing; what came of it is the exact file then.
        let known = ["damaged", "apply_failed", "base_differs", "applied"];
        prop_assert!(known.contains(&outcome.as_str()), "{}", outcome);
    }
}

/// The storage rule counts patch, scratch file and result before anything is fetched.
#[tokio::test]
async fn a_phone_without_room_for_the_scratch_file_takes_the_whole_file() {
    let mut base = release().base.clone();
    // An entry that says of itself that it has 600 MB.
    let name = b"assets/text";
    let places: Vec<usize> = (0..base.len() - name.len())
        .filter(|at| base[*at..].starts_with(name))
        .collect();
    let [local, central] = places[..] else {
        panic!("{places:?}")
    };
    for at in [local - 30 + 22, central - 46 + 24] {
        base[at..at + 4].copy_from_slice(&600_000_000_u32.to_le_bytes());
    }
    for (free, outcome, fetched) in [
        (590_000_000, "no_space", FILE),
        // The patch is one from another file, which only shows when it is here.
        (700_000_000, "apply_failed", PATCH),
    ] {
        let stage = stage_with(&release().patch);
        offer(&stage, offer_of(&release().patch, &base));
        let phone = phone();
        phone.facts().apk = Some(StoredFile::AgentState(Arc::new(base.clone())));
        phone.facts().free = free;
        settle(&mut agent(&stage, &phone)).await;
        assert_installed(&phone);
        assert_told(&stage, Some(outcome));
        let first = crate::patched::fetched(&stage).remove(0);
        assert_eq!((first.0.as_str(), first.1.as_deref()), fetched);
    }
}

/// No room for either: it waits, and tries the patch when there is room.
#[tokio::test]
async fn a_full_phone_waits_and_then_takes_the_patch() {
    let stage = stage_with(&release().patch);
    let phone = phone();
    phone.facts().free = 400_000_000;
    let mut agent = agent(&stage, &phone);
    settle(&mut agent).await;
    assert_eq!(agent.phase(), Phase::Waiting(DeferReason::StorageLow));
    assert_fetched(&stage, &[]);
    phone.facts().free = 8_000_000_000;
    later(&mut agent).await;
    assert_installed(&phone);
    assert_fetched(&stage, &[PATCH]);
}

#[tokio::test]
async fn a_patch_waits_for_wi_fi_as_a_file_does() {
    let stage = stage_with(&release().patch);
    stage.script().offer.as_mut().unwrap()["wifi_only"] = json!(true);
    let phone = phone();
    phone.facts().network = Network::Mobile;
    let mut agent = agent(&stage, &phone);
    settle(&mut agent).await;
    assert_eq!(agent.phase(), Phase::Waiting(DeferReason::WifiRequired));
    assert_fetched(&stage, &[]);
    phone.facts().network = Network::Wifi;
    later(&mut agent).await;
    assert_installed(&phone);
    assert_fetched(&stage, &[PATCH]);
}

#[tokio::test]
async fn a_patch_that_was_cut_is_resumed_where_it_was_cut() {
    let stage = stage_with(&release().patch);
    let half = release().patch.len() / 2;
    stage.script().patch_tricks.push_back(Trick::Cut(half));
    let phone = phone();
    let mut agent = agent(&stage, &phone);
    settle(&mut agent).await;
    later(&mut agent).await;
    assert_installed(&phone);
    assert_told(&stage, Some("applied"));
    assert_fetched(&stage, &[PATCH, ("/patch", Some(&format!("bytes={half}-")))]);
}

#[tokio::test]
async fn a_patch_that_cannot_be_fetched_is_given_up_and_not_tried_again() {
    let refused = || Trick::Answer(Reply::status(404));
    let broken = || Trick::Answer(Reply::status(500));
    for (tricks, tries) in [(vec![refused(), refused()], 2), (vec![broken(); 6], 6)] {
        let stage = stage_with(&release().patch);
        stage.script().patch_tricks.extend(tricks);
        let phone = phone();
        let mut agent = agent(&stage, &phone);
        for _ in 0..tries {
            later(&mut agent).await;
        }
        assert_installed(&phone);
        assert_told(&stage, Some("download_failed"));
        let mut expected = vec![PATCH; tries];
        expected.push(FILE);
        assert_fetched(&stage, &expected);
    }
}

/// Each row is something under `patch` that is none for this agent; the file beside it is good.
#[tokio::test]
async fn what_is_no_usable_patch_is_ignored() {
    let edited = |field: &str, value: serde_json::Value| {
        let mut offer = offer_of(&release().patch, &release().base);
        offer[field] = value;
        offer
    };
    let long = format!("https://stage/patch?{}", "x".repeat(5_000));
    for patch in [
        edited("format", json!("tgp2")),
        edited("size", json!(release().apk.len() + 1)),
        edited("size", json!(0)),
        edited("size", json!("many")),
        edited("url", json!(long)),
        edited("url", json!("http://elsewhere/patch")),
        edited("sha256", json!("none")),
        edited("sha256", json!(sha256(&release().apk).to_string())),
        json!({ "format": "tgp9", "of": "tomorrow" }),
        json!(7),
        json!(null),
    ] {
        let stage = stage_with(&release().patch);
        offer(&stage, patch.clone());
        let phone = phone();
        settle(&mut agent(&stage, &phone)).await;
        assert_eq!(phone.facts().installations, [2], "{patch}");
        assert_installed(&phone);
        assert_told(&stage, None);
        assert_fetched(&stage, &[FILE]);
    }
}

/// A file of which less is missing than a patch has is fetched to its end.
#[tokio::test]
async fn what_is_here_of_the_file_counts() {
    for (cut, then) in [
        (
            release().apk.len() - 1_000,
            ("/file", Some(release().apk.len() - 1_000)),
        ),
        (1_000, ("/patch", None)),
    ] {
        let stage = stage_with(&release().patch);
        offer(&stage, json!(null));
        stage.script().tricks.push_back(Trick::Cut(cut));
        let phone = phone();
        let mut agent = agent(&stage, &phone);
        settle(&mut agent).await;
        offer(&stage, offer_of(&release().patch, &release().base));
        let mut agent = agent_of(&stage, &phone, agent.into_store());
        settle(&mut agent).await;
        later(&mut agent).await;
        assert_installed(&phone);
        let range = then.1.map(|from| format!("bytes={from}-"));
        assert_fetched(&stage, &[FILE, (then.0, range.as_deref())]);
    }
}

/// Once for each build and attempt, over restarts too. An operator's retry is a new attempt.
#[tokio::test]
async fn a_patch_that_failed_is_tried_again_with_the_next_attempt_only() {
    let stage = stage_with(&release().patch);
    stage.script().patch = noise(1, release().patch.len());
    let phone = phone();
    let mut agent = agent(&stage, &phone);
    stage.script().tricks.push_back(Trick::Cut(10));
    settle(&mut agent).await;
    assert_fetched(&stage, &[PATCH, FILE]);
    stage.script().patch.clone_from(&release().patch);

    let mut agent = agent_of(&stage, &phone, agent.into_store());
    stage.script().tricks.push_back(Trick::Cut(10));
    settle(&mut agent).await;
    assert_fetched(&stage, &[PATCH, FILE, ("/file", Some("bytes=10-"))]);

    stage.script().offer.as_mut().unwrap()["attempt"] = json!(2);
    let mut agent = agent_of(&stage, &phone, agent.into_store());
    settle(&mut agent).await;
    assert_installed(&phone);
    assert_told(&stage, Some("applied"));
}

/// A server of the last version offers no patch, and would refuse what is said of one.
#[tokio::test]
async fn a_server_that_never_offered_a_patch_hears_of_none() {
    let stage = Stage::offering(&release().apk);
    offer(&stage, json!(null));
    let refusal = Reply::json(
        400,
        &json!({ "code": "invalid", "detail": "unknown field `patch`" }),
    );
    stage.script().refuses_patches = Some(refusal);
    let phone = phone();
    settle(&mut agent(&stage, &phone)).await;
    assert_installed(&phone);
    assert_told(&stage, None);

    let stage = Stage::offering(&release().apk);
    let phone = crate::patched::phone();
    let store = MemoryStore::default();
    let credentials = crate::stage::credentials();
    let mut agent = open(
        &phone,
        "https://stage",
        "phone-1",
        &credentials,
        Arc::clone(&stage),
        store,
    );
    settle(&mut agent).await;
    later(&mut agent).await;
    assert!(stage.script().polls.iter().all(|poll| !poll.contains("patches")));
}

/// It was set back to the last version after it had offered the patch: no report is lost, and the offer is told all the same.
#[tokio::test]
async fn a_server_that_was_set_back_gets_the_reports_without_the_patch() {
    let stage = stage_with(&release().patch);
    let refusal = Reply::json(
        400,
        &json!({ "code": "invalid", "detail": "unknown field `patch`" }),
    );
    stage.script().refuses_patches = Some(refusal);
    let phone = phone();
    let mut agent = agent(&stage, &phone);
    settle(&mut agent).await;
    assert_installed(&phone);
    assert_eq!(agent.unacknowledged(), 0);
    let script = stage.script();
    let with = script
        .reports
        .iter()
        .filter(|report| report.get("patch").is_some());
    assert_eq!(with.count(), 1);
    let taken: Vec<_> = script
        .reports
        .iter()
        .filter(|report| report.get("patch").is_none())
        .collect();
    let statuses: Vec<_> = taken.iter().map(|report| &report["status"]).collect();
    assert_eq!(statuses, ["downloaded", "install_success"]);
    assert!(taken.iter().all(|report| report["offer"] == "an-opaque-offer"));
}

/// A half-written result of a process that was killed is no file.
#[tokio::test]
async fn what_a_killed_agent_left_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["update.result", "update.scratch"] {
        std::fs::write(folder.path().join(name), b"half").unwrap();
    }
    let stage = stage_with(&release().patch);
    let store = FolderStore::open(folder.path()).unwrap();
    let phone = phone();
    let mut agent = agent_of(&stage, &phone, store);
    for name in ["update.result", "update.scratch"] {
        assert!(!folder.path().join(name).exists(), "{name}");
    }
    settle(&mut agent).await;
    assert_installed(&phone);
}

/// The state's own word on what is whole: made and synced, the power went before it was in its place.
#[tokio::test]
async fn a_result_that_was_noted_is_adopted_after_a_loss_of_power() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = FolderStore::open(folder.path()).unwrap();
    store.append(b"the patch").unwrap();
    store.sync().unwrap();
    std::fs::write(folder.path().join("update.result"), b"the file").unwrap();
    std::fs::write(folder.path().join("update.scratch"), b"scratch").unwrap();
    store.adopt_result().unwrap();
    store.adopt_result().unwrap();
    assert_eq!(
        std::fs::read(folder.path().join("update.apk")).unwrap(),
        b"the file"
    );
    store.append(b", and more").unwrap();
    assert_eq!(store.file_len().unwrap(), 18);
    assert!(!folder.path().join("update.scratch").exists());
}
