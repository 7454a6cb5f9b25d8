//! Patches: made of what the fleet runs, offered, fetched, told of, and dropped.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tidegate_delta::{Limits, Patch as Open, unwatched};
use tidegate_domain::{
    Audience, Build, BuildId, DeviceFacts, PatchOutcome, PatchReach, PatchState, Percent, Plan, PlanStep,
    PolicySpec, PolicySubject, PolicyTerms, Promotion, ReportStatus, RolloutId, Span,
};
use tidegate_service::{
    BlobFault, BuildEdit, Clock, Fleet, Kind, NewReport, PatchMaker, PatchOffer, PatchSettings, Poll,
    PollAnswer,
};
use tidegate_storage::{Actor, PatchEnd};
use tidegate_testkit::apks::{self, PACKAGE};
use tokio_util::sync::CancellationToken;

use crate::instance::{Instance, id, operator, package, refusal, to, version};
use crate::offers::query_of;

/// An app of which most stays from version to version.
fn app(code: i64) -> Vec<u8> {
    let words: String = (0..3000)
        .map(|line| format!("line {} of it\n", line * 7919 % 3001))
        .collect();
    let apk = apks::release(PACKAGE, code)
        .padding(40_000)
        .file("assets/words.txt", words);
    apks::sign(apk.file("classes.dex", format!("the code of version {code}")))
}

/// An app that has nothing in common with its other versions.
fn all_new(code: i64) -> Vec<u8> {
    let mut seed = code.unsigned_abs().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let noise: Vec<u8> = (0..100_000)
        .map(|_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 56) as u8
        })
        .collect();
    apks::sign(apks::release(PACKAGE, code).stored_file("assets/noise.bin", noise))
}

/// Builds of these versions, the last of which is out to everybody, and how many devices run each.
async fn fleet(instance: &Instance, files: Vec<Vec<u8>>, running: &[(i64, usize)]) -> Vec<Build> {
    let mut builds = Vec::new();
    for file in files {
        builds.push(instance.upload(file).await.unwrap());
    }
    let newest = builds.last().unwrap().id;
    instance.promote(newest, to(100)).await;
    for (code, devices) in running {
        for number in 0..*devices {
            let name = format!("runs-{code}-{number}");
            instance.enrol(&name).await;
            offer(instance, &name, *code, false);
        }
    }
    instance.activity.flush(&instance.store).await.unwrap();
    builds
}

/// Somebody who makes patches, and has looked at the fleet.
async fn maker(instance: &Instance, settings: PatchSettings) -> PatchMaker {
    let fleet = Fleet::new(
        instance.store.clone(),
        Arc::clone(&instance.clock) as Arc<dyn Clock>,
    );
    fleet.count().await.unwrap();
    unsure(instance, fleet, settings)
}

fn unsure(instance: &Instance, fleet: Fleet, settings: PatchSettings) -> PatchMaker {
    PatchMaker::new(
        instance.store.clone(),
        instance.artifacts(),
        Arc::clone(&instance.snapshots),
        Arc::new(fleet),
        Arc::clone(&instance.counters),
        settings,
    )
}

/// Makes all that there is to make, and says how many were begun.
async fn make_all(instance: &Instance, settings: PatchSettings) -> usize {
    let (mut maker, stop) = (maker(instance, settings).await, CancellationToken::new());
    let mut made = 0;
    while maker.look(&stop).await.unwrap() {
        made += 1;
    }
    maker.leave().await;
    made
}

async fn states(instance: &Instance) -> Vec<(i64, PatchState)> {
    let patches = instance.store.patches().await.unwrap();
    patches
        .iter()
        .map(|patch| (patch.from_version.get(), patch.state))
        .collect()
}

type Offered = (BuildId, RolloutId, String, Option<Box<PatchOffer>>);

/// What a device is offered that polls with patches, or without.
fn offer(instance: &Instance, device: &str, installed: i64, takes_patches: bool) -> Option<Offered> {
    let poll = Poll {
        device_id: device,
        package: PACKAGE,
        installed: version(installed),
        facts: DeviceFacts::default(),
        crashes: None,
        fetched: None,
        takes_patches,
        at: instance.polls.now(),
    };
    instance.polls.answer(&poll, |answer, _| match answer {
        PollAnswer::Update {
            offer, proof, patch, ..
        } => Some((offer.build.id, offer.rollout.id, proof, patch)),
        _ => None,
    })
}

fn patch_for(instance: &Instance, device: &str, installed: i64) -> Option<Box<PatchOffer>> {
    offer(instance, device, installed, true)?.3
}

fn applied(base: &[u8], patch: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("base"), base).unwrap();
    std::fs::write(path("patch"), patch).unwrap();
    let patch = Open::open(File::open(path("patch")).unwrap(), Limits::default()).unwrap();
    let mut scratch = tempfile::tempfile().unwrap();
    let mut result = Vec::new();
    let base = File::open(path("base")).unwrap();
    patch
        .apply(&base, &mut scratch, &mut result, &mut unwatched)
        .unwrap();
    result
}

#[tokio::test]
async fn a_device_gets_the_patch_from_what_it_runs() {
    let instance = Instance::start().await;
    let files = vec![app(1), app(2), app(3)];
    let builds = fleet(&instance, files.clone(), &[(1, 1), (2, 3), (7, 1)]).await;
    assert_eq!(make_all(&instance, PatchSettings::default()).await, 2);
    assert_eq!(
        states(&instance).await,
        [(2, PatchState::Made), (1, PatchState::Made)]
    );
    assert_eq!(instance.counters.patches_made().0, 2);

    let (build, rollout, proof, patch) = offer(&instance, "runs-2-0", 2, true).unwrap();
    let patch = patch.unwrap();
    assert_eq!((build, patch.from_version), (builds[2].id, version(2)));
    assert_eq!(patch.from_sha256, builds[1].facts.sha256);
    assert!(
        patch.size * 100 < builds[2].facts.size * 60,
        "{} bytes",
        patch.size
    );
    let (from_one, from_two) = (patch_for(&instance, "runs-1-0", 1), Some(patch.clone()));
    assert_ne!(from_one.unwrap().sha256, patch.sha256);
    assert_eq!(patch_for(&instance, "runs-2-0", 2), from_two);
    for (device, installed) in [("runs-7-0", 2_000), ("runs-1-0", 0)] {
        assert_eq!(patch_for(&instance, device, installed), None, "{installed}");
    }
    assert_eq!(
        offer(&instance, "runs-2-0", 2, false).unwrap().3,
        None,
        "it did not ask"
    );

    let between = (builds[2].id, builds[1].id);
    let query = query_of(&patch.url);
    let download = instance
        .downloads
        .authorize_patch(between, &query, None)
        .await
        .unwrap();
    assert_eq!((download.size(), download.sha256()), (patch.size, patch.sha256));
    let chunks = instance.downloads.open(&download, 0..patch.size).await.unwrap();
    let chunks: Vec<_> = chunks.collect().await;
    let bytes: Vec<u8> = chunks.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(applied(&files[1], &bytes), files[2]);

    let report = |status| NewReport {
        build,
        status,
        reason: None,
        android_status: None,
        message: None,
        attempt: Some(1),
        request_id: None,
        rollout: Some(rollout),
        offer: Some(proof.clone()),
        patch: Some(PatchOutcome::Applied),
    };
    for status in [ReportStatus::Downloaded, ReportStatus::InstallSuccess] {
        instance
            .reports
            .submit(id("runs-2-0"), report(status))
            .await
            .unwrap();
    }
    let saved = builds[2].facts.size - patch.size;
    assert_eq!(instance.counters.patch_saved_bytes(), saved);
    let stats = &instance.store.patch_stats(build).await.unwrap()[0];
    assert_eq!((stats.saved_bytes, stats.full), (saved, 0));
    assert_eq!(stats.count(PatchOutcome::Applied), 1);
}

#[tokio::test]
async fn a_patchs_url_opens_nothing_else() {
    let instance = Instance::start().await;
    let builds = fleet(&instance, vec![app(1), app(2), app(3)], &[(1, 1), (2, 1)]).await;
    make_all(&instance, PatchSettings::default()).await;
    let patch = patch_for(&instance, "runs-2-0", 2).unwrap();
    let (one, two, three) = (builds[0].id, builds[1].id, builds[2].id);
    let query = query_of(&patch.url);
    let downloads = &instance.downloads;
    for between in [(three, one), (two, three), (three, three)] {
        let refused = refusal(downloads.authorize_patch(between, &query, None).await);
        assert_eq!(refused, (Kind::Forbidden, "url_refused"), "{between:?}");
    }
    let refused = refusal(downloads.authorize(three, &query, None).await);
    assert_eq!(refused, (Kind::Forbidden, "url_refused"), "the whole file");
    let mut others = query.clone();
    others.device_id = "runs-1-0".to_owned();
    let refused = refusal(downloads.authorize_patch((three, two), &others, None).await);
    assert_eq!(refused, (Kind::Forbidden, "url_refused"), "another device");
    let whole = instance.poll("runs-2-0", 2).unwrap().query;
    let refused = refusal(downloads.authorize_patch((three, two), &whole, None).await);
    assert_eq!(refused, (Kind::Forbidden, "url_refused"), "the file's own URL");
    downloads
        .authorize_patch((three, two), &query, None)
        .await
        .unwrap();
    instance.clock.advance(chrono::TimeDelta::hours(2));
    let late = refusal(downloads.authorize_patch((three, two), &query, None).await);
    assert_eq!(late, (Kind::Forbidden, "url_expired"));
}

#[tokio::test]
async fn what_is_not_worth_its_trouble_is_remembered_and_not_offered() {
    let instance = Instance::start().await;
    fleet(&instance, vec![all_new(1), all_new(2)], &[(1, 2)]).await;
    let before = instance.files();
    assert_eq!(make_all(&instance, PatchSettings::default()).await, 1);
    assert_eq!(states(&instance).await, [(1, PatchState::TooLarge)]);
    let size = instance.store.patches().await.unwrap()[0].size.unwrap();
    assert!(size > 90_000, "the real size is told: {size}");
    assert_eq!(instance.files(), before, "nothing is kept of it");
    assert_eq!(patch_for(&instance, "runs-1-0", 1), None);
    assert_eq!(
        make_all(&instance, PatchSettings::default()).await,
        0,
        "once is enough"
    );
}

#[tokio::test]
async fn a_failure_is_told_and_blocks_no_other() {
    let instance = Instance::start().await;
    let builds = fleet(&instance, vec![app(1), app(2), app(3)], &[(1, 1), (2, 5)]).await;
    instance
        .artifacts()
        .remove(&builds[1].facts.sha256.0)
        .await
        .unwrap();
    assert_eq!(make_all(&instance, PatchSettings::default()).await, 2);
    let patches = instance.store.patches().await.unwrap();
    assert_eq!(
        states(&instance).await,
        [(2, PatchState::Failed), (1, PatchState::Made)]
    );
    assert!(patches[0].reason.is_some() && patches[0].attempts == 1);
    assert_eq!(
        make_all(&instance, PatchSettings::default()).await,
        0,
        "not at once"
    );
}

#[tokio::test]
async fn too_little_memory_is_no_case_for_another_try() {
    let instance = Instance::start().await;
    fleet(&instance, vec![app(1), app(2)], &[(1, 1)]).await;
    let little = PatchSettings {
        memory: 1000,
        ..PatchSettings::default()
    };
    assert_eq!(make_all(&instance, little).await, 1);
    let patches = instance.store.patches().await.unwrap();
    let reason = patches[0].reason.as_deref().unwrap();
    assert!(reason.contains("memory"), "{reason}");
    assert_eq!(patches[0].state, PatchState::Failed);
    assert_eq!(instance.store.patches_wait().await, Ok(false));
}

#[tokio::test]
async fn before_the_fleet_was_counted_nothing_is_planned() {
    let instance = Instance::start().await;
    fleet(&instance, vec![app(1), app(2)], &[(1, 1)]).await;
    make_all(&instance, PatchSettings::default()).await;
    let clock = Arc::clone(&instance.clock) as Arc<dyn Clock>;
    let at_once = PatchSettings {
        grace: Duration::ZERO,
        ..PatchSettings::default()
    };
    let mut new = unsure(&instance, Fleet::new(instance.store.clone(), clock), at_once);
    assert!(!new.look(&CancellationToken::new()).await.unwrap());
    assert_eq!(
        states(&instance).await,
        [(1, PatchState::Made)],
        "it is not taken for a fleet that is gone"
    );
}

#[tokio::test]
async fn what_nobody_has_a_use_for_goes_with_its_file() {
    let instance = Instance::start().await;
    let builds = fleet(&instance, vec![app(1), app(2)], &[(1, 1)]).await;
    let before = instance.files();
    let settings = PatchSettings {
        grace: Duration::ZERO,
        ..PatchSettings::default()
    };
    make_all(&instance, settings).await;
    assert_eq!(instance.files(), before + 1);
    let patch = patch_for(&instance, "runs-1-0", 1).unwrap();
    let findings = instance.blob_check().run(true).await.unwrap();
    assert_eq!(
        (findings.patches, findings.faulty_patches, findings.spare),
        (1, 0, 0)
    );

    let third = instance.upload(all_new(3)).await.unwrap();
    instance.promote(third.id, to(100)).await;
    make_all(&instance, PatchSettings::default()).await;
    assert_eq!(states(&instance).await.len(), 2, "a download may be under way");
    make_all(&instance, settings).await;
    assert_eq!(states(&instance).await, [(1, PatchState::TooLarge)]);
    assert_eq!(instance.files(), before + 1, "the new build's, and no patch's");
    let between = (builds[1].id, builds[0].id);
    let gone = instance
        .downloads
        .authorize_patch(between, &query_of(&patch.url), None)
        .await;
    assert_eq!(refusal(gone), (Kind::NotFound, "no_patch"));
}

#[tokio::test]
async fn a_patch_whose_file_is_gone_is_made_anew() {
    let instance = Instance::start().await;
    let builds = fleet(&instance, vec![app(1), app(2)], &[(1, 1)]).await;
    make_all(&instance, PatchSettings::default()).await;
    let patch = patch_for(&instance, "runs-1-0", 1).unwrap();
    instance.artifacts().remove(&patch.sha256.0).await.unwrap();
    let between = (builds[1].id, builds[0].id);
    let findings = instance.blob_check().run(false).await.unwrap();
    assert_eq!(findings.patch_faults, [(between, BlobFault::Missing)]);
    assert_eq!(findings.faulty, 0);
    let query = query_of(&patch.url);
    let download = instance
        .downloads
        .authorize_patch(between, &query, None)
        .await
        .unwrap();
    let gone = instance.downloads.open(&download, 0..patch.size).await;
    assert_eq!(refusal(gone), (Kind::NotFound, "no_patch"));
    assert_eq!(patch_for(&instance, "runs-1-0", 1), None, "it is offered no more");
    assert_eq!(make_all(&instance, PatchSettings::default()).await, 1);
    assert_eq!(patch_for(&instance, "runs-1-0", 1), Some(patch), "the very same");
}

#[tokio::test]
async fn a_patch_whose_file_was_cut_is_made_anew() {
    let instance = Instance::start().await;
    let builds = fleet(&instance, vec![app(1), app(2)], &[(1, 1)]).await;
    make_all(&instance, PatchSettings::default()).await;
    let patch = patch_for(&instance, "runs-1-0", 1).unwrap();
    cut(&instance, patch.size);
    let between = (builds[1].id, builds[0].id);
    let query = query_of(&patch.url);
    let authorized = instance.downloads.authorize_patch(between, &query, None);
    let download = authorized.await.unwrap();
    let beyond = instance.downloads.open(&download, 0..patch.size + 1).await;
    assert!(beyond.is_err());
    assert!(
        patch_for(&instance, "runs-1-0", 1).is_some(),
        "that proves nothing"
    );
    let gone = instance.downloads.open(&download, 0..patch.size).await;
    assert_eq!(refusal(gone), (Kind::NotFound, "no_patch"));
    assert_eq!(patch_for(&instance, "runs-1-0", 1), None, "it is offered no more");
    let told = instance.store.patches_of(builds[1].id).await.unwrap();
    let of_the_lost = (told[0].size, told[0].made_at, told[0].took);
    assert_eq!(
        (told[0].state, of_the_lost),
        (PatchState::Wanted, (None, None, None))
    );
    assert_eq!(make_all(&instance, PatchSettings::default()).await, 1);
    assert_eq!(patch_for(&instance, "runs-1-0", 1), Some(patch.clone()));
    let whole = instance.downloads.open(&download, 0..patch.size).await.unwrap();
    let sent: Vec<_> = whole.collect().await;
    let sent: usize = sent.into_iter().map(|bytes| bytes.unwrap().len()).sum();
    assert_eq!(sent as u64, patch.size, "and lies there as a whole");
}

/// Takes the last byte of the only file of this size.
fn cut(instance: &Instance, size: u64) {
    let mut folders = vec![instance.path("")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.metadata().unwrap().len() == size {
                let file = File::options().write(true).open(path).unwrap();
                return file.set_len(size - 1).unwrap();
            }
        }
    }
    panic!("there is no such file");
}

#[tokio::test]
async fn only_devices_that_a_rollout_can_reach_are_counted() {
    let instance = Instance::start().await;
    let builds = fleet(&instance, vec![app(1), app(2), app(3)], &[(1, 1), (2, 3)]).await;
    let few = PatchSettings {
        per_build: 1,
        ..PatchSettings::default()
    };
    let mut narrow = to(100);
    narrow.settings.audience = Audience::parse("version == 1").unwrap();
    instance.promote(builds[2].id, narrow).await;
    assert_eq!(make_all(&instance, few).await, 1);
    assert_eq!(states(&instance).await, [(1, PatchState::Made)], "most run 2");

    // One of the three is too old for it, and the others may not go beyond 2.
    instance.promote(builds[2].id, to(100)).await;
    let everybody = instance.store.patch_reach(&package(), 100).await.unwrap();
    let counted = |reach: &PatchReach| reach.get(&builds[2].id).cloned().unwrap_or_default();
    assert_eq!(counted(&everybody), [(version(1), 1), (version(2), 3)].into());
    let sample = instance.store.patch_reach(&package(), 1).await.unwrap();
    let seen: u64 = counted(&sample).values().sum();
    assert_eq!(seen, 4, "one of four counts for four");
    let old = Poll {
        facts: DeviceFacts {
            sdk: Some(1),
            ..DeviceFacts::default()
        },
        device_id: "runs-2-0",
        package: PACKAGE,
        installed: version(2),
        crashes: None,
        fetched: None,
        takes_patches: false,
        at: instance.polls.now(),
    };
    instance.polls.answer(&old, |_, _| ());
    instance.activity.flush(&instance.store).await.unwrap();
    let ceiling = |name: &str| PolicySpec {
        subject: PolicySubject::Device(id(name)),
        package: None,
        terms: PolicyTerms {
            max_version: Some(version(2)),
            hold: None,
        },
        remark: "3 breaks the printers".to_owned(),
    };
    let by = Actor {
        subject: "olga".to_owned(),
        role: "operator".to_owned(),
        request_id: None,
        now: instance.clock.now(),
    };
    instance
        .store
        .create_policy(ceiling("runs-2-1"), by)
        .await
        .unwrap();
    let left = instance.store.patch_reach(&package(), 100).await.unwrap();
    assert_eq!(counted(&left), [(version(1), 1), (version(2), 1)].into());
}

#[tokio::test]
async fn a_lost_makers_patch_is_made_by_another() {
    let instance = Instance::start().await;
    let builds = fleet(&instance, vec![app(1), app(2)], &[(1, 1)]).await;
    let (mut first, stop) = (
        maker(&instance, PatchSettings::default()).await,
        CancellationToken::new(),
    );
    stop.cancel();
    assert!(first.look(&stop).await.unwrap());
    first.leave().await;
    assert_eq!(
        states(&instance).await,
        [(1, PatchState::Wanted)],
        "a server that stops leaves it to others"
    );

    let lasts = Duration::from_millis(1500);
    let lost = instance.store.claim_patch("lost", lasts).await.unwrap().unwrap();
    assert_eq!(
        make_all(&instance, PatchSettings::default()).await,
        0,
        "it is another's"
    );
    tokio::time::sleep(lasts).await;
    assert_eq!(make_all(&instance, PatchSettings::default()).await, 1);
    assert_eq!(states(&instance).await, [(1, PatchState::Made)]);
    assert_eq!(instance.store.patches().await.unwrap()[0].attempts, 2);
    let between = (builds[1].id, builds[0].id);
    assert_eq!((lost.build.id, lost.base.id), between);
    let late = instance
        .store
        .end_patch(between.0, between.1, "lost", PatchEnd::GivenBack)
        .await;
    assert_eq!(late, Ok(false));
}

#[tokio::test]
async fn two_makers_make_each_patch_once() {
    let instance = Instance::start().await;
    fleet(
        &instance,
        vec![app(1), app(2), app(3), app(4)],
        &[(1, 2), (2, 3), (3, 4)],
    )
    .await;
    let other = instance.beside().await;
    let settings = PatchSettings::default();
    let (here, there) = tokio::join!(make_all(&instance, settings), make_all(&other, settings));
    // Who comes while the last one is made by the other finds nothing to do.
    assert_eq!(here + there, 3, "{here} and {there}");
    let patches = instance.store.patches().await.unwrap();
    assert!(
        patches
            .iter()
            .all(|patch| patch.attempts == 1 && patch.state == PatchState::Made)
    );
    other.snapshots.catch_up().await.unwrap();
    for code in 1..=3 {
        assert!(patch_for(&other, &format!("runs-{code}-0"), code).is_some());
    }
}

#[tokio::test]
async fn there_are_no_more_than_settings_allow() {
    let instance = Instance::start().await;
    fleet(&instance, vec![app(1), app(2), app(3)], &[(1, 2), (2, 3)]).await;
    let none = PatchSettings {
        per_build: 0,
        ..PatchSettings::default()
    };
    assert_eq!(make_all(&instance, none).await, 0);
    let one = PatchSettings { per_build: 1, ..none };
    assert_eq!(make_all(&instance, one).await, 1);
    assert_eq!(
        states(&instance).await,
        [(2, PatchState::Made)],
        "the one that most can take"
    );
    let no_room = PatchSettings {
        storage: 1,
        ..PatchSettings::default()
    };
    assert_eq!(make_all(&instance, no_room).await, 0);
}

#[tokio::test]
async fn a_device_below_a_barrier_is_counted_for_the_barriers_build() {
    let instance = Instance::start().await;
    let builds = fleet(&instance, vec![app(1), app(2), app(3)], &[(1, 2), (2, 1)]).await;
    let barrier = BuildEdit {
        barrier: Some(true),
        ..BuildEdit::default()
    };
    let edited = instance.builds.edit(operator(), builds[1].id, barrier).await;
    edited.map(drop).unwrap();
    assert_eq!(make_all(&instance, PatchSettings::default()).await, 2);
    let patches = instance.store.patches().await.unwrap();
    let between: Vec<_> = patches.iter().map(|patch| (patch.base, patch.build)).collect();
    assert_eq!(
        between,
        [(builds[1].id, builds[2].id), (builds[0].id, builds[1].id)]
    );
    let (build, .., patch) = offer(&instance, "runs-1-0", 1, true).unwrap();
    assert_eq!(build, builds[1].id);
    assert_eq!(patch.unwrap().from_sha256, builds[0].facts.sha256);
}

#[tokio::test]
async fn a_release_that_waits_has_its_patches_before_it_begins() {
    let instance = Instance::start().await;
    let builds = fleet(&instance, vec![app(1), app(2)], &[(1, 2)]).await;
    let third = instance.upload(app(3)).await.unwrap();
    let step = PlanStep {
        not_before: Some(instance.clock.now() + chrono::TimeDelta::days(1)),
        ..PlanStep::to(Percent::new(100).unwrap(), Span::NONE)
    };
    let plan = Plan::new(vec![step]).unwrap();
    let planned = Promotion {
        plan: Some(plan),
        ..to(100)
    };
    instance.promote(third.id, planned).await;
    make_all(&instance, PatchSettings::default()).await;
    let patches = instance.store.patches_of(third.id).await.unwrap();
    assert_eq!(patches[0].state, PatchState::Made);
    assert_eq!(patches[0].base, builds[0].id);
}
