//! Logging in.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Extensions;
use tidegate_proto::v1;
use tidegate_service::Users;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Secret;
use super::input::Json;
use crate::credentials::login_from;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new().routes(routes!(login))
}

/// Gives an admin token for a name and a password.
#[utoipa::path(
    post, path = "/v1/auth/login",
    operation_id = "Login", tag = "auth", request_body = v1::LoginRequest,
    responses(
        (status = 200, body = v1::LoginResponse),
        (status = 400, description = "A field is missing or malformed", body = Problem),
        (status = 401, description = "Wrong name or password", body = Problem),
        (status = 429, description = "Too many logins at once, or too many failed", body = Problem),
    )
)]
async fn login(
    State(users): State<Arc<Users>>,
    extensions: Extensions,
    Json(request): Json<v1::LoginRequest>,
) -> Result<Secret<v1::LoginResponse>, Refusal> {
    let from = login_from(&extensions);
    Ok(Secret(verbs::auth::login(&users, request, &from).await?))
}
