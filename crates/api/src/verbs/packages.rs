//! Packages.

use tidegate_domain::{PackageName, Role, SignerFingerprint};
use tidegate_proto::v1;
use tidegate_service::{Actor, Error, Packages};

use super::page;
use crate::messages;

pub(crate) async fn list(
    packages: &Packages,
    actor: &Actor,
    request: v1::ListPackagesRequest,
) -> Result<v1::ListPackagesResponse, Error> {
    actor.require(Role::Viewer)?;
    let packages = packages
        .list(page(request.page_size, request.page_token)?)
        .await?;
    Ok(v1::ListPackagesResponse {
        items: packages.items.iter().map(messages::package).collect(),
        next_page_token: packages.next_page_token.unwrap_or_default(),
    })
}

pub(crate) async fn pin(
    packages: &Packages,
    actor: &Actor,
    request: v1::PinSignerRequest,
) -> Result<v1::Package, Error> {
    let name = PackageName::parse(&request.package_name)?;
    let signer = SignerFingerprint::parse(&request.signer_fingerprint)?;
    Ok(messages::package(&packages.pin(actor, &name, signer).await?))
}

pub(crate) async fn unpin(
    packages: &Packages,
    actor: &Actor,
    request: v1::UnpinSignerRequest,
) -> Result<v1::Package, Error> {
    let name = PackageName::parse(&request.package_name)?;
    Ok(messages::package(&packages.unpin(actor, &name).await?))
}

pub(crate) async fn allow_debuggable(
    packages: &Packages,
    actor: &Actor,
    request: v1::AllowDebuggableRequest,
) -> Result<v1::Package, Error> {
    let name = PackageName::parse(&request.package_name)?;
    Ok(messages::package(
        &packages.allow_debuggable(actor, &name, request.allow).await?,
    ))
}
