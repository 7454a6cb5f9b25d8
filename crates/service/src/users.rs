//! Users: adding them, giving them a token for their password, and ending it when they leave.

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{Role, check_visible};
use tidegate_signing::{
    KeyRing, MAX_ADMIN_TTL_DAYS, SecretString, hash_password, is_imported_password, verify_password,
};
use tidegate_storage::{AuditNote, Store, User};
use tokio::sync::Semaphore;

use crate::login_throttle::{Attempt, LoginThrottle};
use crate::record::tell_tampered;
use crate::{Actor, CLERK, Clock, Error, Kind, Snapshots, credential_watch};

/// How long a login holds, in hours.
pub const LOGIN_HOURS: i64 = 12;

/// How many passwords are checked at once. Each costs tens of megabytes and of milliseconds by design, so this is
/// also what keeps a flood of logins from starving the server.
pub const MAX_CONCURRENT_LOGINS: usize = 2;

/// How many more are checked at once for browsers that their users have logged in with before.
const MAX_KNOWN_LOGINS: usize = 1;

/// Manages users.
pub struct Users {
    pub(crate) store: Store,
    keys: Arc<KeyRing>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) clock: Arc<dyn Clock>,
    checking: Arc<Semaphore>,
    checking_known: Arc<Semaphore>,
    login_throttle: LoginThrottle,
}

/// Where a login comes from.
#[derive(Clone, Debug, Default)]
pub struct LoginFrom {
    /// The address, where it is known.
    pub address: Option<IpAddr>,
    /// The token that an earlier login left in the browser.
    pub browser: Option<String>,
    /// The request's id, for the audit log.
    pub request_id: Option<String>,
}

/// A successful login.
pub struct Login {
    /// The admin token.
    pub token: SecretString,
    /// What its bearer may do.
    pub role: Role,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// A token by which the browser is known at the next login.
    pub browser: SecretString,
}

/// What is logged in the place of a name that nobody has: people type passwords there.
const NOBODY: &str = "(unknown)";

impl Users {
    /// Over this database, refreshing these snapshots.
    pub fn new(store: Store, snapshots: Arc<Snapshots>, keys: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            keys,
            snapshots,
            clock,
            checking: Arc::new(Semaphore::new(MAX_CONCURRENT_LOGINS)),
            checking_known: Arc::new(Semaphore::new(MAX_KNOWN_LOGINS)),
            login_throttle: LoginThrottle::default(),
        }
    }

    /// Adds a person.
    ///
    /// # Errors
    /// [`Kind::Forbidden`], [`Kind::Invalid`] for a weak password or a bad name, [`Kind::Exists`] when the name is taken.
    pub async fn add(
        &self,
        actor: &Actor,
        name: &str,
        role: Role,
        password: SecretString,
    ) -> Result<User, Error> {
        actor.require(Role::Admin)?;
        check_name(name)?;
        let password_hash = hash(password).await?;
        let note = AuditNote {
            after: Some(serde_json::json!({ "role": role })),
            ..actor
                .on_record(self.clock.now())
                .note("user.add", format!("user/{name}"))
        };
        self.store.add_user(name, role, password_hash, note).await?;
        Ok(self.store.user(name).await?)
    }

    /// Gives a token for a name and a password. An unknown name takes as long as a wrong password. The log tells every
    /// success and every refusal, the audit log every success.
    ///
    /// # Errors
    /// [`Kind::Unauthenticated`]; [`Kind::Exhausted`] while other logins are being checked, and after too many
    /// failures of this name or from this address, or of the browser where it is known.
    pub async fn log_in(&self, name: &str, password: SecretString, from: &LoginFrom) -> Result<Login, Error> {
        let user = self.prove(name, password, from).await?;
        self.welcome(&user, from).await
    }

    /// The user of this name, if the password is theirs and they may log in. Attempts are counted.
    pub(crate) async fn prove(
        &self,
        name: &str,
        password: SecretString,
        from: &LoginFrom,
    ) -> Result<User, Error> {
        let now = self.clock.now();
        let known = |token: &String| self.keys.known_browser(token, name, now);
        let attempt = Attempt {
            name,
            address: from.address,
            browser: from.browser.as_ref().and_then(known),
        };
        if let Err(error) = self.login_throttle.check(attempt, now) {
            let user = self.store.user(name).await;
            let name = user.map_or(NOBODY.to_owned(), |user| user.name);
            tell_refusal(&name, from, error.code);
            return Err(error);
        }
        let user = match self.check(attempt, password).await {
            Ok(user) => user,
            Err((name, error)) => {
                tell_refusal(&name, from, error.code);
                return Err(error);
            }
        };
        self.login_throttle.succeeded(attempt);
        Ok(user)
    }

    /// The user whose password it is; or the refusal, with the name that may be logged.
    async fn check(&self, attempt: Attempt<'_>, password: SecretString) -> Result<User, (String, Error)> {
        let nobodys = |error| (NOBODY.to_owned(), error);
        let places = if attempt.browser.is_some() {
            &self.checking_known
        } else {
            &self.checking
        };
        let place = Arc::clone(places).try_acquire_owned().map_err(|_| {
            let message = "too many logins at once; try again in a second";
            nobodys(Error::new(Kind::Exhausted, "too_many_logins", message))
        })?;
        let user = match self.store.user(attempt.name).await {
            Ok(user) => Some(user),
            Err(tidegate_storage::Error::NotFound { .. }) => None,
            Err(error) => return Err(nobodys(error.into())),
        };
        let hash = user.as_ref().map(|user| user.password_hash.clone());
        // The place goes with the work: a caller who hangs up frees it no sooner than the work ends.
        let (matches, fresh) = off_the_runtime(move || {
            let matches = verify_password(&password, hash.as_deref());
            let is_imported = matches && hash.as_deref().is_some_and(is_imported_password);
            // One that is too short by our rules keeps the hash that it came with.
            let fresh = is_imported.then(|| hash_password(&password).ok()).flatten();
            drop(place);
            (matches, fresh)
        })
        .await
        .map_err(nobodys)?;
        if let (Some(user), Some(fresh)) = (&user, fresh) {
            self.keep_fresh(user, fresh).await;
        }
        match user {
            // Somebody who was disabled is told no more than a stranger, nor is one whom somebody else wrote.
            Some(user) if matches && user.disabled_at.is_none() && user.genuine => Ok(user),
            user => {
                if let Some(user) = user.as_ref().filter(|user| !user.genuine) {
                    tell_tampered(&format!("user/{}", user.name));
                }
                self.login_throttle.failed(attempt, self.clock.now());
                let message = "the name or the password is wrong";
                let error = Error::new(Kind::Unauthenticated, "login_refused", message);
                Err((user.map_or(NOBODY.to_owned(), |user| user.name), error))
            }
        }
    }

    /// Keeps a hash of our own in the place of one that came from another server.
    async fn keep_fresh(&self, user: &User, fresh: String) {
        let kept = self.store.rehash_user(&user.name, &user.password_hash, fresh);
        if let Err(fault) = kept.await {
            tracing::warn!(%fault, "an imported password's hash could not be made anew");
        }
    }

    /// Makes the tokens of a login, and notes it.
    pub(crate) async fn welcome(&self, user: &User, from: &LoginFrom) -> Result<Login, Error> {
        // A person's hours, which no compressed clock makes shorter.
        let ttl = self.clock.passes_in(TimeDelta::hours(LOGIN_HOURS));
        let (now, ttl) = (self.clock.now(), ttl.min(TimeDelta::days(MAX_ADMIN_TTL_DAYS)));
        // Of the generation that was read with the password: whoever changes the user meanwhile ends this token too.
        let issued = self
            .keys
            .issue_admin_token(&user.name, user.role, user.generation, ttl, now)
            .map_err(|fault| Error::new(Kind::Invalid, "invalid_argument", fault.to_string()))?;
        let browser = self
            .keys
            .browser_token(&user.name, now)
            .map_err(|fault| Error::internal("drawing a browser's token", &fault))?;
        let actor = Actor {
            subject: user.name.clone(),
            role: user.role,
            request_id: from.request_id.clone(),
            ..Actor::console()
        };
        let expires_at = now + ttl;
        let note = AuditNote {
            after: Some(serde_json::json!({
                "role": user.role,
                "address": from.address,
                "expires_at": expires_at,
            })),
            ..actor
                .on_record(now)
                .note("user.login", format!("user/{}", user.name))
        };
        self.store.note(note).await?;
        if let Err(fault) = self.store.note_login(&user.name, now).await {
            tracing::warn!(%fault, "when somebody logged in could not be written");
        }
        credential_watch::seen();
        tracing::info!(
            event = "ota.login",
            name = user.name,
            address = from.address.map(tracing::field::display),
        );
        Ok(Login {
            token: issued.token,
            role: user.role,
            expires_at,
            browser,
        })
    }

    /// Ends the token that somebody came with, on this server at once.
    ///
    /// # Errors
    /// [`Kind::Invalid`] at the console, where nobody came with one; [`Kind::Unavailable`].
    pub async fn log_out(&self, actor: &Actor) -> Result<(), Error> {
        let Some(credential) = &actor.credential else {
            return Err(Error::invalid("token", "is not what the console works with"));
        };
        let note = AuditNote {
            before: Some(serde_json::json!({ "token_id": credential.token_id })),
            ..actor
                .on_record(self.clock.now())
                .note("user.logout", format!("user/{}", actor.subject))
        };
        self.store
            .end_token(&credential.token_id, credential.expires_at, note)
            .await?;
        self.snapshots.follow_own_change().await;
        Ok(())
    }
}

fn tell_refusal(name: &str, from: &LoginFrom, reason: &'static str) {
    tracing::warn!(
        event = "ota.login.refused",
        name,
        address = from.address.map(tracing::field::display),
        reason,
    );
}

/// The longest name of a person or of a service account, in bytes.
pub const MAX_USER_NAME_BYTES: usize = 64;

/// What is kept of a password.
pub(crate) async fn hash(password: SecretString) -> Result<String, Error> {
    off_the_runtime(move || hash_password(&password))
        .await?
        .map_err(|fault| match fault {
            tidegate_signing::Error::Invalid { what, fault } => Error::invalid(what, fault),
            fault @ tidegate_signing::Error::NoRandomness => Error::internal("hashing a password", &fault),
        })
}

pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_alphanumeric() || "._@-".contains(c);
    if name.is_empty() || name.len() > MAX_USER_NAME_BYTES || !name.chars().all(allowed) {
        return Err(Error::invalid(
            "name",
            "must be 1 to 64 bytes of letters, digits and . _ @ -",
        ));
    }
    if name == CLERK {
        let fault = "is what the server calls itself in the audit log";
        return Err(Error::invalid("name", fault));
    }
    // Some letters are mere fillers.
    Ok(check_visible("name", name, false)?)
}

async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|fault| Error::internal("checking a password", &fault))
}
