//! What surrounds one device at any moment: where it is, how it is connected, how full its battery is.
//!
//! Everything is computed from the time and from the device's [`DeviceRng`]; nothing is remembered. A device that
//! slept through a day finds that day as it was.

use crate::device_rng::{DeviceRng, Question};
use crate::population::{Battery, Failure, Model, Network, Population, Region};

const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;

/// No battery of ours falls below it: a device that is switched off could not report anything.
const LOWEST_BATTERY: f64 = 4.0;

/// How far a device's habits are from those of its kind at most, in hours either way.
const ROUTINE_H: f64 = 1.5;

/// Free bytes on a day on which the storage is full.
const NEARLY_NOTHING: u64 = 200 << 20;

/// When calls are made, in hours of the day.
const CALLS_FROM_H: f64 = 8.0;
const CALLS_TO_H: f64 = 20.0;

/// What Android calls its API levels.
///
/// Source: <https://apilevels.com>
const ANDROID: [(u32, &str); 13] = [
    (24, "7.0"),
    (25, "7.1.1"),
    (26, "8.0.0"),
    (27, "8.1.0"),
    (28, "9"),
    (29, "10"),
    (30, "11"),
    (31, "12"),
    (32, "12"),
    (33, "13"),
    (34, "14"),
    (35, "15"),
    (36, "16"),
];

/// How a device is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Wifi,
    Mobile,
    Offline,
}

/// A device's surroundings.
#[derive(Clone, Debug)]
pub(crate) struct World {
    rng: DeviceRng,
    pub(crate) model: Model,
    pub(crate) region: Region,
    pub(crate) sdk: u32,
    network: Network,
    battery: Battery,
    calls: crate::population::Calls,
    storage: crate::population::Storage,
    /// Hours by which its habits are late.
    routine_h: f64,
    drain_per_h: f64,
}

impl World {
    /// The surroundings that this device of the population was born into. `None` for a population without rows,
    /// which is refused when it is read.
    pub(crate) fn of(population: &Population, rng: DeviceRng) -> Option<Self> {
        let model = rng.pick(&population.models, |row| row.share, Question::Model)?;
        let region = rng.pick(&population.regions, |row| row.share, Question::Region)?;
        let network = rng.pick(&population.networks, |row| row.share, Question::Network)?;
        let battery = population
            .batteries
            .iter()
            .find(|row| row.name == model.battery)?;
        Some(Self {
            rng,
            sdk: *rng.pick(&model.sdks, |_| 1.0, Question::Sdk)?,
            model: model.clone(),
            region: region.clone(),
            network: network.clone(),
            battery: battery.clone(),
            calls: population.calls.clone(),
            storage: population.storage.clone(),
            routine_h: rng.between([-ROUTINE_H, ROUTINE_H], Question::Routine, &[]),
            drain_per_h: rng.between(battery.drain_per_h, Question::Battery, &[]),
        })
    }

    /// `Build.VERSION.RELEASE` of its API level, as far as it is known here.
    pub(crate) fn android(&self) -> Option<String> {
        let (_, release) = ANDROID.iter().find(|(sdk, _)| *sdk == self.sdk)?;
        Some((*release).to_owned())
    }

    /// Hours since the device's own midnight, habits included.
    fn hour(&self, at: f64) -> f64 {
        (at / HOUR + self.region.utc_offset_h - self.routine_h).rem_euclid(24.0)
    }

    /// Hours since a moment of the day, at most 24.
    fn hours_since(&self, moment_h: f64, at: f64) -> f64 {
        (self.hour(at) - moment_h).rem_euclid(24.0)
    }

    pub(crate) fn charging(&self, at: f64) -> bool {
        self.hours_since(self.battery.charge_from_h, at) < self.battery.charge_h
    }

    /// Percent.
    pub(crate) fn battery(&self, at: f64) -> f64 {
        let Battery {
            charge_from_h,
            charge_h,
            charge_per_h,
            ..
        } = self.battery;
        let since = self.hours_since(charge_from_h, at);
        // A day repeats itself: it begins with what the day before left, which began full.
        let drained = |hours: f64| (100.0 - hours * self.drain_per_h).max(LOWEST_BATTERY);
        if since < charge_h {
            (drained(24.0 - charge_h) + since * charge_per_h).min(100.0)
        } else {
            drained(since - charge_h)
        }
    }

    pub(crate) fn link(&self, at: f64) -> Link {
        if self.is_offline(at) {
            Link::Offline
        } else if self.hours_since(self.network.wifi_from_h, at) < self.network.wifi_h {
            Link::Wifi
        } else {
            Link::Mobile
        }
    }

    /// A time without network begins on a day and may reach into the next.
    fn is_offline(&self, at: f64) -> bool {
        let today = day(at);
        [today, today.wrapping_sub(1)].into_iter().any(|day| {
            if !self
                .rng
                .happens(self.network.offline_days, Question::Offline, &[day])
            {
                return false;
            }
            let begins = self.rng.fraction(Question::OfflineStart, &[day]) * DAY;
            let lasts = self
                .rng
                .between(self.network.offline_h, Question::OfflineLength, &[day])
                * HOUR;
            let since = at - start_of(day) - begins;
            (0.0..lasts).contains(&since)
        })
    }

    /// At most one call begins in each hour of the day's middle.
    pub(crate) fn in_call(&self, at: f64) -> bool {
        if !(CALLS_FROM_H..CALLS_TO_H).contains(&self.hour(at)) {
            return false;
        }
        let chance = self.calls.per_day / (CALLS_TO_H - CALLS_FROM_H);
        let hour = whole(at / HOUR);
        if !self.rng.happens(chance, Question::Call, &[hour]) {
            return false;
        }
        let minutes = self.rng.between(self.calls.minutes, Question::Call, &[hour, 1]);
        let begins = self.rng.fraction(Question::Call, &[hour, 2]) * (60.0 - minutes);
        let minute = at.rem_euclid(HOUR) / 60.0;
        (begins..begins + minutes).contains(&minute)
    }

    /// Bytes.
    pub(crate) fn free_space(&self, at: f64) -> u64 {
        if self
            .rng
            .happens(self.storage.full_days, Question::FullDisk, &[day(at)])
        {
            return NEARLY_NOTHING;
        }
        whole(self.rng.between(self.storage.free_mib, Question::FullDisk, &[])) << 20
    }

    /// What the `number`th request of the device takes, in seconds.
    pub(crate) fn latency(&self, number: u64) -> f64 {
        self.rng
            .between(self.network.latency_ms, Question::Latency, &[number])
            / 1_000.0
    }

    /// What so many bytes take, in seconds.
    pub(crate) fn transfer(&self, bytes: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "an APK is far below 2^53 bytes")]
        let seconds = bytes as f64 / self.network.bytes_per_s;
        seconds
    }

    /// Android's refusal of the `attempt`th try (from 1) to install a build here, if it refuses.
    pub(crate) fn refusal<'a>(
        &self,
        failures: &'a [Failure],
        version: i64,
        attempt: u32,
    ) -> Option<&'a Failure> {
        let code = version.unsigned_abs();
        failures.iter().enumerate().find_map(|(row, failure)| {
            let concerns = failure.version_code.is_none_or(|only| only == version)
                && failure.model.as_ref().is_none_or(|only| *only == self.model.name)
                && (failure.tries == 0 || attempt <= failure.tries);
            let happens = || {
                self.rng
                    .happens(failure.share, Question::Failure, &[row as u64, code])
            };
            (concerns && happens()).then_some(failure)
        })
    }
}

fn day(at: f64) -> u64 {
    whole(at / DAY)
}

fn start_of(day: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "days are few")]
    let start = day as f64 * DAY;
    start
}

/// Rounded down. Times are seconds since 1970 and never negative.
fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounding down is meant, and `as` saturates"
    )]
    let whole = number.max(0.0) as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONDAY: f64 = 1_767_571_200.0;

    /// Every seven minutes of a day and a bit.
    const LOOKS: u32 = 210;

    fn worlds() -> Vec<World> {
        let population = Population::usual().unwrap();
        (0..500)
            .filter_map(|device| World::of(&population, DeviceRng::new(3, device)))
            .collect()
    }

    #[test]
    fn a_battery_empties_by_day_and_fills_on_the_charger() {
        let worlds = worlds();
        assert_eq!(worlds.len(), 500);
        let (mut low, mut charging) = (0, 0);
        for world in &worlds {
            for hour in 0..24 {
                let at = MONDAY + f64::from(hour) * HOUR;
                let battery = world.battery(at);
                assert!((LOWEST_BATTERY..=100.0).contains(&battery), "{battery}");
                assert!(world.battery(at + DAY) - battery < 0.01, "days repeat");
                low += u32::from(battery < 20.0);
                charging += u32::from(world.charging(at));
            }
        }
        assert!(low > 100, "somebody's battery runs low: {low}");
        assert!(
            charging > 500 * 6,
            "somebody is always on the charger: {charging}"
        );
    }

    #[test]
    fn links_come_and_go_and_calls_end() {
        let (mut offline, mut mobile, mut calls, mut full) = (0, 0, 0, 0);
        for world in worlds() {
            for look in 0..LOOKS {
                let at = MONDAY + f64::from(look) * 420.0;
                offline += u32::from(world.link(at) == Link::Offline);
                mobile += u32::from(world.link(at) == Link::Mobile);
                calls += u32::from(world.in_call(at));
                full += u32::from(world.free_space(at) == NEARLY_NOTHING);
            }
        }
        let looks = 500 * LOOKS;
        for (what, count) in [("offline", offline), ("calls", calls), ("full", full)] {
            assert!(count > 0 && count < looks / 10, "{what}: {count} of {looks}");
        }
        assert!(mobile > looks / 10, "mobile: {mobile} of {looks}");
    }

    #[test]
    fn a_refusal_ends_after_its_tries_or_never() {
        let population = Population::usual().unwrap();
        let passing = Failure {
            share: 1.0,
            tries: 2,
            ..population.failures[0].clone()
        };
        let model = &worlds()[0].model.name;
        let elsewhere = Failure {
            share: 1.0,
            tries: 0,
            version_code: Some(7),
            model: Some(model.clone()),
            ..passing.clone()
        };
        let failures = [passing, elsewhere];
        let world = &worlds()[0];
        assert!(world.refusal(&failures, 5, 1).is_some());
        assert!(world.refusal(&failures, 5, 2).is_some());
        assert!(world.refusal(&failures, 5, 3).is_none());
        assert_eq!(world.refusal(&failures, 7, 99), Some(&failures[1]));
    }
}
