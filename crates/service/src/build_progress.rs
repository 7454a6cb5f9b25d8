//! How a build's counts grew: by the minute as far as minutes are kept, and by the hour before.

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{BuildId, DeploymentStats};
use tidegate_storage::{BuildMinute, HourOfStats, MINUTES_KEPT};

use crate::{Builds, Error};

/// How a build's counts stood at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildPoint {
    /// When: to the minute, or where an hour began or ended whose minutes are not kept.
    pub at: DateTime<Utc>,
    /// Devices that were offered it by then.
    pub eligible: i64,
    /// Devices that had its whole file by then.
    pub downloads: i64,
    /// Devices that installed it by then.
    pub installed: i64,
}

impl Builds {
    /// How a build's counts grew in the last time of this length, oldest first, up to now. It begins where anything was
    /// first known of it; nothing where no device ever met it.
    ///
    /// # Errors
    /// [`crate::Kind::NotFound`]; [`crate::Kind::Invalid`] for too long a time; [`crate::Kind::Unavailable`].
    pub async fn progress(&self, id: BuildId, span: TimeDelta) -> Result<Vec<BuildPoint>, Error> {
        let now = self.clock.now();
        let from = now
            .checked_sub_signed(span)
            .ok_or_else(|| Error::invalid("hours", "reach back too far"))?;
        let minutes = self.store.build_minutes(id, from.max(now - MINUTES_KEPT)).await?;
        // The hour in which the time begins has risen in part before it.
        let to = now + TimeDelta::microseconds(1);
        let hours = self.store.stats_by_hour(id, from, to).await?;
        let totals = self.store.stats(id).await?.stats;
        Ok(merged(&hours, &minutes, &totals, (from, now)))
    }
}

impl BuildPoint {
    fn of(at: DateTime<Utc>, stats: &DeploymentStats) -> Self {
        Self {
            at,
            eligible: stats.total_eligible,
            downloads: stats.total_downloads,
            installed: stats.installs_success,
        }
    }

    fn counts(&self) -> [i64; 3] {
        [self.eligible, self.downloads, self.installed]
    }

    fn is_nothing(&self) -> bool {
        self.counts() == [0; 3]
    }

    fn without(self, rise: &DeploymentStats) -> Self {
        Self {
            at: self.at,
            eligible: self.eligible - rise.total_eligible,
            downloads: self.downloads - rise.total_downloads,
            installed: self.installed - rise.installs_success,
        }
    }
}

fn merged(
    hours: &[HourOfStats],
    minutes: &[BuildMinute],
    totals: &DeploymentStats,
    (from, now): (DateTime<Utc>, DateTime<Utc>),
) -> Vec<BuildPoint> {
    let end = BuildPoint::of(now, totals);
    let first = minutes.first().map_or(now, |minute| minute.minute);
    let mut points: Vec<BuildPoint> = at_ends(hours, end, from);
    points.retain(|point| point.at < first);
    points.extend(minutes.iter().map(|minute| BuildPoint {
        at: minute.minute,
        eligible: minute.eligible,
        downloads: minute.downloads,
        installed: minute.installed,
    }));
    points.push(end);
    let Some(begun) = points.iter().position(|point| !point.is_nothing()) else {
        return vec![];
    };
    // Before the first device met it there is nothing to draw, but for the moment before that, where it is known.
    let before = begun.checked_sub(1).filter(|before| {
        let gap = points[begun].at - points[*before].at;
        gap <= TimeDelta::hours(1)
    });
    points.split_off(before.unwrap_or(begun))
}

/// How the counts stood when each hour ended, and at the beginning: what is counted now without what rose since.
fn at_ends(hours: &[HourOfStats], end: BuildPoint, from: DateTime<Utc>) -> Vec<BuildPoint> {
    let mut points = Vec::with_capacity(hours.len() * 2 + 1);
    let mut counts = end;
    for hour in hours.iter().rev() {
        let ended = hour.hour + TimeDelta::hours(1);
        points.push(BuildPoint {
            at: ended.min(end.at),
            ..counts
        });
        counts = counts.without(&hour.stats);
        points.push(BuildPoint {
            at: hour.hour.max(from),
            ..counts
        });
    }
    points.push(BuildPoint { at: from, ..counts });
    points.reverse();
    points.dedup();
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + minute * 60, 0).unwrap()
    }

    fn counts(eligible: i64) -> DeploymentStats {
        DeploymentStats {
            total_eligible: eligible,
            ..DeploymentStats::default()
        }
    }

    fn hour(hour: i64, rise: i64) -> HourOfStats {
        HourOfStats {
            hour: at(hour * 60),
            stats: counts(rise),
        }
    }

    fn shown(points: &[BuildPoint]) -> Vec<(i64, i64)> {
        let minute = |point: &BuildPoint| (point.at - at(0)).num_minutes();
        points
            .iter()
            .map(|point| (minute(point), point.eligible))
            .collect()
    }

    #[test]
    fn a_build_that_was_released_in_the_time_begins_at_nothing() {
        let hours = [hour(2, 6), hour(4, 4)];
        let points = merged(&hours, &[], &counts(10), (at(0), at(290)));
        assert_eq!(shown(&points), [(120, 0), (180, 6), (240, 6), (290, 10)]);
        assert_eq!(merged(&[], &[], &counts(0), (at(0), at(290))), []);
    }

    #[test]
    fn one_that_is_older_begins_where_it_stood_and_minutes_take_the_place_of_hours() {
        let minute = |minute, eligible| BuildMinute {
            minute: at(minute),
            eligible,
            downloads: 0,
            installed: 0,
        };
        let hours = [hour(2, 6), hour(4, 4)];
        let points = merged(&hours, &[], &counts(30), (at(0), at(290)));
        assert_eq!(
            shown(&points),
            [(0, 20), (120, 20), (180, 26), (240, 26), (290, 30)]
        );
        let late = merged(&[hour(3, 3)], &[minute(180, 3)], &counts(3), (at(0), at(290)));
        assert_eq!(
            shown(&late),
            [(180, 3), (290, 3)],
            "how it rose before is not known"
        );
        let minutes = [minute(200, 27), minute(201, 29)];
        let points = merged(&hours, &minutes, &counts(30), (at(0), at(290)));
        assert_eq!(
            shown(&points),
            [(0, 20), (120, 20), (180, 26), (200, 27), (201, 29), (290, 30)]
        );
    }
}
