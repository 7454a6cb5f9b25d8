//! The deliveries of a campaign: claimed, sent, answered.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{ActionResult, CampaignId, DeliveryFailure, DeviceId};

use crate::store::run;
use crate::{Campaign, Error, Store};

/// The most deliveries that one claim takes.
pub const MAX_CLAIM: u32 = 1000;

/// A delivery that is to be sent now, by whoever claimed it, until the lease ends.
#[derive(Clone, PartialEq, Eq)]
pub struct Claim {
    /// The device.
    pub device: DeviceId,
    /// Where it is woken.
    pub fcm_token: String,
    /// The generation for which its command keys are derived; 0 for those that depend on the device alone.
    pub command_generation: u32,
    /// How often it was claimed, with this time: names the lease.
    pub attempt: u32,
    /// When it was claimed for the first time.
    pub first_claimed_at: DateTime<Utc>,
}

/// The FCM token is a secret, and is not printed.
impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("device", &self.device)
            .field("attempt", &self.attempt)
            .field("first_claimed_at", &self.first_claimed_at)
            .finish_non_exhaustive()
    }
}

/// The outcome of one claimed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The device.
    pub device: DeviceId,
    /// The claim's attempt.
    pub attempt: u32,
    /// How it went.
    pub result: DeliveryOutcome,
}

/// How a claimed delivery went.
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
    /// It was not sent: it is due at once, as if this claim had never been made.
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

/// Deliveries that were claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Those that are to be sent.
    pub claims: Vec<Claim>,
    /// The campaign, when this claim completed it: none of its last devices can be woken any more.
    pub completed: Option<Campaign>,
}

/// What recording outcomes did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// How many deliveries were ended by it. One that had ended already counts for nothing.
    pub settled: u64,
    /// The campaign as it stands now.
    pub campaign: Campaign,
    /// Whether this completed it. Of all who record outcomes of a campaign, one sees true, once.
    pub completed: bool,
}

/// How a device's answer to a command was taken.
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
    /// were never claimed come before those whose lease ran out, so that what a killed sender had claimed comes again
    /// last. A device that lost its token meanwhile is failed in the same transaction. Empty when the campaign is
    /// paused or over, or nothing is due.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::Rule`] for a limit outside of 1 to [`MAX_CLAIM`].
    pub async fn claim_deliveries(
        &self,
        campaign: CampaignId,
        now: DateTime<Utc>,
        lease: TimeDelta,
        limit: u32,
    ) -> Result<Claimed, Error> {
        run!(self, write, deliveries::claim(campaign, now, lease, limit))
    }

    /// Writes down how claimed deliveries went. `Sent` and `Failed` count if the delivery is still open, whoever has
    /// claimed it since; `Retry` and `GivenBack` count only from the delivery's last claim. The campaign is completed
    /// when no delivery is open any more.
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

    /// Takes devices' answers to commands in one transaction. Says of each, in the same order, how it was taken.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`]; nothing was written then.
    pub async fn record_results(
        &self,
        batch: Vec<(DeviceId, ActionResult, DateTime<Utc>)>,
    ) -> Result<Vec<Answered>, Error> {
        run!(self, write, responses::answer(&batch))
    }
}
