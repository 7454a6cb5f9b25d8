//! Policies, and the hold on everybody.

use std::mem::take;

use tidegate_domain::{
    DeviceId, Hold, Policy, PolicyId, PolicySpec, PolicySubject, PolicyTerms, Role, Tag, VersionCode,
};
use tidegate_proto::{Timestamp, v1};
use tidegate_service::{Actor, Error, HoldSpec, Policies, PolicyEdit, PolicyFilter};

use super::list::List;
use super::{moment, non_empty, optional_package};
use crate::messages;

pub(crate) async fn list(
    policies: &Policies,
    actor: &Actor,
    mut request: v1::ListPoliciesRequest,
) -> Result<v1::ListPoliciesResponse, Error> {
    actor.require(Role::Viewer)?;
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("policies", size, &token, &request)?;
    let filter = PolicyFilter {
        tag: non_empty(request.tag).map(|tag| Tag::parse(&tag)).transpose()?,
        device: non_empty(request.device_id)
            .map(|id| DeviceId::parse(&id))
            .transpose()?,
        package: optional_package(&request.package_name)?,
    };
    let ask = |page| policies.list(filter.clone(), page);
    let (items, next_page_token) = list.tell(ask, |policy| told(policies, policy)).await?;
    Ok(v1::ListPoliciesResponse {
        items,
        next_page_token,
    })
}

fn told(policies: &Policies, policy: Policy) -> v1::Policy {
    messages::policy(policy, policies.now())
}

pub(crate) async fn get(
    policies: &Policies,
    actor: &Actor,
    request: v1::GetPolicyRequest,
) -> Result<v1::Policy, Error> {
    actor.require(Role::Viewer)?;
    let policy = policies.get(PolicyId(request.policy_id)).await?;
    Ok(told(policies, policy))
}

pub(crate) async fn create(
    policies: &Policies,
    actor: &Actor,
    request: v1::CreatePolicyRequest,
) -> Result<v1::Policy, Error> {
    let spec = PolicySpec {
        subject: subject(&request)?,
        package: optional_package(&request.package_name)?,
        terms: PolicyTerms {
            max_version: request.max_version.map(max_version).transpose()?,
            hold: hold(Some(request.hold).filter(|hold| *hold), request.hold_until)?.flatten(),
        },
        remark: request.remark,
    };
    let policy = policies.create(actor, spec).await?;
    Ok(told(policies, policy))
}

/// Everybody is to be named as well: a tag that a script left empty must not stand for the fleet.
fn subject(request: &v1::CreatePolicyRequest) -> Result<PolicySubject, Error> {
    match (
        request.tag.as_str(),
        request.device_id.as_str(),
        request.everybody,
    ) {
        (tag, "", false) if !tag.is_empty() => Ok(PolicySubject::Tag(Tag::parse(tag)?)),
        ("", device, false) if !device.is_empty() => Ok(PolicySubject::Device(DeviceId::parse(device)?)),
        ("", "", true) => Ok(PolicySubject::Everybody),
        _ => {
            let fault = "must be given, or device_id, or everybody, and only one of them";
            Err(Error::invalid("tag", fault))
        }
    }
}

fn max_version(code: i64) -> Result<VersionCode, Error> {
    VersionCode::new(code).map_err(|_| Error::invalid("max_version", "must not be negative"))
}

/// What is said of a hold: nothing, that there is none, or until when.
fn hold(hold: Option<bool>, until: Option<Timestamp>) -> Result<Option<Option<Hold>>, Error> {
    match (hold, until) {
        (None, None) => Ok(None),
        (Some(false), None) => Ok(Some(None)),
        (Some(false), Some(_)) => Err(Error::invalid(
            "hold_until",
            "goes not with hold false: leave one out",
        )),
        (Some(true), None) => Ok(Some(Some(Hold::UntilLifted))),
        (_, Some(end)) => Ok(Some(Some(Hold::Until(moment("hold_until", end)?)))),
    }
}

pub(crate) async fn update(
    policies: &Policies,
    actor: &Actor,
    request: v1::UpdatePolicyRequest,
) -> Result<v1::Policy, Error> {
    let max_version = match request.max_version {
        None => None,
        Some(0) => Some(None),
        Some(code) => Some(Some(max_version(code)?)),
    };
    let edit = PolicyEdit {
        max_version,
        hold: hold(request.hold, request.hold_until)?,
        remark: request.remark,
    };
    let policy = policies.change(actor, PolicyId(request.policy_id), edit).await?;
    Ok(told(policies, policy))
}

pub(crate) async fn delete(
    policies: &Policies,
    actor: &Actor,
    request: v1::DeletePolicyRequest,
) -> Result<v1::Policy, Error> {
    let policy = policies.delete(actor, PolicyId(request.policy_id)).await?;
    Ok(told(policies, policy))
}

pub(crate) async fn holds(
    policies: &Policies,
    actor: &Actor,
    _: v1::ListHoldsRequest,
) -> Result<v1::ListHoldsResponse, Error> {
    actor.require(Role::Viewer)?;
    let standing = policies.holds().into_iter();
    Ok(v1::ListHoldsResponse {
        items: standing.map(|policy| told(policies, policy)).collect(),
    })
}

pub(crate) async fn set_hold(
    policies: &Policies,
    actor: &Actor,
    request: v1::SetHoldRequest,
) -> Result<v1::Policy, Error> {
    let spec = HoldSpec {
        package: optional_package(&request.package_name)?,
        hold: match request.until {
            None => Hold::UntilLifted,
            Some(end) => Hold::Until(moment("until", end)?),
        },
        remark: request.remark,
    };
    let policy = policies.hold(actor, spec).await?;
    Ok(told(policies, policy))
}

pub(crate) async fn lift_hold(
    policies: &Policies,
    actor: &Actor,
    request: v1::LiftHoldRequest,
) -> Result<v1::LiftHoldResponse, Error> {
    let lifted = policies
        .lift(actor, optional_package(&request.package_name)?)
        .await?;
    Ok(v1::LiftHoldResponse {
        lifted: lifted.into_iter().map(|policy| told(policies, policy)).collect(),
    })
}
