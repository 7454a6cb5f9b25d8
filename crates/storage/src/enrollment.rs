//! Enrolment: tokens that let a device in, the devices that used them, and those that come from another server.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{DeviceFacts, DeviceId, PackageName, VersionCode};

use crate::store::run;
use crate::{AuditNote, Error, Page, Paged, Store, TokenFault};

/// How many refused enrolments of one enrolment token stand in the audit log one by one within an hour, and one of each
/// device. Whoever holds a token could fill the log otherwise; the hour's sum tells of those beyond.
pub const MAX_NOTED_REFUSALS: i64 = 100;

/// How often the token of a device's previous server may be guessed within [`PREVIOUS_TOKEN_WINDOW`].
pub const MAX_PREVIOUS_TOKEN_TRIES: i64 = 5;

/// The time in which [`MAX_PREVIOUS_TOKEN_TRIES`] are counted.
pub const PREVIOUS_TOKEN_WINDOW: TimeDelta = TimeDelta::hours(1);

/// A device that asks to be let in.
#[derive(Clone)]
pub struct Enrollment {
    /// With what.
    pub credential: EnrollCredential,
    /// The device.
    pub device: DeviceId,
    /// SHA-256 of its enrolment key, if it has one.
    pub key_hash: Option<[u8; 32]>,
    /// What it says of itself.
    pub facts: DeviceFacts<'static>,
    /// The name that people gave it.
    pub alias: Option<String>,
    /// Its FCM registration token; `None` keeps the one that is known, unless it takes the id over.
    pub fcm_token: Option<String>,
    /// What it runs. Left aside when the server knows no such package.
    pub package: Option<(PackageName, VersionCode)>,
    /// The tags that its id has among erased devices, see [`Store::erase_device`].
    pub erased_tags: Vec<[u8; 32]>,
    /// The time.
    pub now: DateTime<Utc>,
}

/// With what a device asks to be let in.
#[derive(Clone, PartialEq, Eq)]
pub enum EnrollCredential {
    /// SHA-256 of an enrolment token.
    Token([u8; 32]),
    /// The hash of its previous token as it was imported; the caller has found that the token is the one.
    PreviousToken(String),
    /// Nothing but its enrolment key.
    KeyAlone,
}

/// Tokens, and what they hash to, are not printed.
impl fmt::Debug for Enrollment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrollment")
            .field("device", &self.device)
            .field("alias", &self.alias)
            .field("facts", &self.facts)
            .field("has_key", &self.key_hash.is_some())
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
    /// The generation for which its command keys are derived; 0 for those that depend on the device alone.
    pub command_generation: u32,
    /// As what it was let in.
    pub how: EnrolledAs,
}

/// What became of a device that enrolled with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouped {
    /// Nobody knew it, and it was let in.
    New(Enrolled),
    /// Its token is no good.
    Refused(TokenFault),
    /// It is to enrol by itself, and nothing was written: it is known, or its id was erased before, or another device has its
    /// FCM token, or it comes without an enrolment token, or it is the second of two with one id.
    Apart,
}

/// As what a device was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrolledAs {
    /// The server did not know it.
    New,
    /// It was told again what it was told before.
    Repeated,
    /// It was imported, and this is its first enrolment here.
    Moved,
    /// Its id was enrolled before: that credential has ended.
    TakenOver,
}

/// What is known of a device that comes with the token of its previous server.
#[derive(Clone, PartialEq, Eq)]
pub enum PreviousToken {
    /// It is to be held against this hash, with [`EnrollCredential::PreviousToken`] if it is the one. A try was counted.
    Check(String),
    /// The device has moved already and its enrolment key is the one: [`EnrollCredential::KeyAlone`] lets it in.
    Moved,
    /// There is nothing to hold it against.
    Nothing,
    /// It was guessed too often.
    TooManyTries,
}

impl fmt::Debug for PreviousToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Check(_) => "Check(…)",
            Self::Moved => "Moved",
            Self::Nothing => "Nothing",
            Self::TooManyTries => "TooManyTries",
        })
    }
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
    /// Whether it lets in ids that are enrolled already, whose credentials end by it.
    pub allow_known: bool,
    /// The subject of the credential that issued it.
    pub created_by: String,
    /// What it is for.
    pub note: String,
}

/// An enrolment token that was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrollToken {
    /// Its number.
    pub id: i64,
    /// How many devices may use it.
    pub uses: u32,
    /// How many have.
    pub used: u32,
    /// Until when it holds.
    pub expires_at: DateTime<Utc>,
    /// Whether it lets in ids that are enrolled already.
    pub allow_known: bool,
    /// The subject of the credential that issued it.
    pub created_by: String,
    /// What it is for.
    pub note: String,
    /// When it was issued.
    pub created_at: DateTime<Utc>,
    /// When it was ended before its time.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Lets a device in, in one transaction. A device that is new uses its token up by one. Of one that is known
    /// [`tidegate_domain::KnownDevice::judge`] says what is done: it is told again what it was told, or the id is taken over,
    /// which stands in the audit log, or refused.
    ///
    /// # Errors
    /// [`Error::Token`]; nothing was written then. [`Error::DeviceKnown`] for a refusal, which is counted, and stands in the
    /// audit log up to [`MAX_NOTED_REFUSALS`].
    pub async fn enroll(&self, enrollment: Enrollment) -> Result<Enrolled, Error> {
        let device = enrollment.device.clone();
        let enrolled: Option<Enrolled> = run!(self, write, enrollment::enroll(&enrollment))?;
        enrolled.ok_or(Error::DeviceKnown { device })
    }

    /// Lets in those of many devices that nobody knew, in one transaction, and says what became of each, in the order of
    /// `enrollments`.
    ///
    /// # Errors
    /// [`Error::Token`] when a token has fewer uses left than devices come with it; nobody was let in then.
    pub async fn enroll_new(&self, enrollments: Arc<[Enrollment]>) -> Result<Vec<Grouped>, Error> {
        run!(self, write, enrollment_groups::enroll_new(&enrollments))
    }

    /// What a device's previous token is to be held against. Each answer [`PreviousToken::Check`] counts as a try.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn previous_token(
        &self,
        device: &DeviceId,
        key_hash: [u8; 32],
        now: DateTime<Utc>,
    ) -> Result<PreviousToken, Error> {
        let device = device.clone();
        run!(self, write, enrollment::previous_token(&device, &key_hash, now))
    }

    /// Lets an id enrol once more until then, whoever has it now.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn allow_enrolment(
        &self,
        device: &DeviceId,
        until: DateTime<Utc>,
        audit: AuditNote,
    ) -> Result<(), Error> {
        let device = device.clone();
        run!(self, write, enrollment::allow(&device, until, &audit))
    }

    /// Notes devices for which a token of an earlier generation was shown, and when. Those are returned that have enrolled
    /// again since that generation and were not noted since: two phones may share the id.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn note_duplicates(
        &self,
        mut shown: Vec<(DeviceId, u32, DateTime<Utc>)>,
    ) -> Result<Vec<DeviceId>, Error> {
        // In one order, so that no two servers wait for each other.
        shown.sort();
        run!(self, write, enrollment::note_duplicates(&shown))
    }

    /// Issues an enrolment token and returns its number, which is added to the audit entry's target.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when the hash is known; [`Error::Rule`] for no uses at all.
    pub async fn create_enroll_token(&self, token: NewEnrollToken, audit: AuditNote) -> Result<i64, Error> {
        run!(self, write, enroll_tokens::create(&token, &audit))
    }

    /// Enrolment tokens, the newest first.
    ///
    /// # Errors
    /// [`Error::Rule`] for a bad page token.
    pub async fn enroll_tokens(&self, page: Page) -> Result<Paged<EnrollToken>, Error> {
        run!(self, read, enroll_tokens::list(&page))
    }

    /// Ends an enrolment token, and returns it. Devices that it let in stay. One that has ended stays as it is, without
    /// another audit entry.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn revoke_enroll_token(&self, id: i64, audit: AuditNote) -> Result<EnrollToken, Error> {
        run!(self, urgent, enroll_tokens::revoke(id, &audit))
    }

    /// Writes the sums of the hours that are over into the audit log, an entry for each token and hour, and returns how
    /// many those are. At most some hundreds are written at once.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn sum_up_enrolments(&self, now: DateTime<Utc>) -> Result<usize, Error> {
        run!(self, write, enroll_tokens::sum_up(now))
    }
}
