//! Nudges: campaigns that wake devices, so that a release takes effect now rather than at each device's next poll.
//!
//! Asking for one only writes it to the database: campaign, deliveries and audit entry in one transaction. Then a
//! sender sends it, in this process or in another that shares the database. Its progress is read from the database
//! too. So a process that ends loses nothing, and every replica gives the same answers.

mod by_plan;
mod completed;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tidegate_domain::{
    CampaignId, CampaignState, MAX_IDEMPOTENCY_KEY_BYTES, NudgeAudience, NudgeOrder, Role, Verb,
};
use tidegate_storage::{Campaign, FailedDelivery, NewCampaign, Page, Paged, Store};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::{Actor, Clock, Error, Kind, Snapshots};

pub(crate) use by_plan::StepNudges;
pub(crate) use completed::log_completed;
pub use watch::CampaignWatch;

/// How many devices a campaign may have that is answered with its result.
pub const SMALL_CAMPAIGN: u64 = 200;

/// How long the answer to a nudge waits for a small campaign to end.
pub const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// How often a watched campaign is read.
pub const WATCHED_EVERY: Duration = Duration::from_millis(500);

/// How many may watch campaigns at once: each costs the database two queries a second.
pub const MAX_WATCHERS: usize = 200;

/// How often a small campaign is read while its caller waits.
const SETTLING_EVERY: Duration = Duration::from_millis(50);

/// Wakes devices.
pub struct Nudges {
    store: Store,
    live: Arc<Snapshots>,
    clock: Arc<dyn Clock>,
    wake: Option<Arc<Notify>>,
    watchers: Arc<Semaphore>,
}

/// A campaign that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nudged {
    /// The campaign.
    pub campaign: Campaign,
    /// Whether it is new. The same request again returns the campaign that it made the first time.
    pub is_new: bool,
}

impl Nudges {
    /// Over this database. `wake` notifies this process's sender of new work; without it FCM is not configured, and
    /// nothing can be sent.
    pub fn new(store: Store, live: Arc<Snapshots>, clock: Arc<dyn Clock>, wake: Option<Arc<Notify>>) -> Self {
        Self {
            store,
            live,
            clock,
            wake,
            watchers: Arc::new(Semaphore::new(MAX_WATCHERS)),
        }
    }

    /// Whether anything can be sent.
    pub fn is_configured(&self) -> bool {
        self.wake.is_some()
    }

    /// Writes a campaign. The sender then sends it.
    ///
    /// # Errors
    /// [`Kind::Forbidden`]; [`Kind::Conflict`] with `fcm_not_configured`, or `idempotency_key_reused` when the key
    /// belongs to another order; [`Kind::Invalid`], [`Kind::NotFound`] for an unknown package,
    /// [`Kind::Unavailable`].
    pub async fn nudge(
        &self,
        actor: &Actor,
        order: NudgeOrder,
        idempotency_key: Option<String>,
    ) -> Result<Nudged, Error> {
        actor.require_some(Role::Operator, Verb::Nudge)?;
        let wake = self.wake.as_ref().ok_or_else(not_configured)?;
        let order = self.complete(order)?.checked()?;
        actor.require_verb(Role::Operator, Verb::Nudge, order.package.as_ref())?;
        if let Some(key) = &idempotency_key
            && !(1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&key.len())
        {
            let fault = format!("must have 1 to {MAX_IDEMPOTENCY_KEY_BYTES} bytes");
            return Err(Error::invalid("idempotency_key", fault));
        }
        let new = NewCampaign {
            order,
            request_id: uuid::Uuid::new_v4().to_string(),
            idempotency_key,
        };
        let now = self.clock.now();
        let (campaign, is_new) = self.store.create_campaign(new, actor.on_record(now)).await?;
        if is_new {
            begun(&campaign, wake);
        }
        Ok(Nudged { campaign, is_new })
    }

    /// Fills in the package where only one releases anything.
    fn complete(&self, order: NudgeOrder) -> Result<NudgeOrder, Error> {
        if order.package.is_some() || order.audience == NudgeAudience::All {
            return Ok(order);
        }
        Ok(NudgeOrder {
            package: Some(self.live.only_package()?),
            ..order
        })
    }

    /// Waits until a campaign has ended, at most [`SETTLED_WITHIN`], and returns it as it then stands.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    #[allow(clippy::disallowed_methods, reason = "somebody really waits for the answer")]
    pub async fn settled(&self, id: CampaignId) -> Result<Campaign, Error> {
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let campaign = self.get(id).await?;
            // A paused one does not end by itself.
            let waits = matches!(campaign.state, CampaignState::Queued | CampaignState::Running);
            if !waits || Instant::now() + SETTLING_EVERY >= deadline {
                return Ok(campaign);
            }
            tokio::time::sleep(SETTLING_EVERY).await;
        }
    }

    /// A campaign as it stands.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn get(&self, id: CampaignId) -> Result<Campaign, Error> {
        Ok(self.store.campaign(id).await?)
    }

    /// How many devices of this campaign gave no answer in time; `None` while some may still answer.
    pub fn no_answer(&self, campaign: &Campaign) -> Option<u64> {
        campaign.no_answer(self.clock.now())
    }

    /// Campaigns, newest first.
    ///
    /// # Errors
    /// [`Kind::Invalid`] for a bad page token, [`Kind::Unavailable`].
    pub async fn list(&self, page: Page) -> Result<Paged<Campaign>, Error> {
        Ok(self.store.campaigns(page).await?)
    }

    /// The devices that a campaign did not reach, and why.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Invalid`] for a bad page token, [`Kind::Unavailable`].
    pub async fn failures(&self, id: CampaignId, page: Page) -> Result<Paged<FailedDelivery>, Error> {
        Ok(self.store.failed_deliveries(id, page).await?)
    }

    /// Cancels what was not sent.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], [`Kind::NotFound`], [`Kind::Conflict`] when it has ended.
    pub async fn cancel(&self, actor: &Actor, id: CampaignId) -> Result<Campaign, Error> {
        self.change(actor, id, CampaignState::Canceled, "ota.nudge.cancel")
            .await
    }

    /// Pauses a campaign. Messages on their way are still finished.
    ///
    /// # Errors
    /// As [`Nudges::cancel`].
    pub async fn pause(&self, actor: &Actor, id: CampaignId) -> Result<Campaign, Error> {
        self.change(actor, id, CampaignState::Paused, "ota.nudge.pause")
            .await
    }

    /// Resumes a paused or suspended campaign.
    ///
    /// # Errors
    /// As [`Nudges::cancel`], and [`Kind::Conflict`] with `fcm_not_configured`.
    pub async fn resume(&self, actor: &Actor, id: CampaignId) -> Result<Campaign, Error> {
        actor.require_some(Role::Operator, Verb::Nudge)?;
        let wake = self.wake.as_ref().ok_or_else(not_configured)?;
        let campaign = self
            .change(actor, id, CampaignState::Running, "ota.nudge.resume")
            .await?;
        wake.notify_one();
        Ok(campaign)
    }

    async fn change(
        &self,
        actor: &Actor,
        id: CampaignId,
        next: CampaignState,
        action: &'static str,
    ) -> Result<Campaign, Error> {
        actor.require_some(Role::Operator, Verb::Nudge)?;
        if actor.limits.is_some() {
            let package = self.get(id).await?.package;
            actor.require_verb(Role::Operator, Verb::Nudge, package.as_ref())?;
        }
        let note = actor
            .on_record(self.clock.now())
            .note(action, format!("campaign/{id}"));
        let campaign = self.store.change_campaign(id, next, note).await?;
        tracing::info!(event = action, actor = actor.subject, campaign_id = id.0);
        Ok(campaign)
    }

    /// Follows a campaign until it ends, whichever replica sends it.
    ///
    /// # Errors
    /// [`Kind::Exhausted`] when [`MAX_WATCHERS`] are watching.
    pub fn watch(&self, id: CampaignId) -> Result<CampaignWatch, Error> {
        let place = Arc::clone(&self.watchers).try_acquire_owned().map_err(|_| {
            let message = format!(
                "{MAX_WATCHERS} are watching campaigns already; get the campaign now and then instead"
            );
            Error::new(Kind::Exhausted, "too_many_watchers", message)
        })?;
        Ok(CampaignWatch::new(self.store.clone(), id, place))
    }
}

/// Tells that a campaign was made, and wakes the sender.
fn begun(campaign: &Campaign, wake: &Notify) {
    tracing::info!(
        event = "ota.nudge",
        actor = campaign.created_by,
        campaign_id = campaign.id.0,
        audience = %campaign.audience,
        total_devices = campaign.progress.total,
        priority = %campaign.priority,
    );
    // Where no device can be woken there is nothing to send.
    if campaign.state == CampaignState::Completed {
        log_completed(campaign);
    }
    wake.notify_one();
}

fn not_configured() -> Error {
    Error::new(
        Kind::Conflict,
        "fcm_not_configured",
        "this server cannot nudge: name a service account in TIDEGATE_FCM_SERVICE_ACCOUNT and start it again",
    )
}
