//! Whether a device may go on with an update right now: the safety rules.
//!
//! An update must not end a call, drain the last of a battery, spend somebody's mobile data, or fill a device's
//! storage, however urgent the release is. So there is no way to ask for an exception, and `must_install` only makes
//! a device look again sooner ([`look_again_after`]).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A battery that isn't charging has to hold more than this, in percent.
pub const MIN_BATTERY_PERCENT: u8 = 20;

/// More than this has to be free on the device, in bytes: 500 MB, counted as Android's settings count.
pub const MIN_FREE_BYTES: u64 = 500_000_000;

/// How soon a device that waits asks the rules again.
pub const LOOK_AGAIN: Duration = Duration::from_secs(15 * 60);

/// The same, for an update that must be installed.
pub const LOOK_AGAIN_SOON: Duration = Duration::from_secs(60);

/// How a device is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// Nothing.
    None,
    /// What somebody may have to pay for by the byte, or what isn't known to be free.
    Mobile,
    /// Wi-Fi, or a cable.
    Wifi,
}

/// How a device is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// What its battery holds, 0 to 100.
    pub battery_percent: u8,
    /// Whether it is charging.
    pub charging: bool,
    /// What is free where apps are installed, in bytes.
    pub free_bytes: u64,
    /// Its connection.
    pub network: Network,
    /// Whether somebody is on the phone, or it rings.
    pub in_call: bool,
}

/// What is about to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateNeeds {
    /// The rollout's setting: the file may come over Wi-Fi only.
    pub wifi_only: bool,
    /// What is still to be fetched, in bytes. What has nothing to fetch needs no network.
    pub fetch_bytes: u64,
    /// The space that it takes, in bytes: what is still to be fetched, and the copy that Android makes when it
    /// installs.
    pub space_bytes: u64,
}

/// What makes a device wait: a safety rule, or the rollout's terms for the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeferReason {
    /// Too little is free.
    StorageLow,
    /// The battery is low and not being charged.
    BatteryLow,
    /// The file may come over Wi-Fi only, and there is none.
    WifiRequired,
    /// Somebody is on the phone.
    InCall,
    /// No window of the calendar for installing is open.
    OutsideWindow,
    /// The rollout asks for a charger.
    NotCharging,
    /// The rollout asks for a device that nobody uses.
    NotIdle,
    /// The rollout asks for the app's consent.
    NoConsent,
    /// The rollout asks for something that this device does not know.
    UnknownCondition,
}

impl DeferReason {
    /// The safety rules, in the order in which [`preflight`] names them.
    pub const SAFETY: [Self; 4] = [
        Self::StorageLow,
        Self::BatteryLow,
        Self::WifiRequired,
        Self::InCall,
    ];

    /// All reasons: the safety rules, then what [`InstallTerms`](crate::InstallTerms) and calendars ask for.
    pub const ALL: [Self; 9] = [
        Self::StorageLow,
        Self::BatteryLow,
        Self::WifiRequired,
        Self::InCall,
        Self::OutsideWindow,
        Self::NotCharging,
        Self::NotIdle,
        Self::NoConsent,
        Self::UnknownCondition,
    ];

    /// The reason's name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StorageLow => "storage_low",
            Self::BatteryLow => "battery_low",
            Self::WifiRequired => "wifi_required",
            Self::InCall => "in_call",
            Self::OutsideWindow => "outside_window",
            Self::NotCharging => "not_charging",
            Self::NotIdle => "not_idle",
            Self::NoConsent => "no_consent",
            Self::UnknownCondition => "unknown_condition",
        }
    }

    /// Whether the safety rule forbids the needs under these conditions. What is no safety rule never does.
    pub fn holds(self, conditions: &Conditions, needs: &UpdateNeeds) -> bool {
        match self {
            Self::StorageLow => conditions.free_bytes <= MIN_FREE_BYTES.max(needs.space_bytes),
            Self::BatteryLow => !conditions.charging && conditions.battery_percent <= MIN_BATTERY_PERCENT,
            Self::WifiRequired => {
                needs.wifi_only && needs.fetch_bytes > 0 && conditions.network != Network::Wifi
            }
            Self::InCall => conditions.in_call,
            Self::OutsideWindow
            | Self::NotCharging
            | Self::NotIdle
            | Self::NoConsent
            | Self::UnknownCondition => false,
        }
    }
}

impl fmt::Display for DeferReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a device may go on.
///
/// # Errors
/// The rule that forbids it. When several do, the one that is likely to last longest: what an operator who reads
/// the reports could do something about comes before what passes by itself.
pub fn preflight(conditions: &Conditions, needs: &UpdateNeeds) -> Result<(), DeferReason> {
    match DeferReason::SAFETY
        .into_iter()
        .find(|rule| rule.holds(conditions, needs))
    {
        Some(reason) => Err(reason),
        None => Ok(()),
    }
}

/// How long a device that waits sleeps before it asks the rules again.
pub fn look_again_after(must_install: bool) -> Duration {
    if must_install { LOOK_AGAIN_SOON } else { LOOK_AGAIN }
}
