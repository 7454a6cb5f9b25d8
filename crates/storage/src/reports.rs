//! What devices report.

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, BuildRejection, Consequence, DeviceId, PatchOutcome, Report, RolloutId};

use crate::store::run;
use crate::{Error, PatchCounted, Store};

/// A report as it is handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReport {
    /// Whose it is.
    pub device: DeviceId,
    /// What it says. Its retry generation is that of the offer; see `attempt`.
    pub report: Report,
    /// The rollout that the report proves to have been offered by. `None` from agents that prove nothing: then the
    /// offer that was recorded last for this device and build counts.
    pub rollout: Option<RolloutId>,
    /// The retry generation that the device states. Without one, and where a rollout is proven, the rollout's counts.
    pub attempt: Option<u32>,
    /// What became of the patch that was offered with it, if one was.
    pub patch: Option<PatchOutcome>,
    /// When it came.
    pub at: DateTime<Utc>,
}

/// What the server sent of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// Its first byte.
    First,
    /// Some bytes of it: all that they say is that the device is there.
    Some,
    /// Every byte, over however many requests.
    Whole,
    /// A redirect to it. What is sent from there is not seen.
    Redirect,
    /// A patch of so many bytes in its place: every byte, or a redirect to it.
    Patch(u64),
}

/// A download as the server sees it. For rollouts without a gate only whole ones are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDownload {
    /// Who fetches the file.
    pub device: DeviceId,
    /// The build whose file it is.
    pub build: BuildId,
    /// The rollout that the signed URL names; `None` for one that names none.
    pub rollout: Option<RolloutId>,
    /// What was sent.
    pub sent: Fetched,
    /// When it went out.
    pub at: DateTime<Utc>,
}

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
    /// What it counted for among patches: the first word of a device about a patch in an attempt.
    pub patch: Option<PatchCounted>,
}

/// Why a report was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// There is no such device.
    UnknownDevice,
    /// There is no such build.
    UnknownBuild,
    /// The device proves no offer of this build, and none was recorded.
    NotOffered,
    /// The device states a higher retry generation than that of the rollout.
    AttemptTooHigh,
    /// The device reported about this build [`tidegate_domain::MAX_REPORTS_PER_BUILD`] times already, and this is the
    /// first of nothing. It never will be.
    TooMany,
}

/// What changed about the builds that a device gave up. `None`: it gave this one up no longer.
pub type RejectionChange = (DeviceId, BuildId, Option<tidegate_domain::Rejection>);

impl Store {
    /// Takes reports of any number of devices in one transaction and answers each in its place.
    ///
    /// Statistics count each device once, for the build and for the rollout that offered it. A report that proves its
    /// offer tells that the device was offered the build, even if the offer itself was lost in a crash. An
    /// installation sets what the device runs. A rejection that was added or forgiven raises the rejections' epoch.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`]; nothing was written then.
    pub async fn record_reports(&self, batch: Vec<NewReport>) -> Result<Vec<ReportOutcome>, Error> {
        run!(self, write, reports::record(&batch))
    }

    /// Notes what the server sent of builds' files. Returns how many devices have all of a build for the first time.
    /// Unknown devices and builds are passed over.
    ///
    /// # Errors
    /// As [`Store::record_reports`].
    pub async fn record_downloads(&self, batch: Vec<NewDownload>) -> Result<u64, Error> {
        run!(self, write, reports::record_downloads(&batch))
    }

    /// What devices gave up of these builds.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn rejections(&self, builds: Vec<BuildId>) -> Result<Vec<(DeviceId, BuildRejection)>, Error> {
        run!(self, read, rejections::of_builds(&builds))
    }

    /// What changed about the builds that devices gave up, after this value of the rejections' epoch. Told are the
    /// rejections as they stand, so hearing of one twice does no harm.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn rejections_since(&self, epoch: i64) -> Result<Vec<RejectionChange>, Error> {
        run!(self, read, rejections::since(epoch))
    }

    /// Gives a device another try: of one build, or of all that it failed with. Returns of how many.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn forget_rejections(
        &self,
        device: &DeviceId,
        build: Option<BuildId>,
        audit: crate::AuditNote,
    ) -> Result<usize, Error> {
        let device = device.clone();
        run!(self, write, rejections::lift(&device, build, &audit))
    }
}
