//! Why a device is offered nothing.

use std::fmt;

use serde::Serialize;

use crate::TERMS_SINCE_PROTOCOL;

/// Why a device is offered nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The package releases nothing.
    NoCurrentBuild,
    /// The device runs this version.
    AlreadyCurrent,
    /// The device runs a higher version, and is not to be taken back from it.
    NewerInstalled,
    /// The device is outside the share of the fleet.
    NotInCohort,
    /// The device is in the share that the rollout's plan is on its way to, and the ramp has not reached it yet.
    Ramping,
    /// The device is among those that stay back from a step above 90 % until its bake ends, so that a health gate has
    /// something to compare with.
    HeldBack,
    /// The device is not one of those that the rollout addresses.
    NotInAudience,
    /// An operator paused the rollout.
    Paused,
    /// A health gate halted the rollout.
    Halted,
    /// The rollout has not begun.
    Scheduled,
    /// Devices of this API level don't install the build.
    IncompatibleSdk,
    /// The build has native code, none of it for this device.
    IncompatibleAbi,
    /// The device tried the build and gave it up.
    RejectedByDevice,
    /// The device must take another build first, and can't.
    NeedsIntermediate,
    /// The build is above the highest version that a policy allows the device.
    AboveCeiling,
    /// A policy keeps the device from every update.
    HeldByPolicy,
    /// The rollout's calendar is closed now.
    OutsideWindow,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 17] = [
        Self::NoCurrentBuild,
        Self::AlreadyCurrent,
        Self::NewerInstalled,
        Self::NotInCohort,
        Self::Ramping,
        Self::HeldBack,
        Self::NotInAudience,
        Self::Paused,
        Self::Halted,
        Self::Scheduled,
        Self::IncompatibleSdk,
        Self::IncompatibleAbi,
        Self::RejectedByDevice,
        Self::NeedsIntermediate,
        Self::AboveCeiling,
        Self::HeldByPolicy,
        Self::OutsideWindow,
    ];

    /// The reason's name in headers, events and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoCurrentBuild => "no_current_build",
            Self::AlreadyCurrent => "already_current",
            Self::NewerInstalled => "newer_installed",
            Self::NotInCohort => "not_in_cohort",
            Self::Ramping => "ramping",
            Self::HeldBack => "held_back",
            Self::NotInAudience => "not_in_audience",
            Self::Paused => "paused",
            Self::Halted => "halted",
            Self::Scheduled => "scheduled",
            Self::IncompatibleSdk => "incompatible_sdk",
            Self::IncompatibleAbi => "incompatible_abi",
            Self::RejectedByDevice => "rejected_by_device",
            Self::NeedsIntermediate => "needs_intermediate",
            Self::AboveCeiling => "above_ceiling",
            Self::HeldByPolicy => "held_by_policy",
            Self::OutsideWindow => "outside_window",
        }
    }

    /// The reason as a device is told it whose agent speaks this version of the protocol. Agents before version 2 throw a
    /// partial download away at any reason that they don't know to pass, and holds and closed windows pass.
    #[must_use]
    pub fn told_to(self, protocol: u32) -> Self {
        match self {
            Self::HeldByPolicy | Self::OutsideWindow | Self::Ramping | Self::HeldBack
                if protocol < TERMS_SINCE_PROTOCOL =>
            {
                Self::Paused
            }
            reason => reason,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
