//! Sends campaigns: claims deliveries, signs each device's command, hands it to FCM and records the outcome.
//!
//! Three tasks in a row, so that none waits for another's database call:
//!
//! 1. *Claiming* takes small batches of due deliveries by lease, in turn from each campaign.
//! 2. *Sending* waits for the rate limiter, signs at the last moment (agents refuse an old command) and keeps a bounded
//!    number of messages on their way.
//! 3. *Recording* writes outcomes in batches and watches the circuit breaker.
//!
//! The channels between them are short: when the database is slow, sending stops.
//!
//! **After a crash** everything that was claimed and not recorded is due again when its lease ends: the messages on
//! their way, and the answers of the last tenth of a second. A repeated command has the same request id, and agents
//! take each id once. Deliveries that were never claimed are sent first, so that several crashes repeat different
//! deliveries.
//!
//! **A pause or a cancellation** is seen within a quarter of a second; what was claimed and not sent is given back.
//!
//! **A fault that all messages have in common**, such as a wrong project or refused credentials, suspends the campaign
//! with a sentence that says why. Deliveries that met it are given back: none fails and no token is forgotten.

mod circuit_breaker;
mod command;
mod dispatch;
mod project_backoff;
mod reach;
mod recorder;
mod verdict;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::CampaignId;
use tidegate_fcm::{Backoff, Client, RateLimiter};
use tidegate_signing::KeyRing;
use tidegate_storage::{Campaign, Claim, Claimed, DeliveryOutcome, MAX_CLAIM, Store};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::nudges::log_completed;
use crate::{Clock, Counters, Error};
use dispatch::Dispatch;
use project_backoff::ProjectBackoff;
use reach::Reach;
use recorder::Recorder;

/// How often due deliveries are looked for while nobody notifies the sender.
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A claim asks for what will be sent in this many seconds at the present rate.
const CLAIM_AHEAD: f64 = 0.25;

/// The fewest deliveries that a claim asks for.
const MIN_CLAIM: u32 = 20;

/// How many outcomes may wait to be recorded.
const OUTCOME_QUEUE: usize = 2000;

/// How to send. All times are real ones, since FCM's answers take them.
#[derive(Clone, Copy, Debug)]
pub struct SenderSettings {
    /// Messages a second at most, of this server. FCM allows a project 10,000.
    pub max_per_second: u32,
    /// How long the rate takes to rise to that.
    pub ramp: Duration,
    /// How many messages may be on their way at once.
    pub max_in_flight: usize,
    /// How long a claim holds.
    pub lease: TimeDelta,
    /// How long a claim may wait before its message is sent. The rest of the lease must be longer than sending may
    /// take. Otherwise a second sender could send the same message.
    pub fresh_for: TimeDelta,
    /// The waits between tries.
    pub backoff: Backoff,
    /// For how long a delivery is tried again before it fails.
    pub give_up_after: TimeDelta,
    /// For how long nobody may be reached before campaigns are suspended.
    pub unreachable_after: Duration,
}

impl Default for SenderSettings {
    fn default() -> Self {
        Self {
            max_per_second: 9000,
            ramp: Duration::from_secs(60),
            max_in_flight: 1000,
            lease: TimeDelta::seconds(60),
            fresh_for: TimeDelta::seconds(20),
            backoff: Backoff::default(),
            give_up_after: TimeDelta::minutes(60),
            unreachable_after: Duration::from_secs(300),
        }
    }
}

/// The sender of one server. Any number of servers send the same campaigns side by side.
pub struct Sender {
    store: Store,
    fcm: Client,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    settings: SenderSettings,
    wake: Arc<Notify>,
    counts: Arc<Counters>,
}

/// A claimed delivery, on its way from claiming to sending.
struct Job {
    campaign: Arc<Campaign>,
    claim: Claim,
    claimed_at: DateTime<Utc>,
}

impl Job {
    fn given_back(&self) -> DeliveryOutcome {
        let claimed_at = self.claimed_at;
        DeliveryOutcome::GivenBack { claimed_at }
    }
}

/// What the three tasks share.
struct SenderState {
    /// The campaigns to send, as last read.
    live: Mutex<HashSet<CampaignId>>,
    /// Those to suspend, and why. Nothing more is sent for them here.
    to_suspend: Mutex<HashMap<CampaignId, String>>,
    rate_limiter: Mutex<RateLimiter>,
    backoff: Mutex<ProjectBackoff>,
    reach: Mutex<Reach>,
}

impl SenderState {
    fn is_live(&self, id: CampaignId) -> bool {
        lock(&self.live).contains(&id) && !lock(&self.to_suspend).contains_key(&id)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sender {
    /// A sender; [`Sender::run`] starts it. Whoever creates or resumes a campaign notifies `wake`.
    pub fn new(
        store: Store,
        fcm: Client,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        settings: SenderSettings,
        wake: Arc<Notify>,
        counts: Arc<Counters>,
    ) -> Self {
        Self {
            store,
            fcm,
            keys,
            clock,
            settings,
            wake,
            counts,
        }
    }

    /// Sends until `stop` is canceled. Then it gives back what it did not send, waits for the messages on their way
    /// and records their outcomes.
    pub async fn run(self, stop: CancellationToken) {
        let settings = self.settings;
        let state = Arc::new(SenderState {
            live: Mutex::default(),
            to_suspend: Mutex::default(),
            rate_limiter: Mutex::new(RateLimiter::new(settings.max_per_second, settings.ramp)),
            backoff: Mutex::default(),
            reach: Mutex::default(),
        });
        let (jobs, queue) = mpsc::channel(MAX_CLAIM as usize);
        let (outcomes, done) = mpsc::channel(OUTCOME_QUEUE);
        let dispatch = Dispatch {
            fcm: self.fcm.clone(),
            keys: Arc::clone(&self.keys),
            clock: Arc::clone(&self.clock),
            settings,
            state: Arc::clone(&state),
            outcomes,
        };
        let recorder = Recorder {
            store: self.store.clone(),
            clock: Arc::clone(&self.clock),
            state: Arc::clone(&state),
            counts: Arc::clone(&self.counts),
        };
        // Each ends when the one before it has ended and its queue is empty.
        tokio::join!(
            self.claim(jobs, &state, stop.clone()),
            dispatch.run(queue, stop),
            recorder.run(done),
        );
    }

    async fn claim(&self, jobs: mpsc::Sender<Job>, state: &SenderState, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let claimed = tokio::select! {
                claimed = self.claim_some(&jobs, state) => claimed,
                () = stop.cancelled() => return,
            };
            let idle = match claimed {
                Ok(claimed) => claimed == 0,
                Err(error) => {
                    tracing::warn!(%error, "deliveries could not be claimed");
                    true
                }
            };
            if idle {
                tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    /// One round over all campaigns. Returns how many deliveries were claimed.
    async fn claim_some(&self, jobs: &mpsc::Sender<Job>, state: &SenderState) -> Result<usize, Error> {
        let live = self.store.live_campaigns().await?;
        *lock(&state.live) = live.iter().map(|campaign| campaign.id).collect();
        if lock(&state.backoff).is_waiting(self.clock.now()) {
            return Ok(0);
        }
        let limit = self.claim_size(state, live.len());
        let mut claimed = 0;
        for campaign in live.into_iter().map(Arc::new) {
            if !state.is_live(campaign.id) {
                continue;
            }
            let now = self.clock.now();
            let lease = self.clock.passes_in(self.settings.lease);
            let claims = self.store.claim_deliveries(campaign.id, now, lease, limit);
            let Claimed { claims, completed } = claims.await?;
            if let Some(completed) = completed {
                log_completed(&completed);
            }
            for claim in claims {
                claimed += 1;
                let job = Job {
                    campaign: Arc::clone(&campaign),
                    claim,
                    claimed_at: now,
                };
                // Fails only when sending has ended, and then claiming ends too.
                let _ = jobs.send(job).await;
            }
        }
        Ok(claimed)
    }

    fn claim_size(&self, state: &SenderState, campaigns: usize) -> u32 {
        #[allow(clippy::disallowed_methods, reason = "a rate of FCM's, which is real")]
        let rate = lock(&state.rate_limiter).rate(Instant::now());
        let share = rate * CLAIM_AHEAD / f64::from(u32::try_from(campaigns.max(1)).unwrap_or(1));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is positive, and clamped"
        )]
        let share = share as u32;
        share.clamp(MIN_CLAIM, MAX_CLAIM)
    }
}
