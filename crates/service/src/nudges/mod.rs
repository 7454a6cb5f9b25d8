//! Nudges: campaigns that wake devices, so that a release takes effect now rather than at each device's next poll.
//!
//! Asking for one only writes it down: campaign, deliveries and audit entry in one transaction. From then on the
//! sender works it off, in this process or in another one that shares the database, and whoever asks how far it is
//! reads the database as well. So nothing is lost with a process, and it does not matter which replica is asked.

mod watch;

use std::sync::Arc;
use std::time::Duration;

use tidegate_domain::{
    CampaignId, CampaignState, MAX_IDEMPOTENCY_KEY_BYTES, NudgeAudience, NudgeOrder, Role,
};
use tidegate_storage::{Campaign, FailedDelivery, NewCampaign, Page, Paged, Store};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::{Actor, Clock, Error, Kind, Snapshots};

pub use watch::CampaignWatch;

/// How many devices a campaign may have that is answered with its result.
pub const SMALL_CAMPAIGN: u64 = 200;

/// How long an answer waits for a small campaign to be over.
pub const SETTLED_WITHIN: Duration = Duration::from_secs(10);

/// How often a watched campaign is looked at.
pub const WATCHED_EVERY: Duration = Duration::from_millis(500);

/// How many may watch campaigns at once: each costs the database two queries a second.
pub const MAX_WATCHERS: usize = 200;

/// How often a small campaign is looked at while its caller waits.
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
    /// Whether it is new; the same request again finds the campaign that it made before.
    pub is_new: bool,
}

impl Nudges {
    /// Over this database. `wake` tells this process's sender that there is something to do; without one, FCM is
    /// not configured, and nothing can be sent.
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

    /// Writes a campaign down. It is sent by itself.
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
        actor.require(Role::Operator)?;
        let wake = self.wake.as_ref().ok_or_else(not_configured)?;
        let order = self.complete(order)?.checked()?;
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
            tracing::info!(
                event = "ota.nudge",
                actor = actor.subject,
                campaign_id = campaign.id.0,
                audience = %campaign.audience,
                total_devices = campaign.progress.total,
                priority = %campaign.priority,
            );
            wake.notify_one();
        }
        Ok(Nudged { campaign, is_new })
    }

    /// Fills in the only package that can be meant.
    fn complete(&self, order: NudgeOrder) -> Result<NudgeOrder, Error> {
        if order.package.is_some() || order.audience == NudgeAudience::All {
            return Ok(order);
        }
        Ok(NudgeOrder {
            package: Some(self.live.only_package()?),
            ..order
        })
    }

    /// Waits until a campaign is over, but not longer than [`SETTLED_WITHIN`], and returns it as it then stands.
    ///
    /// # Errors
    /// [`Kind::NotFound`], [`Kind::Unavailable`].
    #[allow(clippy::disallowed_methods, reason = "somebody really waits for the answer")]
    pub async fn settled(&self, id: CampaignId) -> Result<Campaign, Error> {
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let campaign = self.get(id).await?;
            // A paused one will not end by itself.
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

    /// Gives up what was not sent.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], [`Kind::NotFound`], [`Kind::Conflict`] when it has ended.
    pub async fn cancel(&self, actor: &Actor, id: CampaignId) -> Result<Campaign, Error> {
        self.change(actor, id, CampaignState::Canceled, "ota.nudge.cancel")
            .await
    }

    /// Holds a campaign. What is under way is finished.
    ///
    /// # Errors
    /// As [`Nudges::cancel`].
    pub async fn pause(&self, actor: &Actor, id: CampaignId) -> Result<Campaign, Error> {
        self.change(actor, id, CampaignState::Paused, "ota.nudge.pause")
            .await
    }

    /// Goes on with a held campaign.
    ///
    /// # Errors
    /// As [`Nudges::cancel`], and [`Kind::Conflict`] with `fcm_not_configured`.
    pub async fn resume(&self, actor: &Actor, id: CampaignId) -> Result<Campaign, Error> {
        actor.require(Role::Operator)?;
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
        actor.require(Role::Operator)?;
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
            let message =
                format!("{MAX_WATCHERS} are watching campaigns already; look at it now and then instead");
            Error::new(Kind::Exhausted, "too_many_watchers", message)
        })?;
        Ok(CampaignWatch::new(self.store.clone(), id, place))
    }
}

fn not_configured() -> Error {
    Error::new(
        Kind::Conflict,
        "fcm_not_configured",
        "this server cannot nudge: name a service account in TIDEGATE_FCM_SERVICE_ACCOUNT and start it again",
    )
}
