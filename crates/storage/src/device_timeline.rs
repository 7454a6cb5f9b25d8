//! What happened to one device, from all tables that know a part of it.

use chrono::{DateTime, Utc};
use tidegate_domain::{BuildId, CampaignId, DeviceId, PackageName, RolloutId, Tag};

use crate::store::run;
use crate::{Error, Store};

/// The most that one page of a timeline is asked for.
pub const MAX_TIMELINE_PAGE: u32 = 200;

/// A build, as a timeline names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedBuild {
    /// The build.
    pub id: BuildId,
    /// Its package.
    pub package: PackageName,
    /// Its name for people.
    pub version_name: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceHappening {
    /// It enrolled with a token.
    Enrolled,
    /// It was imported.
    Imported,
    /// It told how it is woken.
    ToldFcmToken,
    /// A rollout offered it a build for the first time.
    Offered(NamedBuild, Option<RolloutId>),
    /// It reported.
    Reported {
        /// About this build.
        build: NamedBuild,
        /// Such as `install_failed`.
        status: String,
        /// Why.
        reason: Option<String>,
        /// In the device's words.
        message: Option<String>,
    },
    /// A command of a campaign was sent to it.
    Nudged(CampaignId),
    /// It polled after a command of a campaign.
    PolledAfterNudge(CampaignId),
    /// It said that it got the command.
    Acknowledged(CampaignId),
    /// An operator gave it a tag or took one, the last time for this tag.
    TagChanged {
        /// The tag, as it was named then.
        tag: Tag,
        /// Whether the device got it.
        is_given: bool,
        /// Who did it.
        actor: String,
    },
    /// It polled, the last time so far.
    LastPoll,
}

/// One thing that happened to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceEvent {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub what: DeviceHappening,
}

impl Store {
    /// What happened to a device before a moment, newest first, at most `limit` of it and all of the last moment. What
    /// an operator did to this device alone is in the audit log.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn device_timeline(
        &self,
        id: &DeviceId,
        before: Option<DateTime<Utc>>,
        limit: u32,
    ) -> Result<Vec<DeviceEvent>, Error> {
        let id = id.clone();
        run!(self, snapshot, device_timeline::events(&id, before, limit))
    }
}
