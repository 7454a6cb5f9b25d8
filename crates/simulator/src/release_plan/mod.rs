//! A release in steps, as a TOML file says it: which devices have which tags, which are pinned, and which rollouts are
//! made one after the other. It is read as strictly as a population.
//!
//! Rollouts come by falling priority. So whoever a rollout takes is never taken by one that is made later, and it can be
//! said at the end which rollout has to have offered the build to which device.

mod course;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::device_rng::{DeviceRng, Question};
use crate::population::{MAX_FILE_BYTES, Population};
use crate::{Error, Plan};

pub(crate) use self::course::hours;
pub use self::course::{Pause, PlannedCalendar, PlannedCalendars, PlannedFreeze, PlannedStep, PlannedWindow};

/// A documented plan, as the file that it is read from.
pub const DEFAULT: &str = include_str!("default.toml");

/// A plan that goes on by itself, as the file that it is read from.
pub const BY_ITSELF: &str = include_str!("by_itself.toml");

/// The most rows of one kind.
pub const MAX_ROWS: usize = 50;

/// A release in steps.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasePlan {
    /// The version code of the build that is released.
    pub version_code: i64,
    /// Which devices have which tags.
    #[serde(default)]
    pub tags: Vec<TagRow>,
    /// Which of them are kept at a version.
    #[serde(default)]
    pub pins: Vec<Pin>,
    /// When the fleet begins, in hours after the Monday on which fleets begin.
    #[serde(default)]
    pub begins_h: f64,
    /// The calendars that are made before the first rollout.
    #[serde(default)]
    pub calendars: Vec<PlannedCalendar>,
    /// What is made, in this order.
    pub rollouts: Vec<PlannedRollout>,
}

/// A tag that operators give to devices.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TagRow {
    /// The tag.
    pub name: String,
    /// The share of the fleet that gets it, 0 to 1.
    pub share: f64,
}

/// A policy on the devices with a tag.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// The tag.
    pub tag: String,
    /// The highest version code that they get.
    pub max_version: i64,
}

/// A rollout that is to be made.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedRollout {
    /// What people call it.
    pub name: String,
    /// When it is made, in hours of the fleet's time.
    pub after_h: f64,
    /// 0 for the base.
    #[serde(default)]
    pub priority: u32,
    /// It addresses devices with this tag only.
    pub tag: Option<String>,
    /// It addresses devices of this region only.
    pub region: Option<String>,
    /// It addresses devices of this model only.
    pub model: Option<String>,
    /// The part of the fleet that the share is taken of; all of it when absent.
    pub slice: Option<PlannedSlice>,
    /// The share, in percent with up to two decimals; absent with a plan.
    #[serde(default)]
    pub percent: f64,
    /// The steps by which the share grows by itself.
    #[serde(default)]
    pub plan: Vec<PlannedStep>,
    /// The calendars that it goes by.
    pub calendars: Option<PlannedCalendars>,
    /// When the operator pauses it.
    #[serde(default)]
    pub pauses: Vec<Pause>,
}

/// A part of the fleet, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedSlice {
    /// Where it begins; absent: where the package's last automatic slice ended.
    pub start: Option<f64>,
    /// How much of the fleet it is.
    pub width: f64,
}

/// What operators gave to the devices of a fleet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Overlays {
    /// The tags of each device that has some.
    tags: HashMap<String, Vec<String>>,
    pins: Vec<Pin>,
}

impl Overlays {
    pub(crate) fn has_tag(&self, device: &str, tag: &str) -> bool {
        self.tags
            .get(device)
            .is_some_and(|tags| tags.iter().any(|has| has == tag))
    }

    /// The highest version code that a device gets, if a policy names one.
    pub(crate) fn ceiling(&self, device: &str) -> Option<i64> {
        let pins = self.pins.iter().filter(|pin| self.has_tag(device, &pin.tag));
        pins.map(|pin| pin.max_version).min()
    }
}

impl PlannedRollout {
    /// When it is made.
    pub(crate) fn after(&self) -> Duration {
        hours(self.after_h)
    }

    /// Its audience as an expression; none for all devices.
    pub(crate) fn audience(&self) -> Option<String> {
        let tag = self.tag.iter().map(|tag| format!("\"{tag}\" in tags"));
        let region = self.region.iter().map(|region| format!("region == \"{region}\""));
        let model = self.model.iter().map(|model| format!("model == \"{model}\""));
        let conditions: Vec<String> = tag.chain(region).chain(model).collect();
        (!conditions.is_empty()).then(|| conditions.join(" && "))
    }
}

impl ReleasePlan {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::File`] when it cannot be read, [`Error::Usage`] when it is no release plan.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::File {
            path: path.to_owned(),
            source,
        };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > MAX_FILE_BYTES {
            return fault(format!(
                "{} has {size} bytes; at most {MAX_FILE_BYTES} are read",
                path.display()
            ));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text).map_err(|error| Error::Usage(format!("{}: {error}", path.display())))
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// [`Error::Usage`] with the place and what is wrong there.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let plan: Self =
            toml::from_str(text).map_err(|fault| Error::Usage(fault.to_string().trim_end().to_owned()))?;
        plan.check()?;
        Ok(plan)
    }

    /// The documented one.
    ///
    /// # Errors
    /// None in practice: a test reads it.
    pub fn usual() -> Result<Self, Error> {
        Self::parse(DEFAULT)
    }

    /// Gives tags to the devices of these names, of which number n has the nth.
    pub(crate) fn overlays(&self, seed: u64, names: &[String]) -> Overlays {
        let mut tags: HashMap<String, Vec<String>> = HashMap::new();
        for (number, name) in names.iter().enumerate() {
            let rng = DeviceRng::new(seed, number as u64);
            for (row, tag) in self.tags.iter().enumerate() {
                if rng.happens(tag.share, Question::Tag, &[row as u64]) {
                    tags.entry(name.clone()).or_default().push(tag.name.clone());
                }
            }
        }
        let pins = self.pins.clone();
        Overlays { tags, pins }
    }

    fn check(&self) -> Result<(), Error> {
        let rows = [self.tags.len(), self.pins.len(), self.rollouts.len()];
        if rows.iter().any(|rows| *rows > MAX_ROWS) || self.rollouts.is_empty() {
            return fault(format!("a release plan has 1 to {MAX_ROWS} rows of a kind"));
        }
        for tag in &self.tags {
            check_tag_name(&tag.name)?;
            check_number("tags.share", tag.share, 1.0)?;
        }
        for pin in &self.pins {
            self.check_tag("pins.tag", &pin.tag)?;
        }
        self.rollouts
            .iter()
            .try_for_each(|rollout| self.check_rollout(rollout))?;
        self.check_course()?;
        self.check_order()
    }

    fn check_rollout(&self, rollout: &PlannedRollout) -> Result<(), Error> {
        let most_hours = crate::run::MAX_DURATION.as_secs_f64() / 3_600.0;
        check_number("rollouts.after_h", rollout.after_h, most_hours)?;
        rollout.check_course()?;
        if let Some(slice) = rollout.slice {
            check_number(
                "rollouts.slice.start",
                slice.start.unwrap_or_default(),
                99.999_999,
            )?;
            check_number("rollouts.slice.width", slice.width, 100.0)?;
        }
        if let Some(tag) = &rollout.tag {
            self.check_tag("rollouts.tag", tag)?;
        }
        for (name, text) in [("region", &rollout.region), ("model", &rollout.model)] {
            if let Some(text) = text {
                check_text(&format!("rollouts.{name}"), text)?;
            }
        }
        Ok(())
    }

    fn check_tag(&self, name: &str, tag: &str) -> Result<(), Error> {
        if self.tags.iter().any(|row| row.name == tag) {
            return Ok(());
        }
        fault(format!("{name} is {tag:?}, which no row of tags describes"))
    }

    fn check_order(&self) -> Result<(), Error> {
        let falls = |pair: &[PlannedRollout]| pair[0].priority > pair[1].priority;
        if !self.rollouts.windows(2).all(falls) {
            return fault("rollouts are made by falling priority, the base last".to_owned());
        }
        let rises = |pair: &[PlannedRollout]| pair[0].after_h < pair[1].after_h;
        if !self.rollouts.windows(2).all(rises) {
            return fault("rollouts are made one after the other: after_h rises".to_owned());
        }
        Ok(())
    }

    /// Whether devices of the population can be what its rollouts ask for. A name that nobody has addresses nobody.
    pub(crate) fn check_against(&self, population: &Population) -> Result<(), Error> {
        for rollout in &self.rollouts {
            let regions = population.regions.iter().map(|row| &row.name);
            known("region", rollout.region.as_ref(), regions)?;
            let models = population.models.iter().map(|row| &row.name);
            known("model", rollout.model.as_ref(), models)?;
        }
        if self.version_code <= population.factory_version {
            return fault(format!(
                "version_code is {}; devices come with {} already",
                self.version_code, population.factory_version
            ));
        }
        Ok(())
    }
}

/// What a share may be.
pub(crate) const SHARE: &str = "a share from 0.01 to 100 with up to two decimals";

/// Whether that many percent are a share.
pub(crate) fn is_share(percent: f64) -> bool {
    // What a decimal number is off by as a binary one is far smaller than a third decimal.
    let decimals = (percent * 100.0).fract();
    (0.01..=100.0).contains(&percent) && decimals.min(1.0 - decimals) < 1e-6
}

/// What the operator does in a run, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Act<'a> {
    /// Makes a rollout.
    Create(&'a PlannedRollout),
    /// Raises the base's share to so many percent.
    Raise(f64),
    /// Pauses the base.
    Pause,
    /// Lets it go on.
    Resume,
}

impl Plan {
    /// What the operator does, one after the other.
    pub(crate) fn acts(&self) -> Vec<(Duration, Act<'_>)> {
        let rollouts = self.release.iter().flat_map(|plan| &plan.rollouts);
        let rollouts = rollouts.flat_map(|rollout| {
            let pauses = rollout.pauses.iter();
            let pauses = pauses.flat_map(|pause| {
                [
                    (hours(pause.from_h), Act::Pause),
                    (hours(pause.to_h), Act::Resume),
                ]
            });
            std::iter::once((rollout.after(), Act::Create(rollout))).chain(pauses)
        });
        let raises = self.raises.iter();
        let raises = raises.map(|raise| (raise.after, Act::Raise(raise.percent)));
        // Raises are those of the base, which is made last.
        rollouts.chain(raises).collect()
    }
}

fn known<'a>(
    what: &str,
    name: Option<&String>,
    mut known: impl Iterator<Item = &'a String>,
) -> Result<(), Error> {
    match name {
        Some(name) if !known.any(|row| row == name) => {
            fault(format!("rollouts: there is no {what} {name:?} in the population"))
        }
        _ => Ok(()),
    }
}

/// As the server takes tags.
fn check_tag_name(name: &str) -> Result<(), Error> {
    let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let is_tag = (1..=64).contains(&name.len())
        && name.starts_with(|first: char| u8::try_from(first).is_ok_and(plain))
        && name
            .bytes()
            .all(|letter| plain(letter) || b"._-".contains(&letter));
    if is_tag {
        return Ok(());
    }
    fault(format!(
        "tags.name is {name:?}; it must be 1 to 64 lower-case letters, digits, '.', '_' and '-', and begin with one of \
         the first two"
    ))
}

fn check_text(name: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() || text.contains(['"', '\\']) {
        return fault(format!(
            "{name} is {text:?}; it must be a text without quotation marks and backslashes"
        ));
    }
    Ok(())
}

fn check_number(name: &str, value: f64, most: f64) -> Result<(), Error> {
    if (0.0..=most).contains(&value) {
        return Ok(());
    }
    fault(format!("{name} is {value}; it must be a number from 0 to {most}"))
}

fn fault<T>(what: String) -> Result<T, Error> {
    Err(Error::Usage(what))
}
