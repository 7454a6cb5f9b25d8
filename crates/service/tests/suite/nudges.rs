//! Nudges: the life of a campaign, by the clock of the test.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tidegate_domain::{
    ActionResult, CampaignState, DeliveryFailure, NudgeOrder, Percent, Phase, Plan, PlanStep, Promotion, Span,
};
use tidegate_fcm::stand_in::{Answer, StandIn};
use tidegate_service::{CLERK, Clerk, Clock, Kind, Nudges};
use tidegate_storage::NewCampaign;

use crate::instance::{Instance, admin, id, operator, package, refusal, to, viewer};
use crate::sending::{FIRST_RETRY, Sending, failed_by, progress};

use CampaignState::{Canceled, Completed, Paused, Running};

/// An instance with so many devices, and its sender.
async fn with_fleet(devices: u32) -> (Instance, Sending) {
    let instance = Instance::start().await;
    instance.fleet(devices).await;
    let sending = Sending::start(&instance).await;
    (instance, sending)
}

/// The longest wait before a delivery is tried again for the first time: the jitter may double it.
fn longest_retry() -> TimeDelta {
    TimeDelta::from_std(FIRST_RETRY).unwrap() * 2
}

#[tokio::test]
async fn a_campaign_is_due_at_once_and_ends_when_all_was_sent() {
    let (instance, sending) = with_fleet(3).await;
    let campaign = instance.nudge_all().await;
    let done = instance.campaign_in(campaign, Completed).await;
    assert_eq!(progress(&done), (3, 0, 0));
    assert_eq!(sending.fcm.tokens_by_messages(), [(1, 3)].into());
    let messages = sending.fcm.messages();
    assert!(
        messages
            .iter()
            .all(|message| message.data["request_id"] == done.request_id)
    );
    // They are counted a moment after the campaign's end is written.
    let counted = [("sent", 3), ("failed", 0), ("retried", 0)];
    for _ in 0..100 {
        if instance.counters.nudges() == counted {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(instance.counters.nudges(), counted);
}

#[tokio::test]
async fn the_same_request_again_makes_no_second_campaign() {
    let (instance, _sending) = with_fleet(1).await;
    let nudge = |ttl| {
        let order = NudgeOrder {
            ttl: Duration::from_secs(ttl),
            ..NudgeOrder::everybody()
        };
        instance.nudges.nudge(operator(), order, Some("key".to_owned()))
    };
    let first = nudge(300).await.unwrap();
    let again = nudge(300).await.unwrap();
    assert_eq!((first.is_new, again.is_new), (true, false));
    assert_eq!(again.campaign.id, first.campaign.id);
    assert_eq!(
        refusal(nudge(200).await),
        (Kind::Conflict, "idempotency_key_reused")
    );
}

#[tokio::test]
async fn a_nudge_needs_an_operator_a_service_account_and_a_sensible_order() {
    let instance = Instance::start().await;
    instance.fleet(1).await;
    let everybody = NudgeOrder::everybody();
    let denied = instance.nudges.nudge(viewer(), everybody.clone(), None).await;
    assert_eq!(refusal(denied), (Kind::Forbidden, "role_too_low"));
    let nobody = NudgeOrder {
        devices: Some(vec![]),
        ..everybody.clone()
    };
    let refused = instance.nudges.nudge(operator(), nobody, None).await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.field.as_deref()),
        (Kind::Invalid, Some("device_ids"))
    );
    let clock = Arc::clone(&instance.clock) as Arc<dyn Clock>;
    let unconfigured = Nudges::new(
        instance.store.clone(),
        Arc::clone(&instance.snapshots),
        clock,
        None,
    );
    let refused = unconfigured.nudge(operator(), everybody, None).await;
    assert_eq!(refusal(refused), (Kind::Conflict, "fcm_not_configured"));
}

#[tokio::test]
async fn a_device_that_cannot_be_woken_fails_at_once() {
    let instance = Instance::start().await;
    instance.fleet(2).await;
    let first = id("phone-0");
    let forgotten = instance.devices.set_fcm_token(&first, String::new());
    forgotten.await.unwrap();
    instance.devices.revoke(admin(), &id("phone-1")).await.unwrap();
    let devices = ["phone-0", "phone-1", "stranger"].map(id).to_vec();
    let order = NudgeOrder {
        devices: Some(devices),
        ..NudgeOrder::everybody()
    };
    let campaign = instance
        .nudges
        .nudge(operator(), order, None)
        .await
        .unwrap()
        .campaign;
    assert_eq!(campaign.state, Completed, "without a sender");
    let failures = instance
        .nudges
        .failures(campaign.id, Default::default())
        .await
        .unwrap();
    let reasons: Vec<_> = failures
        .items
        .iter()
        .map(|failed| (failed.device.as_str(), failed.reason))
        .collect();
    let expected = [
        ("stranger", DeliveryFailure::UnknownDevice),
        ("phone-0", DeliveryFailure::NoFcmToken),
        ("phone-1", DeliveryFailure::Revoked),
    ];
    assert_eq!(reasons, expected);
}

#[tokio::test]
async fn what_a_killed_sender_had_claimed_is_due_when_the_lease_ends() {
    let instance = Instance::start().await;
    instance.fleet(1).await;
    let campaign = instance.nudge_all().await;
    let lease = TimeDelta::seconds(60);
    let claimed = instance
        .store
        .claim_deliveries(campaign, instance.clock.read(), lease, 10);
    assert_eq!(claimed.await.unwrap().claims.len(), 1);

    let sending = Sending::start(&instance).await;
    sending.pass(&instance, lease - TimeDelta::seconds(1)).await;
    assert_eq!(sending.fcm.counts().requests, 0);
    sending.pass(&instance, TimeDelta::seconds(1)).await;
    instance.campaign_in(campaign, Completed).await;
    assert_eq!(sending.fcm.counts().requests, 1);
}

#[tokio::test]
async fn what_failed_in_passing_is_tried_again_after_a_wait_that_grows() {
    let (instance, sending) = with_fleet(2).await;
    let answers = [Answer::Internal, Answer::Unavailable(None), Answer::Take];
    sending.fcm.answer_token("fcm-phone-0", answers);
    let campaign = instance.nudge_all().await;
    let retried = |times| move |counts: [(&str, u64); 3]| counts[2] == ("retried", times);
    let first = instance
        .campaign(campaign, |campaign| progress(campaign) == (1, 0, 1))
        .await;
    assert_eq!(first.state, Running);
    instance
        .campaign(campaign, |_| retried(1)(instance.counters.nudges()))
        .await;

    let least = TimeDelta::from_std(FIRST_RETRY).unwrap();
    let second = TimeDelta::seconds(1);
    sending.pass(&instance, least - second).await;
    assert_eq!(sending.fcm.counts().requests, 2, "the first wait is not over");
    sending.pass(&instance, longest_retry() - least + second).await;
    instance
        .campaign(campaign, |_| retried(2)(instance.counters.nudges()))
        .await;
    assert_eq!(sending.fcm.counts().requests, 3);
    // The jitter's window has doubled.
    sending.pass(&instance, least * 3).await;
    let done = instance.campaign_in(campaign, Completed).await;
    assert_eq!(progress(&done), (2, 0, 0));
    assert_eq!(sending.fcm.taken_of("fcm-phone-0"), 1);
}

#[tokio::test]
async fn a_wait_that_fcm_asks_for_is_kept() {
    let (instance, sending) = with_fleet(1).await;
    let later = Answer::QuotaExceeded(Some("600".to_owned()));
    sending.fcm.answer_token("fcm-phone-0", [later, Answer::Take]);
    let campaign = instance.nudge_all().await;
    instance
        .campaign(campaign, |_| instance.counters.nudges()[2].1 == 1)
        .await;
    sending.pass(&instance, TimeDelta::seconds(599)).await;
    assert_eq!(sending.fcm.counts().requests, 1);
    sending.pass(&instance, TimeDelta::seconds(1 + 10)).await;
    instance.campaign_in(campaign, Completed).await;
}

#[tokio::test]
async fn a_delivery_is_given_up_after_an_hour() {
    let (instance, sending) = with_fleet(1).await;
    let later = Answer::Unavailable(Some("1500".to_owned()));
    sending.fcm.answer_token("fcm-phone-0", [later]);
    let campaign = instance.nudge_all().await;
    // Tries at the beginning, and after 25 and 50 minutes. The next would be later than an hour.
    for tries in 1..=3 {
        instance
            .campaign(campaign, |_| sending.fcm.counts().requests == tries)
            .await;
        instance
            .campaign(campaign, |_| instance.counters.nudges()[2].1 == tries.min(2))
            .await;
        instance.clock.advance(TimeDelta::seconds(1500 + 40));
        instance.wake.notify_one();
    }
    let done = instance.campaign_in(campaign, Completed).await;
    assert_eq!(failed_by(&done), [(DeliveryFailure::Unavailable, 1)]);
    let device = instance.devices.get(&id("phone-0")).await.unwrap().device;
    assert!(device.has_fcm_token, "FCM being away says nothing of the token");
}

#[tokio::test]
async fn who_gives_no_answer_is_known_when_the_command_has_expired() {
    let (instance, _sending) = with_fleet(3).await;
    instance.release(1).await;
    let campaign = instance.nudge_all().await;
    let done = instance.campaign_in(campaign, Completed).await;
    instance.poll("phone-0", 0).unwrap();
    instance.activity.flush(&instance.store).await.unwrap();
    let result = ActionResult {
        request_id: done.request_id.clone(),
        action: "update".to_owned(),
        outcome: "done".to_owned(),
        message: None,
        finished_at: instance.clock.read(),
    };
    instance
        .reports
        .answer(id("phone-1"), result.clone())
        .await
        .unwrap();
    let unknown = instance.reports.answer(
        id("phone-1"),
        ActionResult {
            request_id: "unknown".to_owned(),
            ..result
        },
    );
    assert_eq!(refusal(unknown.await), (Kind::NotFound, "unknown_command"));

    let told = async || {
        let campaign = instance.nudges.get(campaign).await.unwrap();
        instance.nudges.no_answer(&campaign)
    };
    assert_eq!(told().await, None, "they may still answer");
    // The command's five minutes, and one more.
    instance.clock.advance(TimeDelta::seconds(359));
    assert_eq!(told().await, None);
    instance.clock.advance(TimeDelta::seconds(2));
    assert_eq!(told().await, Some(1));
    let progress = instance.nudges.get(campaign).await.unwrap().progress;
    assert_eq!((progress.polled, progress.acknowledged), (1, 1));
}

#[tokio::test]
async fn a_canceled_campaign_sends_nothing_more() {
    let (instance, sending) = with_fleet(2).await;
    sending
        .fcm
        .answer_token("fcm-phone-0", [Answer::Internal, Answer::Take]);
    let campaign = instance.nudge_all().await;
    instance
        .campaign(campaign, |campaign| progress(campaign) == (1, 0, 1))
        .await;
    instance
        .campaign(campaign, |_| instance.counters.nudges()[2].1 == 1)
        .await;
    instance.nudges.cancel(operator(), campaign).await.unwrap();
    sending.pass(&instance, longest_retry()).await;
    let canceled = instance.nudges.get(campaign).await.unwrap();
    assert_eq!((canceled.state, canceled.progress.canceled), (Canceled, 1));
    assert_eq!(sending.fcm.counts().requests, 2);
    let resumed = instance.nudges.resume(operator(), campaign).await;
    assert_eq!(refusal(resumed), (Kind::Conflict, "wrong_state"));
}

#[tokio::test]
async fn a_paused_campaign_waits_until_it_is_resumed() {
    let (instance, sending) = with_fleet(1).await;
    sending
        .fcm
        .answer_token("fcm-phone-0", [Answer::Internal, Answer::Take]);
    let campaign = instance.nudge_all().await;
    instance
        .campaign(campaign, |_| instance.counters.nudges()[2].1 == 1)
        .await;
    let by_viewer = instance.nudges.pause(viewer(), campaign).await;
    assert_eq!(refusal(by_viewer), (Kind::Forbidden, "role_too_low"));
    assert_eq!(
        instance.nudges.pause(operator(), campaign).await.unwrap().state,
        Paused
    );
    sending.pass(&instance, longest_retry()).await;
    assert_eq!(sending.fcm.counts().requests, 1);
    instance.nudges.resume(operator(), campaign).await.unwrap();
    instance.campaign_in(campaign, Completed).await;
}

#[tokio::test]
async fn a_sender_that_is_stopped_records_what_it_sent_and_another_sends_the_rest() {
    let (instance, sending) = with_fleet(2).await;
    sending.fcm.answer_token("fcm-phone-0", [Answer::Internal]);
    let campaign = instance.nudge_all().await;
    instance
        .campaign(campaign, |_| sending.fcm.counts().requests == 2)
        .await;
    sending.stop().await;
    let left = instance.nudges.get(campaign).await.unwrap();
    assert_eq!((left.state, progress(&left)), (Running, (1, 0, 1)));

    let sending = Sending::start(&instance).await;
    sending.pass(&instance, longest_retry()).await;
    instance.campaign_in(campaign, Completed).await;
    assert_eq!(sending.fcm.counts().requests, 1);
}

/// Refuses all messages, so that the project is to wait for ten minutes: ten refusals in a row do that.
async fn overload(instance: &Instance, sending: &Sending) {
    let later = Answer::QuotaExceeded(Some("600".to_owned()));
    sending.fcm.answer_all(Some(later));
    let campaign = instance.nudge_all().await;
    instance
        .campaign(campaign, |_| instance.counters.nudges()[2].1 == 10)
        .await;
    sending.fcm.answer_all(None);
}

#[tokio::test]
async fn a_project_that_is_to_wait_is_sent_nothing_and_another_project_goes_on() {
    let (instance, sending) = with_fleet(10).await;
    overload(&instance, &sending).await;
    instance.enrol("late").await;
    let order = || NudgeOrder {
        devices: Some(vec![id("late")]),
        ..NudgeOrder::everybody()
    };
    let nudge = async || {
        instance
            .nudges
            .nudge(operator(), order(), None)
            .await
            .unwrap()
            .campaign
            .id
    };
    let campaign = nudge().await;
    sending.pass(&instance, TimeDelta::seconds(599)).await;
    assert_eq!(sending.fcm.counts().requests, 10, "the project waits");

    // A second instance has a project of its own, which refused nothing.
    let there = instance.beside().await;
    let other = Sending::start(&there).await;
    there.campaign_in(campaign, Completed).await;
    assert_eq!(other.fcm.taken_of("fcm-late"), 1);
    other.stop().await;

    let campaign = nudge().await;
    sending.look(&instance).await;
    assert_eq!(sending.fcm.counts().requests, 10, "it still waits");
    sending.pass(&instance, TimeDelta::seconds(1 + 10)).await;
    instance.campaign_in(campaign, Completed).await;
    assert_eq!(sending.fcm.taken_of("fcm-late"), 1);
}

#[tokio::test]
async fn dead_tokens_beyond_the_limit_suspend_the_campaign_and_are_not_forgotten() {
    let (instance, sending) = with_fleet(12).await;
    for number in 0..11 {
        let token = format!("fcm-phone-{number}");
        sending.fcm.answer_token(&token, [Answer::Unregistered]);
    }
    sending
        .fcm
        .answer_token("fcm-phone-11", [Answer::Internal, Answer::Take]);
    let campaign = instance.nudge_all().await;
    let suspended = instance.campaign_in(campaign, Paused).await;
    assert_eq!(progress(&suspended), (0, 11, 1));
    let why = suspended.suspended.unwrap();
    assert!(why.contains("11 of 12 tokens look dead"), "{why}");
    assert_eq!(instance.actions().await.last().unwrap(), "ota.nudge.hold");
    let mut known = 0;
    for number in 0..11 {
        let device = instance
            .devices
            .get(&id(&format!("phone-{number}")))
            .await
            .unwrap()
            .device;
        known += u32::from(device.has_fcm_token);
    }
    assert_eq!(known, 1, "the breaker lets ten be forgotten");

    sending.pass(&instance, longest_retry()).await;
    assert_eq!(sending.fcm.counts().requests, 12);
    instance.nudges.resume(operator(), campaign).await.unwrap();
    let done = instance.campaign_in(campaign, Completed).await;
    assert_eq!((done.suspended.as_deref(), progress(&done)), (None, (1, 11, 0)));
}

#[tokio::test]
async fn a_refused_service_account_suspends_the_campaign_and_fails_no_delivery() {
    let instance = Instance::start().await;
    instance.fleet(3).await;
    let fcm = StandIn::start().await.unwrap();
    fcm.refuse_sign_in(Some((400, "invalid_grant")));
    let sending = Sending::to(&instance, fcm);
    let campaign = instance.nudge_all().await;
    let suspended = instance.campaign_in(campaign, Paused).await;
    assert!(suspended.suspended.as_deref().unwrap().contains("invalid_grant"));
    assert_eq!(progress(&suspended), (0, 0, 3));
    sending.fcm.refuse_sign_in(None);
    instance.nudges.resume(operator(), campaign).await.unwrap();
    let done = instance.campaign_in(campaign, Completed).await;
    assert_eq!(progress(&done), (3, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_watched_campaign_is_told_when_it_changes_and_at_last_when_it_ends() {
    let instance = Instance::start().await;
    instance.fleet(1).await;
    let campaign = instance.nudge_all().await;
    let mut watch = instance.nudges.watch(campaign).unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().state, CampaignState::Queued);
    instance.nudges.pause(operator(), campaign).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().state, Paused);
    instance.nudges.cancel(operator(), campaign).await.unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().state, Canceled);
    assert_eq!(watch.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_clerk_that_is_killed_between_a_steps_campaign_and_the_step_leaves_one_campaign() {
    let (instance, _sending) = with_fleet(2).await;
    let build = instance.build(2).await;
    let step = PlanStep {
        nudge: true,
        ..PlanStep::to(Percent::EVERYBODY, Span::hours(1))
    };
    let by_plan = Promotion {
        plan: Some(Plan::new(vec![step]).unwrap()),
        ..to(100)
    };
    instance.promote(build, by_plan).await;
    let rollout = instance.rollouts.track(&package()).await.unwrap().serving[0]
        .rollout
        .clone();
    // What the one that was killed had written by then.
    let campaign = NewCampaign {
        order: NudgeOrder::behind(package(), rollout.id),
        request_id: "of the killed one".to_owned(),
        idempotency_key: Some(format!("step/{}/1", rollout.id)),
    };
    let by = tidegate_storage::Actor {
        subject: CLERK.to_owned(),
        role: CLERK.to_owned(),
        request_id: None,
        now: instance.clock.now(),
    };
    instance.store.create_campaign(campaign, by).await.unwrap();
    let clock = Arc::clone(&instance.clock) as Arc<dyn Clock>;
    let mut clerk = Clerk::new(
        instance.store.clone(),
        Arc::clone(&instance.snapshots),
        clock,
        Some(Arc::clone(&instance.wake)),
    );
    clerk.look().await.unwrap();
    clerk.look().await.unwrap();
    let phase = instance.rollouts.get(rollout.id).await.unwrap().spec.phase();
    assert_eq!(phase, Some(Phase::Baking));
    let campaigns = instance.nudges.list(Default::default()).await.unwrap().items;
    let made: Vec<_> = campaigns
        .iter()
        .map(|campaign| campaign.request_id.as_str())
        .collect();
    assert_eq!(made, ["of the killed one"]);
}
