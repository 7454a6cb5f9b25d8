//! Packages and their pinned signers.

use std::sync::Arc;

use axum::Json as JsonAnswer;
use axum::extract::State;
use axum::http::StatusCode;
use tidegate_proto::v1;
use tidegate_service::{Error, Packages};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::input::{Fields, Json, OptionalJson, TextPath};
use super::rollouts::accepted_if;
use crate::credentials::Caller;
use crate::problem::{Problem, Refusal};
use crate::state::Routes;
use crate::verbs;

pub(crate) fn routes() -> Routes {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(pin))
        .routes(routes!(unpin))
        .routes(routes!(allow_debuggable))
        .routes(routes!(edit))
}

type Answer<T> = Result<JsonAnswer<T>, Refusal>;

/// The package in a body must be the one in the path, or left out.
fn same_package(in_path: String, in_body: &mut String) -> Result<(), Error> {
    if !in_body.is_empty() && *in_body != in_path {
        return Err(Error::invalid(
            "package_name",
            "is another than the one in the path",
        ));
    }
    *in_body = in_path;
    Ok(())
}

/// Packages by name.
#[utoipa::path(
    get, path = "/v1/packages",
    operation_id = "ListPackages", tag = "packages", params(v1::ListPackagesRequest),
    responses((status = 200, body = v1::ListPackagesResponse), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn list(
    State(packages): State<Arc<Packages>>,
    Caller(actor): Caller,
    Fields(request): Fields<v1::ListPackagesRequest>,
) -> Answer<v1::ListPackagesResponse> {
    Ok(JsonAnswer(
        verbs::packages::list(&packages, &actor, request).await?,
    ))
}

/// Pins a package to one signer.
#[utoipa::path(
    post, path = "/v1/packages/{package_name}/pin",
    operation_id = "PinSigner", tag = "packages", params(("package_name" = String, Path)),
    request_body = v1::PinSignerRequest,
    responses((status = 200, body = v1::Package), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn pin(
    State(packages): State<Arc<Packages>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
    Json(mut request): Json<v1::PinSignerRequest>,
) -> Answer<v1::Package> {
    same_package(name, &mut request.package_name)?;
    Ok(JsonAnswer(
        verbs::packages::pin(&packages, &actor, request).await?,
    ))
}

/// Takes a package's pin away.
#[utoipa::path(
    post, path = "/v1/packages/{package_name}/unpin",
    operation_id = "UnpinSigner", tag = "packages", params(("package_name" = String, Path)),
    responses((status = 200, body = v1::Package), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn unpin(
    State(packages): State<Arc<Packages>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
    OptionalJson(mut request): OptionalJson<v1::UnpinSignerRequest>,
) -> Answer<v1::Package> {
    same_package(name, &mut request.package_name)?;
    Ok(JsonAnswer(
        verbs::packages::unpin(&packages, &actor, request).await?,
    ))
}

/// Changes how a package's releases are made: which wait for a second person, and the plan that is proposed.
#[utoipa::path(
    patch, path = "/v1/packages/{package_name}",
    operation_id = "EditPackage", tag = "packages", params(("package_name" = String, Path)),
    request_body = v1::EditPackageRequest,
    responses(
        (status = 200, body = v1::Package),
        (status = 202, body = v1::Package, description = "Lowering approval waits for another admin"),
        (status = "4XX", body = Problem)
    ),
    security(("admin_token" = []))
)]
async fn edit(
    State(packages): State<Arc<Packages>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
    Json(mut request): Json<v1::EditPackageRequest>,
) -> Result<(StatusCode, JsonAnswer<v1::Package>), Refusal> {
    same_package(name, &mut request.package_name)?;
    let asks = request.approval.is_some();
    let package = verbs::packages::edit(&packages, &actor, request).await?;
    let waits = asks && !package.approval_asked.is_empty();
    Ok((accepted_if(waits), JsonAnswer(package)))
}

/// Takes debuggable builds of a package in, or no longer.
#[utoipa::path(
    post, path = "/v1/packages/{package_name}/allow-debuggable",
    operation_id = "AllowDebuggable", tag = "packages",
    params(("package_name" = String, Path)), request_body = v1::AllowDebuggableRequest,
    responses((status = 200, body = v1::Package), (status = "4XX", body = Problem)),
    security(("admin_token" = []))
)]
async fn allow_debuggable(
    State(packages): State<Arc<Packages>>,
    Caller(actor): Caller,
    TextPath(name): TextPath,
    Json(mut request): Json<v1::AllowDebuggableRequest>,
) -> Answer<v1::Package> {
    same_package(name, &mut request.package_name)?;
    Ok(JsonAnswer(
        verbs::packages::allow_debuggable(&packages, &actor, request).await?,
    ))
}
