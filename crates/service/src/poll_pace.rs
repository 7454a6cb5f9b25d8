//! The pace of polls: when more come than are to, each device is told to come later.
//!
//! A poll that is answered now decides when the device's next one comes. If the time between two polls grows by
//! `(rate / limit - 1)` of the interval in each interval, what was asked too fast is spread over as much more time as it
//! takes, and the next polls come at the limit. That sum over time is the level of a bucket: each poll pours in
//! `1 / limit` seconds, and each second takes one out. The stretch is one and the level, measured in intervals. So a burst
//! stretches by as little as it is small beside an interval's polls, a fleet that is too large by half stretches by half, and
//! nothing swings, although what a device is told shows its effect an interval later.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};

/// How much longer than the interval devices are told to wait at most.
pub const MAX_POLL_STRETCH: f64 = 8.0;

/// Measures how fast polls come.
#[derive(Debug, Default)]
pub struct PollPace {
    /// How long a poll takes its share of the limit, in nanoseconds; 0 for no limit.
    cost: i64,
    /// In nanoseconds.
    interval: i64,
    /// When the bucket is empty, in nanoseconds since 1970.
    empty_at: AtomicI64,
}

impl PollPace {
    /// So many polls a second, 0 for any number, of devices that poll once in an interval.
    pub fn new(limit: u32, interval: Duration) -> Self {
        let second = 1_000_000_000;
        Self {
            cost: if limit == 0 { 0 } else { second / i64::from(limit) },
            interval: i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX).max(1),
            empty_at: AtomicI64::new(i64::MIN),
        }
    }

    /// A poll came: how many times the interval its device is to wait, 1 to [`MAX_POLL_STRETCH`]. Costs an addition to one
    /// place, and nothing where there is no limit.
    pub(crate) fn polled(&self, now: DateTime<Utc>) -> f64 {
        if self.cost == 0 {
            return 1.0;
        }
        let now = nanoseconds(now);
        let poured = |empty_at: i64| Some(self.within_bounds(empty_at, now).saturating_add(self.cost));
        let before = self
            .empty_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, poured)
            .unwrap_or(now);
        self.stretch_of(before, now)
    }

    /// How many times the interval devices are told to wait at this moment.
    pub fn stretch(&self, now: DateTime<Utc>) -> f64 {
        match self.cost {
            0 => 1.0,
            _ => self.stretch_of(self.empty_at.load(Ordering::Relaxed), nanoseconds(now)),
        }
    }

    /// The bucket is never less than empty, and overflows where the longest stretch is. A clock that was set back can't make
    /// it fuller than that.
    fn within_bounds(&self, empty_at: i64, now: i64) -> i64 {
        #[expect(clippy::cast_possible_truncation, reason = "a few weeks in nanoseconds")]
        let full = (self.interval as f64 * (MAX_POLL_STRETCH - 1.0)) as i64;
        empty_at.clamp(now, now.saturating_add(full))
    }

    fn stretch_of(&self, empty_at: i64, now: i64) -> f64 {
        let level = self.within_bounds(empty_at, now).saturating_sub(now);
        1.0 + level as f64 / self.interval as f64
    }
}

fn nanoseconds(time: DateTime<Utc>) -> i64 {
    time.timestamp_nanos_opt().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use chrono::TimeDelta;
    use tidegate_domain::poll_after;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(6 * 3600);

    #[expect(clippy::cast_possible_truncation, reason = "weeks in nanoseconds")]
    fn moved(seconds: f64) -> TimeDelta {
        TimeDelta::nanoseconds((seconds * 1e9) as i64)
    }

    fn at(seconds: f64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap() + moved(seconds)
    }

    #[test]
    fn nothing_is_stretched_below_the_limit_and_without_one() {
        let (slow, unlimited) = (PollPace::new(10, INTERVAL), PollPace::new(0, INTERVAL));
        for number in 0..10_000 {
            let now = at(f64::from(number) / 9.0);
            assert!(slow.polled(now) < 1.000_01);
            assert!((unlimited.polled(at(0.0)) - 1.0).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn a_burst_stretches_by_its_part_of_an_intervals_polls_and_passes() {
        let pace = PollPace::new(10, INTERVAL);
        for _ in 0..21_600 {
            pace.polled(at(0.0));
        }
        assert!(
            (pace.stretch(at(0.0)) - 1.1).abs() < 1e-3,
            "a tenth of an interval's polls"
        );
        assert!((pace.stretch(at(1_080.0)) - 1.05).abs() < 1e-3);
        assert!((pace.stretch(at(2_160.0)) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn the_stretch_is_bounded_whatever_the_flood_and_the_clock() {
        let pace = PollPace::new(1, Duration::from_secs(10));
        for _ in 0..10_000 {
            assert!((1.0..=MAX_POLL_STRETCH).contains(&pace.polled(at(0.0))));
        }
        assert!((pace.stretch(at(0.0)) - MAX_POLL_STRETCH).abs() < 0.2);
        for seconds in [-1e6, -10.0, 0.0, 35.0, 1e6] {
            let stretch = pace.polled(at(seconds));
            assert!(
                (1.0..=MAX_POLL_STRETCH).contains(&stretch),
                "{seconds}: {stretch}"
            );
        }
        assert!(
            (pace.stretch(at(1e6 + 100.0)) - 1.0).abs() < f64::EPSILON,
            "it empties"
        );
        let after = pace.polled(at(0.0));
        assert!(after <= MAX_POLL_STRETCH, "set back: {after}");
    }

    /// A fleet that is three times too large for the limit, each device with its own rhythm: after an interval or two the
    /// limit is met, and it stays so.
    #[test]
    fn a_fleet_that_is_too_large_comes_to_the_limit_and_stays_there() {
        let (limit, devices) = (1_u32, 3 * 21_600_u32);
        let pace = PollPace::new(limit, INTERVAL);
        let names: Vec<String> = (0..devices).map(|number| format!("device-{number}")).collect();
        let mut due: BinaryHeap<Reverse<(u64, usize)>> = names
            .iter()
            .enumerate()
            .map(|(number, name)| {
                let first = poll_after(name, INTERVAL).mul_f64(number as f64 / f64::from(devices));
                Reverse((u64::try_from(first.as_millis()).unwrap(), number))
            })
            .collect();
        let hours = 72;
        let mut by_hour = vec![0_u32; hours];
        while let Some(Reverse((millis, number))) = due.pop() {
            let hour = usize::try_from(millis / 3_600_000).unwrap();
            if hour >= hours {
                break;
            }
            by_hour[hour] += 1;
            let stretch = pace.polled(at(millis as f64 / 1e3));
            let wait = poll_after(&names[number], INTERVAL.mul_f64(stretch));
            due.push(Reverse((
                millis + u64::try_from(wait.as_millis()).unwrap(),
                number,
            )));
        }
        let allowed = limit * 3_600;
        assert!(by_hour[0] > 2 * allowed, "{by_hour:?}");
        for hour in &by_hour[30..] {
            let met = f64::from(*hour) / f64::from(allowed);
            assert!((0.7..1.3).contains(&met), "{by_hour:?}");
        }
        let day: u32 = by_hour[48..].iter().sum();
        let met = f64::from(day) / f64::from(24 * allowed);
        assert!((0.95..1.05).contains(&met), "{met}");
    }
}
