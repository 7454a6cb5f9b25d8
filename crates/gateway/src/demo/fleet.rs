//! The fleet: so many virtual devices, each a task of its own.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::builds::FACTORY_VERSION;
use super::device::{Device, Network};
use super::operator::{Operator, client};
use super::{PACKAGE, guide};
use crate::Error;

/// How many devices talk to the server at the same moment.
const CONCURRENT: usize = 32;

/// Enrolled devices.
pub(super) struct Fleet {
    devices: Vec<Device>,
}

impl Fleet {
    /// Enrols the devices. One that was there before goes on with the version that it had, as the server knows it.
    pub(super) async fn enroll(
        base: &str,
        token: &str,
        size: u32,
        operator: &Operator,
    ) -> Result<Self, Error> {
        let known: HashMap<String, i64> = operator.devices().await?.iter().filter_map(installed).collect();
        let network = Arc::new(Network {
            http: client()?,
            base: base.to_owned(),
            places: Semaphore::new(CONCURRENT),
        });
        let mut enrolling = JoinSet::new();
        for number in 1..=size {
            let mut device = Device::new(number, Arc::clone(&network));
            device.installed = known.get(device.id()).copied().unwrap_or(FACTORY_VERSION);
            let token = token.to_owned();
            enrolling.spawn(async move { device.enroll(&token).await.map(|()| device) });
        }
        let devices: Result<Vec<Device>, Error> = enrolling.join_all().await.into_iter().collect();
        let fleet = Self { devices: devices? };
        let new = fleet
            .devices
            .iter()
            .filter(|device| !known.contains_key(device.id()))
            .count();
        guide::say(&format!(
            "{} devices are enrolled, {new} of them new\n",
            fleet.devices.len()
        ));
        Ok(fleet)
    }

    /// Lets the devices live for as long as this is waited for.
    pub(super) async fn live(self) -> Result<Infallible, Error> {
        let mut lives = JoinSet::new();
        for device in self.devices {
            lives.spawn(device.live());
        }
        while let Some(life) = lives.join_next().await {
            life.map_err(|fault| Error::Demo(format!("a device failed: {fault}")))?;
        }
        // All were revoked: there is nothing left to see of them, but the server can still be looked at.
        std::future::pending().await
    }
}

fn installed(device: &Value) -> Option<(String, i64)> {
    let packages = device["installed"].as_array()?;
    let version = packages
        .iter()
        .find(|package| package["package_name"] == PACKAGE)
        .and_then(|package| package["version_code"].as_i64())?;
    Some((device["device_id"].as_str()?.to_owned(), version))
}
