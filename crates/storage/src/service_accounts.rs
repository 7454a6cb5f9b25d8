//! Service accounts: machines that call the admin surface.

use chrono::{DateTime, Utc};
use tidegate_domain::{Limits, Role};

use crate::store::run;
use crate::{AuditNote, Error, NewAdminToken, Page, Paged, Store};

/// How many service accounts there may be. Every server keeps all of them in memory.
pub const MAX_SERVICE_ACCOUNTS: i64 = 1_000;

/// How many tokens of one service account may hold at once.
pub const MAX_TOKENS_PER_ACCOUNT: i64 = 20;

/// A service account to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewServiceAccount {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What it is limited to, if anything.
    pub limits: Option<Limits>,
    /// The subject of the credential that made it.
    pub created_by: String,
}

/// A service account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What it is limited to, if anything.
    pub limits: Option<Limits>,
    /// The subject of the credential that made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Whether the row is as this server wrote it. One that is not genuine has no access.
    pub genuine: bool,
}

impl Store {
    /// Makes a service account with its first token.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when the name is taken, [`Error::TooMany`].
    pub async fn add_service_account(
        &self,
        account: NewServiceAccount,
        token: NewAdminToken,
        audit: AuditNote,
    ) -> Result<(), Error> {
        run!(self, write, service_accounts::add(&account, &token, &audit))
    }

    /// A service account by its name.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn service_account(&self, name: &str) -> Result<ServiceAccount, Error> {
        let name = name.to_owned();
        run!(self, read, service_accounts::get(&name))
    }

    /// Service accounts by their names.
    ///
    /// # Errors
    /// [`Error::Rule`] for a bad page token.
    pub async fn service_accounts(&self, page: Page) -> Result<Paged<ServiceAccount>, Error> {
        run!(self, read, service_accounts::list(&page))
    }

    /// Records another token of a service account.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::TooMany`]; [`Error::Tampered`] when its row is not as this server wrote it.
    pub async fn add_service_token(
        &self,
        name: &str,
        token: NewAdminToken,
        audit: AuditNote,
    ) -> Result<(), Error> {
        let name = name.to_owned();
        run!(self, write, service_accounts::add_token(&name, &token, &audit))
    }

    /// Removes a service account, and ends its tokens. The name may be given again.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub async fn remove_service_account(&self, name: &str, audit: AuditNote) -> Result<(), Error> {
        let name = name.to_owned();
        run!(self, urgent, service_accounts::remove(&name, &audit))
    }
}
