//! What storage can answer instead of a result.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use tidegate_domain::{
    self as domain, BuildId, CalendarName, CampaignId, DeviceId, PackageName, Signers, Tag, VersionCode,
};

/// Storage's refusal. Each variant is a decision that the caller can take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting is wrong; the start is to be given up.
    #[error("{0}")]
    Settings(String),
    /// There is no such thing.
    #[error("there is no {what}")]
    NotFound {
        /// What was asked for, such as `build 7`.
        what: String,
    },
    /// There already is one of that name.
    #[error("{what} exists already")]
    Duplicate {
        /// What was to be added, such as `user ann`.
        what: String,
    },
    /// The version was uploaded before, as this build.
    #[error("{package} {version_code} exists already, as build {existing}")]
    VersionExists {
        /// The package.
        package: PackageName,
        /// The version.
        version_code: VersionCode,
        /// The build that has it.
        existing: BuildId,
    },
    /// The build does not carry the signer that its package is pinned to.
    #[error(
        "{package} is pinned to another signer: {} instead of {}",
        spell(got),
        spell(pinned)
    )]
    SignerConflict {
        /// The package.
        package: PackageName,
        /// The signer that it is pinned to.
        pinned: Signers,
        /// The signer of the build.
        got: Signers,
    },
    /// An enrolment token is not, or no longer, good for enrolling.
    #[error("the enrolment token {0}")]
    Token(TokenFault),
    /// The device is enrolled, and nothing proves that it is the one that asks.
    #[error(
        "{device} is enrolled already: without the enrollment_key of that enrolment it enrols again only with a token that \
         allows known devices, or after an operator has allowed it"
    )]
    DeviceKnown {
        /// Which one.
        device: DeviceId,
    },
    /// The idempotency key was used before, for something else.
    #[error("the idempotency key was used before, for campaign {campaign}, which was asked for otherwise")]
    KeyReused {
        /// The campaign that it made.
        campaign: CampaignId,
    },
    /// Nobody could manage people any more.
    #[error("{name} is the last admin who may log in; make somebody else an admin first")]
    LastAdmin {
        /// Who it is.
        name: String,
    },
    /// There are as many as there may be.
    #[error("there are {limit} {what} already, which is as many as there may be; remove one first")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        limit: i64,
    },
    /// The tag is named by policies, or by rollouts that serve or that a roll-back may return to, which would concern other
    /// devices without it.
    #[error("the tag {tag} is named by {}: change or end them first", by.join(", "))]
    TagInUse {
        /// The tag.
        tag: Tag,
        /// What names it, such as `policy 3`.
        by: Vec<String>,
    },
    /// The calendar is named by rollouts that serve or that a roll-back may return to, which would reach devices at any time
    /// without it.
    #[error("calendar {calendar} is used by {}: give them another one, or end them first", by.join(", "))]
    CalendarInUse {
        /// The calendar.
        calendar: CalendarName,
        /// What uses it, such as `rollout 3`.
        by: Vec<String>,
    },
    /// The calendar was changed since the caller looked at it.
    #[error("calendar {calendar} is at revision {revision}, and not at {seen} any more: look at it again")]
    CalendarChanged {
        /// The calendar.
        calendar: CalendarName,
        /// The revision that the caller saw.
        seen: u32,
        /// The revision that it is at.
        revision: u32,
    },
    /// The build was deleted: it can't be released, and its version is not free.
    #[error(
        "build {build} was deleted; its version code stays taken, because devices may have it: raise the version code"
    )]
    BuildDeleted {
        /// The build.
        build: BuildId,
    },
    /// The build is in use.
    #[error("build {build} {fault}")]
    BuildInUse {
        /// The build.
        build: BuildId,
        /// By what, and what to do, to be read after the build's number.
        fault: String,
    },
    /// The tables are to change, and another server runs on them.
    #[error(
        "another server (version {version}, {id}) was seen on this database {seen_ago_s} s ago; stop it, or wait until \
         it was silent for {} s, before the tables change",
        crate::HEARTBEAT_FRESH_FOR.as_secs()
    )]
    OtherServers {
        /// Its name.
        id: String,
        /// Its version.
        version: String,
        /// How many seconds ago it was seen.
        seen_ago_s: i64,
    },
    /// The tables are those of a later version of this program, whose rules this one does not know.
    #[error(
        "the database was made by a newer version of this program (its tables are at {found}, this one knows them up to \
         {known}): start that version again, or restore a backup of before"
    )]
    Newer {
        /// The latest migration that the database has had, such as `0009`.
        found: String,
        /// The latest that this program has.
        known: String,
    },
    /// The record has a key, and this store was not given it.
    #[error(
        "the database's audit log is sealed with a key that was not opened, so that nothing can be written to it"
    )]
    RecordClosed,
    /// The record itself is not as this server wrote it, so nothing can be said of what it covers.
    #[error(
        "the record of the audit log was changed in the database behind the server's back ({0}): look at who writes the \
         database, and restore a backup"
    )]
    RecordTampered(&'static str),
    /// An account's row is not as this server wrote it, so nothing is built upon it.
    #[error("{what} was changed in the database behind the server's back: remove it, and make it anew")]
    Tampered {
        /// Which account.
        what: String,
    },
    /// The database's disk is full. Nothing was written.
    #[error("the disk of the database is full: {0}")]
    Full(String),
    /// A rule of the domain refuses; nothing was written. Page tokens, page sizes and time ranges of the wrong
    /// form are [`domain::Error::Invalid`] in here.
    #[error(transparent)]
    Rule(#[from] domain::Error),
    /// All connections stayed in use, or another writer kept its lock, for too long: try again later.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The database does not answer, or cannot write.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// The database holds, or was asked to hold, what this program never writes.
    #[error("the database holds something unexpected: {0}")]
    Corrupt(String),
}

/// Why an enrolment token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Nobody issued it.
    #[error("is unknown")]
    Unknown,
    /// Its time is over.
    #[error("has expired")]
    Expired,
    /// Somebody ended it before its time.
    #[error("was revoked")]
    Revoked,
    /// Devices used it as often as it may be.
    #[error("is used up")]
    UsedUp,
}

fn spell(signers: &Signers) -> String {
    let prints: Vec<String> = signers
        .ranges()
        .iter()
        .map(|r| r.fingerprint.to_string())
        .collect();
    prints.join(", ")
}

impl Error {
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    pub(crate) fn corrupt(what: &str, fault: impl std::fmt::Display) -> Self {
        Self::Corrupt(format!("{what}: {fault}"))
    }
}

/// How a query ends when it does not succeed: with an answer for the caller, or with a fault of the engine that
/// is still to be judged (tried again, or turned into an answer). It keeps diesel out of [`Error`].
#[derive(Debug)]
pub(crate) enum Fault {
    Refused(Error),
    Engine(DieselError),
}

impl Fault {
    /// Whether the very same transaction may succeed when it is run again. diesel hands out no SQLSTATE, hence
    /// the look at the message for PostgreSQL's 40P01; from a server that speaks another language it is an
    /// error like others.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Engine(DieselError::DatabaseError(kind, info))
                if matches!(kind, DatabaseErrorKind::SerializationFailure)
                    || info.message().contains("deadlock detected")
        )
    }
}

impl Fault {
    /// Whether the disk had no room for it.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            Self::Refused(Error::Full(_)) => true,
            Self::Refused(_) => false,
            Self::Engine(fault) => matches!(judge(fault), Error::Full(_)),
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<DieselError> for Fault {
    fn from(error: DieselError) -> Self {
        Self::Engine(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(error) => error,
            Fault::Engine(error) => judge(&error),
        }
    }
}

fn judge(error: &DieselError) -> Error {
    use DatabaseErrorKind::{
        CheckViolation, ExclusionViolation, ForeignKeyViolation, NotNullViolation, RestrictViolation,
        SerializationFailure, UniqueViolation,
    };
    // The words of SQLite, of PostgreSQL and of the system.
    let full = [
        "database or disk is full",
        "No space left on device",
        "Disk quota exceeded",
    ];
    match error {
        // After SQLite found the disk full there may be no transaction to take back.
        DieselError::RollbackErrorOnCommit { commit_error, .. } => judge(commit_error),
        DieselError::DatabaseError(_, info) if full.iter().any(|words| info.message().contains(words)) => {
            Error::Full(info.message().to_owned())
        }
        DieselError::DatabaseError(kind, info) => {
            let message = info.message().to_owned();
            let contention = [
                "database is locked",
                "deadlock detected",
                "lock timeout",
                "statement timeout",
            ];
            match kind {
                SerializationFailure => Error::Busy(message),
                UniqueViolation | ForeignKeyViolation | NotNullViolation | CheckViolation
                | ExclusionViolation | RestrictViolation => Error::Corrupt(message),
                _ if contention.iter().any(|words| message.contains(words)) => Error::Busy(message),
                _ => Error::Unavailable(message),
            }
        }
        DieselError::DeserializationError(_) | DieselError::SerializationError(_) | DieselError::NotFound => {
            Error::Corrupt(error.to_string())
        }
        other => Error::Unavailable(other.to_string()),
    }
}
