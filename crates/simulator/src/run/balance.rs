//! Laying the books side by side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{BEGIN, Run, is_done};
use crate::Error;
use crate::books;
use crate::device::Device;
use crate::formula::Serving;
use crate::gauge::Errand;
use crate::operator::Counts;
use crate::report::{Checks, Formula, Latency, Ledger, Measured, Point, Report};

/// How long the server is given to write what it buffers, which takes a second.
const WRITING: Duration = Duration::from_secs(20);

/// A count of polls that did not grow for so long has been written.
const STILL: Duration = Duration::from_secs(3);

/// How often it is asked meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(300);

/// How many contradictions are told.
const MAX_CONTRADICTIONS: usize = 10;

/// How many points the adoption curve has.
const POINTS: u32 = 60;

impl Run<'_> {
    /// Compares the books and writes the report.
    pub(super) async fn balance(self) -> Result<Report, Error> {
        let (books, checks) = self.agreement().await?;
        let sum = |pick: fn(&books::Books) -> Vec<(String, u64)>| {
            let mut sums = BTreeMap::new();
            for device in self.fleet.devices() {
                for (key, count) in device.with_books(pick) {
                    *sums.entry(key).or_default() += count;
                }
            }
            sums
        };
        Ok(Report {
            seed: self.plan.seed,
            devices: self.plan.devices as usize,
            package: self.plan.package.clone(),
            version_name: self.build.version_name.clone(),
            version_code: self.build.version_code,
            hours: self.plan.duration.as_secs_f64() / 3_600.0,
            adoption: self.adoption(),
            answers: sum(|books| books.answers.clone().into_iter().collect()),
            reports: sum(|books| {
                let reports = books.reports.iter();
                reports.map(|(key, count)| (named(key), *count)).collect()
            }),
            faults: sum(|books| {
                let faults = books.faults.iter();
                faults.map(|(name, count)| ((*name).to_owned(), *count)).collect()
            }),
            formula: self.formula(),
            remarks: self.remarks().await?,
            measured: self.measured(),
            stages: self.stages,
            books,
            checks,
        })
    }

    /// Reads the server's books until they agree with ours, or until all must have been written.
    async fn agreement(&self) -> Result<(Vec<Ledger>, Checks), Error> {
        let begun = Instant::now();
        let mut still = (begun, None);
        loop {
            let (ledgers, checks) = self.compare().await?;
            if still.1 != Some(checks.server) {
                still = (Instant::now(), Some(checks.server));
            }
            // After an outage the bounds are wide: a count that holds already may yet grow.
            let written = checks.server == checks.answered || still.0.elapsed() > STILL;
            let agreed = written && checks.hold() && ledgers.iter().all(Ledger::is_equal);
            if agreed || begun.elapsed() > WRITING {
                return Ok((ledgers, checks));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn compare(&self) -> Result<(Vec<Ledger>, Checks), Error> {
        let (mut ledgers, mut current) = (Vec::new(), 0);
        for rollout in self.terms().rollouts() {
            let build = rollout.build_id;
            let before = self.before.get(&build).copied().unwrap_or_default();
            let server = since(before, self.fleet.operator().stats(build).await?);
            if build == self.build.build_id {
                current = server.total_checks;
            }
            let mut devices = Counts::default();
            for device in self.fleet.devices() {
                add(
                    &mut devices,
                    device.with_books(|books| books::counts(std::iter::once(books), build)),
                );
            }
            ledgers.push(Ledger {
                build_id: build,
                devices,
                server,
            });
        }
        let gauge = &self.fleet.commons.gauge;
        let polls = self
            .fleet
            .devices()
            .map(|device| device.with_books(|books| books.checks));
        let checks = Checks {
            answered: polls.sum(),
            unanswered: gauge.unanswered_polls(),
            at_risk: gauge.polls_at_risk(),
            server: current,
        };
        Ok((ledgers, checks))
    }

    pub(super) fn terms(&self) -> Arc<Serving> {
        let terms = self.fleet.commons.terms.as_ref();
        terms.map_or_else(|| Arc::clone(&self.first), crate::formula::Terms::now)
    }

    /// How many devices the formula takes on these terms.
    pub(super) fn expected(&self, terms: &Serving) -> usize {
        let taken = |device: &&Device| self.is_expected(terms, device);
        self.fleet.devices().filter(taken).count()
    }

    fn is_expected(&self, terms: &Serving, device: &Device) -> bool {
        let factory = self.plan.population.factory_version;
        terms.reaches(&self.build, device.id(), device.world(), factory)
    }

    fn formula(&self) -> Formula {
        let terms = self.terms();
        let mut formula = Formula {
            expected: self.expected(&terms),
            offered: 0,
            wrong: 0,
            contradictions: Vec::new(),
        };
        for device in self.fleet.devices() {
            let (offered, contradictions) = device.with_books(|books| {
                let account = books.accounts.get(&self.build.build_id);
                let offered = account.is_some_and(|account| account.offered.is_some());
                (offered, books.contradictions.clone())
            });
            formula.offered += usize::from(offered);
            formula.wrong += usize::from(offered != self.is_expected(&terms, device));
            formula.contradictions.extend(contradictions);
            formula.contradictions.truncate(MAX_CONTRADICTIONS);
        }
        formula
    }

    fn adoption(&self) -> Vec<Point> {
        let (mut offered, mut installed) = (Vec::new(), Vec::new());
        for device in self.fleet.devices() {
            let account = device.with_books(|books| books.accounts.get(&self.build.build_id).copied());
            let account = account.unwrap_or_default();
            offered.extend(account.offered);
            installed.extend(account.installed);
        }
        let hours = self.plan.duration.as_secs_f64() / 3_600.0;
        (0..=POINTS)
            .map(|number| {
                let hour = hours * f64::from(number) / f64::from(POINTS);
                let until = BEGIN + crate::phone::millis(hour * 3_600.0);
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
            .filter(|device| !is_done(device, self.end))
            .count();
        if unfinished > 0 {
            remarks.push(format!("{unfinished} devices did not finish what they began"));
        }
        let rollouts = self.fleet.operator().rollouts(&self.plan.package).await?;
        if Serving::of(&self.plan.package, &rollouts)? != *self.terms() {
            remarks.push("somebody else changed the package's rollouts meanwhile".to_owned());
        }
        Ok(remarks)
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

fn add(sum: &mut Counts, more: Counts) {
    sum.total_checks += more.total_checks;
    sum.total_eligible += more.total_eligible;
    sum.total_downloads += more.total_downloads;
    sum.installs_success += more.installs_success;
    sum.installs_failed += more.installs_failed;
    sum.verify_failed += more.verify_failed;
}
