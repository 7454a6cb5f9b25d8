//! Logging in.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::Extensions;
use tidegate_proto::v1;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::Json;
use crate::credentials::login_from;
use crate::problem::{Problem, Refusal};
use crate::{Api, verbs};

pub(crate) fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(login))
}

/// Gives an admin token for a name and a password.
#[utoipa::path(
    post, path = "/v1/auth/login",
    operation_id = "Login", tag = "auth", request_body = v1::LoginRequest,
    responses(
        (status = 200, body = v1::LoginResponse),
        (status = 401, description = "Wrong name or password", body = Problem),
        (status = 429, description = "Too many logins at once, or too many failed", body = Problem),
    )
)]
async fn login(
    State(api): State<Arc<Api>>,
    extensions: Extensions,
    Json(request): Json<v1::LoginRequest>,
) -> Result<JsonAnswer<v1::LoginResponse>, Refusal> {
    let from = login_from(&extensions);
    Ok(JsonAnswer(verbs::auth::login(&api, request, &from).await?))
}
