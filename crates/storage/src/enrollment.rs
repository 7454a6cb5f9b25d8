//! Enrolment: tokens that let a device in, and the devices that used them.

use std::fmt;

use chrono::{DateTime, Utc};
use tidegate_domain::{DeviceFacts, DeviceId, PackageName, VersionCode};

use crate::store::run;
use crate::{AuditNote, Error, Store};

/// A device that asks to be let in.
#[derive(Clone)]
pub struct Enrollment {
    /// SHA-256 of the enrolment token.
    pub token_hash: [u8; 32],
    /// The device.
    pub device: DeviceId,
    /// What it says of itself.
    pub facts: DeviceFacts<'static>,
    /// The name that people gave it.
    pub alias: Option<String>,
    /// Its FCM registration token; `None` keeps the one that is known.
    pub fcm_token: Option<String>,
    /// What it runs. Left aside when the server knows no such package.
    pub package: Option<(PackageName, VersionCode)>,
    /// The tags that its id has among erased devices, see [`Store::erase_device`].
    pub erased_tags: Vec<[u8; 32]>,
    /// The time.
    pub now: DateTime<Utc>,
}

/// The FCM token is a secret, and is not printed.
impl fmt::Debug for Enrollment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrollment")
            .field("device", &self.device)
            .field("alias", &self.alias)
            .field("facts", &self.facts)
            .field("has_fcm_token", &self.fcm_token.is_some())
            .field("package", &self.package)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// A device that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// The generation of device tokens that is accepted from it.
    pub token_generation: u32,
    /// Whether the server did not know it before.
    pub is_new: bool,
}

/// An enrolment token to be issued. Only its hash is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEnrollToken {
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// How many devices may use it, at least 1.
    pub uses: u32,
    /// Until when.
    pub expires_at: DateTime<Utc>,
    /// The subject of the credential that issued it.
    pub created_by: String,
    /// What it is for.
    pub note: String,
}

impl Store {
    /// Lets a device in, in one transaction: uses the token up by one, unless this device used it before, and
    /// adds the device or takes over what it says of itself now. Its token generation stays.
    ///
    /// # Errors
    /// [`Error::Token`]; nothing was written then.
    pub async fn enroll(&self, enrollment: Enrollment) -> Result<Enrolled, Error> {
        run!(self, write, enrollment::enroll(&enrollment))
    }

    /// Issues an enrolment token and returns its number.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when the hash is known; [`Error::Rule`] for no uses at all.
    pub async fn create_enroll_token(&self, token: NewEnrollToken, audit: AuditNote) -> Result<i64, Error> {
        run!(self, write, enrollment::create_token(&token, &audit))
    }
}
