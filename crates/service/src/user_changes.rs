//! Managing people: who there is, and who may do what from now on.
//!
//! Each change ends the tokens that the person was given before, on this server at once and on the others within a
//! second.

use tidegate_domain::Role;
use tidegate_signing::SecretString;
use tidegate_storage::{AuditNote, Page, Paged, User, UserChange};

use crate::users::hash;
use crate::{Actor, Error, Kind, Login, LoginFrom, Users};

impl Users {
    /// People by their names.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::Invalid`] for a bad page token, [`crate::Kind::Unavailable`].
    pub async fn list(&self, actor: &Actor, page: Page) -> Result<Paged<User>, Error> {
        actor.require(Role::Admin)?;
        Ok(self.store.users(page).await?)
    }

    /// Lets somebody log in no more.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`]; [`crate::Kind::Conflict`] with `last_admin` when nobody
    /// could manage people any more.
    pub async fn disable(&self, actor: &Actor, name: &str) -> Result<User, Error> {
        self.change(actor, name, UserChange::Disable, "user.disable")
            .await
    }

    /// Lets somebody log in again.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`].
    pub async fn enable(&self, actor: &Actor, name: &str) -> Result<User, Error> {
        self.change(actor, name, UserChange::Enable, "user.enable").await
    }

    /// Gives somebody another role.
    ///
    /// # Errors
    /// As [`Users::disable`].
    pub async fn set_role(&self, actor: &Actor, name: &str, role: Role) -> Result<User, Error> {
        self.change(actor, name, UserChange::Role(role), "user.role")
            .await
    }

    /// Gives somebody another password.
    ///
    /// # Errors
    /// [`crate::Kind::Forbidden`], [`crate::Kind::NotFound`], [`crate::Kind::Invalid`] for a weak password.
    pub async fn set_password(
        &self,
        actor: &Actor,
        name: &str,
        password: SecretString,
    ) -> Result<User, Error> {
        actor.require(Role::Admin)?;
        let hash = hash(password).await?;
        self.change(actor, name, UserChange::Password(hash), "user.password")
            .await
    }

    /// Gives the caller another password in the place of the one that they know, and a new login: the tokens of before end.
    /// Whoever types a wrong one is held up as at the login.
    ///
    /// # Errors
    /// [`Kind::Invalid`] when the old password is wrong or the new one is weak, or for a caller who has none: a service
    /// account, or the console; [`Kind::Exhausted`] after too many wrong ones; [`Kind::Unavailable`].
    pub async fn change_own_password(
        &self,
        actor: &Actor,
        old: SecretString,
        new: SecretString,
        from: &LoginFrom,
    ) -> Result<Login, Error> {
        if actor.credential.is_none() {
            return Err(Error::invalid("password", "is not what the console works with"));
        }
        let name = &actor.subject;
        self.prove(name, old, from)
            .await
            .map_err(|error| match error.kind {
                Kind::Unauthenticated => Error::invalid("old_password", "is wrong"),
                _ => error,
            })?;
        let hash = hash(new).await?;
        let note = self.note(actor, name, "user.password");
        let user = self
            .store
            .change_user(name, UserChange::Password(hash), note)
            .await?;
        self.snapshots.follow_own_change().await;
        tracing::info!(
            event = "ota.user.change",
            actor = name,
            user = name,
            action = "user.password"
        );
        self.welcome(&user, from).await
    }

    /// Removes somebody. The name may be given again, and their past stays in the audit log.
    ///
    /// # Errors
    /// As [`Users::disable`].
    pub async fn remove(&self, actor: &Actor, name: &str) -> Result<(), Error> {
        actor.require(Role::Admin)?;
        let note = self.note(actor, name, "user.remove");
        self.store.remove_user(name, note).await?;
        self.snapshots.follow_own_change().await;
        tracing::info!(event = "ota.user.remove", actor = actor.subject, user = name);
        Ok(())
    }

    async fn change(
        &self,
        actor: &Actor,
        name: &str,
        change: UserChange,
        action: &'static str,
    ) -> Result<User, Error> {
        actor.require(Role::Admin)?;
        let user = self
            .store
            .change_user(name, change, self.note(actor, name, action))
            .await?;
        self.snapshots.follow_own_change().await;
        tracing::info!(
            event = "ota.user.change",
            actor = actor.subject,
            user = name,
            action
        );
        Ok(user)
    }

    fn note(&self, actor: &Actor, name: &str, action: &'static str) -> AuditNote {
        actor
            .on_record(self.clock.now())
            .note(action, format!("user/{name}"))
    }
}
