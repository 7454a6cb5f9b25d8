//! Campaigns: made once, changed by their state machine, looked at without counting.

use tidegate_domain::{
    self as domain, CampaignId, CampaignState, DeliveryFailure, NudgeAudience, NudgeOrder, Priority,
};
use tidegate_storage::{AuditFilter, Error, NewCampaign, Page, Progress, Store};

use crate::on_both_engines;
use crate::place::Place;
use crate::samples::{actor, all, at, device, enroll_many, named, nudge, package, wakeable};

on_both_engines!(
    a_campaign_is_written_whole,
    devices_that_cannot_be_woken_fail_at_once_with_their_reasons,
    the_same_key_makes_one_campaign,
    the_same_key_at_once_makes_one_campaign,
    a_campaign_is_paused_resumed_suspended_and_canceled,
    a_refused_verb_writes_nothing,
    campaigns_are_listed_newest_first,
    failures_come_in_pages,
);

async fn a_campaign_is_written_whole(place: &Place) {
    let store = place.store().await;
    wakeable(&store, 3).await;
    let campaign = nudge(&store, "r-1", NudgeOrder::everybody()).await;
    assert_eq!(campaign.id, CampaignId(1));
    assert_eq!((campaign.state, campaign.named), (CampaignState::Queued, false));
    assert_eq!(
        (campaign.audience, campaign.priority),
        (NudgeAudience::All, Priority::High)
    );
    assert_eq!(campaign.ttl.as_secs(), 300);
    assert_eq!(campaign.created_by, "ann");
    let waiting = Progress {
        total: 3,
        queued: 3,
        ..Progress::default()
    };
    assert_eq!(campaign.progress, waiting);
    assert_eq!(store.campaign(campaign.id).await, Ok(campaign.clone()));
    assert_eq!(store.live_campaigns().await, Ok(vec![campaign]));
    let entries = audit(&store).await;
    assert_eq!(
        entries,
        [("ota.nudge".to_owned(), "campaign/1".to_owned())],
        "one entry beside the token's"
    );
    let unknown = store.campaign(CampaignId(9)).await;
    assert!(matches!(unknown, Err(Error::NotFound { .. })), "{unknown:?}");
}

/// Of what was done about nudges, oldest first.
async fn audit(store: &Store) -> Vec<(String, String)> {
    let mut entries = all(50, |page| store.audit(AuditFilter::default(), page)).await;
    entries.reverse();
    entries
        .into_iter()
        .filter(|entry| entry.action.starts_with("ota.nudge"))
        .map(|entry| (entry.action, entry.target))
        .collect()
}

async fn devices_that_cannot_be_woken_fail_at_once_with_their_reasons(place: &Place) {
    let store = place.store().await;
    let devices = wakeable(&store, 3).await;
    store.set_fcm_token(&devices[1], None, at(1)).await.unwrap();
    let note = actor("root").note("device.revoke", "device/d-0002");
    store.revoke(&devices[2], note).await.unwrap();
    let mut meant = devices.clone();
    meant.push(device("nobody"));
    let campaign = nudge(&store, "r-1", named(&meant)).await;
    assert_eq!(campaign.progress.queued, 1);
    assert_eq!(
        campaign.progress.failed_by,
        [
            (DeliveryFailure::NoFcmToken, 1),
            (DeliveryFailure::Revoked, 1),
            (DeliveryFailure::UnknownDevice, 1)
        ]
    );
    let failed = store
        .failed_deliveries(campaign.id, Page::default())
        .await
        .unwrap();
    let failed: Vec<_> = failed
        .items
        .iter()
        .map(|failed| (failed.device.as_str(), failed.reason))
        .collect();
    assert_eq!(
        failed,
        [
            ("nobody", DeliveryFailure::UnknownDevice),
            ("d-0001", DeliveryFailure::NoFcmToken),
            ("d-0002", DeliveryFailure::Revoked)
        ]
    );
    // Nobody left to wake: it is over before it began.
    let over = nudge(&store, "r-2", named(&meant[1..])).await;
    assert_eq!((over.state, over.progress.failed), (CampaignState::Completed, 3));
    assert!(over.ended_at.is_some());
    assert_eq!(store.live_campaigns().await.unwrap().len(), 1);
}

fn keyed(request_id: &str, order: NudgeOrder) -> NewCampaign {
    NewCampaign {
        order,
        request_id: request_id.into(),
        idempotency_key: Some("release-7".into()),
    }
}

async fn the_same_key_makes_one_campaign(place: &Place) {
    let store = place.store().await;
    let devices = wakeable(&store, 2).await;
    let order = named(&devices);
    let (first, fresh) = store
        .create_campaign(keyed("r-1", order.clone()), actor("ann"))
        .await
        .unwrap();
    assert!(fresh);
    let again = store
        .create_campaign(keyed("r-2", order.clone()), actor("ann"))
        .await;
    assert_eq!(again, Ok((first.clone(), false)));
    let other = store
        .create_campaign(keyed("r-3", named(&devices[..1])), actor("ann"))
        .await;
    assert_eq!(other, Err(Error::KeyReused { campaign: first.id }));
    let bob = store.create_campaign(keyed("r-4", order), actor("bob")).await;
    assert!(bob.unwrap().1, "a key is its owner's own");
    assert_eq!(place.number("SELECT count(*) AS value FROM nudge_deliveries"), 4);
    assert_eq!(audit(&store).await.len(), 2);
}

async fn the_same_key_at_once_makes_one_campaign(place: &Place) {
    let store = place.store().await;
    wakeable(&store, 5).await;
    let tries: Vec<_> = (0..6)
        .map(|n| {
            let store = store.clone();
            let new = keyed(&format!("r-{n}"), NudgeOrder::everybody());
            tokio::spawn(async move { store.create_campaign(new, actor("ann")).await })
        })
        .collect();
    let mut fresh = 0;
    for attempt in tries {
        let (campaign, is_fresh) = attempt.await.unwrap().expect("each of them is answered");
        assert_eq!(campaign.progress.total, 5);
        fresh += u32::from(is_fresh);
    }
    assert_eq!(fresh, 1);
    assert_eq!(place.number("SELECT count(*) AS value FROM nudge_campaigns"), 1);
}

async fn a_campaign_is_paused_resumed_suspended_and_canceled(place: &Place) {
    let store = place.store().await;
    wakeable(&store, 2).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    let note = |action| actor("bob").note(action, "campaign/1");
    let paused = store
        .change_campaign(id, CampaignState::Paused, note("ota.nudge.pause"))
        .await;
    assert_eq!(paused.unwrap().state, CampaignState::Paused);
    assert_eq!(store.live_campaigns().await, Ok(vec![]), "nothing is to be sent");
    let again = store
        .change_campaign(id, CampaignState::Paused, note("ota.nudge.pause"))
        .await;
    assert_eq!(again.unwrap().state, CampaignState::Paused);
    let resumed = store
        .change_campaign(id, CampaignState::Running, note("ota.nudge.resume"))
        .await;
    assert_eq!(resumed.unwrap().state, CampaignState::Running);
    let suspended = store
        .suspend_campaign(id, "too many dead tokens".into(), note("ota.nudge.hold"))
        .await
        .unwrap();
    assert_eq!(
        (suspended.state, suspended.suspended.as_deref()),
        (CampaignState::Paused, Some("too many dead tokens"))
    );
    let canceled = store
        .change_campaign(id, CampaignState::Canceled, note("ota.nudge.cancel"))
        .await
        .unwrap();
    assert_eq!(
        (canceled.state, canceled.suspended.clone()),
        (CampaignState::Canceled, None)
    );
    let gone = Progress {
        total: 2,
        canceled: 2,
        ..Progress::default()
    };
    assert_eq!(canceled.progress, gone);
    let actions: Vec<String> = audit(&store)
        .await
        .into_iter()
        .map(|(action, _)| action)
        .collect();
    assert_eq!(
        actions,
        [
            "ota.nudge",
            "ota.nudge.pause",
            "ota.nudge.resume",
            "ota.nudge.hold",
            "ota.nudge.cancel"
        ],
        "and none for the repeated pause"
    );
}

async fn a_refused_verb_writes_nothing(place: &Place) {
    let store = place.store().await;
    wakeable(&store, 1).await;
    let id = nudge(&store, "r-1", NudgeOrder::everybody()).await.id;
    let note = || actor("bob").note("ota.nudge.cancel", "campaign/1");
    store
        .change_campaign(id, CampaignState::Canceled, note())
        .await
        .unwrap();
    let before = audit(&store).await;
    let late = store.change_campaign(id, CampaignState::Running, note()).await;
    assert!(
        matches!(late, Err(Error::Rule(domain::Error::WrongCampaignState { .. }))),
        "{late:?}"
    );
    assert_eq!(audit(&store).await, before);
    let nobody = store
        .change_campaign(CampaignId(5), CampaignState::Paused, note())
        .await;
    assert!(matches!(nobody, Err(Error::NotFound { .. })));
    let missing = NewCampaign {
        order: NudgeOrder {
            package: Some(package("com.example.none")),
            ..NudgeOrder::everybody()
        },
        request_id: "r-2".into(),
        idempotency_key: None,
    };
    let missing = store.create_campaign(missing, actor("ann")).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })));
    assert_eq!(place.number("SELECT count(*) AS value FROM nudge_campaigns"), 1);
}

async fn campaigns_are_listed_newest_first(place: &Place) {
    let store = place.store().await;
    let devices = wakeable(&store, 2).await;
    for n in 0..5_usize {
        nudge(&store, &format!("r-{n}"), named(&devices[..=n % 2])).await;
    }
    let listed: Vec<_> = all(2, |page| store.campaigns(page)).await;
    let listed: Vec<_> = listed
        .iter()
        .map(|campaign| (campaign.id.0, campaign.progress.total))
        .collect();
    assert_eq!(listed, [(5, 1), (4, 2), (3, 1), (2, 2), (1, 1)]);
}

async fn failures_come_in_pages(place: &Place) {
    let store = place.store().await;
    let mut meant = enroll_many(&store, 5).await;
    meant.extend(["a-nobody", "b-nobody", "c-nobody"].map(device));
    let campaign = nudge(&store, "r-1", named(&meant)).await;
    let failed = all(2, |page| store.failed_deliveries(campaign.id, page)).await;
    let failed: Vec<&str> = failed.iter().map(|failed| failed.device.as_str()).collect();
    assert_eq!(
        failed,
        [
            "a-nobody", "b-nobody", "c-nobody", "d-0000", "d-0001", "d-0002", "d-0003", "d-0004"
        ]
    );
    for token in ["64", "7a31", "6478", ""] {
        let page = Page::new(None, Some(token.into())).unwrap();
        let answer = store.failed_deliveries(campaign.id, page).await;
        assert!(matches!(answer, Err(Error::Rule(_))), "{token}: {answer:?}");
    }
}
