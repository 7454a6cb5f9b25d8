//! The demo's push service: nudges go to a stand-in in this very process instead of Google.

use std::path::Path;

use tidegate_fcm::stand_in::StandIn;

use crate::Error;
use crate::config::FcmConfig;
use crate::keys::write_secret;

/// The service account's file in the demo's folder.
const FILE: &str = "fcm-stand-in.json";

/// Starts it, and lets the server's nudges go there. Its key is a new one with each start.
pub(super) async fn stand_in(folder: &Path, config: &mut FcmConfig) -> Result<StandIn, Error> {
    let fcm = StandIn::start().await?;
    let path = folder.join(FILE);
    write_secret(&path, &fcm.service_account()).map_err(Error::file(&path))?;
    config.service_account = Some(path);
    config.endpoint = fcm.endpoint();
    Ok(fcm)
}
