//! People, service accounts and their tokens.

use std::mem::take;

use chrono::TimeDelta;
use tidegate_domain::{Limits, PackageName, Role, Verb};
use tidegate_proto::v1;
use tidegate_service::{
    Actor, AdminToken, AdminTokens, DEFAULT_SERVICE_TTL_DAYS, Error, MAX_ADMIN_TTL_DAYS, MadeToken,
    NewServiceAccount, ServiceAccount, ServiceAccounts, User, Users,
};
use tidegate_signing::ExposeSecret;

use super::list::List;
use super::non_empty;
use crate::messages::time;

pub(crate) async fn log_out(
    users: &Users,
    actor: &Actor,
    _: v1::LogOutRequest,
) -> Result<v1::LogOutResponse, Error> {
    users.log_out(actor).await?;
    Ok(v1::LogOutResponse { success: true })
}

pub(crate) async fn list_users(
    users: &Users,
    actor: &Actor,
    mut request: v1::ListUsersRequest,
) -> Result<v1::ListUsersResponse, Error> {
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("users", size, &token, &request)?;
    let ask = |page| users.list(actor, page);
    let (items, next_page_token) = list.tell(ask, user).await?;
    Ok(v1::ListUsersResponse {
        items,
        next_page_token,
    })
}

pub(crate) async fn add_user(
    users: &Users,
    actor: &Actor,
    request: v1::AddUserRequest,
) -> Result<v1::User, Error> {
    let role: Role = request.role.parse()?;
    let added = users
        .add(actor, &request.name, role, request.password.into())
        .await?;
    Ok(user(added))
}

pub(crate) async fn disable_user(
    users: &Users,
    actor: &Actor,
    request: v1::DisableUserRequest,
) -> Result<v1::User, Error> {
    Ok(user(users.disable(actor, &request.name).await?))
}

pub(crate) async fn enable_user(
    users: &Users,
    actor: &Actor,
    request: v1::EnableUserRequest,
) -> Result<v1::User, Error> {
    Ok(user(users.enable(actor, &request.name).await?))
}

pub(crate) async fn set_user_role(
    users: &Users,
    actor: &Actor,
    request: v1::SetUserRoleRequest,
) -> Result<v1::User, Error> {
    let role: Role = request.role.parse()?;
    Ok(user(users.set_role(actor, &request.name, role).await?))
}

pub(crate) async fn set_user_password(
    users: &Users,
    actor: &Actor,
    request: v1::SetUserPasswordRequest,
) -> Result<v1::User, Error> {
    let password = request.password.into();
    Ok(user(users.set_password(actor, &request.name, password).await?))
}

pub(crate) async fn remove_user(
    users: &Users,
    actor: &Actor,
    request: v1::RemoveUserRequest,
) -> Result<v1::RemoveUserResponse, Error> {
    users.remove(actor, &request.name).await?;
    Ok(v1::RemoveUserResponse { success: true })
}

pub(crate) async fn list_service_accounts(
    accounts: &ServiceAccounts,
    actor: &Actor,
    mut request: v1::ListServiceAccountsRequest,
) -> Result<v1::ListServiceAccountsResponse, Error> {
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("service_accounts", size, &token, &request)?;
    let ask = |page| accounts.list(actor, page);
    let (items, next_page_token) = list.tell(ask, service_account).await?;
    Ok(v1::ListServiceAccountsResponse {
        items,
        next_page_token,
    })
}

pub(crate) async fn add_service_account(
    accounts: &ServiceAccounts,
    actor: &Actor,
    request: v1::AddServiceAccountRequest,
) -> Result<v1::IssuedToken, Error> {
    let packages: Result<Vec<PackageName>, _> = request
        .packages
        .iter()
        .map(|name| PackageName::parse(name).map_err(|_| not_packages()))
        .collect();
    let verbs: Result<Vec<Verb>, _> = request.verbs.iter().map(|verb| verb.parse()).collect();
    let new = NewServiceAccount {
        name: request.name,
        role: request.role.parse()?,
        limits: Limits::new(packages?, verbs?)?,
        ttl: ttl(request.ttl_s)?,
    };
    Ok(issued(accounts.add(actor, new).await?))
}

pub(crate) async fn add_service_token(
    accounts: &ServiceAccounts,
    actor: &Actor,
    request: v1::AddServiceTokenRequest,
) -> Result<v1::IssuedToken, Error> {
    let ttl = ttl(request.ttl_s)?;
    Ok(issued(accounts.add_token(actor, &request.name, ttl).await?))
}

pub(crate) async fn remove_service_account(
    accounts: &ServiceAccounts,
    actor: &Actor,
    request: v1::RemoveServiceAccountRequest,
) -> Result<v1::RemoveServiceAccountResponse, Error> {
    accounts.remove(actor, &request.name).await?;
    Ok(v1::RemoveServiceAccountResponse { success: true })
}

pub(crate) async fn list_tokens(
    tokens: &AdminTokens,
    actor: &Actor,
    mut request: v1::ListTokensRequest,
) -> Result<v1::ListTokensResponse, Error> {
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("tokens", size, &token, &request)?;
    let subject = non_empty(request.subject);
    let ask = |page| tokens.list(actor, subject.clone(), page);
    let (items, next_page_token) = list.tell(ask, admin_token).await?;
    Ok(v1::ListTokensResponse {
        items,
        next_page_token,
    })
}

pub(crate) async fn revoke_token(
    tokens: &AdminTokens,
    actor: &Actor,
    request: v1::RevokeTokenRequest,
) -> Result<v1::AdminToken, Error> {
    Ok(admin_token(tokens.revoke(actor, &request.token_id).await?))
}

fn not_packages() -> Error {
    Error::invalid("packages", "must be names of packages, such as com.example.app")
}

fn ttl(seconds: i64) -> Result<TimeDelta, Error> {
    let ttl = match seconds {
        0 => Some(TimeDelta::days(DEFAULT_SERVICE_TTL_DAYS)),
        seconds => TimeDelta::try_seconds(seconds),
    };
    let fault = || {
        Error::invalid(
            "ttl_s",
            format!("must be from one second to {MAX_ADMIN_TTL_DAYS} days"),
        )
    };
    let bounds = TimeDelta::seconds(1)..=TimeDelta::days(MAX_ADMIN_TTL_DAYS);
    ttl.filter(|ttl| bounds.contains(ttl)).ok_or_else(fault)
}

fn user(user: User) -> v1::User {
    v1::User {
        name: user.name,
        role: user.role.to_string(),
        created_at: time(user.created_at),
        disabled_at: user.disabled_at.and_then(time),
        last_login_at: user.last_login_at.and_then(time),
        tampered: !user.genuine,
    }
}

fn service_account(account: ServiceAccount) -> v1::ServiceAccount {
    let limits = account.limits.unwrap_or_default();
    v1::ServiceAccount {
        name: account.name,
        role: account.role.to_string(),
        packages: limits
            .packages
            .iter()
            .map(|name| name.as_str().to_owned())
            .collect(),
        verbs: limits.verbs.iter().map(ToString::to_string).collect(),
        created_by: account.created_by,
        created_at: time(account.created_at),
        tampered: !account.genuine,
    }
}

fn issued(made: MadeToken) -> v1::IssuedToken {
    v1::IssuedToken {
        token: made.token.expose_secret().to_owned(),
        token_id: made.id,
        expires_at: time(made.expires_at),
    }
}

fn admin_token(token: AdminToken) -> v1::AdminToken {
    v1::AdminToken {
        token_id: token.id,
        subject: token.subject,
        role: token.role.to_string(),
        created_by: token.created_by,
        created_at: time(token.created_at),
        expires_at: time(token.expires_at),
        last_used_at: token.last_used_at.and_then(time),
        revoked_at: token.revoked_at.and_then(time),
    }
}
