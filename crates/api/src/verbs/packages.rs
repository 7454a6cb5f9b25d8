//! Packages.

use std::mem::take;

use tidegate_domain::{Approval, PackageName, Role, SignerFingerprint};
use tidegate_proto::v1;
use tidegate_service::{Actor, Error, PackageEdit, Packages};

use super::gates::{self, AfterHalt};
use super::list::List;
use super::plans;
use crate::messages;

pub(crate) async fn list(
    packages: &Packages,
    actor: &Actor,
    mut request: v1::ListPackagesRequest,
) -> Result<v1::ListPackagesResponse, Error> {
    actor.require(Role::Viewer)?;
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("packages", size, &token, &request)?;
    let ask = |page| packages.list(page);
    let (items, next_page_token) = list.tell(ask, |one| messages::package(&one)).await?;
    Ok(v1::ListPackagesResponse {
        items,
        next_page_token,
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

pub(crate) async fn edit(
    packages: &Packages,
    actor: &Actor,
    request: v1::EditPackageRequest,
) -> Result<v1::Package, Error> {
    let name = PackageName::parse(&request.package_name)?;
    let plan = match (request.plan, request.default_plan) {
        (Some(_), true) => {
            let fault = "must be left out beside default_plan: one of the two is meant";
            return Err(Error::invalid("plan", fault));
        }
        (Some(plan), false) => Some(Some(plans::read_template(&plan)?)),
        (None, is_default) => is_default.then_some(None),
    };
    let after = AfterHalt {
        on_halt: request.on_halt,
        roll_back_forced: request.roll_back_forced,
    };
    let edit = PackageEdit {
        approval: request
            .approval
            .map(|approval| approval.parse::<Approval>())
            .transpose()?,
        break_glass: request.break_glass,
        plan,
        gate: gates::edited(request.gate, after, None)?,
    };
    Ok(messages::package(&packages.edit(actor, &name, edit).await?))
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
