//! Who acts, and what they may do.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tidegate_domain::{Limits, PackageName, Role, Verb};

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
    /// The token that they came with; `None` at the console.
    pub credential: Option<Credential>,
    /// What the credential is limited to, beside the role.
    pub limits: Option<Arc<Limits>>,
}

/// The token that somebody came with, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its `jti`.
    pub token_id: String,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
}

impl Actor {
    /// The machine itself, at the console.
    pub fn console() -> Self {
        Self {
            subject: "console".to_owned(),
            role: Role::Admin,
            request_id: None,
            credential: None,
            limits: None,
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

    /// Refuses those whose role is too low, and those with limits for all but reading: what limits can name is asked
    /// for by [`Actor::require_verb`].
    ///
    /// # Errors
    /// [`Kind::Forbidden`] with code `role_too_low` or `token_limited`.
    pub fn require(&self, role: Role) -> Result<(), Error> {
        self.require_role(role)?;
        match &self.limits {
            Some(limits) if role > Role::Viewer => Err(self.limited(limits)),
            _ => Ok(()),
        }
    }

    /// Refuses those who may use the verb on no package. To be followed by [`Actor::require_verb`] once the package is
    /// known.
    ///
    /// # Errors
    /// As [`Actor::require`].
    pub fn require_some(&self, role: Role, verb: Verb) -> Result<(), Error> {
        self.require_role(role)?;
        match &self.limits {
            Some(limits) if !limits.allow_verb(verb) => Err(self.limited(limits)),
            _ => Ok(()),
        }
    }

    /// Refuses those who may not use the verb on this package; `None` stands for all packages at once.
    ///
    /// # Errors
    /// As [`Actor::require`].
    pub fn require_verb(&self, role: Role, verb: Verb, package: Option<&PackageName>) -> Result<(), Error> {
        self.require_role(role)?;
        match &self.limits {
            Some(limits) if !limits.allow(verb, package) => Err(self.limited(limits)),
            _ => Ok(()),
        }
    }

    fn require_role(&self, role: Role) -> Result<(), Error> {
        if self.role >= role {
            return Ok(());
        }
        let message = format!(
            "this needs the role {role}, and {} has the role {}",
            self.subject, self.role
        );
        Err(Error::new(Kind::Forbidden, "role_too_low", message))
    }

    fn limited(&self, limits: &Limits) -> Error {
        let verbs: Vec<&str> = limits.verbs.iter().map(|verb| verb.as_str()).collect();
        let packages: Vec<&str> = limits.packages.iter().map(PackageName::as_str).collect();
        let or_all = |names: Vec<&str>, all: &str| match names[..] {
            [] => all.to_owned(),
            _ => names.join(", "),
        };
        let message = format!(
            "{} is limited to {} of {}",
            self.subject,
            or_all(verbs, "the verbs of releasing"),
            or_all(packages, "all packages"),
        );
        Error::new(Kind::Forbidden, "token_limited", message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(limits: Option<Limits>) -> Actor {
        Actor {
            role: Role::Operator,
            limits: limits.map(Arc::new),
            ..Actor::console()
        }
    }

    #[test]
    fn limits_leave_reading_and_what_they_name() {
        let app = PackageName::parse("com.example.app").unwrap();
        let other = PackageName::parse("com.example.other").unwrap();
        let ci = limited(Limits::new([app.clone()], [Verb::Upload]).unwrap());
        let code = |answer: Result<(), Error>| answer.map_err(|error| error.code);
        assert_eq!(code(ci.require(Role::Viewer)), Ok(()));
        assert_eq!(code(ci.require(Role::Operator)), Err("token_limited"));
        assert_eq!(code(ci.require(Role::Admin)), Err("role_too_low"));
        let on = |verb, package| code(ci.require_verb(Role::Operator, verb, package));
        assert_eq!(on(Verb::Upload, Some(&app)), Ok(()));
        assert_eq!(on(Verb::Upload, Some(&other)), Err("token_limited"));
        assert_eq!(on(Verb::Upload, None), Err("token_limited"));
        assert_eq!(on(Verb::Promote, Some(&app)), Err("token_limited"));
        assert_eq!(code(ci.require_some(Role::Operator, Verb::Upload)), Ok(()));
        assert_eq!(
            code(ci.require_some(Role::Operator, Verb::Promote)),
            Err("token_limited")
        );
        assert_eq!(code(limited(None).require(Role::Operator)), Ok(()));
    }
}
