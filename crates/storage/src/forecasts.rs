//! Forecasts: what a rollout would do, over the whole fleet as it is known.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tidegate_domain::forecast::Forecast;
use tidegate_domain::{Build, RolloutDraft};

use crate::store::run;
use crate::{Error, Store};

/// What is to be forecast.
#[derive(Clone, Debug)]
pub struct ForecastOrder {
    /// The build.
    pub build: Build,
    /// The rollout that nobody has made.
    pub draft: RolloutDraft,
    /// Who would make it.
    pub actor: String,
    /// The person whose word it is as well.
    pub on_behalf_of: Option<String>,
    /// When it would be made.
    pub at: DateTime<Utc>,
    /// How often devices poll.
    pub interval: Duration,
    /// The most devices that are asked. Of a larger fleet every second, third, … one is, in the order in which they came.
    pub most: u64,
}

impl Store {
    /// Makes a rollout in a copy of its package's track and asks its polls of the whole fleet, page by page and in one
    /// snapshot. Nothing is written. `goes_on` is asked before each page; once it says no, the answer is `None`.
    ///
    /// Devices are judged by what their next poll would be judged by; those that are retired, inactive or revoked, and
    /// those that never asked for the package, are left out. While nothing of the package serves, it is known of no device
    /// whether it asks; then all count, as devices that don't have it.
    ///
    /// # Errors
    /// [`Error::Rule`] and [`Error::NotFound`] for what making it would be refused for; [`Error::Unavailable`],
    /// [`Error::Busy`].
    pub async fn forecast(
        &self,
        order: ForecastOrder,
        goes_on: impl Fn() -> bool + Send + 'static,
    ) -> Result<Option<Forecast>, Error> {
        run!(self, snapshot, forecasts::ask(&order, &goes_on))
    }
}
