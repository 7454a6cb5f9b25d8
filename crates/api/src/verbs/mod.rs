//! Every admin verb once: from its request message to its answer. gRPC and REST are two thin skins over these.

pub(crate) mod audiences;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod builds;
pub(crate) mod calendars;
pub(crate) mod devices;
pub(crate) mod experiments;
pub(crate) mod fleet;
pub(crate) mod gates;
mod list;
pub(crate) mod nudges;
pub(crate) mod packages;
pub(crate) mod people;
pub(crate) mod plans;
pub(crate) mod policies;
pub(crate) mod rollouts;
pub(crate) mod tags;

use chrono::{DateTime, Utc};
use tidegate_domain::PackageName;
use tidegate_proto::Timestamp;
use tidegate_service::Error;

/// A time in a field of a request.
fn moment(field: &'static str, time: Timestamp) -> Result<DateTime<Utc>, Error> {
    time.to_utc()
        .ok_or_else(|| Error::invalid(field, "is out of range"))
}

fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn optional_package(name: &str) -> Result<Option<PackageName>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    Ok(Some(PackageName::parse(name)?))
}
