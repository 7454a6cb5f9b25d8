//! Users: people who may log in.

use std::fmt;

use chrono::{DateTime, Utc};
use tidegate_domain::Role;

use crate::store::run;
use crate::{AuditNote, Error, Page, Paged, Store};

/// Somebody who may log in.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Their name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The hash of their password, in the PHC string format; bcrypt's own for somebody who was imported and has not logged
    /// in since.
    pub password_hash: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Since when they may not log in any more, if so.
    pub disabled_at: Option<DateTime<Utc>>,
    /// When they logged in last; `None` when never, or before this was kept.
    pub last_login_at: Option<DateTime<Utc>>,
    /// The generation of their tokens that is accepted.
    pub generation: u32,
    /// Whether the row is as this server wrote it. Somebody who is not genuine may not log in.
    pub genuine: bool,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .field("role", &self.role)
            .field("disabled_at", &self.disabled_at)
            .field("generation", &self.generation)
            .field("genuine", &self.genuine)
            .finish_non_exhaustive()
    }
}

/// A change of somebody. Each ends the tokens that they were given before, and one that changes nothing ends none and
/// leaves no audit entry.
#[derive(Clone)]
pub enum UserChange {
    /// They may not log in any more.
    Disable,
    /// They may log in again. Their earlier tokens stay ended.
    Enable,
    /// They get another role.
    Role(Role),
    /// They get another password, of which this is the hash.
    Password(String),
}

impl fmt::Debug for UserChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disable => f.write_str("Disable"),
            Self::Enable => f.write_str("Enable"),
            Self::Role(role) => f.debug_tuple("Role").field(role).finish(),
            Self::Password(_) => f.write_str("Password"),
        }
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
        run!(self, snapshot, users::get(&name))
    }

    /// People by their names.
    ///
    /// # Errors
    /// [`Error::Rule`] for a bad page token.
    pub async fn users(&self, page: Page) -> Result<Paged<User>, Error> {
        run!(self, snapshot, users::list(&page))
    }

    /// Changes somebody, and returns them as they are then. The states before and after are added to the audit entry.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::LastAdmin`] when nobody could manage people any more; [`Error::Tampered`] when the row is
    /// not as this server wrote it.
    pub async fn change_user(&self, name: &str, change: UserChange, audit: AuditNote) -> Result<User, Error> {
        let name = name.to_owned();
        run!(self, urgent, users::change(&name, &change, &audit))
    }

    /// Removes somebody, and ends their tokens. The name may be given again.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::LastAdmin`].
    pub async fn remove_user(&self, name: &str, audit: AuditNote) -> Result<(), Error> {
        let name = name.to_owned();
        run!(self, urgent, users::remove(&name, &audit))
    }

    /// Puts another hash of the same password in the place of this one, if it is still theirs. Ends no token.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn rehash_user(&self, name: &str, before: &str, after: String) -> Result<(), Error> {
        let (name, before) = (name.to_owned(), before.to_owned());
        run!(self, write, users::rehash(&name, &before, &after))
    }

    /// Notes that somebody has logged in.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Busy`].
    pub async fn note_login(&self, name: &str, now: DateTime<Utc>) -> Result<(), Error> {
        let name = name.to_owned();
        run!(self, write, users::note_login(&name, now))
    }
}
