//! What a population must be beyond its names and types.

use super::{MAX_ROWS, Population};
use crate::Error;

/// The longest time that a range may name, in the range's own unit: none of them makes sense beyond it.
const MAX_NUMBER: f64 = 1e9;

impl Population {
    pub(super) fn check(&self) -> Result<(), Error> {
        self.check_rows()?;
        self.check_numbers()?;
        self.check_names()
    }

    fn check_rows(&self) -> Result<(), Error> {
        rows("models", self.models.iter().map(|row| row.share))?;
        rows("regions", self.regions.iter().map(|row| row.share))?;
        rows("networks", self.networks.iter().map(|row| row.share))?;
        let faults = [self.faults.unreached, self.faults.answer_lost, self.faults.busy];
        rows("faults", faults.into_iter())?;
        limit("batteries", self.batteries.len())?;
        limit("failures", self.failures.len())?;
        limit("bricks", self.bricks.len())?;
        limit("crash_loops", self.crash_loops.len())
    }

    fn check_numbers(&self) -> Result<(), Error> {
        number("clock_skew_s", self.clock_skew_s, 86_400.0)?;
        number("wrong_signer", self.wrong_signer, 1.0)?;
        number("older_agents", self.older_agents, 1.0)?;
        number("no_zone", self.no_zone, 1.0)?;
        number("dense", self.dense, 1.0)?;
        for brick in &self.bricks {
            number("bricks.share", brick.share, 1.0)?;
            number("bricks.within_h", brick.within_h.unwrap_or_default(), MAX_NUMBER)?;
        }
        for crashes in &self.crash_loops {
            number("crash_loops.share", crashes.share, 1.0)?;
            number("crash_loops.per_hour", crashes.per_hour, 3_600.0)?;
        }
        if self.factory_version < 0 {
            return fault("factory_version must not be negative");
        }
        for region in &self.regions {
            number("regions.utc_offset_h", region.utc_offset_h.abs(), 14.0)?;
        }
        for network in &self.networks {
            number("networks.wifi_from_h", network.wifi_from_h, 24.0)?;
            number("networks.wifi_h", network.wifi_h, 24.0)?;
            number("networks.offline_days", network.offline_days, 1.0)?;
            // A spell ends before the one of the day after next begins; world.rs looks back one day.
            range("networks.offline_h", network.offline_h, 24.0)?;
            range("networks.latency_ms", network.latency_ms, 60_000.0)?;
            number("networks.bytes_per_s", network.bytes_per_s, MAX_NUMBER)?;
            if network.bytes_per_s < 1.0 {
                return fault("networks.bytes_per_s must be 1 at least");
            }
        }
        for battery in &self.batteries {
            number("batteries.charge_from_h", battery.charge_from_h, 24.0)?;
            number("batteries.charge_h", battery.charge_h, 24.0)?;
            range("batteries.drain_per_h", battery.drain_per_h, 100.0)?;
            number("batteries.charge_per_h", battery.charge_per_h, 1_000.0)?;
        }
        number("calls.per_day", self.calls.per_day, 12.0)?;
        range("calls.minutes", self.calls.minutes, 60.0)?;
        range("storage.free_mib", self.storage.free_mib, MAX_NUMBER)?;
        number("storage.full_days", self.storage.full_days, 1.0)?;
        number("downloads.cut", self.downloads.cut, 0.9)?;
        number("downloads.corrupted", self.downloads.corrupted, 1.0)?;
        number("patches.share", self.patches.share, 1.0)?;
        number("patches.foreign_base", self.patches.foreign_base, 1.0)?;
        number("patches.damaged", self.patches.damaged, 1.0)?;
        for failure in &self.failures {
            number("failures.share", failure.share, 1.0)?;
        }
        range("faults.retry_after_s", self.faults.retry_after_s, 86_400.0)
    }

    fn check_names(&self) -> Result<(), Error> {
        for model in &self.models {
            let name = &model.name;
            if model.sdks.is_empty() {
                return fault(format!("models: {name:?} has no sdks"));
            }
            if let Some(tag) = model.tags.iter().find(|tag| tag.is_empty() || tag.contains(',')) {
                return fault(format!(
                    "models: {name:?} has the tag {tag:?}; a tag must not be empty or contain a comma"
                ));
            }
            if !self.batteries.iter().any(|battery| battery.name == model.battery) {
                let battery = &model.battery;
                return fault(format!(
                    "models: {name:?} has the battery {battery:?}, which no row of batteries describes"
                ));
            }
        }
        for failure in &self.failures {
            if let Some(model) = &failure.model
                && !self.models.iter().any(|row| row.name == *model)
            {
                return fault(format!("failures: there is no model {model:?}"));
            }
        }
        Ok(())
    }
}

fn fault<T>(what: impl Into<String>) -> Result<T, Error> {
    Err(Error::Population(what.into()))
}

fn limit(name: &str, count: usize) -> Result<(), Error> {
    if count > MAX_ROWS {
        return fault(format!("{name} has {count} rows; at most {MAX_ROWS} are read"));
    }
    Ok(())
}

fn rows(name: &str, shares: impl ExactSizeIterator<Item = f64>) -> Result<(), Error> {
    limit(name, shares.len())?;
    let mut total = 0.0;
    for share in shares {
        number(&format!("a share of {name}"), share, MAX_NUMBER)?;
        total += share;
    }
    if total <= 0.0 {
        return fault(format!("{name} needs a row with a share above 0"));
    }
    Ok(())
}

fn number(name: &str, value: f64, most: f64) -> Result<(), Error> {
    if (0.0..=most).contains(&value) {
        return Ok(());
    }
    fault(format!("{name} is {value}; it must be a number from 0 to {most}"))
}

fn range(name: &str, [from, to]: [f64; 2], most: f64) -> Result<(), Error> {
    number(name, from, most)?;
    number(name, to, most)?;
    if from > to {
        return fault(format!(
            "{name} goes from {from} to {to}; the lower number comes first"
        ));
    }
    Ok(())
}
