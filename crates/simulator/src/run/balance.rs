//! Compares the fleet's counts with the server's.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{Run, is_done};
use crate::Error;
use crate::device::Device;
use crate::device_record::{self, BuildHistory, DeviceRecord};
use crate::formula::Serving;
use crate::gauge::Errand;
use crate::life::moment;
use crate::operator::{Counts, Stats};
use crate::report::{
    BuildComparison, Checks, Formula, Latency, Measured, Point, Report, RolloutComparison, RolloutFormula,
};

/// How long the server is given to write what it buffers, which takes a second.
pub(super) const WRITING: Duration = Duration::from_secs(20);

/// A count of polls that did not grow for so long has been written.
const STILL: Duration = Duration::from_secs(3);

/// Counts that disagree and did not change for so long will not agree any more.
const SETTLED: Duration = Duration::from_secs(6);

/// How often it is asked meanwhile.
pub(super) const ASK_EVERY: Duration = Duration::from_millis(300);

/// How many contradictions are told.
const MAX_CONTRADICTIONS: usize = 10;

/// How many points the adoption curve has.
const POINTS: u32 = 60;

impl Run<'_> {
    /// Compares the counts and writes the report.
    pub(super) async fn balance(self) -> Result<Report, Error> {
        let (builds, checks) = self.agreement().await?;
        let sum = |pick: fn(&DeviceRecord) -> Vec<(String, u64)>| {
            let mut sums = BTreeMap::new();
            for device in self.fleet.devices() {
                for (key, count) in device.with_record(pick) {
                    *sums.entry(key).or_default() += count;
                }
            }
            sums
        };
        Ok(Report {
            plan: self.plan_books().await?,
            forecast: self.forecast_books().await?,
            patches: self.patch_books().await?,
            seed: self.plan.seed,
            devices: self.plan.devices as usize,
            package: self.plan.package.clone(),
            version_name: self.build.version_name.clone(),
            version_code: self.build.version_code,
            hours: self.plan.duration.as_secs_f64() / 3_600.0,
            adoption: self.adoption(),
            answers: sum(|record| record.answers.clone().into_iter().collect()),
            reports: sum(|record| {
                let reports = record.acknowledged().into_iter();
                reports.map(|(key, count)| (named(&key), count)).collect()
            }),
            faults: sum(|record| {
                let faults = record.faults.iter();
                faults.map(|(name, count)| ((*name).to_owned(), *count)).collect()
            }),
            formula: self.formula(),
            remarks: self.remarks().await?,
            measured: self.measured(),
            stages: self.stages,
            builds,
            checks,
        })
    }

    /// Reads the server's counts until they agree with ours, or until all must have been written.
    async fn agreement(&self) -> Result<(Vec<BuildComparison>, Checks), Error> {
        let begun = Instant::now();
        let mut still = (begun, None);
        loop {
            let (comparisons, checks) = self.compare().await?;
            if still.1.as_ref() != Some(&comparisons) {
                still = (Instant::now(), Some(comparisons.clone()));
            }
            // After an outage the bounds are wide: a count that holds already may yet grow.
            let written = checks.server == checks.answered || still.0.elapsed() > STILL;
            let agreed = written && checks.hold() && comparisons.iter().all(BuildComparison::is_equal);
            if agreed || still.0.elapsed() > SETTLED || begun.elapsed() > WRITING {
                return Ok((comparisons, checks));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn compare(&self) -> Result<(Vec<BuildComparison>, Checks), Error> {
        let (mut comparisons, mut polls_counted) = (Vec::new(), 0);
        // The server tells of its last hours only. While a driven clock runs, earlier ones drop out of them.
        let from = match self.plan.clock {
            Some(_) => moment(self.begin),
            None => DateTime::<Utc>::MIN_UTC,
        };
        // The released build first.
        let mut builds: Vec<_> = self.before.iter().collect();
        builds.sort_by_key(|(build, _)| **build != self.build.build_id);
        for (&build, before) in builds {
            let stats = self.fleet.operator().stats(build).await?;
            let server = since(before.stats.counts, stats.counts);
            // A poll counts for the build that is the base then.
            polls_counted += server.total_checks;
            let histories = self.fleet.devices();
            let histories = histories.map(|device| device.history(build, before.version));
            comparisons.push(BuildComparison {
                build_id: build,
                devices: device_record::counts(histories),
                server,
                by_hour: since(before.stats.by_hour(from), stats.by_hour(from)),
                adoption_rate: stats.adoption_rate,
                adoption: adoption_rate(stats.counts),
                by_rollout: self.by_rollout(build, &before.stats, &stats),
            });
        }
        let gauge = &self.fleet.commons.gauge;
        let polls = self
            .fleet
            .devices()
            .map(|device| device.with_record(|record| record.checks));
        let checks = Checks {
            answered: polls.sum(),
            unanswered: gauge.unanswered_polls(),
            at_risk: gauge.polls_at_risk(),
            server: polls_counted,
        };
        Ok((comparisons, checks))
    }

    /// What each rollout of a build did, as the devices and the server have it.
    fn by_rollout(&self, build: i64, before: &Stats, now: &Stats) -> Vec<RolloutComparison> {
        let mut devices: BTreeMap<i64, Vec<BuildHistory>> = BTreeMap::new();
        for device in self.fleet.devices() {
            for ((rollout, of), history) in device.with_record(|record| record.by_rollout.clone()) {
                if of == build {
                    devices.entry(rollout).or_default().push(history);
                }
            }
        }
        let counted = |stats: &Stats, rollout: i64| {
            let found = stats.rollouts.iter().find(|of| of.rollout_id == rollout);
            found.map_or_else(Counts::default, |of| of.counts)
        };
        let known = now.rollouts.iter().map(|of| of.rollout_id);
        let rollouts: BTreeSet<i64> = devices.keys().copied().chain(known).collect();
        rollouts
            .into_iter()
            .map(|rollout_id| RolloutComparison {
                rollout_id,
                devices: device_record::counts(devices.remove(&rollout_id).unwrap_or_default().into_iter()),
                server: since(counted(before, rollout_id), counted(now, rollout_id)),
            })
            .collect()
    }

    pub(super) fn settings(&self) -> Arc<Serving> {
        let settings = self.fleet.commons.settings.as_ref();
        settings.map_or_else(|| Arc::clone(&self.first), crate::formula::RolloutSettings::now)
    }

    /// How many devices the formula takes on these settings.
    pub(super) fn expected(&self, settings: &Serving) -> usize {
        let taken = |device: &&Device| self.is_expected(settings, device);
        self.fleet.devices().filter(taken).count()
    }

    fn is_expected(&self, settings: &Serving, device: &Device) -> bool {
        self.expected_of(settings, device).is_some()
    }

    /// The rollout that is to have offered the released build to a device.
    fn expected_of(&self, settings: &Serving, device: &Device) -> Option<i64> {
        let factory = self.plan.population.factory_version;
        let (rollout, build) = settings.reaches(device.id(), device.world(), factory)?;
        (build == self.build.build_id).then_some(rollout)
    }

    /// What happened with the current build.
    fn history(&self, device: &Device) -> BuildHistory {
        device.history(self.build.build_id, self.build.version_code)
    }

    fn formula(&self) -> Formula {
        let settings = self.settings();
        let mut formula = Formula {
            expected: self.expected(&settings),
            offered: 0,
            wrong: 0,
            rollouts: self.formula_by_rollout(&settings),
            contradictions: Vec::new(),
        };
        for device in self.fleet.devices() {
            let offered = self.history(device).offered.is_some();
            let contradictions = device.with_record(|record| record.contradictions.clone());
            formula.offered += usize::from(offered);
            formula.wrong += usize::from(offered != self.is_expected(&settings, device));
            formula.contradictions.extend(contradictions);
            formula.contradictions.truncate(MAX_CONTRADICTIONS);
        }
        formula
    }

    /// The same for each rollout of the released build. Without a release plan the share of one may have been raised over
    /// devices that another had made its offer to before, so that only single answers can be held to it.
    fn formula_by_rollout(&self, settings: &Serving) -> Vec<RolloutFormula> {
        if self.plan.release.is_none() {
            return Vec::new();
        }
        let released = self.build.build_id;
        let rollouts = settings.rollouts().filter(|rollout| rollout.build_id == released);
        let formulas = rollouts.map(|rollout| {
            let mut formula = RolloutFormula {
                rollout_id: rollout.rollout_id,
                name: rollout.name.clone(),
                ..RolloutFormula::default()
            };
            for device in self.fleet.devices() {
                let is_expected = self.expected_of(settings, device) == Some(rollout.rollout_id);
                let was_offered = device.with_record(|record| {
                    let history = record.by_rollout.get(&(rollout.rollout_id, released));
                    history.is_some_and(|history| history.offered.is_some())
                });
                formula.expected += usize::from(is_expected);
                formula.offered += usize::from(was_offered);
                formula.wrong += usize::from(is_expected != was_offered);
            }
            formula
        });
        formulas.collect()
    }

    fn adoption(&self) -> Vec<Point> {
        let (mut offered, mut installed) = (Vec::new(), Vec::new());
        for device in self.fleet.devices() {
            let history = self.history(device);
            offered.extend(history.offered);
            installed.extend(history.installed);
        }
        let hours = self.plan.duration.as_secs_f64() / 3_600.0;
        (0..=POINTS)
            .map(|number| {
                let hour = hours * f64::from(number) / f64::from(POINTS);
                let until = self.begin + crate::phone::millis(hour * 3_600.0);
                let by_then = |moments: &[i64]| moments.iter().filter(|at| **at <= until).count();
                Point {
                    hour,
                    offered: by_then(&offered),
                    installed: by_then(&installed),
                }
            })
            .collect()
    }

    async fn remarks(&self) -> Result<Vec<String>, Error> {
        let mut remarks = Vec::new();
        let unfinished = self
            .fleet
            .devices()
            .filter(|device| !is_done(device, self.end, self.waits()))
            .count();
        if unfinished > 0 {
            remarks.push(format!("{unfinished} devices did not finish what they began"));
        }
        let operator = self.fleet.operator();
        if super::serving(operator, &self.plan.package, &self.overlays).await? != *self.settings() {
            remarks.push("somebody else changed the package's rollouts meanwhile".to_owned());
        }
        remarks.extend(self.unheard());
        remarks.extend(self.mistaken().await?);
        remarks.extend(self.part_faults.iter().cloned());
        remarks.extend(self.unequal_parts().await?);
        let (away, restarts) = (self.fleet.commons.gauge.outages(), self.plan.restarts);
        if away > restarts as usize {
            remarks.push(format!(
                "the server was away {away} times, and {restarts} were announced"
            ));
        }
        Ok(remarks)
    }

    /// The reports that the server never took. What they tell is counted by us all the same.
    fn unheard(&self) -> Vec<String> {
        let mut unheard: BTreeMap<(String, Option<u16>), u64> = BTreeMap::new();
        for device in self.fleet.devices() {
            for (key, count) in device.with_record(DeviceRecord::unheard) {
                *unheard.entry(key).or_default() += count;
            }
        }
        let words = |((status, refused), count): ((String, Option<u16>), u64)| {
            let how = refused.map_or("without an answer".to_owned(), |code| {
                format!("refused with {code}")
            });
            format!("{count} reports of {status} were never acknowledged: {how}")
        };
        unheard.into_iter().map(words).collect()
    }

    /// What is wrong with the server's view of what each device runs, which it writes within a second.
    async fn mistaken(&self) -> Result<Option<String>, Error> {
        let begun = Instant::now();
        loop {
            let names = super::prefix(self.plan);
            let believed = self.fleet.operator().versions(&names, &self.plan.package).await?;
            let truth = self.fleet.devices().map(|device| (device.id(), device.version()));
            let mistaken = differences(truth, &believed);
            if mistaken.is_none() || begun.elapsed() > WRITING {
                return Ok(mistaken);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn measured(&self) -> Measured {
        let gauge = &self.fleet.commons.gauge;
        let latency = Errand::ALL.map(|errand| {
            let histogram = gauge.histogram(errand);
            #[expect(clippy::cast_precision_loss, reason = "at most a minute in microseconds")]
            let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
            Latency {
                errand: errand.as_str(),
                count: histogram.len(),
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: at(1.0),
            }
        });
        Measured {
            seconds: self.begun.elapsed().as_secs_f64(),
            enrolling_seconds: self.enrolling.as_secs_f64(),
            outages: gauge.outages(),
            latency: latency.into(),
        }
    }
}

/// Which devices run something else than is believed; 0 stands for nothing.
fn differences<'a>(
    truth: impl Iterator<Item = (&'a str, i64)>,
    believed: &HashMap<String, i64>,
) -> Option<String> {
    let believed = |device: &str| believed.get(device).copied().unwrap_or_default();
    let wrong: Vec<_> = truth.filter(|(device, runs)| *runs != believed(device)).collect();
    let (device, runs) = wrong.first()?;
    let (count, believed) = (wrong.len(), believed(device));
    Some(format!(
        "{count} devices run another version than the server believes; {device} runs {runs} and not {believed}"
    ))
}

/// As the server defines it, in percent.
#[expect(clippy::cast_precision_loss, reason = "device counts stay far below 2^52")]
fn adoption_rate(counts: Counts) -> f64 {
    if counts.total_eligible == 0 {
        return 0.0;
    }
    counts.installs_success as f64 / counts.total_eligible as f64 * 100.0
}

fn named((status, reason): &(String, String)) -> String {
    if reason.is_empty() {
        status.clone()
    } else {
        format!("{status}: {reason}")
    }
}

/// What was counted from one reading to the other.
fn since(before: Counts, now: Counts) -> Counts {
    Counts {
        total_checks: now.total_checks.saturating_sub(before.total_checks),
        total_eligible: now.total_eligible.saturating_sub(before.total_eligible),
        total_downloads: now.total_downloads.saturating_sub(before.total_downloads),
        installs_success: now.installs_success.saturating_sub(before.installs_success),
        installs_failed: now.installs_failed.saturating_sub(before.installs_failed),
        verify_failed: now.verify_failed.saturating_sub(before.verify_failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_device_that_is_believed_to_run_something_else_is_found() {
        let believed = HashMap::from([("a".to_owned(), 2), ("b".to_owned(), 1)]);
        let equal = [("a", 2), ("b", 1), ("c", 0)];
        assert_eq!(differences(equal.into_iter(), &believed), None);
        for wrong in [("a", 1), ("b", 0), ("c", 2)] {
            let found = differences([wrong].into_iter(), &believed).unwrap();
            assert!(
                found.starts_with("1 devices") && found.contains(wrong.0),
                "{found}"
            );
        }
    }
}
