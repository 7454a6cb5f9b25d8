//! Whom an audience or a package's rollouts take, of a part of the fleet at a time.

use std::ops::RangeInclusive;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tidegate_domain::{Audience, DeviceId, PackageName, Track};

use crate::store::run;
use crate::{Error, Store};

/// The most devices that [`FleetPart`] names.
pub const MAX_AUDIENCE_EXAMPLES: usize = 20;

/// The most devices that one part has.
pub const MAX_FLEET_PART: u32 = 1_000;

/// The fleet: the devices that are neither retired nor inactive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetExtent {
    /// How many devices are in it.
    pub devices: u64,
    /// The numbers between which they all are. Devices have them in the order in which they came; some numbers are
    /// nobody's.
    pub numbers: RangeInclusive<i64>,
}

/// What was asked of a part of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetPart {
    /// The devices that were asked about.
    pub seen: u64,
    /// Those that the audience takes; of a track, those that each of its rollouts takes, in their order.
    pub taken: Vec<u64>,
    /// Some of those that an audience takes, at most [`MAX_AUDIENCE_EXAMPLES`].
    pub examples: Vec<DeviceId>,
    /// The number of the last device that was asked about; `None` when there was none.
    pub last: Option<i64>,
}

impl Store {
    /// How large the fleet is. It is counted, which takes a good part of a second with millions of devices.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn fleet_extent(&self) -> Result<FleetExtent, Error> {
        run!(self, snapshot, audiences::extent())
    }

    /// Asks an audience about the fleet's devices with these numbers, in their order, at most `limit` and
    /// [`MAX_FLEET_PART`] of them. They are judged by what their next poll would be judged by. `version` is what a
    /// device runs of the package, and 0 without one.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn audience_part(
        &self,
        audience: &Audience,
        package: Option<&PackageName>,
        numbers: RangeInclusive<i64>,
        limit: u32,
    ) -> Result<FleetPart, Error> {
        let (audience, package) = (audience.clone(), package.cloned());
        let limit = limit.min(MAX_FLEET_PART);
        run!(
            self,
            read,
            audiences::part(&audience, package.as_ref(), &numbers, limit)
        )
    }

    /// Asks the rollouts of a package that serve about the fleet's devices, as [`Store::audience_part`] does: which of
    /// them takes each device.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn board_part(
        &self,
        track: &Arc<Track>,
        numbers: RangeInclusive<i64>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<FleetPart, Error> {
        let (track, limit) = (Arc::clone(track), limit.min(MAX_FLEET_PART));
        run!(self, read, audiences::board_part(&track, &numbers, limit, now))
    }
}
