//! People, service accounts and their tokens.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use tidegate_proto::v1;
use tidegate_service::{AdminTokens, Error, ServiceAccounts, Users};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Secret;
use super::input::{Fields, Json, OptionalJson, TextPath};
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(log_out))
        .routes(routes!(list_users, add_user))
        .routes(routes!(disable_user))
        .routes(routes!(enable_user))
        .routes(routes!(set_user_role))
        .routes(routes!(set_user_password))
        .routes(routes!(remove_user))
        .routes(routes!(list_service_accounts, add_service_account))
        .routes(routes!(add_service_token))
        .routes(routes!(remove_service_account))
        .routes(routes!(list_tokens))
        .routes(routes!(revoke_token))
}

type Answer<T> = Result<JsonAnswer<T>, Refusal>;
type Created<T> = Result<(StatusCode, T), Refusal>;

/// The name in a body must be the one in the path, or left out.
fn same(field: &'static str, in_path: String, in_body: &mut String) -> Result<(), Error> {
    if !in_body.is_empty() && *in_body != in_path {
        return Err(Error::invalid(field, "is another than the one in the path"));
    }
    *in_body = in_path;
    Ok(())
}

/// Ends the token that the caller came with.
#[utoipa::path(
    post, path = "/v1/auth/logout",
    operation_id = "LogOut", tag = "people",
    responses((status = 200, body = v1::LogOutResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn log_out(
    State(users): State<Arc<Users>>,
    Caller(actor): Caller,
    OptionalJson(request): OptionalJson<v1::LogOutRequest>,
) -> Answer<v1::LogOutResponse> {
    let answer = verbs::people::log_out(&users, &actor, request).await?;
    Ok(JsonAnswer(answer))
}

/// People by their names.
#[utoipa::path(
    get, path = "/v1/users",
    operation_id = "ListUsers", tag = "people", params(v1::ListUsersRequest),
    responses((status = 200, body = v1::ListUsersResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list_users(
    State(users): State<Arc<Users>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListUsersRequest>,
) -> Answer<v1::ListUsersResponse> {
    let answer = verbs::people::list_users(&users, &actor, request).await?;
    Ok(JsonAnswer(answer))
}

/// Adds somebody who may log in.
#[utoipa::path(
    post, path = "/v1/users",
    operation_id = "AddUser", tag = "people", request_body = v1::AddUserRequest,
    responses((status = 201, body = v1::User), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn add_user(
    State(users): State<Arc<Users>>,
    Caller(actor): Caller,
    Json(request): Json<v1::AddUserRequest>,
) -> Created<JsonAnswer<v1::User>> {
    let answer = verbs::people::add_user(&users, &actor, request).await?;
    Ok((StatusCode::CREATED, JsonAnswer(answer)))
}

/// Lets somebody log in no more, and ends their tokens.
#[utoipa::path(
    post, path = "/v1/users/{name}/disable",
    operation_id = "DisableUser", tag = "people", params(("name" = String, Path)),
    responses((status = 200, body = v1::User), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn disable_user(
    State(users): State<Arc<Users>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
    OptionalJson(mut request): OptionalJson<v1::DisableUserRequest>,
) -> Answer<v1::User> {
    same("name", name, &mut request.name)?;
    let answer = verbs::people::disable_user(&users, &actor, request).await?;
    Ok(JsonAnswer(answer))
}

/// Lets somebody log in again.
#[utoipa::path(
    post, path = "/v1/users/{name}/enable",
    operation_id = "EnableUser", tag = "people", params(("name" = String, Path)),
    responses((status = 200, body = v1::User), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn enable_user(
    State(users): State<Arc<Users>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
    OptionalJson(mut request): OptionalJson<v1::EnableUserRequest>,
) -> Answer<v1::User> {
    same("name", name, &mut request.name)?;
    let answer = verbs::people::enable_user(&users, &actor, request).await?;
    Ok(JsonAnswer(answer))
}

/// Gives somebody another role, and ends their tokens.
#[utoipa::path(
    post, path = "/v1/users/{name}/role",
    operation_id = "SetUserRole", tag = "people", params(("name" = String, Path)), request_body = v1::SetUserRoleRequest,
    responses((status = 200, body = v1::User), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn set_user_role(
    State(users): State<Arc<Users>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
    Json(mut request): Json<v1::SetUserRoleRequest>,
) -> Answer<v1::User> {
    same("name", name, &mut request.name)?;
    let answer = verbs::people::set_user_role(&users, &actor, request).await?;
    Ok(JsonAnswer(answer))
}

/// Gives somebody another password, and ends their tokens.
#[utoipa::path(
    post, path = "/v1/users/{name}/password",
    operation_id = "SetUserPassword", tag = "people", params(("name" = String, Path)), request_body = v1::SetUserPasswordRequest,
    responses((status = 200, body = v1::User), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn set_user_password(
    State(users): State<Arc<Users>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
    Json(mut request): Json<v1::SetUserPasswordRequest>,
) -> Answer<v1::User> {
    same("name", name, &mut request.name)?;
    let answer = verbs::people::set_user_password(&users, &actor, request).await?;
    Ok(JsonAnswer(answer))
}

/// Removes somebody, and ends their tokens.
#[utoipa::path(
    post, path = "/v1/users/{name}/remove",
    operation_id = "RemoveUser", tag = "people", params(("name" = String, Path)),
    responses((status = 200, body = v1::RemoveUserResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn remove_user(
    State(users): State<Arc<Users>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
    OptionalJson(mut request): OptionalJson<v1::RemoveUserRequest>,
) -> Answer<v1::RemoveUserResponse> {
    same("name", name, &mut request.name)?;
    let answer = verbs::people::remove_user(&users, &actor, request).await?;
    Ok(JsonAnswer(answer))
}

/// Service accounts by their names.
#[utoipa::path(
    get, path = "/v1/service-accounts",
    operation_id = "ListServiceAccounts", tag = "people", params(v1::ListServiceAccountsRequest),
    responses((status = 200, body = v1::ListServiceAccountsResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list_service_accounts(
    State(service_accounts): State<Arc<ServiceAccounts>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListServiceAccountsRequest>,
) -> Answer<v1::ListServiceAccountsResponse> {
    let answer = verbs::people::list_service_accounts(&service_accounts, &actor, request).await?;
    Ok(JsonAnswer(answer))
}

/// Makes a service account with its first token.
#[utoipa::path(
    post, path = "/v1/service-accounts",
    operation_id = "AddServiceAccount", tag = "people", request_body = v1::AddServiceAccountRequest,
    responses((status = 201, body = v1::IssuedToken), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn add_service_account(
    State(service_accounts): State<Arc<ServiceAccounts>>,
    Caller(actor): Caller,
    Json(request): Json<v1::AddServiceAccountRequest>,
) -> Created<Secret<v1::IssuedToken>> {
    let answer = verbs::people::add_service_account(&service_accounts, &actor, request).await?;
    Ok((StatusCode::CREATED, Secret(answer)))
}

/// Makes another token of a service account.
#[utoipa::path(
    post, path = "/v1/service-accounts/{name}/tokens",
    operation_id = "AddServiceToken", tag = "people", params(("name" = String, Path)), request_body = v1::AddServiceTokenRequest,
    responses((status = 201, body = v1::IssuedToken), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn add_service_token(
    State(service_accounts): State<Arc<ServiceAccounts>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
    OptionalJson(mut request): OptionalJson<v1::AddServiceTokenRequest>,
) -> Created<Secret<v1::IssuedToken>> {
    same("name", name, &mut request.name)?;
    let answer = verbs::people::add_service_token(&service_accounts, &actor, request).await?;
    Ok((StatusCode::CREATED, Secret(answer)))
}

/// Removes a service account, and ends its tokens.
#[utoipa::path(
    post, path = "/v1/service-accounts/{name}/remove",
    operation_id = "RemoveServiceAccount", tag = "people", params(("name" = String, Path)),
    responses((status = 200, body = v1::RemoveServiceAccountResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn remove_service_account(
    State(service_accounts): State<Arc<ServiceAccounts>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
    OptionalJson(mut request): OptionalJson<v1::RemoveServiceAccountRequest>,
) -> Answer<v1::RemoveServiceAccountResponse> {
    same("name", name, &mut request.name)?;
    let answer = verbs::people::remove_service_account(&service_accounts, &actor, request).await?;
    Ok(JsonAnswer(answer))
}

/// Tokens that were handed out, newest first.
#[utoipa::path(
    get, path = "/v1/tokens",
    operation_id = "ListTokens", tag = "people", params(v1::ListTokensRequest),
    responses((status = 200, body = v1::ListTokensResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list_tokens(
    State(tokens): State<Arc<AdminTokens>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListTokensRequest>,
) -> Answer<v1::ListTokensResponse> {
    let answer = verbs::people::list_tokens(&tokens, &actor, request).await?;
    Ok(JsonAnswer(answer))
}

/// Ends a token that was handed out.
#[utoipa::path(
    post, path = "/v1/tokens/{token_id}/revoke",
    operation_id = "RevokeToken", tag = "people", params(("token_id" = String, Path)),
    responses((status = 200, body = v1::AdminToken), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn revoke_token(
    State(tokens): State<Arc<AdminTokens>>,
    Caller(actor): Caller,
    TextPath(token_id): TextPath,
    OptionalJson(mut request): OptionalJson<v1::RevokeTokenRequest>,
) -> Answer<v1::AdminToken> {
    same("token_id", token_id, &mut request.token_id)?;
    let answer = verbs::people::revoke_token(&tokens, &actor, request).await?;
    Ok(JsonAnswer(answer))
}
