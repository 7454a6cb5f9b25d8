//! Who acts, and what they may do.

use chrono::{DateTime, Utc};
use tidegate_domain::Role;

use crate::{Error, Kind};

/// A person or a machine with a valid admin credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The credential's subject, as the audit log names it.
    pub subject: String,
    /// What they may do.
    pub role: Role,
    /// The id of the request at hand, for the audit log.
    pub request_id: Option<String>,
}

impl Actor {
    /// The machine itself, at the console.
    pub fn console() -> Self {
        Self {
            subject: "console".to_owned(),
            role: Role::Admin,
            request_id: None,
        }
    }

    /// The actor as the audit log records them.
    pub(crate) fn on_record(&self, now: DateTime<Utc>) -> tidegate_storage::Actor {
        tidegate_storage::Actor {
            subject: self.subject.clone(),
            role: self.role.as_str().to_owned(),
            request_id: self.request_id.clone(),
            now,
        }
    }

    /// Refuses those whose role is too low.
    ///
    /// # Errors
    /// [`Kind::Forbidden`] with code `role_too_low`.
    pub fn require(&self, role: Role) -> Result<(), Error> {
        if self.role >= role {
            return Ok(());
        }
        let message = format!(
            "this needs the role {role}, and {} has the role {}",
            self.subject, self.role
        );
        Err(Error::new(Kind::Forbidden, "role_too_low", message))
    }
}
