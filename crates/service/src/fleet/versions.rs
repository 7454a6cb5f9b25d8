//! Which versions of a package ran when: by the minute as far as minutes are kept, and by the hour before.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{PackageName, VersionCode};
use tidegate_storage::MINUTES_KEPT;

use super::{Fleet, MAX_VERSIONS_SHOWN, name_of};
use crate::Error;

/// Which versions ran when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionHistory {
    /// The versions that are kept apart, ascending, with the names of those that are builds.
    pub versions: Vec<(VersionCode, Option<String>)>,
    /// Oldest first; times at which nobody counted are left out.
    pub points: Vec<VersionPoint>,
}

/// Which versions ran at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionPoint {
    /// When they were counted: to the minute, or the end of an hour whose minutes are not kept.
    pub at: DateTime<Utc>,
    /// Devices, for each of [`VersionHistory::versions`].
    pub devices: Vec<u64>,
    /// Devices on any other version.
    pub others: u64,
}

/// How many devices ran a version at one time; `None`: all that were too rare to be kept apart.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: DateTime<Utc>,
    version: Option<VersionCode>,
    devices: i64,
}

impl Fleet {
    /// Which versions of a package ran in the last time of this length.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for too long a time, [`crate::Kind::Unavailable`].
    pub async fn versions(&self, package: &PackageName, span: TimeDelta) -> Result<VersionHistory, Error> {
        let now = self.clock.now();
        let from = now
            .checked_sub_signed(span)
            .ok_or_else(|| Error::invalid("hours", "reach back too far"))?;
        let minutes = self
            .store
            .version_minutes(package, from.max(now - MINUTES_KEPT))
            .await?;
        let hours = self.store.version_hours(package, from, now).await?;
        let first = minutes.first().map(|row| row.minute);
        let ended = hours.into_iter().map(|row| Sample {
            at: (row.hour + TimeDelta::hours(1)).min(now),
            version: row.version,
            devices: row.devices,
        });
        let before = ended.filter(|sample| first.is_none_or(|first| sample.at < first));
        let by_minute = minutes.into_iter().map(|row| Sample {
            at: row.minute,
            version: row.version,
            devices: row.devices,
        });
        let samples: Vec<Sample> = before.chain(by_minute).collect();
        let shown = most_frequent(&samples);
        let names = self.store.version_names(package, shown.clone()).await?;
        let points = points(samples, &shown);
        let named = |version: VersionCode| (version, name_of(&names, version));
        Ok(VersionHistory {
            versions: shown.into_iter().map(named).collect(),
            points,
        })
    }
}

fn points(samples: Vec<Sample>, shown: &[VersionCode]) -> Vec<VersionPoint> {
    let mut points: Vec<VersionPoint> = Vec::new();
    for sample in samples {
        if points.last().is_none_or(|last| last.at != sample.at) {
            points.push(VersionPoint {
                at: sample.at,
                devices: vec![0; shown.len()],
                others: 0,
            });
        }
        let devices = u64::try_from(sample.devices).unwrap_or(0);
        let place = sample
            .version
            .and_then(|version| shown.binary_search(&version).ok());
        match (points.last_mut(), place) {
            (Some(point), Some(place)) => point.devices[place] += devices,
            (Some(point), None) => point.others += devices,
            (None, _) => {}
        }
    }
    points
}

/// The versions that most devices ran at any one time, ascending.
fn most_frequent(samples: &[Sample]) -> Vec<VersionCode> {
    let mut peaks: HashMap<VersionCode, i64> = HashMap::new();
    for sample in samples {
        if let Some(version) = sample.version {
            let peak = peaks.entry(version).or_default();
            *peak = sample.devices.max(*peak);
        }
    }
    let mut peaks: Vec<(VersionCode, i64)> = peaks.into_iter().collect();
    peaks.sort_by_key(|(version, peak)| (std::cmp::Reverse(*peak), *version));
    let mut versions: Vec<VersionCode> = peaks
        .into_iter()
        .take(MAX_VERSIONS_SHOWN)
        .map(|(version, _)| version)
        .collect();
    versions.sort_unstable();
    versions
}
