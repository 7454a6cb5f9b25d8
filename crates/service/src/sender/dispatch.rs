//! The second of the sender's three tasks: signs and sends what was claimed, within the rate limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_domain::{CampaignId, DeliveryFailure};
use tidegate_fcm::{Client, Error as Fault};
use tidegate_signing::KeyRing;
use tidegate_storage::{DeliveryOutcome, Outcome};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::verdict::Verdict;
use super::{Job, SenderSettings, SenderState, command, lock, verdict};
use crate::Clock;

/// How often the rate limiter is asked again.
const TICK: Duration = Duration::from_millis(5);

/// A delivery's outcome, on its way to the recorder.
pub(super) struct Done {
    pub(super) campaign: CampaignId,
    pub(super) outcome: Outcome,
}

/// Sends messages.
#[derive(Clone)]
pub(super) struct Dispatch {
    pub(super) fcm: Client,
    pub(super) keys: Arc<KeyRing>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: SenderSettings,
    pub(super) state: Arc<SenderState>,
    pub(super) outcomes: mpsc::Sender<Done>,
}

impl Dispatch {
    /// Ends when the queue is closed and every message on its way has been answered.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Job>, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(self.settings.max_in_flight));
        let mut under_way = JoinSet::new();
        while let Some(job) = queue.recv().await {
            if !self.may_go(&job, &stop).await {
                self.report(&job, job.given_back()).await;
                continue;
            }
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                break;
            };
            // It may have waited long for its place.
            if self.is_stale(&job) {
                self.report(&job, job.given_back()).await;
                continue;
            }
            while under_way.try_join_next().is_some() {}
            let dispatch = self.clone();
            under_way.spawn(async move {
                dispatch.deliver(job).await;
                drop(place);
            });
        }
        while under_way.join_next().await.is_some() {}
    }

    /// Waits for the rate limiter. False when the delivery is not to be sent, or not any more.
    async fn may_go(&self, job: &Job, stop: &CancellationToken) -> bool {
        loop {
            let goes_on = !stop.is_cancelled() && self.state.is_live(job.campaign.id) && !self.is_stale(job);
            if !goes_on || lock(&self.state.backoff).is_waiting(self.clock.now()) {
                return false;
            }
            #[allow(clippy::disallowed_methods, reason = "a rate of FCM's, which is real")]
            let now = Instant::now();
            if lock(&self.state.rate_limiter).take(1, now) == 1 {
                return true;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn is_stale(&self, job: &Job) -> bool {
        self.clock.now() - job.claimed_at > self.clock.passes_in(self.settings.fresh_for)
    }

    async fn deliver(&self, job: Job) {
        let now = self.clock.now();
        let message = match command::message(&self.keys, &job.campaign, &job.claim, now) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(device = %job.claim.device, %error, "a command could not be signed");
                let reason = DeliveryFailure::Unsendable;
                return self
                    .report(&job, DeliveryOutcome::Failed { reason, forget: None })
                    .await;
            }
        };
        let Err(error) = self.fcm.send(&message).await else {
            lock(&self.state.reach).answered();
            lock(&self.state.backoff).answered();
            return self.report(&job, DeliveryOutcome::Sent).await;
        };
        self.note_reach(&job, &error);
        let now = self.clock.now();
        let settings = SenderSettings {
            give_up_after: self.clock.passes_in(self.settings.give_up_after),
            ..self.settings
        };
        let mut verdict = verdict::of(&error, &job.claim, &settings, now, fastrand::f64());
        tracing::debug!(campaign_id = job.campaign.id.0, device = %job.claim.device, %error, "not sent");
        if let Verdict::Delivery(DeliveryOutcome::Retry { at }) = &mut verdict {
            let wait = self.clock.passes_in(*at - now);
            *at = now + wait;
            lock(&self.state.backoff).refused(wait, now);
        } else {
            // The refusal is about this message or about the service account, so FCM itself is not overloaded.
            lock(&self.state.backoff).answered();
        }
        let result = match verdict {
            Verdict::Delivery(result) => result,
            Verdict::Campaign(why) => {
                lock(&self.state.to_suspend).entry(job.campaign.id).or_insert(why);
                job.given_back()
            }
        };
        self.report(&job, result).await;
    }

    /// Notes whether anybody answered, and suspends the campaign when nobody has for long.
    fn note_reach(&self, job: &Job, error: &Fault) {
        let mut reach = lock(&self.state.reach);
        if !matches!(error, Fault::Connection(_) | Fault::Timeout(_)) {
            reach.answered();
            return;
        }
        #[allow(clippy::disallowed_methods, reason = "how long FCM is really away")]
        let now = Instant::now();
        let away = reach.failed(now);
        if reach.is_to_be_told(now) {
            tracing::warn!(
                event = "ota.nudge.unreachable",
                campaign_id = job.campaign.id.0,
                away_s = away.as_secs(),
                fault = %error,
                "no command can be sent: nobody is reached"
            );
        }
        if away >= self.settings.unreachable_after {
            let why = format!(
                "FCM has not been reached for {} s ({error}); look at fcm_endpoint and at the network, then resume",
                away.as_secs()
            );
            lock(&self.state.to_suspend).entry(job.campaign.id).or_insert(why);
            // Whoever resumes it gives it as much time again.
            reach.answered();
        }
    }

    async fn report(&self, job: &Job, result: DeliveryOutcome) {
        let done = Done {
            campaign: job.campaign.id,
            outcome: Outcome {
                device: job.claim.device.clone(),
                attempt: job.claim.attempt,
                result,
            },
        };
        // Never fails: the recorder runs until all senders of this channel are gone.
        let _ = self.outcomes.send(done).await;
    }
}
