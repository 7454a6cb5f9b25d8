//! Nudge campaigns: whom they wake, how far they are, and what holds them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{
    CampaignId, CampaignState, DeliveryFailure, DeviceId, NudgeAudience, NudgeOrder, PackageName, Priority,
};

use crate::store::run;
use crate::{Actor, AuditNote, Error, Page, Paged, Store};

/// How many campaigns are sent side by side; the youngest beyond it wait for the oldest to end.
pub const MAX_LIVE_CAMPAIGNS: i64 = 100;

/// For how long after its last command polls and installations still count for a campaign.
pub const FOLLOWED_FOR: TimeDelta = TimeDelta::days(7);

/// A campaign to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCampaign {
    /// What was asked for, checked.
    pub order: NudgeOrder,
    /// The name that its commands will bear; nobody may be able to guess it.
    pub request_id: String,
    /// The caller's own name for the request: the same again makes no second campaign.
    pub idempotency_key: Option<String>,
}

/// A campaign as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Campaign {
    /// Its number.
    pub id: CampaignId,
    /// The name that its commands bear.
    pub request_id: String,
    /// The package whose installations it counts; `None` for all.
    pub package: Option<PackageName>,
    /// Which devices it is for.
    pub audience: NudgeAudience,
    /// Whether devices were named, rather than the fleet.
    pub named: bool,
    /// How urgent.
    pub priority: Priority,
    /// For how long Google may keep a command.
    pub ttl: Duration,
    /// Where it stands.
    pub state: CampaignState,
    /// Why the sender itself paused it.
    pub held: Option<String>,
    /// The subject of the credential that made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When the first command was taken up.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was completed or canceled.
    pub ended_at: Option<DateTime<Utc>>,
    /// How far it is.
    pub progress: Progress,
}

/// How far a campaign is, in devices.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// All that are meant.
    pub total: u64,
    /// To be sent, or being sent.
    pub queued: u64,
    /// Taken by Google.
    pub sent: u64,
    /// Given up, for whatever reason.
    pub failed: u64,
    /// The same by reason; reasons that did not occur are left out.
    pub failed_by: Vec<(DeliveryFailure, u64)>,
    /// Not sent, because the campaign was canceled.
    pub canceled: u64,
    /// That answered the command.
    pub acknowledged: u64,
    /// That polled since the command was taken up.
    pub polled: u64,
    /// That installed something since.
    pub installed: u64,
}

impl Progress {
    /// How many failed for this reason.
    pub fn failed_for(&self, reason: DeliveryFailure) -> u64 {
        let of_it = self.failed_by.iter().filter(|(held, _)| *held == reason);
        of_it.map(|(_, count)| count).sum()
    }
}

/// A device that was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedDelivery {
    /// The device.
    pub device: DeviceId,
    /// The name that people gave it.
    pub alias: Option<String>,
    /// Why.
    pub reason: DeliveryFailure,
}

impl Store {
    /// Writes a campaign down with one delivery for each device that is meant, and its audit entry (`ota.nudge`,
    /// target `campaign/<id>`), in one transaction. A device that cannot be woken is failed at once. The fleet is
    /// written by statements over sets; who is behind is decided by [`tidegate_domain::decide`] itself, a bounded
    /// number of devices at a time. Returns whether it is new: the same actor's same key again changes nothing.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an unknown package; [`Error::KeyReused`] when the key was used for another order.
    pub async fn create_campaign(&self, new: NewCampaign, actor: Actor) -> Result<(Campaign, bool), Error> {
        run!(self, write, campaigns::create(&new, &actor))
    }

    /// A campaign as it stands. Costs the same whatever its size.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn campaign(&self, id: CampaignId) -> Result<Campaign, Error> {
        run!(self, snapshot, campaigns::get(id))
    }

    /// All campaigns, newest first.
    ///
    /// # Errors
    /// [`Error::Rule`] for a page token that no page gave.
    pub async fn campaigns(&self, page: Page) -> Result<Paged<Campaign>, Error> {
        run!(self, snapshot, campaigns::list(&page))
    }

    /// The campaigns that are to be sent, oldest first, at most [`MAX_LIVE_CAMPAIGNS`]. Cheap when there are none.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn live_campaigns(&self) -> Result<Vec<Campaign>, Error> {
        run!(self, snapshot, campaigns::live())
    }

    /// How many campaigns a sender holds until somebody resumes or cancels them.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn held_campaigns(&self) -> Result<u64, Error> {
        run!(self, snapshot, campaigns::held())
    }

    /// Pauses, resumes or cancels a campaign, with its audit entry. Where it is in that state already nothing is
    /// written. Senders that claimed before see it when they look next.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Rule`] when its state does not allow it.
    pub async fn change_campaign(
        &self,
        id: CampaignId,
        next: CampaignState,
        audit: AuditNote,
    ) -> Result<Campaign, Error> {
        run!(self, write, campaigns::change(id, next, None, &audit))
    }

    /// Pauses a campaign on behalf of the sender, which says why, with its audit entry.
    ///
    /// # Errors
    /// As [`Store::change_campaign`].
    pub async fn hold_campaign(
        &self,
        id: CampaignId,
        why: String,
        audit: AuditNote,
    ) -> Result<Campaign, Error> {
        run!(
            self,
            write,
            campaigns::change(id, CampaignState::Paused, Some(&why), &audit)
        )
    }

    /// The devices that a campaign did not reach: unknown ones by name, then the others in the order in which they
    /// enrolled.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Rule`] for a page token that no page gave.
    pub async fn failed_deliveries(
        &self,
        id: CampaignId,
        page: Page,
    ) -> Result<Paged<FailedDelivery>, Error> {
        run!(self, snapshot, campaigns::failures(id, &page))
    }
}
