//! The demo's push service: nudges go to a stand-in in this very process instead of Google, and on to the devices.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};
use futures::StreamExt;
use futures::stream::BoxStream;
use tidegate_fcm::stand_in::StandIn;
use tidegate_simulator::Push;
use tokio::sync::broadcast::error::RecvError;

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

/// What the stand-in takes, as it reaches the devices.
pub(super) fn service(fcm: &StandIn) -> BoxStream<'static, Push> {
    let taken = futures::stream::unfold(fcm.listen(), |mut taken| async move {
        loop {
            match taken.recv().await {
                Ok(message) => return Some((arriving(message.token, message.data), taken)),
                // Lost, as some are on the way from Google; the devices' next polls make up for it.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    taken.boxed()
}

/// A message that arrives as soon as it is signed. The milliseconds that it really takes are minutes of the fleet's time,
/// after which agents refuse a command as too old.
fn arriving(token: String, data: BTreeMap<String, String>) -> Push {
    let signed_at = data
        .get("ts")
        .and_then(|ts| DateTime::parse_from_rfc3339(ts).ok());
    Push {
        token,
        data,
        // Without a time it is no command, and no agent looks at when it came.
        at: signed_at.map(|at| at.with_timezone(&Utc)).unwrap_or_default(),
    }
}
