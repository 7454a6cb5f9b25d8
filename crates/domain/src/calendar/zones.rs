//! The time zones of the world: the system's, and a copy within the program for what the system lacks.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::ZoneName;
use crate::Error;

/// A copy of the data, as new as this program.
static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone that is known.
///
/// The system's data comes first: it follows the decisions of governments while a program grows old. It is looked at again
/// when it changes on the disk.
#[derive(Clone, Debug)]
pub struct Zone(pub(super) TimeZone);

impl Zone {
    /// The zone of this name, in whatever letter case.
    pub fn find(name: &str) -> Option<Self> {
        let found = jiff::tz::db().get(name).or_else(|_| BUNDLED.get(name)).ok()?;
        (!found.is_unknown() && is_place(name)).then_some(Self(found))
    }

    /// The zone of this very name. A device's is not mended: what polls look up is a table of names.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::find(name).filter(|zone| zone.0.iana_name() == Some(name))
    }

    /// The zone of this name, in whatever letter case.
    ///
    /// # Errors
    /// [`Error::Invalid`] with field `zone` when nobody knows it.
    pub fn known(name: &ZoneName) -> Result<Self, Error> {
        Self::find(name.as_str()).ok_or_else(|| {
            let fault = format!(
                "must be \"device\" or an IANA time zone such as Europe/Berlin, and nobody knows {name}"
            );
            Error::invalid("zone", fault)
        })
    }

    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The name as IANA writes it.
    ///
    /// # Errors
    /// As [`Zone::known`].
    pub fn canonical(name: &ZoneName) -> Result<ZoneName, Error> {
        let zone = Self::known(name)?;
        zone.0
            .iana_name()
            .map_or_else(|| Ok(name.clone()), ZoneName::parse)
    }

    /// The names of all that are known, each once, sorted.
    pub(super) fn names() -> Vec<String> {
        let all = jiff::tz::db().available().chain(BUNDLED.available());
        let mut names: Vec<String> = all
            .map(|name| name.as_str().to_owned())
            .filter(|name| is_place(name))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Files of the system's that are no zone but stand beside them: what this machine's clock shows, and placeholders.
fn is_place(name: &str) -> bool {
    !["localtime", "posixrules", "factory", "etc/unknown"].contains(&name.to_ascii_lowercase().as_str())
}
