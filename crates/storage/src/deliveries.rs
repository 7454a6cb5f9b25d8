//! The deliveries of a campaign: claimed, sent, answered.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{ActionResult, CampaignId, CampaignState, DeliveryFailure, DeviceId};

use crate::store::run;
use crate::{Error, Progress, Store};

/// The most deliveries that one claim takes.
pub const MAX_CLAIM: u32 = 1000;

/// A delivery that is to be sent now, by whoever claimed it, until the lease ends.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// The device.
    pub device: DeviceId,
    /// Where it is woken.
    pub fcm_token: String,
    /// How often it was claimed, with this time: names the lease.
    pub attempt: u32,
    /// When it was claimed for the first time.
    pub first_claimed_at: DateTime<Utc>,
}

/// Whoever has the FCM token can be taken for this server, in front of Google.
impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("device", &self.device)
            .field("attempt", &self.attempt)
            .field("first_claimed_at", &self.first_claimed_at)
            .finish_non_exhaustive()
    }
}

/// What became of a claimed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The device.
    pub device: DeviceId,
    /// The claim's attempt.
    pub attempt: u32,
    /// What became of it.
    pub fate: DeliveryOutcome,
}

/// What became of a claimed delivery.
#[derive(Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// Google took it.
    Sent,
    /// It is given up.
    Failed {
        /// Why.
        reason: DeliveryFailure,
        /// The FCM token to forget, if it is still the device's.
        forget: Option<String>,
    },
    /// It is to be tried again, not before this time.
    Retry {
        /// When.
        at: DateTime<Utc>,
    },
    /// Nobody took it: it is due at once, and as if this claim had never been.
    GivenBack {
        /// When it was claimed.
        claimed_at: DateTime<Utc>,
    },
}

impl fmt::Debug for DeliveryOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent => f.write_str("Sent"),
            Self::Failed { reason, forget } => {
                let forgets = forget.is_some();
                write!(f, "Failed({reason}, forgets: {forgets})")
            }
            Self::Retry { at } => write!(f, "Retry({at})"),
            Self::GivenBack { .. } => f.write_str("GivenBack"),
        }
    }
}

/// What recording outcomes did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// How many deliveries were ended by it. One that had ended already counts for nothing.
    pub settled: u64,
    /// Where the campaign stands now.
    pub state: CampaignState,
    /// How far it is now.
    pub progress: Progress,
}

/// What became of a device's answer to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It is the first.
    Fresh,
    /// The device answered this command already; the first answer stays.
    Repeat,
    /// This device was sent no such command.
    Unknown,
}

impl Store {
    /// Takes deliveries of a campaign that are due: for the time of the lease nobody else is given them. Those that
    /// were never claimed come before those whose lease ran out, so that what a killed sender had in its hands
    /// comes again last. A device that lost its token meanwhile is failed in the same transaction. Empty when the
    /// campaign is paused or over, or nothing is due.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Rule`] for a limit outside of 1 to [`MAX_CLAIM`].
    pub async fn claim_deliveries(
        &self,
        campaign: CampaignId,
        now: DateTime<Utc>,
        lease: TimeDelta,
        limit: u32,
    ) -> Result<Vec<Claim>, Error> {
        run!(self, write, deliveries::claim(campaign, now, lease, limit))
    }

    /// Writes down what became of claimed deliveries. An end counts if the delivery is still open, whoever holds it
    /// now; a retry or a giving back counts only for the claim that is the delivery's last. The campaign is completed
    /// when nothing is open any more.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn record_deliveries(
        &self,
        campaign: CampaignId,
        outcomes: Vec<Outcome>,
        now: DateTime<Utc>,
    ) -> Result<Recorded, Error> {
        run!(self, write, deliveries::record(campaign, &outcomes, now))
    }

    /// Takes devices' answers to commands, in one transaction, and says of each in its place what became of it.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`]; nothing was written then.
    pub async fn record_results(
        &self,
        batch: Vec<(DeviceId, ActionResult, DateTime<Utc>)>,
    ) -> Result<Vec<Answered>, Error> {
        run!(self, write, deliveries::answer(&batch))
    }
}
