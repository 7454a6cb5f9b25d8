//! Deliveries: claimed by lease, ended once, followed until the device has installed.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use tidegate_domain::{
    ActionResult, CampaignId, CampaignState, DeliveryFailure, DeviceId, NudgeOrder, ReportStatus,
};
use tidegate_storage::{Answered, Claim, DeliveryOutcome, Error, FOLLOWED_FOR, Outcome, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{self, APP, actor, at, named, nudge, package, proven, release, report, wakeable};

on_both_engines!(
    a_claim_is_a_lease,
    what_a_killed_sender_claimed_comes_again_last,
    two_senders_share_a_campaign_without_overlap,
    an_end_counts_once_whoever_tells_it,
    a_retry_is_its_claimants_alone,
    what_is_given_back_is_as_if_it_had_never_been_claimed,
    a_dead_token_is_forgotten_unless_the_device_has_another,
    a_device_that_lost_its_token_fails_when_it_is_claimed,
    a_canceled_campaign_gives_nothing_out_and_still_hears_of_what_was_under_way,
    progress_follows_polls_installations_and_answers,
    what_came_before_the_command_does_not_count,
    the_same_answer_counts_once,
    a_device_that_neither_polls_nor_answers_in_time_gave_no_answer,
    of_many_senders_one_completes_the_campaign,
    a_claim_completes_a_campaign_whose_last_devices_lost_their_tokens,
    campaigns_of_the_version_before_are_counted_by_the_migration,
    a_reason_of_a_newer_version_hides_no_campaign,
);

const LEASE: TimeDelta = TimeDelta::seconds(60);

async fn claim(store: &Store, campaign: CampaignId, second: i64, limit: u32) -> Vec<Claim> {
    let claimed = store.claim_deliveries(campaign, at(second), LEASE, limit).await;
    claimed.expect("a claim is answered").claims
}

fn names(claims: &[Claim]) -> Vec<String> {
    claims.iter().map(|claim| claim.device.to_string()).collect()
}

fn outcome(claim: &Claim, result: DeliveryOutcome) -> Outcome {
    Outcome {
        device: claim.device.clone(),
        attempt: claim.attempt,
        result,
    }
}

fn sent(claims: &[Claim]) -> Vec<Outcome> {
    claims
        .iter()
        .map(|claim| outcome(claim, DeliveryOutcome::Sent))
        .collect()
}

fn failed(claim: &Claim, reason: DeliveryFailure, forget: Option<&str>) -> Outcome {
    let forget = forget.map(ToOwned::to_owned);
    outcome(claim, DeliveryOutcome::Failed { reason, forget })
}

async fn a_claim_is_a_lease(place: &Place) {
    let store = place.store().await;
    wakeable(&store, 3).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    let first = claim(&store, id, 1, 2).await;
    assert_eq!(names(&first), ["d-0000", "d-0001"]);
    assert_eq!(
        (first[0].fcm_token.as_str(), first[0].attempt),
        ("token-d-0000", 1)
    );
    assert!(
        !format!("{first:?}").contains("token-d-0000"),
        "a claim does not print where devices are woken"
    );
    let campaign = store.campaign(id).await.unwrap();
    assert_eq!(
        (campaign.state, campaign.started_at),
        (CampaignState::Running, Some(at(1)))
    );
    assert_eq!(names(&claim(&store, id, 2, 10).await), ["d-0002"]);
    assert_eq!(claim(&store, id, 60, 10).await, [], "all are in somebody's hands");
    let again = claim(&store, id, 61, 10).await;
    assert_eq!(names(&again), ["d-0000", "d-0001"]);
    assert_eq!((again[0].attempt, again[0].first_claimed_at), (2, at(1)));
    for limit in [0, 1001] {
        let refused = store.claim_deliveries(id, at(1), LEASE, limit).await;
        assert!(matches!(refused, Err(Error::Rule(_))), "{limit}");
    }
    let unknown = store.claim_deliveries(CampaignId(9), at(1), LEASE, 1).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })));
}

async fn what_a_killed_sender_claimed_comes_again_last(place: &Place) {
    let store = place.store().await;
    wakeable(&store, 6).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    let lost = names(&claim(&store, id, 0, 2).await);
    // Long after the lease ended those that nobody has tried yet are still the first.
    let next = claim(&store, id, 1_000, 4).await;
    assert!(next.iter().all(|claim| claim.attempt == 1), "{next:?}");
    store.record_deliveries(id, sent(&next), at(1_001)).await.unwrap();
    let last = claim(&store, id, 1_002, 10).await;
    assert_eq!(names(&last), lost);
    let done = store.record_deliveries(id, sent(&last), at(1_003)).await.unwrap();
    assert_eq!(
        (done.campaign.state, done.campaign.progress.sent),
        (CampaignState::Completed, 6)
    );
}

async fn two_senders_share_a_campaign_without_overlap(place: &Place) {
    let stores = [place.store().await, place.store().await];
    wakeable(&stores[0], 200).await;
    let id = nudge(&stores[0], "r-1", NudgeOrder::everybody()).await.id;
    let senders: Vec<_> = (0..4_usize)
        .map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let claims = claim(&store, id, 1, 7).await;
                    if claims.is_empty() && store.campaign(id).await.unwrap().progress.queued == 0 {
                        return mine;
                    }
                    mine.extend(names(&claims));
                    store.record_deliveries(id, sent(&claims), at(2)).await.unwrap();
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for sender in senders {
        all.extend(sender.await.unwrap());
    }
    assert_eq!(all.len(), 200, "none twice");
    assert_eq!(
        all.iter().collect::<BTreeSet<_>>().len(),
        200,
        "and none left out"
    );
    let campaign = stores[0].campaign(id).await.unwrap();
    assert_eq!(
        (campaign.state, campaign.progress.sent),
        (CampaignState::Completed, 200)
    );
}

async fn an_end_counts_once_whoever_tells_it(place: &Place) {
    let store = place.store().await;
    wakeable(&store, 2).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    let slow = claim(&store, id, 0, 1).await;
    let fast = claim(&store, id, 100, 2).await;
    assert_eq!(fast.len(), 2, "the lease ran out");
    let told = store.record_deliveries(id, sent(&slow), at(101)).await.unwrap();
    assert_eq!((told.settled, told.campaign.progress.sent), (1, 1));
    let outcomes = vec![
        failed(&fast[0], DeliveryFailure::Unavailable, None),
        failed(&fast[1], DeliveryFailure::Unavailable, None),
    ];
    let told = store.record_deliveries(id, outcomes, at(102)).await.unwrap();
    assert_eq!((told.settled, told.campaign.state), (1, CampaignState::Completed));
    assert_eq!(
        (
            told.campaign.progress.sent,
            told.campaign.progress.failed,
            told.campaign.progress.queued
        ),
        (1, 1, 0)
    );
    let unknown = Outcome {
        device: crate::samples::device("nobody"),
        attempt: 1,
        result: DeliveryOutcome::Sent,
    };
    let told = store.record_deliveries(id, vec![unknown], at(103)).await.unwrap();
    assert_eq!(told.settled, 0);
}

async fn a_retry_is_its_claimants_alone(place: &Place) {
    let store = place.store().await;
    wakeable(&store, 1).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    let slow = claim(&store, id, 0, 1).await;
    let fast = claim(&store, id, 100, 1).await;
    let later = |claim, second| vec![outcome(claim, DeliveryOutcome::Retry { at: at(second) })];
    store
        .record_deliveries(id, later(&slow[0], 101), at(101))
        .await
        .unwrap();
    assert_eq!(
        claim(&store, id, 110, 1).await,
        [],
        "the lease is another's by now"
    );
    store
        .record_deliveries(id, later(&fast[0], 120), at(111))
        .await
        .unwrap();
    assert_eq!(claim(&store, id, 119, 1).await, []);
    assert_eq!(claim(&store, id, 120, 1).await[0].attempt, 3);
}

async fn what_is_given_back_is_as_if_it_had_never_been_claimed(place: &Place) {
    let store = place.store().await;
    wakeable(&store, 1).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    let give_back = async |claim: &Claim, second| {
        let claimed_at = at(second);
        let outcomes = vec![outcome(claim, DeliveryOutcome::GivenBack { claimed_at })];
        let told = store.record_deliveries(id, outcomes, at(second + 1)).await;
        assert_eq!(told.unwrap().campaign.progress.queued, 1);
    };
    let first = claim(&store, id, 0, 1).await;
    give_back(&first[0], 0).await;
    // An hour is not up for a delivery that waited for it unsent.
    let second = claim(&store, id, 5_000, 1).await;
    assert_eq!((second[0].attempt, second[0].first_claimed_at), (2, at(5_000)));
    let later = vec![outcome(&second[0], DeliveryOutcome::Retry { at: at(5_010) })];
    store.record_deliveries(id, later, at(5_001)).await.unwrap();
    // What an earlier claim tried stays tried.
    let third = claim(&store, id, 5_010, 1).await;
    give_back(&third[0], 5_010).await;
    let last = claim(&store, id, 5_011, 1).await;
    assert_eq!(last[0].first_claimed_at, at(5_000));
    // And who holds it no more gives nothing back.
    give_back(&third[0], 5_010).await;
    assert_eq!(claim(&store, id, 5_020, 1).await, []);
}

async fn a_dead_token_is_forgotten_unless_the_device_has_another(place: &Place) {
    let store = place.store().await;
    let devices = wakeable(&store, 2).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    let claims = claim(&store, id, 1, 2).await;
    store
        .set_fcm_token(&devices[1], Some("a new one".into()), at(2))
        .await
        .unwrap();
    let outcomes = claims
        .iter()
        .map(|claim| failed(claim, DeliveryFailure::Unregistered, Some(&claim.fcm_token)))
        .collect();
    let done = store.record_deliveries(id, outcomes, at(3)).await.unwrap();
    assert_eq!(
        done.campaign.progress.failed_for(DeliveryFailure::Unregistered),
        2
    );
    assert!(!store.device(&devices[0]).await.unwrap().has_fcm_token);
    assert!(store.device(&devices[1]).await.unwrap().has_fcm_token);
}

async fn a_device_that_lost_its_token_fails_when_it_is_claimed(place: &Place) {
    let store = place.store().await;
    let devices = wakeable(&store, 3).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    store.set_fcm_token(&devices[0], None, at(1)).await.unwrap();
    let note = actor("root").note("device.revoke", "device/d-0001");
    store.revoke(&devices[1], note).await.unwrap();
    assert_eq!(names(&claim(&store, id, 2, 10).await), ["d-0002"]);
    let progress = store.campaign(id).await.unwrap().progress;
    assert_eq!(
        progress.failed_by,
        [(DeliveryFailure::NoFcmToken, 1), (DeliveryFailure::Revoked, 1)]
    );
}

async fn a_canceled_campaign_gives_nothing_out_and_still_hears_of_what_was_under_way(place: &Place) {
    let store = place.store().await;
    wakeable(&store, 3).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    let under_way = claim(&store, id, 1, 1).await;
    let note = actor("ann").note("ota.nudge.cancel", "campaign/1");
    store
        .change_campaign(id, CampaignState::Canceled, note)
        .await
        .unwrap();
    assert_eq!(claim(&store, id, 500, 10).await, []);
    let told = store
        .record_deliveries(id, sent(&under_way), at(3))
        .await
        .unwrap();
    assert_eq!(told.campaign.state, CampaignState::Canceled);
    assert_eq!(
        (told.campaign.progress.sent, told.campaign.progress.canceled),
        (1, 2)
    );
}

async fn poll(store: &Store, devices: &[DeviceId], second: i64) {
    let seen = devices.iter().map(|device| samples::seen(device, second, 1));
    samples::poll(store, seen.collect()).await;
}

fn answer(request_id: &str, outcome: &str) -> ActionResult {
    ActionResult {
        request_id: request_id.into(),
        action: "update".into(),
        outcome: outcome.into(),
        message: None,
        finished_at: at(5),
    }
}

/// Acknowledged, polled, installed.
async fn traces(store: &Store, id: CampaignId) -> (u64, u64, u64) {
    let progress = store.campaign(id).await.unwrap().progress;
    (progress.acknowledged, progress.polled, progress.installed)
}

async fn progress_follows_polls_installations_and_answers(place: &Place) {
    let store = place.store().await;
    let (build, rollout) = release(&store, APP, 2).await;
    let (other, other_rollout) = release(&store, "com.example.other", 2).await;
    let devices = wakeable(&store, 3).await;
    let order = NudgeOrder {
        package: Some(package(APP)),
        ..named(&devices)
    };
    let id = nudge(&store, "r-1", order).await.id;
    let claims = claim(&store, id, 10, 10).await;
    // A device may be faster than the note that its command was sent.
    poll(&store, &devices[..1], 11).await;
    store.record_deliveries(id, sent(&claims), at(12)).await.unwrap();
    poll(&store, &devices[..2], 13).await;
    assert_eq!(traces(&store, id).await, (0, 2, 0));
    let success = |build| report(build, ReportStatus::InstallSuccess);
    let installed = vec![
        proven(&devices[0], rollout, success(build.id), 20),
        proven(&devices[1], other_rollout, success(other.id), 20),
    ];
    store.record_reports(installed).await.unwrap();
    assert_eq!(
        traces(&store, id).await,
        (0, 2, 1),
        "another package is not what it was about"
    );
    let answers = vec![
        (devices[2].clone(), answer("r-1", "done"), at(21)),
        (devices[2].clone(), answer("r-2", "done"), at(21)),
    ];
    let told = store.record_results(answers).await.unwrap();
    assert_eq!(told, [Answered::Fresh, Answered::Unknown]);
    assert_eq!(traces(&store, id).await, (1, 2, 1));
}

async fn what_came_before_the_command_does_not_count(place: &Place) {
    let store = place.store().await;
    let devices = wakeable(&store, 3).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    poll(&store, &devices, 1).await;
    let claims = claim(&store, id, 10, 2).await;
    poll(&store, &devices, 9).await;
    assert_eq!(traces(&store, id).await, (0, 0, 0));
    let outcomes = vec![
        outcome(&claims[0], DeliveryOutcome::Sent),
        failed(&claims[1], DeliveryFailure::Unavailable, None),
    ];
    store.record_deliveries(id, outcomes, at(11)).await.unwrap();
    poll(&store, &devices, 12).await;
    assert_eq!(
        traces(&store, id).await,
        (0, 1, 0),
        "who was not woken came by itself"
    );
    poll(&store, &devices, 13).await;
    assert_eq!(traces(&store, id).await, (0, 1, 0));
    // A device that polls a week later was not woken by it.
    let late = claim(&store, id, 14, 1).await;
    store.record_deliveries(id, sent(&late), at(15)).await.unwrap();
    poll(&store, &devices, 15 + FOLLOWED_FOR.num_seconds() + 1).await;
    assert_eq!(traces(&store, id).await, (0, 1, 0));
}

async fn the_same_answer_counts_once(place: &Place) {
    let store = place.store().await;
    let devices = wakeable(&store, 2).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    let early = vec![(devices[0].clone(), answer("r-1", "done"), at(1))];
    assert_eq!(
        store.record_results(early).await.unwrap(),
        [Answered::Unknown],
        "nobody answers what was not sent"
    );
    claim(&store, id, 1, 2).await;
    let batch = vec![
        (devices[0].clone(), answer("r-1", "done"), at(2)),
        (devices[0].clone(), answer("r-1", "failed"), at(2)),
        (crate::samples::device("nobody"), answer("r-1", "done"), at(2)),
        (devices[1].clone(), answer("r\0-1", "done"), at(2)),
    ];
    let told = store.record_results(batch.clone()).await.unwrap();
    assert_eq!(
        told,
        [
            Answered::Fresh,
            Answered::Repeat,
            Answered::Unknown,
            Answered::Unknown
        ]
    );
    assert_eq!(store.record_results(batch).await.unwrap()[0], Answered::Repeat);
    assert_eq!(traces(&store, id).await.0, 1);
    let kept = place.texts("SELECT outcome AS value FROM nudge_deliveries WHERE outcome IS NOT NULL");
    assert_eq!(kept, ["done"], "the first answer stays");
    assert_eq!(store.record_results(vec![]).await, Ok(vec![]));
}

/// The last second in which a command that was sent at second 12 can be answered: its life of 300 s and the margin.
const LAST: i64 = 12 + 300 + 60;

async fn a_device_that_neither_polls_nor_answers_in_time_gave_no_answer(place: &Place) {
    let store = place.store().await;
    let devices = wakeable(&store, 7).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    let claims = claim(&store, id, 10, 10).await;
    // Devices 0 and 1 are faster than the note that their commands were sent.
    poll(&store, &devices[..1], 11).await;
    let by = |device: usize, second| (devices[device].clone(), answer("r-1", "done"), at(second));
    store.record_results(vec![by(1, 11)]).await.unwrap();
    // Device 6 is not sent its command, and so cannot fail to answer it.
    let mut outcomes = sent(&claims[..6]);
    outcomes.push(failed(&claims[6], DeliveryFailure::Unavailable, None));
    store.record_deliveries(id, outcomes, at(12)).await.unwrap();
    let silent = async || store.campaign(id).await.unwrap().progress.silent;
    assert_eq!(silent().await, 4);
    // Device 2 polls in time and 3 answers in time; a second sign of the same device changes nothing.
    poll(&store, &devices[..3], LAST).await;
    store
        .record_results(vec![by(0, LAST), by(2, LAST), by(3, LAST)])
        .await
        .unwrap();
    poll(&store, &devices[3..4], LAST).await;
    assert_eq!(silent().await, 2);
    let campaign = store.campaign(id).await.unwrap();
    assert_eq!(campaign.answers_due_at, at(LAST));
    assert_eq!(campaign.no_answer(at(LAST)), None, "they may still answer");
    assert_eq!(campaign.no_answer(at(LAST + 1)), Some(2));
    // What comes later was not brought about by the command.
    poll(&store, &devices[4..5], LAST + 1).await;
    store.record_results(vec![by(5, LAST + 1)]).await.unwrap();
    poll(&store, &devices[6..], LAST + 1).await;
    let campaign = store.campaign(id).await.unwrap();
    assert_eq!(campaign.no_answer(at(9_000)), Some(2));
    let progress = &campaign.progress;
    assert_eq!((progress.sent, progress.polled, progress.acknowledged), (6, 5, 5));
}

async fn of_many_senders_one_completes_the_campaign(place: &Place) {
    let stores = [place.store().await, place.store().await];
    wakeable(&stores[0], 40).await;
    let id = nudge(&stores[0], "r-1", NudgeOrder::everybody()).await.id;
    let claims = claim(&stores[0], id, 1, 40).await;
    // Each delivery is told twice, by different senders and at the same time.
    let senders = claims.iter().chain(&claims).enumerate().map(|(n, claim)| {
        let (store, outcomes) = (stores[n % 2].clone(), sent(std::slice::from_ref(claim)));
        tokio::spawn(async move { store.record_deliveries(id, outcomes, at(2)).await.unwrap() })
    });
    let senders: Vec<_> = senders.collect();
    let mut completed = Vec::new();
    for sender in senders {
        let recorded = sender.await.unwrap();
        if recorded.completed {
            completed.push(recorded.campaign);
        }
    }
    assert_eq!(completed.len(), 1, "one of them, once");
    assert_eq!(completed[0].state, CampaignState::Completed);
    assert_eq!(completed[0].progress.sent, 40, "and it knows the results");
}

async fn a_claim_completes_a_campaign_whose_last_devices_lost_their_tokens(place: &Place) {
    let store = place.store().await;
    let devices = wakeable(&store, 2).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    for device in &devices {
        store.set_fcm_token(device, None, at(1)).await.unwrap();
    }
    let mut completed = Vec::new();
    for _ in 0..3 {
        let claimed = store.claim_deliveries(id, at(2), LEASE, 1).await.unwrap();
        assert_eq!(claimed.claims, []);
        completed.extend(claimed.completed);
    }
    assert_eq!(completed.len(), 1);
    assert_eq!(
        (completed[0].state, completed[0].progress.failed),
        (CampaignState::Completed, 2)
    );
}

async fn campaigns_of_the_version_before_are_counted_by_the_migration(place: &Place) {
    let store = place.store().await;
    let mut meant = wakeable(&store, 4).await;
    meant.push(crate::samples::device("nobody"));
    let id = nudge(&store, "r-1", named(&meant)).await.id;
    let claims = claim(&store, id, 10, 10).await;
    poll(&store, &meant[..1], 11).await;
    store.record_deliveries(id, sent(&claims), at(12)).await.unwrap();
    let answered = (meant[1].clone(), answer("r-1", "done"), at(LAST));
    store.record_results(vec![answered]).await.unwrap();
    poll(&store, &meant[2..3], LAST + 1).await;
    let before = store.campaign(id).await.unwrap();
    assert_eq!(before.no_answer(at(LAST + 1)), Some(2));
    // The way back to the tables of that version, and forward again.
    place.migrate_by("0004_nudge_names", "down");
    let kinds = "SELECT kind AS value FROM nudge_counts WHERE kind = 'silent'";
    assert_eq!(place.texts(kinds), Vec::<String>::new());
    let names = place.texts("SELECT name AS value FROM nudge_strangers");
    assert_eq!(names, ["nobody"]);
    place.migrate_by("0004_nudge_names", "up");
    assert_eq!(store.campaign(id).await, Ok(before));
    let names = place.texts("SELECT name AS value FROM nudge_unknown_devices");
    assert_eq!(names, ["nobody"]);
}

async fn a_reason_of_a_newer_version_hides_no_campaign(place: &Place) {
    let store = place.store().await;
    wakeable(&store, 2).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    let claims = claim(&store, id, 0, 2).await;
    let outcomes = vec![
        failed(&claims[0], DeliveryFailure::Unavailable, None),
        failed(&claims[1], DeliveryFailure::QuotaExceeded, None),
    ];
    store.record_deliveries(id, outcomes, at(1)).await.unwrap();
    for table in ["nudge_counts", "nudge_deliveries"] {
        let newer = format!("UPDATE {table} SET reason = 'newer ' || reason WHERE reason <> ''");
        assert_eq!(place.execute(&newer), Ok(2), "{table}");
    }
    let progress = store.campaign(id).await.unwrap().progress;
    assert_eq!(
        (progress.failed, progress.failed_for(DeliveryFailure::Other)),
        (2, 2)
    );
}
