//! `tidegate admin user`, `tokens` and `service-account`: who may call the admin surface, and how that ends.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use tidegate_domain::{Limits, Role};
use tidegate_service::{
    Actor, AdminToken, AdminTokens, Error as Refusal, MAX_PAGE_SIZE, NewServiceAccount, Page, Paged,
    ServiceAccounts, Snapshots, User, Users,
};
use tidegate_signing::ExposeSecret;

use super::admin::{delta, read_password};
use super::args::{AdminUser, ServiceAccount, Tokens};
use crate::wiring::{self, Stores};
use crate::{Config, Error};

/// The use cases, over the settings' database.
struct People {
    users: Users,
    accounts: ServiceAccounts,
    tokens: Arc<AdminTokens>,
    console: Actor,
}

impl People {
    async fn open(config: &Config, init: bool) -> Result<Self, Error> {
        let Stores { store, keys, .. } = Stores::open_made(config, init).await?;
        let clock = wiring::clock();
        let snapshots = Arc::new(Snapshots::load(store.clone(), Arc::clone(&clock)).await?);
        let tokens = Arc::new(AdminTokens::new(
            store.clone(),
            Arc::clone(&snapshots),
            Arc::clone(&keys),
            Arc::clone(&clock),
        ));
        Ok(Self {
            users: Users::new(store, snapshots, keys, clock),
            accounts: ServiceAccounts::new(Arc::clone(&tokens)),
            tokens,
            console: Actor::console(),
        })
    }
}

/// Makes a token for the admin surface, and records it.
pub(super) async fn token(
    config: &Config,
    init: bool,
    subject: String,
    role: Role,
    ttl: Duration,
) -> Result<String, Error> {
    let people = People::open(config, init).await?;
    let made = people
        .tokens
        .make(&people.console, &subject, role, delta(ttl))
        .await?;
    Ok(made.token.expose_secret().to_owned())
}

/// Manages people.
pub(super) async fn user(config: &Config, init: bool, what: AdminUser) -> Result<String, Error> {
    // Before anything is opened: a person may take their time to type.
    let password = match &what {
        AdminUser::Add { name, .. } | AdminUser::Password { name } => Some(read_password(name)?),
        _ => None,
    };
    let people = People::open(config, init).await?;
    let (users, console) = (&people.users, &people.console);
    let password = password.unwrap_or_else(|| String::new().into());
    match what {
        AdminUser::Add { name, role } => {
            users.add(console, &name, role, password).await?;
            Ok(format!("added {name} as {role}"))
        }
        AdminUser::List => lines(|page| users.list(console, page), told_user).await,
        AdminUser::Disable { name } => Ok(told_user(&users.disable(console, &name).await?)),
        AdminUser::Enable { name } => Ok(told_user(&users.enable(console, &name).await?)),
        AdminUser::Role { name, role } => Ok(told_user(&users.set_role(console, &name, role).await?)),
        AdminUser::Password { name } => {
            let user = users.set_password(console, &name, password).await?;
            Ok(told_user(&user))
        }
        AdminUser::Remove { name } => {
            users.remove(console, &name).await?;
            Ok(format!("removed {name}"))
        }
    }
}

/// Lists and revokes tokens.
pub(super) async fn tokens(config: &Config, init: bool, what: Tokens) -> Result<String, Error> {
    let people = People::open(config, init).await?;
    let (tokens, console) = (&people.tokens, &people.console);
    match what {
        Tokens::List { subject } => {
            lines(|page| tokens.list(console, subject.clone(), page), told_token).await
        }
        Tokens::Revoke { id } => Ok(told_token(&tokens.revoke(console, &id).await?)),
    }
}

/// Manages service accounts.
pub(super) async fn service_account(
    config: &Config,
    init: bool,
    what: ServiceAccount,
) -> Result<String, Error> {
    let people = People::open(config, init).await?;
    let (accounts, console) = (&people.accounts, &people.console);
    match what {
        ServiceAccount::Add {
            name,
            role,
            packages,
            verbs,
            ttl,
        } => {
            let new = NewServiceAccount {
                name,
                role,
                limits: Limits::new(packages, verbs).map_err(Refusal::from)?,
                ttl: delta(ttl),
            };
            let made = accounts.add(console, new).await?;
            Ok(made.token.expose_secret().to_owned())
        }
        ServiceAccount::Token { name, ttl } => {
            let made = accounts.add_token(console, &name, delta(ttl)).await?;
            Ok(made.token.expose_secret().to_owned())
        }
        ServiceAccount::List => lines(|page| accounts.list(console, page), told_account).await,
        ServiceAccount::Remove { name } => {
            accounts.remove(console, &name).await?;
            Ok(format!("removed {name}"))
        }
    }
}

/// A whole list, a line for each.
pub(super) async fn lines<T, F>(ask: impl Fn(Page) -> F, told: impl Fn(&T) -> String) -> Result<String, Error>
where
    F: Future<Output = Result<Paged<T>, Refusal>>,
{
    let (mut lines, mut token) = (Vec::new(), None);
    loop {
        let page = Page::new(Some(MAX_PAGE_SIZE), token).map_err(Refusal::from)?;
        let found = ask(page).await?;
        lines.extend(found.items.iter().map(&told));
        token = found.next_page_token;
        if token.is_none() {
            return Ok(lines.join("\n"));
        }
    }
}

/// What is told behind an account that somebody else wrote.
const TAMPERED: &str = ", TAMPERED WITH: changed behind the server's back, has no access";

fn told_user(user: &User) -> String {
    let login = user.last_login_at.map_or_else(
        || "never logged in".to_owned(),
        |at| format!("last login {}", moment(at)),
    );
    let disabled = user.disabled_at.map(|at| format!(", disabled {}", moment(at)));
    let tampered = if user.genuine { "" } else { TAMPERED };
    format!(
        "{} {}, {login}{}{tampered}",
        user.name,
        user.role,
        disabled.unwrap_or_default()
    )
}

fn told_token(token: &AdminToken) -> String {
    let used = token.last_used_at.map_or_else(
        || "never used".to_owned(),
        |at| format!("last used {}", moment(at)),
    );
    let end = match token.revoked_at {
        Some(at) => format!("revoked {}", moment(at)),
        None => format!("expires {}", moment(token.expires_at)),
    };
    format!("{} {} {}, {end}, {used}", token.id, token.subject, token.role)
}

fn told_account(account: &tidegate_service::ServiceAccount) -> String {
    let limits = account.limits.clone().unwrap_or_default();
    let packages = limits
        .packages
        .iter()
        .map(|name| format!(" --package {}", name.as_str()));
    let verbs = limits.verbs.iter().map(|verb| format!(" --verb {verb}"));
    let limits: String = packages.chain(verbs).collect();
    let tampered = if account.genuine { "" } else { TAMPERED };
    format!("{} --role {}{limits}{tampered}", account.name, account.role)
}

pub(super) fn moment(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
