//! Who a campaign is for.

use tidegate_domain::gate::GateTerms;
use tidegate_domain::{NudgeAudience, NudgeOrder, Promotion, Rejection, ReportStatus, cohort};
use tidegate_storage::{DeliveryOutcome, Outcome, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{
    APP, actor, at, named, nudge, package, poll, promote, promotion, proven, report, rollout_of, seen,
    upload, wakeable,
};

on_both_engines!(
    behind_are_those_whom_a_poll_would_offer_something,
    behind_among_named_devices,
    control_is_woken_as_the_treated_are,
    a_campaign_for_a_hundred_thousand_devices,
);

/// What each device said that it runs.
async fn run(store: &Store, versions: &[(&tidegate_domain::DeviceId, i64)]) {
    let seen = versions.iter().map(|(device, code)| seen(device, 0, *code));
    poll(store, seen.collect()).await;
}

pub(crate) fn behind() -> NudgeOrder {
    NudgeOrder {
        package: Some(package(APP)),
        audience: NudgeAudience::Behind,
        ..NudgeOrder::everybody()
    }
}

pub(crate) fn chosen(place: &Place, campaign: tidegate_domain::CampaignId) -> Vec<String> {
    place.texts(&format!(
        "SELECT d.name AS value FROM nudge_deliveries n JOIN devices d ON d.id = n.device_id
         WHERE n.campaign_id = {campaign} ORDER BY d.name"
    ))
}

async fn behind_are_those_whom_a_poll_would_offer_something(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 1).await;
    let build = upload(&store, APP, 2).await;
    let devices = wakeable(&store, 60).await;
    // The first is up to date, the second never asked about the package, the third gave the build up.
    let mut versions: Vec<_> = devices.iter().map(|device| (device, 1)).collect();
    versions[0].1 = 2;
    versions.remove(1);
    run(&store, &versions).await;
    let nobody = nudge(&store, "r-1", behind()).await;
    assert_eq!(nobody.progress.total, 0, "nothing is released");

    let rollout = rollout_of(&promote(&store, &build, promotion(50)).await);
    let failed = tidegate_domain::Report {
        android_status: Some(4),
        ..report(build.id, ReportStatus::InstallFailed)
    };
    let failed = proven(&devices[2], rollout, failed, 1);
    store.record_reports(vec![failed]).await.unwrap();
    let gave_up = Rejection {
        retry_generation: 1,
        until: None,
    };
    assert_eq!(
        store.device_builds(&devices[2]).await.unwrap()[0]
            .history
            .rejection,
        Some(gave_up)
    );
    let half = nudge(&store, "r-2", behind()).await;
    let expected: Vec<String> = devices[3..]
        .iter()
        .map(ToString::to_string)
        .filter(|name| cohort(name) < 50)
        .collect();
    assert_eq!(chosen(place, half.id), expected);
    assert_eq!(half.progress.queued, expected.len() as u64);

    promote(&store, &build, promotion(100)).await;
    let all = nudge(&store, "r-3", behind()).await;
    assert_eq!(all.progress.queued, 57);
}

/// A gate compares those who have the build with those who don't: a nudge must not be what they differ in.
async fn control_is_woken_as_the_treated_are(place: &Place) {
    let store = place.store().await;
    upload(&store, APP, 1).await;
    let devices = wakeable(&store, 60).await;
    run(
        &store,
        &devices.iter().map(|device| (device, 1)).collect::<Vec<_>>(),
    )
    .await;
    // To a twentieth; control are ten times as many, and the rest is neither.
    let build = upload(&store, APP, 2).await;
    let gated = Promotion {
        gate: Some(GateTerms::default()),
        ..promotion(5)
    };
    let rollout = rollout_of(&promote(&store, &build, gated).await);
    let of_rollout = NudgeOrder {
        rollout: Some(rollout),
        ..behind()
    };
    let woken = nudge(&store, "r-1", of_rollout).await;
    let expected: Vec<String> = devices
        .iter()
        .map(ToString::to_string)
        .filter(|name| cohort(name) < 55)
        .collect();
    assert!(expected.iter().any(|name| cohort(name) >= 5), "{expected:?}");
    assert_eq!(chosen(place, woken.id), expected);
}

async fn behind_among_named_devices(place: &Place) {
    let store = place.store().await;
    let build = upload(&store, APP, 2).await;
    let devices = wakeable(&store, 4).await;
    let versions: Vec<_> = devices.iter().zip([1, 2, 1, 1]).collect();
    run(&store, &versions).await;
    promote(&store, &build, promotion(100)).await;
    let order = NudgeOrder {
        devices: named(&devices[..3]).devices,
        ..behind()
    };
    let campaign = nudge(&store, "r-1", order).await;
    assert_eq!(chosen(place, campaign.id), ["d-0000", "d-0002"]);
    assert!(campaign.named);
    let note = actor("ann").note("ota.nudge.cancel", "campaign/1");
    let canceled = tidegate_domain::CampaignState::Canceled;
    store.change_campaign(campaign.id, canceled, note).await.unwrap();
}

async fn a_campaign_for_a_hundred_thousand_devices(place: &Place) {
    let store = place.store().await;
    let source = if place.is_sqlite() {
        "(WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 100000) SELECT n FROM s)"
    } else {
        "generate_series(1, 100000) AS s (n)"
    };
    place
        .execute(&format!(
            "INSERT INTO devices (name, tags_json, enrolled_at, fcm_token)
             SELECT 'bulk-' || n, '[]', 0, CASE n % 10 WHEN 0 THEN NULL ELSE 'token-' || n END FROM {source}"
        ))
        .unwrap();
    let campaign = nudge(&store, "r-1", NudgeOrder::everybody()).await;
    assert_eq!(
        (campaign.progress.queued, campaign.progress.failed),
        (90_000, 10_000)
    );
    // What the sender does costs what its batch costs, and not what the campaign does.
    for second in 1..=20 {
        let lease = chrono::TimeDelta::seconds(60);
        let claims = store
            .claim_deliveries(campaign.id, at(second), lease, 1_000)
            .await
            .unwrap();
        let outcome = |(n, claim): (usize, tidegate_storage::Claim)| Outcome {
            device: claim.device,
            attempt: claim.attempt,
            result: match n % 2 {
                0 => DeliveryOutcome::Sent,
                _ => DeliveryOutcome::Retry { at: at(600) },
            },
        };
        let outcomes = claims.claims.into_iter().enumerate().map(outcome).collect();
        store
            .record_deliveries(campaign.id, outcomes, at(second))
            .await
            .unwrap();
    }
    let progress = store.campaign(campaign.id).await.unwrap().progress;
    assert_eq!((progress.sent, progress.queued), (10_000, 80_000));
}
