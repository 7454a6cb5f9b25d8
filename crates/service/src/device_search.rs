//! Searching devices: what is asked in an operator's words becomes a filter of the tables.

use std::collections::HashMap;

use tidegate_domain::{BuildId, Device, DeviceId, Error as RuleError, MAX_ATTRIBUTE_BYTES, MAX_REASON_BYTES};
use tidegate_storage::{
    Condition, DeviceCount, DeviceFilter, FailureFate, LastOutcome, MAX_PAGE_SIZE, Page, Paged, Trouble,
    VersionNames,
};

use crate::Error;
use crate::devices::{DeviceState, Devices};

/// The longest search, in bytes: that of an id or an alias.
pub const MAX_SEARCH_BYTES: usize = MAX_ATTRIBUTE_BYTES;

/// Which devices are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceQuery {
    /// What the tables are asked as it is.
    pub filter: DeviceFilter,
    /// How they stand with a package's current build. All states but silent and retired are asked of a package: when
    /// none is named, of the only one that releases something.
    pub state: Option<DeviceState>,
    /// The build that `reason` and `fate` are asked of; the current one when none is named.
    pub build: Option<BuildId>,
    /// The reason that their last report about it named.
    pub reason: Option<String>,
    /// What became of them after they failed with it.
    pub fate: Option<FailureFate>,
}

impl DeviceQuery {
    fn check(&self) -> Result<(), RuleError> {
        let filter = &self.filter;
        for (field, text, limit) in [
            ("search", &filter.search, MAX_SEARCH_BYTES),
            ("model", &filter.model, MAX_ATTRIBUTE_BYTES),
            ("manufacturer", &filter.manufacturer, MAX_ATTRIBUTE_BYTES),
            ("region", &filter.region, MAX_ATTRIBUTE_BYTES),
            ("reason", &self.reason, MAX_REASON_BYTES),
        ] {
            if text.as_ref().is_some_and(|text| text.len() > limit) {
                return Err(RuleError::invalid(field, format!("is longer than {limit} bytes")));
            }
        }
        if filter
            .versions
            .as_ref()
            .is_some_and(std::ops::RangeInclusive::is_empty)
        {
            return Err(RuleError::invalid("max_version", "must not be below min_version"));
        }
        if filter
            .sdk
            .as_ref()
            .is_some_and(std::ops::RangeInclusive::is_empty)
        {
            return Err(RuleError::invalid("max_sdk", "must not be below min_sdk"));
        }
        Ok(())
    }
}

impl Devices {
    /// The filter that answers a query; `None` where no device can match, because nothing is released.
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a text that is too long or a range that is empty, and when it is not clear which
    /// package is asked about.
    pub fn resolve(&self, query: DeviceQuery) -> Result<Option<DeviceFilter>, Error> {
        query.check()?;
        let mut filter = query.filter;
        match query.state {
            None => {}
            Some(DeviceState::Retired) => filter.retired = true,
            // That can be asked of devices of any package.
            Some(DeviceState::In(Condition::Silent)) if filter.package.is_none() => {
                filter.silent_since = Some(self.silent_before());
            }
            Some(state) => {
                if filter.package.is_none() {
                    filter.package = self.only_released()?;
                }
                if filter.package.is_none() {
                    return Ok(None);
                }
                match state {
                    DeviceState::In(condition) => filter.condition = Some(self.in_condition(condition)),
                    DeviceState::Told(told) => filter.told = Some(told),
                    DeviceState::Retired => {}
                }
            }
        }
        if query.build.is_some() || query.reason.is_some() || query.fate.is_some() {
            let build = match query.build {
                Some(build) => build,
                None => match self.current(filter.package.as_ref())? {
                    Some((_, _, build)) => build,
                    None => return Ok(None),
                },
            };
            filter.trouble = Some(Trouble {
                build,
                reason: query.reason,
                fate: query.fate,
            });
        }
        let asks_of_package =
            filter.told.is_some() || filter.condition.is_some() || filter.versions.is_some();
        if asks_of_package && filter.package.is_none() {
            filter.package = Some(self.snapshots.only_package()?);
        }
        Ok(Some(filter))
    }

    /// How many devices match: exactly up to [`tidegate_storage::MAX_COUNTED`].
    ///
    /// # Errors
    /// [`crate::Kind::Invalid`] for a rollout that is none, [`crate::Kind::Unavailable`].
    pub async fn count(&self, filter: DeviceFilter) -> Result<DeviceCount, Error> {
        Ok(self.store.count_devices(filter).await?)
    }

    /// The last thing that each of these devices reported of any build.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn last_outcomes(&self, devices: &[Device]) -> Result<HashMap<DeviceId, LastOutcome>, Error> {
        let ids = devices.iter().map(|device| device.id.clone()).collect();
        Ok(self.store.last_outcomes(ids).await?)
    }

    /// What people call the versions that these devices run.
    ///
    /// # Errors
    /// [`crate::Kind::Unavailable`].
    pub async fn version_names(&self, devices: &[Device]) -> Result<VersionNames, Error> {
        let mut versions: Vec<_> = devices
            .iter()
            .flat_map(|device| device.installed.clone())
            .collect();
        versions.sort();
        versions.dedup();
        Ok(self.store.names_of_versions(versions).await?)
    }

    /// The next devices of a list that is read to its end: pages as long as they may be, so that whoever reads it keeps
    /// one at a time.
    ///
    /// # Errors
    /// As [`Devices::list`].
    pub async fn next_part(
        &self,
        filter: &DeviceFilter,
        page_token: Option<String>,
    ) -> Result<Paged<Device>, Error> {
        let page = Page::new(Some(MAX_PAGE_SIZE), page_token)?;
        Ok(self.store.devices(filter.clone(), page).await?)
    }

    /// The ids of the devices that match, and whether these are all of them: at most `limit`.
    ///
    /// # Errors
    /// As [`Devices::list`].
    pub async fn ids(&self, filter: &DeviceFilter, limit: usize) -> Result<(Vec<DeviceId>, bool), Error> {
        let (mut ids, mut token) = (vec![], None);
        loop {
            let part = self.next_part(filter, token).await?;
            ids.extend(part.items.into_iter().map(|device| device.id));
            token = part.next_page_token;
            if ids.len() > limit {
                ids.truncate(limit);
                return Ok((ids, false));
            }
            if token.is_none() {
                return Ok((ids, true));
            }
        }
    }
}
