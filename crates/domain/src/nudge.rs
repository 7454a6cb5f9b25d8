//! Nudges: the campaign that wakes devices, its states, and why a delivery may fail.
//!
//! A nudge only makes a device poll sooner. What the device is then offered is decided by the rollouts, as at any
//! poll, and nothing here has a say in it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{CampaignId, DeviceId, Error, MAX_MESSAGE_BYTES, MAX_REQUEST_ID_BYTES, PackageName, RolloutId};

/// How many devices one campaign may name. A campaign for more addresses the fleet.
pub const MAX_NAMED_DEVICES: usize = 10_000;
/// How long Google may store a command for a device that sleeps, unless told otherwise: as long as agents accept it.
pub const DEFAULT_NUDGE_TTL: Duration = Duration::from_secs(300);
/// The priority of a nudge unless told otherwise. A normal push reaches a dozing phone at its next maintenance window,
/// which is nearly always later than the agent still takes the command.
pub const DEFAULT_NUDGE_PRIORITY: Priority = Priority::High;
/// The longest that Google may store a command. Agents refuse older ones.
pub const MAX_NUDGE_TTL: Duration = Duration::from_secs(300);
/// The longest idempotency key, in bytes.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 128;
/// The longest action in a device's answer to a command, in bytes.
pub const MAX_ACTION_BYTES: usize = 32;
/// The longest outcome in a device's answer to a command, in bytes.
pub const MAX_OUTCOME_BYTES: usize = 32;

/// An enum whose variants are written as words: in the protocol, in SQL and in JSON.
macro_rules! words {
    (
        $(#[$doc:meta])*
        $name:ident, $field:literal, $count:literal {
            $($(#[$variant_doc:meta])* $variant:ident = $word:literal),* $(,)?
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),*
        }

        impl $name {
            /// All of them.
            pub const ALL: [Self; $count] = [$(Self::$variant),*];

            /// Its word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self, Error> {
                Self::ALL.into_iter().find(|it| it.as_str() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|it| it.as_str()).collect();
                    Error::invalid($field, format!("must be one of {}", known.join(", ")))
                })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

words! {
    /// Where a campaign stands.
    CampaignState, "state", 5 {
        /// Written down, nothing sent yet.
        Queued = "queued",
        /// Being sent.
        Running = "running",
        /// Paused by an operator, or suspended by the sender itself. Messages on their way are still finished.
        Paused = "paused",
        /// Canceled by an operator: what was not sent never will be.
        Canceled = "canceled",
        /// Every delivery was sent or failed.
        Completed = "completed",
    }
}

impl CampaignState {
    /// Whether more may still be sent.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Queued | Self::Running | Self::Paused)
    }

    /// The state machine: whether a campaign in this state may go to that one.
    pub fn may_become(self, next: Self) -> bool {
        match next {
            Self::Queued => false,
            Self::Running => matches!(self, Self::Queued | Self::Paused),
            Self::Paused => matches!(self, Self::Queued | Self::Running),
            Self::Canceled | Self::Completed => self.is_live(),
        }
    }

    /// The campaign's next state by an operator's verb, or `None` when it is there already.
    ///
    /// # Errors
    /// [`Error::WrongCampaignState`].
    pub fn go(self, campaign: CampaignId, next: Self) -> Result<Option<Self>, Error> {
        if self == next || (next == Self::Running && self == Self::Queued) {
            return Ok(None);
        }
        if self.may_become(next) {
            return Ok(Some(next));
        }
        Err(Error::WrongCampaignState {
            campaign,
            from: self,
            to: next,
        })
    }
}

words! {
    /// How urgent a command is.
    Priority, "priority", 2 {
        /// Delivered when the device next wakes by itself, which spares its battery. A device that dozes may get it
        /// only after the agent would have accepted it.
        Normal = "normal",
        /// Wakes the device at once. Google treats later messages as normal when an app keeps waking its device
        /// without showing a notification.
        High = "high",
    }
}

words! {
    /// Whom a campaign wakes.
    NudgeAudience, "audience", 2 {
        /// All devices.
        All = "all",
        /// Those that would be offered an update if they polled now.
        Behind = "behind",
    }
}

words! {
    /// Why a command to a device failed, in the words that operators read.
    DeliveryFailure, "reason", 14 {
        /// The device sent no FCM token, or the one that it sent was forgotten because Google called it dead.
        NoFcmToken = "No FCM token",
        /// The device's credential was revoked.
        Revoked = "revoked",
        /// No device of this name ever enrolled.
        UnknownDevice = "unknown device",
        /// Google: the app was removed or the token has ended. The token is forgotten.
        Unregistered = "unregistered",
        /// Google refuses the message as it is.
        InvalidArgument = "invalid argument",
        /// The token belongs to another Firebase project.
        SenderIdMismatch = "sender id mismatch",
        /// Google: the credentials for a third party's push service are refused.
        ThirdPartyAuth = "third-party auth error",
        /// The service account may not send.
        PermissionDenied = "permission denied",
        /// There is no such Firebase project.
        WrongProject = "wrong project",
        /// Google refuses the service account itself.
        CredentialsRefused = "credentials refused",
        /// The command could not be signed or spelled.
        Unsendable = "unsendable",
        /// The project's quota stayed used up for too long.
        QuotaExceeded = "quota exceeded",
        /// Google did not answer, or not sensibly, for too long.
        Unavailable = "unavailable",
        /// Something that this version has no word for.
        Other = "other",
    }
}

/// A device's answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionResult {
    /// The command's `request_id`.
    pub request_id: String,
    /// What it asked for, such as `update`.
    pub action: String,
    /// The result in a word, such as `done`.
    pub outcome: String,
    /// The same in a sentence.
    pub message: Option<String>,
    /// When the device finished, by its own clock.
    pub finished_at: chrono::DateTime<chrono::Utc>,
}

impl ActionResult {
    /// Checks the bounds.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field's name.
    pub fn check(&self) -> Result<(), Error> {
        let words = [
            ("request_id", &self.request_id, MAX_REQUEST_ID_BYTES),
            ("action", &self.action, MAX_ACTION_BYTES),
            ("outcome", &self.outcome, MAX_OUTCOME_BYTES),
        ];
        for (field, text, limit) in words {
            if text.is_empty() || text.len() > limit {
                return Err(Error::invalid(field, format!("must have 1 to {limit} bytes")));
            }
            if text.chars().any(char::is_control) {
                return Err(Error::invalid(field, "must not contain control characters"));
            }
        }
        if self
            .message
            .as_ref()
            .is_some_and(|text| text.len() > MAX_MESSAGE_BYTES)
        {
            let fault = format!("is longer than {MAX_MESSAGE_BYTES} bytes");
            return Err(Error::invalid("message", fault));
        }
        Ok(())
    }
}

/// What an operator asks for: whom to wake, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NudgeOrder {
    /// The devices to wake; `None` for the whole fleet. [`NudgeOrder::checked`] sorts them and drops repetitions.
    pub devices: Option<Vec<DeviceId>>,
    /// The package in question: who is [`NudgeAudience::Behind`] is decided for it, and only its installations
    /// are counted.
    pub package: Option<PackageName>,
    /// Which of the devices.
    pub audience: NudgeAudience,
    /// Only those that this rollout would offer the update, of those that are [`NudgeAudience::Behind`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<RolloutId>,
    /// How urgently.
    pub priority: Priority,
    /// For how long Google may store a command.
    #[serde(rename = "ttl_s", serialize_with = "as_seconds")]
    pub ttl: Duration,
}

fn as_seconds<S: serde::Serializer>(ttl: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(ttl.as_secs())
}

impl NudgeOrder {
    /// All devices, with the default priority and lifetime.
    pub fn everybody() -> Self {
        Self {
            devices: None,
            package: None,
            audience: NudgeAudience::All,
            rollout: None,
            priority: DEFAULT_NUDGE_PRIORITY,
            ttl: DEFAULT_NUDGE_TTL,
        }
    }

    /// The devices of a package that a rollout would offer an update if they polled now.
    pub fn behind(package: PackageName, rollout: RolloutId) -> Self {
        Self {
            package: Some(package),
            audience: NudgeAudience::Behind,
            rollout: Some(rollout),
            ..Self::everybody()
        }
    }

    /// Checks the bounds, and brings the devices into order.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the field's name.
    pub fn checked(mut self) -> Result<Self, Error> {
        if let Some(devices) = &mut self.devices {
            if devices.is_empty() {
                let fault = "names nobody; leave it out to address the fleet";
                return Err(Error::invalid("device_ids", fault));
            }
            if devices.len() > MAX_NAMED_DEVICES {
                let fault = format!(
                    "may name at most {MAX_NAMED_DEVICES} devices; leave it out to address the fleet"
                );
                return Err(Error::invalid("device_ids", fault));
            }
            devices.sort_unstable();
            devices.dedup();
        }
        if self.ttl.is_zero() || self.ttl > MAX_NUDGE_TTL || self.ttl.subsec_nanos() != 0 {
            let fault = format!("must be from 1 to {} whole seconds", MAX_NUDGE_TTL.as_secs());
            return Err(Error::invalid("ttl_s", fault));
        }
        if self.audience == NudgeAudience::All && self.rollout.is_some() {
            let fault = "must be behind where a rollout is named";
            return Err(Error::invalid("audience", fault));
        }
        if self.audience == NudgeAudience::Behind && self.package.is_none() {
            return Err(Error::invalid(
                "package_name",
                "must be named for the audience behind",
            ));
        }
        Ok(self)
    }
}
