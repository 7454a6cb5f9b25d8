//! The formula of shares: which devices are to be offered a build. Every answer of the server is checked against it.
//!
//! It is written here a second time, from its description and not with the server's code, which is what it checks.

use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};

use crate::Error;
use crate::operator::{Build, Rollout};
use crate::world::World;

/// The settings that are in force, shared by all devices and exchanged when the operator raises a share.
#[derive(Debug)]
pub(crate) struct RolloutSettings(RwLock<Arc<Serving>>);

/// The rollouts that offer something.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Serving {
    /// The current one first.
    rollouts: Vec<Rollout>,
}

impl Serving {
    /// Of a package's rollouts those that serve.
    ///
    /// # Errors
    /// [`Error::Usage`] when none is current.
    pub(crate) fn of(package: &str, rollouts: &[Rollout]) -> Result<Self, Error> {
        let mut rollouts: Vec<Rollout> = rollouts
            .iter()
            .filter(|rollout| rollout.is_current || rollout.state == "active" || rollout.state == "completed")
            .cloned()
            .collect();
        rollouts.sort_by_key(|rollout| !rollout.is_current);
        if !rollouts.first().is_some_and(|rollout| rollout.is_current) {
            return Err(Error::Usage(format!(
                "no build of {package} is current; upload one and promote it first"
            )));
        }
        Ok(Self { rollouts })
    }

    pub(crate) fn current(&self) -> &Rollout {
        &self.rollouts[0]
    }

    pub(crate) fn rollouts(&self) -> &[Rollout] {
        &self.rollouts
    }

    /// What is wrong with an answer to this device, if something is. `Err`: nothing was offered, for this reason.
    pub(crate) fn contradiction(
        &self,
        device: &str,
        world: &World,
        answer: Result<i64, &str>,
    ) -> Option<String> {
        match answer {
            Ok(build) => {
                let rollout = self.rollouts.iter().find(|rollout| rollout.build_id == build);
                let takes = rollout.is_some_and(|rollout| takes(rollout, device, world));
                (!takes).then(|| format!("{device} was offered build {build}, whose share it is not in"))
            }
            Err("not_in_cohort") => takes(self.current(), device, world)
                .then(|| format!("{device} was not offered its build although its share takes it")),
            Err(_) => None,
        }
    }

    /// Whether the current rollout is to reach a device that came with this version.
    pub(crate) fn reaches(&self, build: &Build, device: &str, world: &World, factory: i64) -> bool {
        let abis: Vec<&str> = world.model.abis.split(',').map(str::trim).collect();
        let runs = build.abis.is_empty() || build.abis.iter().any(|abi| abis.contains(&abi.as_str()));
        factory < build.version_code
            && world.sdk >= build.min_sdk
            && runs
            && takes(self.current(), device, world)
    }
}

/// Whether the share and the audience of a rollout take a device.
fn takes(rollout: &Rollout, device: &str, world: &World) -> bool {
    let addressed = rollout.audience.as_ref().is_none_or(|audience| {
        let has = |list: &[String], name: &str| list.is_empty() || list.iter().any(|one| one == name);
        has(&audience.regions, &world.region.name) && has(&audience.models, &world.model.name)
    });
    let share = u32::from(rollout.rollout_percent) * 100;
    addressed && bucket(device, rollout.salt.as_deref()) < share
}

/// A device's place among 10,000: `u32_be(SHA-256(device_id)[0..4])`, whose rest by 100 is the cohort and whose next
/// two decimal digits refine it. A salt goes before the id, and its length in four bytes before the salt.
fn bucket(device: &str, salt: Option<&str>) -> u32 {
    let mut text = Vec::new();
    if let Some(salt) = salt {
        text.extend(u32::try_from(salt.len()).unwrap_or(u32::MAX).to_be_bytes());
        text.extend(salt.bytes());
    }
    text.extend(device.bytes());
    let digest = Sha256::digest(text);
    let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    number % 100 * 100 + number / 100 % 100
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
mod tests {
    use super::*;

    #[test]
    fn devices_fall_where_the_vectors_say() {
        #[derive(serde::Deserialize)]
        struct Vectors {
            unsalted: Vec<Vector>,
            salted: Vec<Vector>,
        }
        #[derive(serde::Deserialize)]
        struct Vector {
            device_id: String,
            salt: Option<String>,
            bucket: u32,
        }
        let vectors = include_str!("../../domain/tests/vectors/cohort.json");
        let vectors: Vectors = serde_json::from_str(vectors).unwrap();
        assert!(vectors.unsalted.len() > 30 && vectors.salted.len() > 5);
        for vector in vectors.unsalted.iter().chain(&vectors.salted) {
            let salt = vector.salt.as_deref();
            assert_eq!(
                bucket(&vector.device_id, salt),
                vector.bucket,
                "{}",
                vector.device_id
            );
        }
    }
}
