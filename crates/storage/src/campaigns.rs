//! Nudge campaigns: whom they wake, how far they are, and why one was suspended.

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

/// A device that was sent a command is silent when it neither polled nor answered within the command's life and this.
/// The margin is for the way to the device, and for a poll to be written down.
pub const ANSWER_MARGIN: TimeDelta = TimeDelta::seconds(60);

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
    /// Why the sender itself paused it. `None` when an operator paused it, or nobody.
    pub suspended: Option<String>,
    /// The subject of the credential that made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When the first command was taken up.
    pub started_at: Option<DateTime<Utc>>,
    /// When it was completed or canceled.
    pub ended_at: Option<DateTime<Utc>>,
    /// When the last command that was sent can be answered no more: its life and [`ANSWER_MARGIN`] after the last
    /// delivery ended. It moves on while commands are still being sent.
    pub answers_due_at: DateTime<Utc>,
    /// How far it is.
    pub progress: Progress,
}

impl Campaign {
    /// How long after its command was sent a device counts as answering: the command's life and [`ANSWER_MARGIN`].
    pub fn answer_window(&self) -> Duration {
        self.ttl
            .saturating_add(ANSWER_MARGIN.to_std().unwrap_or_default())
    }

    /// How many devices gave no answer: FCM took the command, and the device neither polled nor answered in time.
    /// `None` until [`Campaign::answers_due_at`], since any of them may still answer.
    pub fn no_answer(&self, now: DateTime<Utc>) -> Option<u64> {
        (now > self.answers_due_at).then_some(self.progress.silent)
    }
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
    /// That were sent a command and neither polled nor answered in time so far. Says nothing before
    /// [`Campaign::answers_due_at`]; read [`Campaign::no_answer`] instead.
    pub silent: u64,
}

impl Progress {
    /// How many failed for this reason.
    pub fn failed_for(&self, reason: DeliveryFailure) -> u64 {
        let of_it = self.failed_by.iter().filter(|(why, _)| *why == reason);
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
    /// Writes a campaign, one delivery for each device that is meant, and the audit entry (`ota.nudge`, target
    /// `campaign/<id>`) in one transaction. A device that cannot be woken is failed at once; where that is all of
    /// them, the campaign is completed. The fleet is written by one statement; who is behind is decided by
    /// [`tidegate_domain::decide`], a bounded number of devices at a time. Returns whether it is new: the same actor's
    /// same key again changes nothing.
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

    /// How many campaigns a sender suspended that nobody has resumed or canceled yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn suspended_campaigns(&self) -> Result<u64, Error> {
        run!(self, snapshot, campaigns::suspended())
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
        run!(self, urgent, campaigns::change(id, next, None, &audit))
    }

    /// Pauses a campaign on behalf of the sender, which says why, with its audit entry.
    ///
    /// # Errors
    /// As [`Store::change_campaign`].
    pub async fn suspend_campaign(
        &self,
        id: CampaignId,
        why: String,
        audit: AuditNote,
    ) -> Result<Campaign, Error> {
        run!(
            self,
            urgent,
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
