//! The last of the sender's three tasks: records the outcomes of deliveries and watches the circuit breaker.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tidegate_domain::{CampaignId, CampaignState, DeliveryFailure};
use tidegate_storage::{Actor, Campaign, DeliveryOutcome, Error, Outcome, Recorded, Store};
use tokio::sync::mpsc;

use super::dispatch::Done;
use super::{SenderState, circuit_breaker, lock};
use crate::nudges::log_completed;
use crate::{Clock, Counters};

/// How many outcomes are written at once.
const MAX_BATCH: usize = 1000;

/// How long the first outcome of a batch waits for more.
const GATHER: Duration = Duration::from_millis(100);

/// How often suspending a campaign is tried again when the database did not take it.
const SUSPEND_AGAIN: Duration = Duration::from_secs(1);

/// The pause before a batch is written again that could not be.
const PAUSE: Duration = Duration::from_millis(250);

/// Records outcomes.
pub(super) struct Recorder {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) state: Arc<SenderState>,
    pub(super) counts: Arc<Counters>,
}

/// What the circuit breaker knows of a campaign, as last read.
#[derive(Clone, Copy)]
struct Known {
    dead: u64,
    limit: u64,
}

impl Recorder {
    /// Ends when sending has ended and every outcome is written.
    pub(super) async fn run(self, mut done: mpsc::Receiver<Done>) {
        let mut known = HashMap::new();
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while self.next(&mut done, &mut batch).await {
            if batch.len() < MAX_BATCH {
                gather(&mut done, &mut batch).await;
            }
            let mut campaigns: BTreeMap<CampaignId, Vec<Outcome>> = BTreeMap::new();
            for Done { campaign, outcome } in batch.drain(..) {
                campaigns.entry(campaign).or_default().push(outcome);
            }
            for (campaign, outcomes) in campaigns {
                self.write(campaign, outcomes, &mut known).await;
            }
            self.suspend().await;
        }
        self.suspend().await;
    }

    /// Waits for outcomes; false when there will be no more. A campaign that is to be suspended has none, so meanwhile
    /// suspending it is tried again.
    async fn next(&self, done: &mut mpsc::Receiver<Done>, batch: &mut Vec<Done>) -> bool {
        loop {
            let is_suspending = !lock(&self.state.to_suspend).is_empty();
            tokio::select! {
                count = done.recv_many(batch, MAX_BATCH) => return count > 0,
                () = tokio::time::sleep(SUSPEND_AGAIN), if is_suspending => self.suspend().await,
            }
        }
    }

    async fn write(
        &self,
        campaign: CampaignId,
        mut outcomes: Vec<Outcome>,
        known: &mut HashMap<CampaignId, Known>,
    ) {
        self.spare_tokens(campaign, &mut outcomes, known).await;
        let tally = Tally::of(&outcomes);
        let Some(recorded) = self.record(campaign, outcomes).await else {
            return;
        };
        self.counts.nudged(tally.sent, tally.failed, tally.retried);
        let Campaign { state, progress, .. } = &recorded.campaign;
        tracing::info!(
            event = "ota.nudge.batch",
            campaign_id = campaign.0,
            sent = tally.sent,
            failed = tally.failed,
            retried = tally.retried,
            given_back = tally.given_back,
            queued = progress.queued,
        );
        if recorded.completed {
            log_completed(&recorded.campaign);
        }
        if !matches!(state, CampaignState::Queued | CampaignState::Running) {
            lock(&self.state.live).remove(&campaign);
        }
        if *state == CampaignState::Completed || *state == CampaignState::Canceled {
            known.remove(&campaign);
            return;
        }
        let now_known = Known {
            dead: circuit_breaker::dead(progress),
            limit: circuit_breaker::limit(progress),
        };
        known.insert(campaign, now_known);
        if circuit_breaker::opens(progress, tally.dead) {
            tracing::error!(
                event = "ota.nudge.circuit_breaker",
                campaign_id = campaign.0,
                dead = now_known.dead,
                total = progress.total,
                "many tokens look dead; the campaign is suspended"
            );
            lock(&self.state.to_suspend)
                .entry(campaign)
                .or_insert_with(|| circuit_breaker::reason(progress));
        }
    }

    /// Forgets no more tokens than the circuit breaker's limit allows.
    async fn spare_tokens(
        &self,
        campaign: CampaignId,
        outcomes: &mut [Outcome],
        known: &mut HashMap<CampaignId, Known>,
    ) {
        let forgets =
            |outcome: &Outcome| matches!(outcome.result, DeliveryOutcome::Failed { forget: Some(_), .. });
        if !outcomes.iter().any(forgets) {
            return;
        }
        let Known { mut dead, limit } = match known.get(&campaign) {
            Some(known) => *known,
            // Another server, or this one before it was started again, may have met some already.
            None => match self.store.campaign(campaign).await {
                Ok(campaign) => Known {
                    dead: circuit_breaker::dead(&campaign.progress),
                    limit: circuit_breaker::limit(&campaign.progress),
                },
                Err(_) => Known { dead: 0, limit: 0 },
            },
        };
        for outcome in outcomes {
            if let DeliveryOutcome::Failed { reason, forget } = &mut outcome.result
                && circuit_breaker::counts(*reason)
            {
                dead += 1;
                if dead > limit {
                    *forget = None;
                }
            }
        }
    }

    /// Tries until it is written, since what was sent must not be sent again. `None` when the campaign does not exist.
    async fn record(&self, campaign: CampaignId, outcomes: Vec<Outcome>) -> Option<Recorded> {
        loop {
            let now = self.clock.now();
            match self
                .store
                .record_deliveries(campaign, outcomes.clone(), now)
                .await
            {
                Ok(recorded) => return Some(recorded),
                Err(error @ (Error::Busy(_) | Error::Unavailable(_))) => {
                    tracing::warn!(%error, "outcomes could not be written and are kept");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(%error, campaign_id = campaign.0, "outcomes can never be written");
                    return None;
                }
            }
        }
    }

    /// Suspends the campaigns that cannot go on, for all servers to see.
    async fn suspend(&self) {
        let campaigns: Vec<(CampaignId, String)> = {
            let to_suspend = lock(&self.state.to_suspend);
            to_suspend.iter().map(|(id, why)| (*id, why.clone())).collect()
        };
        for (id, why) in campaigns {
            tracing::error!(event = "ota.nudge.suspended", campaign_id = id.0, why);
            let actor = Actor {
                subject: "tidegate".to_owned(),
                role: "server".to_owned(),
                request_id: None,
                now: self.clock.now(),
            };
            let note = actor.note("ota.nudge.hold", format!("campaign/{id}"));
            match self.store.suspend_campaign(id, why, note).await {
                // Refused by the rules: the campaign has ended meanwhile.
                Ok(_) | Err(Error::Rule(_) | Error::NotFound { .. }) => {
                    lock(&self.state.live).remove(&id);
                    lock(&self.state.to_suspend).remove(&id);
                }
                // Nothing is sent for it here meanwhile, and suspending it is tried again.
                Err(error) => tracing::warn!(%error, "a campaign could not be suspended"),
            }
        }
    }
}

/// Waits a little for more outcomes, so that one transaction writes many.
async fn gather(done: &mut mpsc::Receiver<Done>, batch: &mut Vec<Done>) {
    let full = async {
        while batch.len() < MAX_BATCH {
            let room = MAX_BATCH - batch.len();
            if done.recv_many(batch, room).await == 0 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(GATHER, full).await;
}

#[derive(Default)]
struct Tally {
    sent: u64,
    failed: u64,
    retried: u64,
    given_back: u64,
    dead: u64,
}

impl Tally {
    fn of(outcomes: &[Outcome]) -> Self {
        let mut tally = Self::default();
        for outcome in outcomes {
            match &outcome.result {
                DeliveryOutcome::Sent => tally.sent += 1,
                DeliveryOutcome::Retry { .. } => tally.retried += 1,
                DeliveryOutcome::GivenBack { .. } => tally.given_back += 1,
                DeliveryOutcome::Failed { reason, .. } => {
                    tally.failed += 1;
                    tally.dead += u64::from(circuit_breaker::counts(*reason));
                    if *reason == DeliveryFailure::SenderIdMismatch {
                        tracing::error!(
                            event = "ota.nudge.sender_id_mismatch",
                            device = %outcome.device,
                            "a token belongs to another Firebase project than the service account"
                        );
                    }
                }
            }
        }
        tally
    }
}
