//! Who is to be offered a build: the formula of shares, asked again for every single answer.

use std::sync::{Arc, PoisonError, RwLock};

use tidegate_agent::domain::{Bucket, Percent};

use crate::Error;
use crate::operator::{Build, Rollout};
use crate::world::World;

/// The terms that are in force, shared by all devices and exchanged when the operator raises a share.
#[derive(Debug)]
pub(crate) struct Terms(RwLock<Arc<Serving>>);

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
    let percent = Percent::new(rollout.rollout_percent.into());
    addressed && percent.is_ok_and(|percent| Bucket::of(device, rollout.salt.as_deref()).is_within(percent))
}

impl Terms {
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
