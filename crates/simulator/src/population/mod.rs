//! Who the devices are and what they meet, as a TOML file says it.
//!
//! The file is read strictly: an unknown name, a share below zero or a battery that no row describes stops the run
//! before a device is enrolled. A fleet that is not the one its author meant proves nothing.

mod check;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Error;

/// The fleet that is played when no other is named, as the file that it is read from.
pub const DEFAULT: &str = include_str!("default.toml");

/// The largest population file, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// The most rows of one kind.
pub const MAX_ROWS: usize = 200;

/// A fleet's devices, and what they meet.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Population {
    /// What the devices run at first; 0 when they come without the app.
    pub factory_version: i64,
    /// How wrong a device's clock is at most, in seconds.
    pub clock_skew_s: f64,
    /// The share of devices whose installed app carries somebody else's signature, 0 to 1.
    pub wrong_signer: f64,
    /// The share of devices with an agent of before, which knows no windows, 0 to 1: half of them tell the protocol 1, and
    /// half none.
    #[serde(default)]
    pub older_agents: f64,
    /// The share of devices that tell no time zone, 0 to 1.
    #[serde(default)]
    pub no_zone: f64,
    /// Kinds of devices.
    pub models: Vec<Model>,
    /// Where they are.
    pub regions: Vec<Region>,
    /// How they are connected.
    pub networks: Vec<Network>,
    /// How their batteries go up and down.
    pub batteries: Vec<Battery>,
    /// How often a device is in a call, and how long.
    pub calls: Calls,
    /// How much storage is free.
    pub storage: Storage,
    /// What happens to files on their way.
    pub downloads: Downloads,
    /// The share of devices whose agents can wake often, and say so, 0 to 1.
    #[serde(default)]
    pub dense: f64,
    /// Devices that take patches.
    #[serde(default)]
    pub patches: Patches,
    /// Android's refusals.
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// Builds that leave devices dead.
    #[serde(default)]
    pub bricks: Vec<Brick>,
    /// Builds that crash.
    #[serde(default)]
    pub crash_loops: Vec<CrashLoop>,
    /// How requests fail.
    pub faults: Faults,
}

/// A kind of device.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// As it is enrolled.
    pub name: String,
    /// As it is enrolled.
    pub manufacturer: String,
    /// Weight among the models.
    pub share: f64,
    /// API levels, all equally likely.
    pub sdks: Vec<u32>,
    /// Instruction sets, comma-separated, best first.
    pub abis: String,
    /// The name of its row of batteries.
    pub battery: String,
    /// The device's own labels.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// A place.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// As it is enrolled.
    pub name: String,
    /// Weight among the regions.
    pub share: f64,
    /// Hours ahead of UTC.
    pub utc_offset_h: f64,
    /// The time zone that its devices tell, an IANA name; none when absent.
    #[serde(default)]
    pub zone: Option<String>,
}

/// A way of being connected.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Its name, for whoever reads the file.
    pub name: String,
    /// Weight among the networks.
    pub share: f64,
    /// From when the device is in Wi-Fi, in hours of its day.
    pub wifi_from_h: f64,
    /// For how many hours, 0 to 24.
    pub wifi_h: f64,
    /// How likely a day has a time without any network.
    pub offline_days: f64,
    /// How long that lasts, in hours.
    pub offline_h: [f64; 2],
    /// What a request takes, in milliseconds.
    pub latency_ms: [f64; 2],
    /// How fast a file comes.
    pub bytes_per_s: f64,
}

/// A battery's day.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Battery {
    /// What models call it.
    pub name: String,
    /// When it is put on the charger, in hours of its day.
    pub charge_from_h: f64,
    /// For how many hours, 0 to 24.
    pub charge_h: f64,
    /// Percent that an hour off the charger takes.
    pub drain_per_h: [f64; 2],
    /// Percent that an hour on it gives.
    pub charge_per_h: f64,
}

/// Calls.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// How many a day has on average.
    pub per_day: f64,
    /// How long one lasts, in minutes.
    pub minutes: [f64; 2],
}

/// Free storage.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// What is free on most days, in MiB.
    pub free_mib: [f64; 2],
    /// How likely a day is one on which nearly nothing is free.
    pub full_days: f64,
}

/// What happens to files on their way.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Downloads {
    /// How likely a transfer is cut off.
    pub cut: f64,
    /// How likely one of its bytes is not what was sent.
    pub corrupted: f64,
}

/// Devices whose agents can read the installed app's file, and so take patches.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Patches {
    /// Their share of the fleet, 0 to 1.
    pub share: f64,
    /// The share of them whose installed file is never the one that the server gave out, as that of a repackaged app, 0 to 1.
    pub foreign_base: f64,
    /// How likely a byte of a patch tips over on the way, each time.
    pub damaged: f64,
    /// The APK that devices have when they leave the factory. Without it they have a file to patch only after their first
    /// update.
    pub factory_apk: Option<PathBuf>,
}

/// A way in which Android refuses a build.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Only this build; all when absent.
    pub version_code: Option<i64>,
    /// Only this model; all when absent.
    pub model: Option<String>,
    /// The share of devices that it strikes, 0 to 1.
    pub share: f64,
    /// `PackageInstaller`'s status.
    pub status: i32,
    /// `PackageInstaller`'s message.
    pub message: String,
    /// How many tries fail before it works; 0 for all.
    pub tries: u32,
}

/// A build that leaves devices dead: from its installation on nothing is heard of them, not even that it was installed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Brick {
    /// The build.
    pub version_code: i64,
    /// The share of devices that it strikes, 0 to 1.
    pub share: f64,
    /// Only devices that install it within so many hours of the fleet's life; all when absent.
    #[serde(default)]
    pub within_h: Option<f64>,
}

/// A build that crashes on some devices.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrashLoop {
    /// The build.
    pub version_code: i64,
    /// The share of devices that it strikes, 0 to 1.
    pub share: f64,
    /// How often an hour.
    pub per_hour: f64,
}

/// How requests fail: weights, and how long a busy server asks to stay away.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Faults {
    /// Nobody is reached.
    pub unreached: f64,
    /// The server did it, and its answer is lost.
    pub answer_lost: f64,
    /// 503 with Retry-After.
    pub busy: f64,
    /// The Retry-After, in seconds.
    pub retry_after_s: [f64; 2],
}

impl Population {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Population`] when it is not a population.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::File {
            path: path.to_owned(),
            source,
        };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_FILE_BYTES {
            return Err(Error::Population(format!(
                "{} has {size} bytes; at most {MAX_FILE_BYTES} are read",
                path.display()
            )));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|error| match error {
            Error::Population(fault) => Error::Population(format!("{}: {fault}", path.display())),
            other => other,
        })
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// [`Error::Population`] with the place and what is wrong there.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let population: Self = toml::from_str(text)
            .map_err(|fault| Error::Population(fault.to_string().trim_end().to_owned()))?;
        population.check()?;
        Ok(population)
    }

    /// The fleet that is played when no other is named.
    ///
    /// # Errors
    /// None in practice: a test reads it.
    pub fn usual() -> Result<Self, Error> {
        Self::parse(DEFAULT)
    }
}
