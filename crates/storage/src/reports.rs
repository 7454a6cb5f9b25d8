//! What devices report.

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, Consequence, DeviceId, Rejection, Report};

use crate::store::run;
use crate::{Error, Store};

/// How many reports of one device about one build are kept, whatever they say. Beyond it only news are: the first
/// word of an outcome, in an retry_generation that did not have it.
pub const MAX_REPORTS_PER_BUILD: i64 = 64;

/// How many news are kept beyond [`MAX_REPORTS_PER_BUILD`], as the number of an retry_generation is the device's own word.
/// The first of each outcome on a device is taken even then, since there are four.
pub const MAX_NEWS_PER_BUILD: i64 = 64;

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportOutcome {
    /// Whether it was the first of its kind. A repeat counts for nothing.
    pub fresh: bool,
    /// What it means for further offers. For a repeat: [`Consequence::Rejected`] if the device is not to be
    /// offered the build as things stand, otherwise [`Consequence::None`].
    pub consequence: Consequence,
    /// Why it was not taken, if it was not.
    pub refused: Option<Refusal>,
}

/// Why a report was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is no such device.
    UnknownDevice,
    /// There is no such build.
    UnknownBuild,
    /// The device reported about this build [`MAX_REPORTS_PER_BUILD`] times already, and this is no news. It never
    /// will be.
    TooMany,
}

impl Store {
    /// Takes reports of any number of devices in one transaction and answers each in its place.
    ///
    /// Statistics count each device once. A report about a build tells that the device was offered it, even if
    /// the offer itself was lost in a crash. An installation sets what the device runs. A rejection that was
    /// added or forgiven raises the rejections' epoch.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`]; nothing was written then.
    pub async fn record_reports(
        &self,
        batch: Vec<(DeviceId, Report, DateTime<Utc>)>,
    ) -> Result<Vec<ReportOutcome>, Error> {
        run!(self, write, reports::record(&batch))
    }

    /// Notes that the server sent the last byte of a build to a device. Returns for how many of them it was the
    /// first time. Unknown devices and builds are passed over.
    ///
    /// # Errors
    /// As [`Store::record_reports`].
    pub async fn record_downloads(
        &self,
        batch: Vec<(DeviceId, BuildId, DateTime<Utc>)>,
    ) -> Result<u64, Error> {
        run!(self, write, reports::record_downloads(&batch))
    }

    /// What devices gave up, of builds that serve.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn rejections(&self) -> Result<Vec<(DeviceId, Rejection)>, Error> {
        run!(self, read, reports::rejections())
    }
}
