//! The fleet: the simulator's devices, in the server's own compressed time.

use std::collections::HashMap;
use std::convert::Infallible;

use futures::stream::BoxStream;
use serde_json::Value;
use tidegate_simulator::clock::Running;
use tidegate_simulator::{Fleet as Simulated, Muster, Pace, Population, Push};

use super::builds::FACTORY_VERSION;
use super::home::Home;
use super::operator::Operator;
use super::{PACKAGE, guide};
use crate::Error;

/// The seed of all random numbers, always the same, so that the devices are the same.
const SEED: u64 = 1;

/// Enrolled devices.
pub(super) struct Fleet(Simulated);

impl Fleet {
    /// Enrols the devices. One that was there before goes on with the version that it had, as the server knows it.
    pub(super) async fn enroll(
        base: &str,
        token: &str,
        size: u32,
        operator: &Operator,
        home: &Home,
        push_service: BoxStream<'static, Push>,
        clock: Running,
    ) -> Result<Self, Error> {
        let known: HashMap<String, i64> = operator.devices().await?.iter().filter_map(installed).collect();
        let names: Vec<String> = (1..=size).map(|number| format!("phone-{number:04}")).collect();
        let new = names.iter().filter(|name| !known.contains_key(*name)).count();
        let mut population = Population::usual().map_err(fault)?;
        population.factory_version = FACTORY_VERSION;
        let signer = home.signing_key().fingerprint();
        let signer: String = signer.iter().map(|byte| format!("{byte:02x}")).collect();
        let fleet = Simulated::enroll(Muster {
            server: base.to_owned(),
            package: PACKAGE.to_owned(),
            enrollment_token: token.to_owned(),
            names,
            installed: known,
            signer: Box::new(move |_| signer.clone()),
            seed: SEED,
            population,
            faults: 0.0,
            pace: Pace::Clock(clock),
            begin: clock.now().timestamp_millis(),
            ahead: 0,
            push_service: Some(push_service),
        });
        let fleet = Self(fleet.await.map_err(fault)?);
        guide::say(&format!("{size} devices are enrolled, {new} of them new\n"));
        Ok(fleet)
    }

    /// Lets the devices live until it is dropped.
    pub(super) async fn live(self) -> Result<Infallible, Error> {
        self.0.live().await.map_err(fault)?;
        // All were revoked: there is nothing left to see of them, but the server can still be looked at.
        std::future::pending().await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over")]
fn fault(error: tidegate_simulator::Error) -> Error {
    Error::Demo(error.to_string())
}

fn installed(device: &Value) -> Option<(String, i64)> {
    let packages = device["installed"].as_array()?;
    let version = packages
        .iter()
        .find(|package| package["package_name"] == PACKAGE)
        .and_then(|package| package["version_code"].as_i64())?;
    Some((device["device_id"].as_str()?.to_owned(), version))
}
