//! The demo's time: an hour is a second, and a later start goes on where the one before ended.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use tidegate_service::{Clock, SystemClock};
use tidegate_simulator::clock::Reading;

use crate::Error;
use crate::clock::DrivenClock;

/// The file's name in the demo's folder.
const FILE: &str = "clock";

/// Seconds that pass in a real one.
const SPEED: u32 = 3_600;

/// How often the time is written down.
const WRITE_EVERY: Duration = Duration::from_secs(2);

/// The demo's time, written down now and then.
pub(super) struct Calendar {
    path: PathBuf,
    clock: Arc<DrivenClock>,
}

impl Calendar {
    /// Begins now, or where an earlier demo ended if that is later: what it wrote must not lie in the future.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let at = match fs::read_to_string(&path) {
            // It may have been killed just before it would have written again.
            Ok(text) => read(&path, &text)? + most_unwritten(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => DateTime::<Utc>::MIN_UTC,
            Err(error) => return Err(Error::file(&path)(error)),
        };
        let at = at.max(SystemClock.now());
        let clock = Arc::new(DrivenClock::set_to(Reading { at, rate: SPEED }));
        Ok(Self { path, clock })
    }

    pub(super) fn clock(&self) -> Arc<DrivenClock> {
        Arc::clone(&self.clock)
    }

    /// Writes the time down for as long as this is waited for.
    pub(super) async fn keep(&self) -> Result<Infallible, Error> {
        loop {
            self.write()?;
            tokio::time::sleep(WRITE_EVERY).await;
        }
    }

    /// Writes the time down.
    pub(super) fn write(&self) -> Result<(), Error> {
        let now = self.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let beside = self.path.with_extension("new");
        fs::write(&beside, now)
            .and_then(|()| fs::rename(&beside, &self.path))
            .map_err(Error::file(&self.path))
    }
}

/// How much time a killed demo may not have written down, generously.
fn most_unwritten() -> TimeDelta {
    TimeDelta::from_std(3 * WRITE_EVERY * SPEED).unwrap_or_default()
}

fn read(path: &Path, text: &str) -> Result<DateTime<Utc>, Error> {
    let at = DateTime::parse_from_rfc3339(text.trim()).map_err(|fault| {
        let place = path.display();
        Error::Demo(format!(
            "{place} cannot be read ({fault}); remove its folder to begin anew"
        ))
    })?;
    Ok(at.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_later_start_goes_on_after_all_that_an_earlier_one_showed() {
        let folder = tempfile::tempdir().unwrap();
        let first = Calendar::open(folder.path()).unwrap();
        let last = Utc::now() + TimeDelta::days(150);
        first.clock.set(Reading {
            at: last,
            rate: SPEED,
        });
        first.write().unwrap();
        let second = Calendar::open(folder.path()).unwrap();
        assert!(second.clock.now() > last, "{}", second.clock.now());
    }

    #[tokio::test]
    async fn a_damaged_file_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "yesterday").unwrap();
        let error = Calendar::open(folder.path()).map(drop).unwrap_err();
        assert!(error.to_string().contains("remove its folder"), "{error}");
    }
}
