//! The fleet: the simulator's devices, in the server's own compressed time.

use std::collections::HashMap;
use std::convert::Infallible;

use futures::stream::BoxStream;
use serde_json::Value;
use tidegate_simulator::clock::Running;
use tidegate_simulator::{Fleet as Simulated, Muster, Pace, Push};

use super::builds::App;
use super::home::Home;
use super::operator::Operator;
use crate::Error;

/// The seed of all random numbers, always the same, so that the devices are the same.
const SEED: u64 = 1;

/// The enrolled devices of an app.
pub(super) struct Fleet {
    devices: Simulated,
    /// How many of them the server did not know.
    pub(super) new: usize,
}

/// What the devices of all apps have in common.
pub(super) struct Surroundings<'a> {
    pub(super) server: &'a str,
    pub(super) token: &'a str,
    pub(super) home: &'a Home,
    pub(super) clock: Running,
}

impl Fleet {
    /// Enrols the devices. One that was there before goes on with the version that it had, as the server knows it.
    pub(super) async fn enroll(
        app: &'static App,
        size: u32,
        around: &Surroundings<'_>,
        operator: &Operator,
        push_service: BoxStream<'static, Push>,
    ) -> Result<Self, Error> {
        let devices = operator.devices().await?;
        let known = devices.iter().filter_map(|device| installed(device, app.package));
        let known: HashMap<String, i64> = known.collect();
        let names: Vec<String> = (1..=size)
            .map(|number| format!("{}-{number:04}", app.devices))
            .collect();
        let new = names.iter().filter(|name| !known.contains_key(*name)).count();
        let signer = around.home.signing_key().fingerprint();
        let signer: String = signer.iter().map(|byte| format!("{byte:02x}")).collect();
        let fleet = Simulated::enroll(Muster {
            server: around.server.to_owned(),
            package: app.package.to_owned(),
            enrollment_token: around.token.to_owned(),
            names,
            installed: known,
            signer: Box::new(move |_| signer.clone()),
            seed: SEED,
            population: app.population().map_err(fault)?,
            faults: 0.0,
            pace: Pace::Clock(around.clock),
            begin: around.clock.now().timestamp_millis(),
            ahead: 0,
            push_service: Some(push_service),
        });
        let devices = fleet.await.map_err(fault)?;
        Ok(Self { devices, new })
    }

    /// Lets the devices live until it is dropped.
    pub(super) async fn live(self) -> Result<Infallible, Error> {
        self.devices.live().await.map_err(fault)?;
        // All were revoked: there is nothing left to see of them, but the server can still be looked at.
        std::future::pending().await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn fault(error: tidegate_simulator::Error) -> Error {
    Error::Demo(error.to_string())
}

/// A device that is known to run this package, and which version.
fn installed(device: &Value, package: &str) -> Option<(String, i64)> {
    let packages = device["installed"].as_array()?;
    let version = packages
        .iter()
        .find(|installed| installed["package_name"] == package)
        .and_then(|installed| installed["version_code"].as_i64())?;
    Some((device["device_id"].as_str()?.to_owned(), version))
}
