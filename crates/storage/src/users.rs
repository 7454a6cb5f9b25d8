//! Users: people who may log in.

use std::fmt;

use chrono::{DateTime, Utc};
use tidegate_domain::Role;

use crate::store::run;
use crate::{AuditNote, Error, Store};

/// Somebody who may log in.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Their name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The hash of their password, in the PHC string format.
    pub password_hash: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Adds somebody.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when the name is taken.
    pub async fn add_user(
        &self,
        name: &str,
        role: Role,
        password_hash: String,
        audit: AuditNote,
    ) -> Result<(), Error> {
        let name = name.to_owned();
        run!(self, write, users::add(&name, role, &password_hash, &audit))
    }

    /// Somebody by their name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn user(&self, name: &str) -> Result<User, Error> {
        let name = name.to_owned();
        run!(self, read, users::get(&name))
    }
}
