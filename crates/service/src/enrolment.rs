//! Enrolling devices: those that are new, those whose answer was lost, those that come from another server, and those
//! whose id somebody takes over.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{
    DeviceFacts, DeviceId, Error as RuleError, MAX_ATTRIBUTE_BYTES, MAX_FCM_TOKEN_BYTES, PackageName, Role,
    VersionCode, check_visible, poll_after,
};
use tidegate_signing::{
    CommandKeys, Error as SigningError, MAX_PREVIOUS_TOKEN_BYTES, PreviousTokenHash, SecretString,
    enroll_token_hash, enrollment_key_hash,
};
use tidegate_storage::{
    AuditNote, EnrollCredential, EnrolledAs, Enrollment, Error as StorageError, Grouped,
    PREVIOUS_TOKEN_WINDOW, PreviousToken,
};
use tokio::sync::Semaphore;

use crate::enroll_tokens::MAX_ENROLL_TTL_DAYS;
use crate::{Actor, Devices, Error, Kind, credential_watch};

/// How many devices may wait until their previous token is checked, where a check is slow by design. One is checked at a
/// time, so that nobody buys the processor's time with wrong ones.
pub const MAX_WAITING_MOVES: usize = 64;

/// How long an operator's leave to enrol again holds unless told otherwise.
pub const DEFAULT_ALLOWANCE: TimeDelta = TimeDelta::days(1);

/// What a device brings to enrol.
pub struct NewDevice {
    /// With what it asks to be let in.
    pub credential: DeviceCredential,
    /// Its enrolment key, if it has one.
    pub enrollment_key: Option<String>,
    /// Its id.
    pub id: DeviceId,
    /// The name that people gave it.
    pub alias: Option<String>,
    /// What it says of itself.
    pub facts: DeviceFacts<'static>,
    /// Its FCM registration token.
    pub fcm_token: Option<String>,
    /// A package that it runs, and the version.
    pub installed: Option<(PackageName, VersionCode)>,
}

/// With what a device asks to be let in.
pub enum DeviceCredential {
    /// The enrolment token that it was given.
    EnrollmentToken(String),
    /// Its token of the server from which it was imported.
    PreviousToken(String),
}

/// What an enrolled device is given.
pub struct Enrolled {
    /// Its credential.
    pub device_token: SecretString,
    /// The keys that it checks commands with.
    pub command_keys: CommandKeys,
    /// The time until its first poll.
    pub poll_after: Duration,
}

/// The checks of previous tokens that are slow.
pub(crate) struct SlowChecks {
    one_at_a_time: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Default for SlowChecks {
    fn default() -> Self {
        Self {
            one_at_a_time: Arc::new(Semaphore::new(1)),
            waiting: Semaphore::new(MAX_WAITING_MOVES),
        }
    }
}

impl SlowChecks {
    async fn verify(&self, hash: PreviousTokenHash, token: String) -> Result<bool, Error> {
        let _waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        let place = Arc::clone(&self.one_at_a_time).acquire_owned().await;
        let place = place.map_err(|_| busy())?;
        // The place goes with the work: a caller who hangs up frees it no sooner than the work ends.
        let checked = tokio::task::spawn_blocking(move || {
            let matches = hash.verify(&token);
            drop(place);
            matches
        });
        checked
            .await
            .map_err(|fault| Error::internal("checking a previous token", &fault))
    }
}

fn busy() -> Error {
    let message = "many devices are moving at this moment; try again soon";
    Error::new(Kind::Exhausted, "too_many_moves", message)
}

impl Devices {
    /// Takes a device in. One that brings the enrolment key of its last enrolment is given the same credential again, and
    /// without a key for an hour until it uses it: an answer may be lost. Otherwise an id that is known is taken over,
    /// where the token or an operator allows it, and what was handed out for it before ends.
    ///
    /// # Errors
    /// [`Kind::Invalid`]; [`Kind::Unauthenticated`] for a token that is unknown, expired, revoked or used up, or another
    /// than the device's previous one; [`Kind::Conflict`] with `device_known` for an id that may not be taken over;
    /// [`Kind::Exhausted`] where a previous token was guessed too often, or many are being checked.
    pub async fn enroll(&self, new: NewDevice) -> Result<Enrolled, Error> {
        check_visible("device_id", new.id.as_str(), false)?;
        check_alias(new.alias.as_deref())?;
        new.facts.check()?;
        check_fcm_token(new.fcm_token.as_deref())?;
        let key_hash = new.enrollment_key.as_deref().map(enrollment_key_hash).transpose();
        let key_hash = key_hash.map_err(malformed)?;
        let credential = match new.credential {
            DeviceCredential::EnrollmentToken(token) => {
                EnrollCredential::Token(enroll_token_hash(&token).ok_or_else(unknown_token)?)
            }
            DeviceCredential::PreviousToken(token) => self.previous_token(&new.id, token, key_hash).await?,
        };
        let enrollment = Enrollment {
            credential,
            device: new.id.clone(),
            key_hash,
            alias: new.alias,
            facts: new.facts,
            fcm_token: new.fcm_token,
            package: new.installed,
            erased_tags: self.keys.erased_tags(new.id.as_str()),
            now: self.clock.now(),
        };
        let enrolled = match self.enrolment_groups.let_in(&enrollment).await? {
            Grouped::New(enrolled) => Ok(enrolled),
            Grouped::Refused(fault) => Err(StorageError::Token(fault)),
            Grouped::Apart => self.store.enroll(enrollment).await,
        };
        let enrolled = match enrolled {
            Ok(enrolled) => enrolled,
            Err(fault) => {
                if matches!(fault, StorageError::DeviceKnown { .. }) {
                    tell_refusal(&new.id, "device_known");
                }
                return Err(fault.into());
            }
        };
        credential_watch::seen();
        if enrolled.token_generation > 1 {
            self.snapshots.follow_own_change().await;
        }
        let how = match enrolled.how {
            EnrolledAs::New => "new",
            EnrolledAs::Repeated => "repeated",
            EnrolledAs::Moved => "moved",
            EnrolledAs::TakenOver => "taken_over",
        };
        let is_new = enrolled.how == EnrolledAs::New;
        tracing::info!(event = "ota.enroll", device_id = %new.id, how, is_new);
        Ok(Enrolled {
            device_token: self.keys.device_token(&new.id, enrolled.token_generation),
            command_keys: self.keys.command_keys(&new.id, enrolled.command_generation),
            poll_after: poll_after(new.id.as_str(), self.settings.poll_interval),
        })
    }

    /// Holds a previous token against what was imported of its device.
    async fn previous_token(
        &self,
        device: &DeviceId,
        token: String,
        key_hash: Option<[u8; 32]>,
    ) -> Result<EnrollCredential, Error> {
        // What was imported is erased by the first answer, so that only a key proves who asks for a lost one.
        let key_hash =
            key_hash.ok_or_else(|| Error::invalid("enrollment_key", "is needed beside previous_token"))?;
        if token.len() > MAX_PREVIOUS_TOKEN_BYTES {
            let fault = format!("is longer than {MAX_PREVIOUS_TOKEN_BYTES} bytes");
            return Err(Error::invalid("previous_token", fault));
        }
        let expected = self
            .store
            .previous_token(device, key_hash, self.clock.now())
            .await?;
        let stored = match expected {
            PreviousToken::Check(stored) => stored,
            PreviousToken::Moved => return Ok(EnrollCredential::KeyAlone),
            PreviousToken::Nothing => return Err(not_expected(device)),
            PreviousToken::TooManyTries => return Err(too_many_tries(device)),
        };
        let hash = PreviousTokenHash::from_stored(&stored)
            .map_err(|fault| Error::internal("reading an imported token's hash", &fault))?;
        let matches = if hash.is_slow() {
            self.slow_checks.verify(hash, token).await?
        } else {
            hash.verify(&token)
        };
        if matches {
            Ok(EnrollCredential::PreviousToken(stored))
        } else {
            Err(not_expected(device))
        }
    }

    /// Lets an id enrol once more within this time, whoever has it now: for a phone that was repaired or replaced. An
    /// enrolment token is needed as ever.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], [`Kind::Invalid`], [`Kind::NotFound`], [`Kind::Unavailable`].
    pub async fn allow_enrolment(
        &self,
        actor: &Actor,
        id: &DeviceId,
        ttl: TimeDelta,
    ) -> Result<DateTime<Utc>, Error> {
        actor.require(Role::Operator)?;
        if ttl < TimeDelta::seconds(1) || ttl > TimeDelta::days(MAX_ENROLL_TTL_DAYS) {
            return Err(Error::invalid("ttl_s", "must be from one second to 366 days"));
        }
        let now = self.clock.now();
        let until = now + ttl;
        let note = AuditNote {
            after: Some(serde_json::json!({ "allowed_until": until })),
            ..actor
                .on_record(now)
                .note("device.allow_enrolment", format!("device/{id}"))
        };
        self.store.allow_enrolment(id, until, note).await?;
        tracing::info!(event = "ota.device.allow_enrolment", actor = actor.subject, device_id = %id);
        Ok(until)
    }
}

fn tell_refusal(device: &DeviceId, reason: &'static str) {
    tracing::warn!(event = "ota.enroll.refused", device_id = %device, reason);
}

fn unknown_token() -> Error {
    let message = "the enrollment_token is not one that this server issued";
    Error::new(Kind::Unauthenticated, "enrollment_refused", message)
}

/// The same for an id that was never imported as for a wrong token: nobody learns here which ids there are.
fn not_expected(device: &DeviceId) -> Error {
    tell_refusal(device, "previous_token");
    let message =
        "the previous_token is not one that was imported for this device, or the device has moved already";
    Error::new(Kind::Unauthenticated, "enrollment_refused", message)
}

fn too_many_tries(device: &DeviceId) -> Error {
    tell_refusal(device, "too_many_tries");
    let message = "the previous_token of this device was tried too often; try again in an hour";
    let pause = PREVIOUS_TOKEN_WINDOW.to_std().unwrap_or(Duration::MAX);
    Error::new(Kind::Exhausted, "too_many_tries", message).after(pause)
}

pub(crate) fn malformed(fault: SigningError) -> Error {
    match fault {
        SigningError::Invalid { what, fault } => Error::invalid(what, fault),
        fault @ SigningError::NoRandomness => Error::internal("drawing random bytes", &fault),
    }
}

pub(crate) fn check_alias(alias: Option<&str>) -> Result<(), Error> {
    if alias.is_some_and(|alias| alias.len() > MAX_ATTRIBUTE_BYTES) {
        let fault = format!("is longer than {MAX_ATTRIBUTE_BYTES} bytes");
        return Err(RuleError::invalid("alias", fault).into());
    }
    Ok(check_visible("alias", alias.unwrap_or_default(), true)?)
}

pub(crate) fn check_fcm_token(token: Option<&str>) -> Result<(), Error> {
    match token {
        Some(token) if token.len() > MAX_FCM_TOKEN_BYTES => {
            Err(RuleError::invalid("fcm_token", "is longer than 4096 bytes").into())
        }
        _ => Ok(()),
    }
}
