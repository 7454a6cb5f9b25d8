//! The formula of shares: which devices are to be offered a build, and by which rollout. Every answer of the server is
//! checked against it.
//!
//! It is written here a second time, from its description and not with the server's code, which is what it checks. Of
//! audiences it reads what release plans make ([`Condition`]); a run against any other is refused.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};

use crate::Error;
use crate::operator::{Build, Rollout, Slice};
use crate::release_plan::Overlays;
use crate::world::World;

/// How many positions there are.
const POSITIONS: u64 = 100_000_000;

/// Reasons that say that nothing is offered to whoever stands where the device stands. Others tell what the formula knows
/// nothing of: that the server has just started, an operator's hold, or which API levels a file installs on.
const OF_THE_FORMULA: [&str; 8] = [
    "no_current_build",
    "already_current",
    "newer_installed",
    "not_in_cohort",
    "not_in_audience",
    "above_ceiling",
    "rejected_by_device",
    "needs_intermediate",
];

/// The settings that are in force, shared by all devices and exchanged when the operator changes something.
#[derive(Debug)]
pub(crate) struct RolloutSettings(RwLock<Arc<Serving>>);

/// The rollouts that offer something.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Serving {
    /// In the order in which polls ask them.
    offerings: Vec<Offering>,
    overlays: Arc<Overlays>,
}

/// A rollout with its build, and its audience as it was read.
#[derive(Clone, Debug, PartialEq)]
struct Offering {
    rollout: Rollout,
    build: Build,
    audience: Vec<Condition>,
}

/// What a device must be to be addressed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// Operators gave it this tag.
    Tagged(String),
    /// Its region is one of these.
    InRegion(Vec<String>),
    /// Its model is one of these.
    OfModel(Vec<String>),
}

/// A device that asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) device: &'a str,
    pub(crate) world: &'a World,
    /// The version that it runs; 0 for none.
    pub(crate) installed: i64,
}

/// What the rollouts in their order say to a device.
struct Outcome<'a> {
    /// Those that take it. All but the last offer a build with which the device failed, so that the server may have
    /// passed them by.
    takers: Vec<&'a Offering>,
    /// Whether the last of them must take it.
    certain: bool,
}

impl Serving {
    /// Of a package's rollouts those that serve, with their builds by id.
    ///
    /// # Errors
    /// [`Error::Usage`] when none is current, and for an audience that is not understood here.
    pub(crate) fn of(
        package: &str,
        rollouts: &[Rollout],
        builds: &HashMap<i64, Build>,
        overlays: Arc<Overlays>,
    ) -> Result<Self, Error> {
        let mut offerings = Vec::new();
        for rollout in rollouts.iter().filter(|rollout| rollout.serves()) {
            let build = builds.get(&rollout.build_id).cloned();
            offerings.push(Offering {
                build: build
                    .ok_or_else(|| Error::Usage(format!("build {} is not there", rollout.build_id)))?,
                audience: conditions(rollout)?,
                rollout: rollout.clone(),
            });
        }
        if !offerings.iter().any(|offering| offering.rollout.is_current) {
            return Err(Error::Usage(format!(
                "no build of {package} is current; upload one and promote it first"
            )));
        }
        offerings.sort_by_key(|offering| {
            let Rollout {
                priority,
                is_current,
                rollout_id,
                ..
            } = offering.rollout;
            (-priority, !is_current, -rollout_id)
        });
        Ok(Self { offerings, overlays })
    }

    /// The package's base.
    pub(crate) fn current(&self) -> Option<&Rollout> {
        self.rollouts().find(|rollout| rollout.is_current)
    }

    pub(crate) fn rollouts(&self) -> impl Iterator<Item = &Rollout> {
        self.offerings.iter().map(|offering| &offering.rollout)
    }

    /// What is wrong with an answer to this device, if something is. `Ok`: the rollout and the build that were offered.
    /// `Err`: nothing was, for this reason. `failed` says of a build whether the device failed with it, so that the
    /// server may have to keep it from the device. Forced roll-backs are not judged.
    pub(crate) fn contradiction(
        &self,
        asking: Asking<'_>,
        answer: Result<(i64, i64), &str>,
        failed: impl Fn(i64) -> bool,
    ) -> Option<String> {
        let (device, runs) = (asking.device, asking.installed);
        if self
            .offerings
            .iter()
            .any(|offering| offering.rollout.plan.is_some())
        {
            // A share that moves is judged by the moment: by the books of the plan.
            return None;
        }
        let outcome = self.outcome(asking, failed);
        match answer {
            Ok((rollout, _)) if self.takes_back(rollout, runs) => None,
            Ok((rollout, build)) => {
                let offers =
                    |taker: &&Offering| taker.rollout.rollout_id == rollout && taker.build.build_id == build;
                let is_right = outcome.takers.iter().any(offers);
                (!is_right).then(|| {
                    format!(
                        "{device}, which runs {runs}, was offered build {build} by rollout {rollout}, which does not \
                         take it{}",
                        outcome.instead()
                    )
                })
            }
            Err(reason) if OF_THE_FORMULA.contains(&reason) => {
                let is_baseless = reason == "above_ceiling" && self.overlays.ceiling(device).is_none();
                (outcome.certain || is_baseless).then(|| {
                    format!(
                        "{device}, which runs {runs}, was told {reason}{}",
                        outcome.instead()
                    )
                })
            }
            Err(_) => None,
        }
    }

    /// Whether a rollout was forced to take devices back from a higher version than its own.
    fn takes_back(&self, rollout: i64, installed: i64) -> bool {
        self.offerings.iter().any(|offering| {
            offering.rollout.rollout_id == rollout
                && offering.rollout.force_downgrade
                && offering.build.version_code < installed
        })
    }

    /// The rollout and the build that are to reach a device which comes with this version, if one is.
    pub(crate) fn reaches(&self, device: &str, world: &World, factory: i64) -> Option<(i64, i64)> {
        let asking = Asking {
            device,
            world,
            installed: factory,
        };
        let outcome = self.outcome(asking, |_| false);
        let taker = outcome.takers.first()?;
        Some((taker.rollout.rollout_id, taker.build.build_id))
    }

    /// Asks each rollout whether the device is one of its own, and then what it has for it.
    fn outcome(&self, asking: Asking<'_>, failed: impl Fn(i64) -> bool) -> Outcome<'_> {
        let mut takers = Vec::new();
        let ceiling = self.overlays.ceiling(asking.device);
        for offering in self.offerings.iter().filter(|one| self.takes(one, asking)) {
            let version = offering.build.version_code;
            match asking.installed.cmp(&version) {
                Ordering::Greater => continue,
                Ordering::Equal => break,
                Ordering::Less => {}
            }
            match offering.rollout.state.as_str() {
                "paused" | "halted" => break,
                "scheduled" => continue,
                _ => {}
            }
            if !fits(&offering.build, asking.world) || ceiling.is_some_and(|ceiling| version > ceiling) {
                continue;
            }
            takers.push(offering);
            if !failed(offering.build.build_id) {
                return Outcome {
                    takers,
                    certain: true,
                };
            }
        }
        Outcome {
            takers,
            certain: false,
        }
    }

    /// Whether the audience, the slice and the share of a rollout take a device.
    fn takes(&self, offering: &Offering, asking: Asking<'_>) -> bool {
        let (device, world) = (asking.device, asking.world);
        let holds = |condition: &Condition| match condition {
            Condition::Tagged(tag) => self.overlays.has_tag(device, tag),
            Condition::InRegion(regions) => regions.contains(&world.region.name),
            Condition::OfModel(models) => models.contains(&world.model.name),
        };
        let Rollout {
            salt,
            slice,
            rollout_percent,
            ..
        } = &offering.rollout;
        offering.audience.iter().all(holds)
            && is_within(position(device, salt.as_deref()), *slice, *rollout_percent)
    }
}

impl Outcome<'_> {
    fn instead(&self) -> String {
        match self.takers.last().filter(|_| self.certain) {
            Some(taker) => format!("; rollout {} takes it", taker.rollout.rollout_id),
            None => String::new(),
        }
    }
}

/// Whether the build has code for the device and is for its API level.
pub(crate) fn fits(build: &Build, world: &World) -> bool {
    let abis: Vec<&str> = world.model.abis.split(',').map(str::trim).collect();
    let runs = build.abis.is_empty() || build.abis.iter().any(|abi| abis.contains(&abi.as_str()));
    runs && world.sdk >= build.min_sdk
}

/// Whether this share of a slice takes the device at this position. Shares are in hundredths of a percent, slices in
/// millionths.
fn is_within(position: u64, slice: Option<Slice>, percent: f64) -> bool {
    let slice = slice.unwrap_or_default();
    let (start, width) = (units(slice.start, 1e6), units(slice.width_percent, 1e6));
    let share = units(percent, 1e2) * 10_000;
    (position + POSITIONS - start) % POSITIONS < width * share / POSITIONS
}

/// A percentage in whole parts of it.
fn units(percent: f64, parts: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a percentage of the server's, and `as` saturates"
    )]
    let units = (percent * parts).round() as u64;
    units
}

/// A device's place among 10⁸: the digits of `u32_be(SHA-256(device_id)[0..4])`, from its rest by 100 on, which is the
/// cohort. A salt goes before the id, and its length in four bytes before the salt.
pub(crate) fn position(device: &str, salt: Option<&str>) -> u64 {
    let mut text = Vec::new();
    if let Some(salt) = salt {
        text.extend(u32::try_from(salt.len()).unwrap_or(u32::MAX).to_be_bytes());
        text.extend(salt.bytes());
    }
    text.extend(device.bytes());
    let digest = Sha256::digest(text);
    let number = u64::from(u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]));
    number % 100 * 1_000_000 + number / 100 % 100 * 10_000 + number / 10_000 % 10_000
}

/// The audience of a rollout; empty for everybody.
fn conditions(rollout: &Rollout) -> Result<Vec<Condition>, Error> {
    let Some(audience) = &rollout.audience else {
        return Ok(Vec::new());
    };
    read_conditions(&audience.expression).ok_or_else(|| {
        Error::Usage(format!(
            "rollout {} addresses {:?}, which the simulator does not understand: it knows \"x\" in tags, region == \"x\", \
             region in [\"x\", …], the same of model, and && between them",
            rollout.rollout_id, audience.expression
        ))
    })
}

fn read_conditions(text: &str) -> Option<Vec<Condition>> {
    let mut rest = text.trim();
    let mut conditions = Vec::new();
    loop {
        let condition;
        (condition, rest) = read_condition(rest)?;
        conditions.push(condition);
        if rest.is_empty() {
            return Some(conditions);
        }
        rest = rest.strip_prefix("&&")?.trim_start();
    }
}

/// A condition at the beginning of a text, and what follows it.
fn read_condition(text: &str) -> Option<(Condition, &str)> {
    if text.starts_with('"') {
        let (tag, rest) = read_text(text)?;
        let rest = rest.strip_prefix("in")?.trim_start().strip_prefix("tags")?;
        return Some((Condition::Tagged(tag), rest.trim_start()));
    }
    let (make, rest): (fn(Vec<String>) -> Condition, _) = match text.strip_prefix("region") {
        Some(rest) => (Condition::InRegion, rest),
        None => (Condition::OfModel, text.strip_prefix("model")?),
    };
    let rest = rest.trim_start();
    if let Some(rest) = rest.strip_prefix("==") {
        let (name, rest) = read_text(rest.trim_start())?;
        return Some((make(vec![name]), rest));
    }
    let rest = rest.strip_prefix("in")?.trim_start().strip_prefix('[')?;
    let (names, rest) = read_list(rest.trim_start())?;
    Some((make(names), rest))
}

/// The texts up to a closing bracket, and what follows it.
fn read_list(mut rest: &str) -> Option<(Vec<String>, &str)> {
    let mut names = Vec::new();
    loop {
        let name;
        (name, rest) = read_text(rest)?;
        names.push(name);
        if let Some(rest) = rest.strip_prefix(']') {
            return Some((names, rest.trim_start()));
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

/// A text in quotation marks, and what follows it. One with a backslash is not understood.
fn read_text(text: &str) -> Option<(String, &str)> {
    let (name, rest) = text.strip_prefix('"')?.split_once('"')?;
    (!name.contains('\\')).then(|| (name.to_owned(), rest.trim_start()))
}

impl RolloutSettings {
    pub(crate) fn new(serving: Serving) -> Self {
        Self(RwLock::new(Arc::new(serving)))
    }

    pub(crate) fn now(&self) -> Arc<Serving> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn change(&self, serving: Serving) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(serving);
    }
}

#[cfg(test)]
mod tests;
