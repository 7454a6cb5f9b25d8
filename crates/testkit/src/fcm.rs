//! A stand-in for FCM, and servers that send to it.

use std::fs;
use std::time::Duration;

pub use tidegate_fcm::stand_in::{Answer, Counts, PROJECT, Received, StandIn};
use tidegate_gateway::Config;

/// The service account's file in the server's folder.
const ACCOUNT: &str = "service-account.json";

/// How long a server of a test waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Lets a server send its nudges to the stand-in, at once at the full rate.
///
/// # Panics
/// When the server's folder cannot be written to.
pub fn send_to(fcm: &StandIn, config: &mut Config) {
    send_as(&fcm.service_account(), fcm, config);
}

/// As [`send_to`], with another service account's file.
///
/// # Panics
/// As there.
pub fn send_as(account: &str, fcm: &StandIn, config: &mut Config) {
    let path = config.data_dir.join(ACCOUNT);
    fs::write(&path, account).expect("no service account written");
    config.fcm.service_account = Some(path);
    config.fcm.endpoint = fcm.endpoint();
    config.fcm.ramp = Duration::ZERO;
    config.fcm.timeout = TIMEOUT;
}
