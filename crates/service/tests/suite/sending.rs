//! A sender of nudges that sends to a stand-in of FCM, and is driven by the test's clock.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tidegate_domain::{CampaignId, CampaignState, DeliveryFailure, NudgeOrder};
use tidegate_fcm::stand_in::StandIn;
use tidegate_fcm::{Backoff, Client, Options, ServiceAccount, TrustedUrl};
use tidegate_service::{Campaign, Clock, Sender, SenderSettings};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::instance::{Instance, new_device, operator};

/// How long a test waits for what happens beside it. Far longer than anything takes.
const LIMIT: Duration = Duration::from_secs(20);

/// A sender that did not read the clock for so long is done: it waits for the next thing to do.
const QUIET: Duration = Duration::from_millis(60);

/// The wait after the first try that failed in passing, without the jitter that may double it.
pub(crate) const FIRST_RETRY: Duration = Duration::from_secs(10);

/// A running sender of an instance, with a Firebase project of its own.
pub(crate) struct Sending {
    pub(crate) fcm: StandIn,
    wake: Arc<Notify>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Sending {
    /// Starts the sender of an instance that sends to a new project.
    pub(crate) async fn start(instance: &Instance) -> Self {
        Self::to(instance, StandIn::start().await.unwrap())
    }

    /// Starts the sender of an instance that sends to this project.
    pub(crate) fn to(instance: &Instance, fcm: StandIn) -> Self {
        let (wake, stop) = (Arc::clone(&instance.wake), CancellationToken::new());
        let settings = SenderSettings {
            ramp: Duration::ZERO,
            backoff: Backoff {
                first: FIRST_RETRY,
                ..Backoff::default()
            },
            ..SenderSettings::default()
        };
        let sender = Sender::new(
            instance.store.clone(),
            client(&fcm),
            Arc::clone(&instance.keys),
            Arc::clone(&instance.clock) as Arc<dyn Clock>,
            settings,
            Arc::clone(&wake),
            Arc::clone(&instance.counters),
        );
        let task = tokio::spawn(sender.run(stop.clone()));
        Self {
            fcm,
            wake,
            stop,
            task,
        }
    }

    /// Has the sender look for due deliveries, and waits until it has nothing more to do.
    pub(crate) async fn look(&self, instance: &Instance) {
        let looked = async {
            self.wake.notify_one();
            while !is_read(instance, Duration::from_millis(1)).await {}
            while is_read(instance, QUIET).await {}
        };
        tokio::time::timeout(LIMIT, looked)
            .await
            .expect("the sender does not look, or does not end");
    }

    /// Lets time pass, and has the sender look.
    pub(crate) async fn pass(&self, instance: &Instance, time: TimeDelta) {
        instance.clock.advance(time);
        self.look(instance).await;
    }

    /// Stops the sender, and waits until it has ended.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(LIMIT, self.task)
            .await
            .expect("the sender does not end")
            .unwrap();
    }
}

/// Whether somebody beside the test reads the clock in this time. It stands still but for a microsecond for each time
/// that it is read, and a sender reads it whenever it looks, sends or records.
async fn is_read(instance: &Instance, within: Duration) -> bool {
    let before = instance.clock.read();
    tokio::time::sleep(within).await;
    instance.clock.read() - before > TimeDelta::microseconds(1)
}

/// A client that waits for no answer longer than the tests do.
fn client(fcm: &StandIn) -> Client {
    // An error means that the choice was made before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut options = Options::new(TrustedUrl::parse("endpoint", &fcm.endpoint()).unwrap());
    options.connections = 2;
    Client::new(
        ServiceAccount::from_json(&fcm.service_account()).unwrap(),
        options,
    )
    .unwrap()
}

impl Instance {
    /// Enrols devices `phone-0`, `phone-1` and so on.
    pub(crate) async fn fleet(&self, devices: u32) {
        let token = self.enrollment_token(devices).await;
        for number in 0..devices {
            let device = new_device(&format!("phone-{number}"), &token);
            self.devices.enroll(device).await.unwrap();
        }
    }

    /// Nudges all devices.
    pub(crate) async fn nudge_all(&self) -> CampaignId {
        let nudged = self.nudges.nudge(operator(), NudgeOrder::everybody(), None);
        nudged.await.unwrap().campaign.id
    }

    /// Waits until a campaign is as it should be.
    pub(crate) async fn campaign(&self, id: CampaignId, is_it: impl Fn(&Campaign) -> bool) -> Campaign {
        let mut last = None;
        let wait = async {
            loop {
                let campaign = self.nudges.get(id).await.unwrap();
                if is_it(&campaign) {
                    return campaign;
                }
                last = Some(campaign);
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        let found = tokio::time::timeout(LIMIT, wait).await;
        found.unwrap_or_else(|_| panic!("it never came to be: {last:?}"))
    }

    /// Waits until a campaign is in this state.
    pub(crate) async fn campaign_in(&self, id: CampaignId, state: CampaignState) -> Campaign {
        self.campaign(id, |campaign| campaign.state == state).await
    }
}

/// How many deliveries were sent, failed and are still to be sent.
pub(crate) fn progress(campaign: &Campaign) -> (u64, u64, u64) {
    let progress = &campaign.progress;
    (progress.sent, progress.failed, progress.queued)
}

/// The reasons of the deliveries that failed, with how many failed for each.
pub(crate) fn failed_by(campaign: &Campaign) -> Vec<(DeliveryFailure, u64)> {
    campaign.progress.failed_by.clone()
}
