//! Test data, with all that a story does not care about filled in.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{
    Audience, Build, BuildFacts, BuildId, By, DeviceFacts, DeviceId, NudgeOrder, PackageName, Percent,
    Promotion, Provenance, Reason, Report, ReportStatus, RolloutId, RolloutSettings, Sha256,
    SignerFingerprint, Signers, VersionCode,
};
use tidegate_storage::{
    Activity, Actor, Campaign, EnrollCredential, Enrollment, Fetched, NewCampaign, NewDownload,
    NewEnrollToken, NewReport, Page, Paged, Seen, Standing, Store, TrackChange,
};

pub(crate) const APP: &str = "com.example.app";
pub(crate) const TOKEN: [u8; 32] = [7; 32];

/// A whole second after a fixed time at the beginning of an hour.
pub(crate) fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::seconds(second)
}

pub(crate) fn package(name: &str) -> PackageName {
    PackageName::parse(name).unwrap()
}

pub(crate) fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

pub(crate) fn version(code: i64) -> VersionCode {
    VersionCode::new(code).unwrap()
}

pub(crate) fn signers(byte: u8) -> Signers {
    Signers::one(SignerFingerprint([byte; 32]))
}

pub(crate) fn actor(subject: &str) -> Actor {
    Actor {
        subject: subject.into(),
        role: "operator".into(),
        request_id: Some("request-1".into()),
        now: at(0),
    }
}

pub(crate) fn facts(name: &str, code: i64) -> BuildFacts {
    let mut sha256 = [0; 32];
    sha256[..8].copy_from_slice(&code.to_be_bytes());
    BuildFacts {
        package: package(name),
        version_code: version(code),
        version_name: format!("{code}.0"),
        sha256: Sha256(sha256),
        size: 5_000_000_000,
        signers: signers(1),
        schemes: vec!["v2".into(), "v3".into()],
        min_sdk: 24,
        target_sdk: 35,
        abis: vec!["arm64-v8a".into()],
        debuggable: false,
        installability: None,
        lineage: vec![],
        warnings: vec![],
    }
}

pub(crate) fn provenance() -> Provenance {
    Provenance {
        notes: "Fixes the thing.".into(),
        build_type: "release".into(),
        ci_run_id: "1234".into(),
        git_sha: "abcdef".into(),
        uploaded_by: "ci".into(),
        uploaded_at: at(0),
    }
}

pub(crate) async fn upload(store: &Store, name: &str, code: i64) -> Build {
    let note = actor("ci").note("ota.upload", format!("package/{name}"));
    store
        .insert_build(facts(name, code), provenance(), None, note)
        .await
        .expect("the upload is taken")
}

/// The devices of one region.
pub(crate) fn of_region(region: &str) -> Audience {
    Audience::of_lists(vec![region.to_owned()], vec![]).unwrap()
}

pub(crate) fn promotion(percent: i64) -> Promotion {
    Promotion {
        settings: RolloutSettings::to(Percent::new(percent).unwrap()),
        keep_previous: false,
        retry_failed: false,
        auto_start: false,
        plan: None,
        gate: None,
    }
}

pub(crate) async fn promote(store: &Store, build: &Build, promotion: Promotion) -> TrackChange {
    let build = build.clone();
    store
        .change_track(
            build.facts.package.clone(),
            actor("ann"),
            move |track, attempts| {
                let by = By {
                    on_behalf_of: None,
                    actor: "ann",
                    now: at(0),
                };
                track.promote(&build, &promotion, attempts.of(build.id), by)
            },
        )
        .await
        .expect("the promotion is taken")
}

/// A build that is out to everybody, and the rollout that offers it.
pub(crate) async fn release(store: &Store, name: &str, code: i64) -> (Build, RolloutId) {
    let build = upload(store, name, code).await;
    let rollout = rollout_of(&promote(store, &build, promotion(100)).await);
    (build, rollout)
}

/// The rollout that a promotion made.
pub(crate) fn rollout_of(change: &TrackChange) -> RolloutId {
    change.inserted.first().expect("a new rollout").id
}

/// A poll for [`APP`] that is told that the device is up to date.
pub(crate) fn seen(device: &DeviceId, second: i64, installed: i64) -> Seen {
    Seen {
        device: device.clone(),
        at: at(second),
        facts: DeviceFacts::default(),
        package: package(APP),
        installed: version(installed),
        crashes: None,
        told: Standing::Refused(Reason::AlreadyCurrent),
        watch: None,
        is_member: false,
        has_file: false,
    }
}

/// A poll for [`APP`] of a device that runs version 1 and is offered a build.
pub(crate) fn offered(device: &DeviceId, second: i64, rollout: RolloutId, build: BuildId) -> Seen {
    Seen {
        told: Standing::Offered { rollout, build },
        ..seen(device, second, 1)
    }
}

/// Writes polls down.
pub(crate) async fn poll(store: &Store, seen: Vec<Seen>) {
    let batch = Activity { seen, checks: vec![] };
    store.record_activity(batch).await.expect("the polls are taken");
}

/// A report that proves which rollout offered the build.
pub(crate) fn proven(device: &DeviceId, rollout: RolloutId, report: Report, second: i64) -> NewReport {
    NewReport {
        rollout: Some(rollout),
        ..unproven(device, report, second)
    }
}

/// A report that proves nothing.
pub(crate) fn unproven(device: &DeviceId, report: Report, second: i64) -> NewReport {
    NewReport {
        device: device.clone(),
        attempt: Some(report.retry_generation),
        patch: None,
        report,
        rollout: None,
        at: at(second),
    }
}

/// A download by a URL that names this rollout.
pub(crate) fn downloaded(device: &DeviceId, build: BuildId, rollout: RolloutId, second: i64) -> NewDownload {
    NewDownload {
        device: device.clone(),
        build,
        rollout: Some(rollout),
        sent: Fetched::Whole,
        at: at(second),
    }
}

/// A token that any device may use.
pub(crate) async fn issue_token(store: &Store, hash: [u8; 32], uses: u32) {
    let token = NewEnrollToken {
        hash,
        uses,
        expires_at: at(86_400),
        allow_known: false,
        created_by: "ann".into(),
        note: "the warehouse".into(),
    };
    let note = actor("ann").note("device.enroll_token", "enroll-token");
    store
        .create_enroll_token(token, note)
        .await
        .expect("the token is issued");
}

/// Issues a token that takes known ids over.
pub(crate) async fn issue_taking(store: &Store, hash: [u8; 32], uses: u32) {
    let token = NewEnrollToken {
        hash,
        uses,
        expires_at: at(86_400),
        allow_known: true,
        created_by: "ann".into(),
        note: "repairs".into(),
    };
    let note = actor("ann").note("enrollment_token.create", "enrollment_token");
    store.create_enroll_token(token, note).await.unwrap();
}

pub(crate) fn enrollment(name: &str) -> Enrollment {
    Enrollment {
        credential: EnrollCredential::Token(TOKEN),
        device: device(name),
        key_hash: None,
        facts: DeviceFacts::default(),
        alias: None,
        fcm_token: None,
        package: None,
        erased_tags: vec![],
        now: at(0),
    }
}

/// Devices `d-0000`, `d-0001`, …
pub(crate) async fn enroll_many(store: &Store, count: usize) -> Vec<DeviceId> {
    issue_token(store, TOKEN, u32::MAX).await;
    let names: Vec<String> = (0..count).map(|n| format!("d-{n:04}")).collect();
    for name in &names {
        store.enroll(enrollment(name)).await.expect("the device enrols");
    }
    names.iter().map(|name| device(name)).collect()
}

pub(crate) fn report(build: BuildId, status: ReportStatus) -> Report {
    Report {
        build,
        status,
        reason: None,
        android_status: None,
        message: None,
        retry_generation: 1,
        request_id: None,
    }
}

/// Collects a whole list, page by page.
pub(crate) async fn all<T, F>(size: u32, mut ask: impl FnMut(Page) -> F) -> Vec<T>
where
    F: Future<Output = Result<Paged<T>, tidegate_storage::Error>>,
{
    let mut items = Vec::new();
    let mut token = None;
    loop {
        let page = ask(Page::new(Some(size), token).unwrap()).await.expect("a page");
        items.extend(page.items);
        token = page.next_page_token;
        if token.is_none() {
            return items;
        }
    }
}

/// Devices `d-0000`, `d-0001`, … that can be woken, each at the token `token-<id>`.
pub(crate) async fn wakeable(store: &Store, count: usize) -> Vec<DeviceId> {
    let devices = enroll_many(store, count).await;
    for device in &devices {
        let token = Some(format!("token-{device}"));
        store.set_fcm_token(device, token, at(0)).await.unwrap();
    }
    devices
}

pub(crate) fn named(devices: &[DeviceId]) -> NudgeOrder {
    NudgeOrder {
        devices: Some(devices.to_vec()),
        ..NudgeOrder::everybody()
    }
    .checked()
    .unwrap()
}

/// A campaign whose commands bear this name.
pub(crate) async fn nudge(store: &Store, request_id: &str, order: NudgeOrder) -> Campaign {
    let new = NewCampaign {
        order,
        request_id: request_id.into(),
        idempotency_key: None,
    };
    let (campaign, fresh) = store
        .create_campaign(new, actor("ann"))
        .await
        .expect("a campaign");
    assert!(fresh);
    campaign
}

/// Ann, at the beginning.
pub(crate) fn by() -> By<'static> {
    By {
        actor: "ann",
        on_behalf_of: None,
        now: at(0),
    }
}
