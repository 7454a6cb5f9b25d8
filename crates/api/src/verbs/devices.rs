//! Devices.

use std::mem::take;

use chrono::TimeDelta;
use tidegate_domain::{BuildId, Device, DeviceId, PackageName, Role, RolloutId, VersionCode};
use tidegate_proto::v1;
use tidegate_service::{
    Actor, DEFAULT_ALLOWANCE, DEFAULT_ENROLL_TTL_DAYS, DeviceFilter, Devices, EnrollToken, EnrollTokenSpec,
    Error, Paged,
};
use tidegate_signing::ExposeSecret;

use super::list::List;
use super::{non_empty, optional_package};
use crate::messages;
use crate::messages::time;

pub(crate) async fn list(
    devices: &Devices,
    actor: &Actor,
    mut request: v1::ListDevicesRequest,
) -> Result<v1::ListDevicesResponse, Error> {
    actor.require(Role::Viewer)?;
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("devices", size, &token, &request)?;
    let filter = DeviceFilter {
        search: non_empty(request.search),
        package: optional_package(&request.package_name)?,
        told: non_empty(request.told).map(|word| word.parse()).transpose()?,
        condition: non_empty(request.condition)
            .map(|word| word.parse().map(|condition| devices.in_condition(condition)))
            .transpose()?,
        retired: request.retired,
        overdue: (request.overdue != 0).then(|| (RolloutId(request.overdue), devices.now())),
        ..DeviceFilter::default()
    };
    let ask = async |page| {
        let listed = devices.list(filter.clone(), page).await?;
        let mut told = devices.standings_of(&listed.items).await?;
        let with_standing = |device: Device| {
            let told = told.remove(&device.id).unwrap_or_default();
            (device, told)
        };
        Ok(Paged {
            items: listed.items.into_iter().map(with_standing).collect(),
            next_page_token: listed.next_page_token,
        })
    };
    let told = |(device, told)| messages::listed_device(device, told);
    let (items, next_page_token) = list.tell(ask, told).await?;
    Ok(v1::ListDevicesResponse {
        items,
        next_page_token,
    })
}

pub(crate) async fn get(
    devices: &Devices,
    actor: &Actor,
    request: v1::GetDeviceRequest,
) -> Result<v1::Device, Error> {
    actor.require(Role::Viewer)?;
    let view = devices.get(&DeviceId::parse(&request.device_id)?).await?;
    Ok(messages::device_view(view))
}

pub(crate) async fn explain(
    devices: &Devices,
    actor: &Actor,
    request: v1::ExplainDeviceRequest,
) -> Result<v1::ExplainDeviceResponse, Error> {
    actor.require(Role::Viewer)?;
    let device = DeviceId::parse(&request.device_id)?;
    let package = PackageName::parse(&request.package_name)?;
    let installed = request.current_version_code.map(current_version).transpose()?;
    let explanation = devices.explain(&device, &package, installed).await?;
    Ok(v1::ExplainDeviceResponse {
        device_id: request.device_id,
        package_name: request.package_name,
        current_version_code: explanation.installed.get(),
        update_offered: explanation.outcome.is_ok(),
        build_id: explanation.outcome.ok().map(|id| id.0),
        reason: explanation.outcome.err().map(|reason| reason.to_string()),
        rules: explanation.steps.into_iter().map(messages::rule_answer).collect(),
    })
}

/// A version code under the name that the protocol gives it here.
pub(crate) fn current_version(code: i64) -> Result<VersionCode, Error> {
    VersionCode::new(code).map_err(|_| Error::invalid("current_version_code", "must not be negative"))
}

pub(crate) async fn revoke(
    devices: &Devices,
    actor: &Actor,
    request: v1::RevokeDeviceRequest,
) -> Result<v1::RevokeDeviceResponse, Error> {
    devices
        .revoke(actor, &DeviceId::parse(&request.device_id)?)
        .await?;
    Ok(v1::RevokeDeviceResponse {
        success: true,
        device_id: request.device_id,
    })
}

pub(crate) async fn retry(
    devices: &Devices,
    actor: &Actor,
    request: v1::RetryDeviceRequest,
) -> Result<v1::RetryDeviceResponse, Error> {
    let device = DeviceId::parse(&request.device_id)?;
    let builds = devices
        .retry(actor, &device, request.build_id.map(BuildId))
        .await?;
    Ok(v1::RetryDeviceResponse {
        success: true,
        device_id: request.device_id,
        builds: i64::try_from(builds).unwrap_or(i64::MAX),
    })
}

pub(crate) async fn retire(
    devices: &Devices,
    actor: &Actor,
    request: v1::RetireDeviceRequest,
) -> Result<v1::RetireDeviceResponse, Error> {
    let changed = devices
        .retire(actor, &DeviceId::parse(&request.device_id)?)
        .await?;
    Ok(v1::RetireDeviceResponse {
        success: true,
        device_id: request.device_id,
        changed,
    })
}

pub(crate) async fn erase(
    devices: &Devices,
    actor: &Actor,
    request: v1::EraseDeviceRequest,
) -> Result<v1::EraseDeviceResponse, Error> {
    let device = DeviceId::parse(&request.device_id)?;
    devices.erase(actor, &device, &request.confirm).await?;
    Ok(v1::EraseDeviceResponse {
        success: true,
        device_id: request.device_id,
    })
}

pub(crate) async fn allow_enrolment(
    devices: &Devices,
    actor: &Actor,
    request: v1::AllowEnrolmentRequest,
) -> Result<v1::AllowEnrolmentResponse, Error> {
    let device = DeviceId::parse(&request.device_id)?;
    let ttl = ttl(request.ttl_s, DEFAULT_ALLOWANCE)?;
    let until = devices.allow_enrolment(actor, &device, ttl).await?;
    Ok(v1::AllowEnrolmentResponse {
        success: true,
        device_id: request.device_id,
        allowed_until: time(until),
    })
}

/// A time to live in seconds, of which 0 stands for the usual.
fn ttl(seconds: i64, usual: TimeDelta) -> Result<TimeDelta, Error> {
    match seconds {
        0 => Ok(usual),
        seconds => TimeDelta::try_seconds(seconds).ok_or_else(|| Error::invalid("ttl_s", "is too long")),
    }
}

pub(crate) async fn create_enrollment_token(
    devices: &Devices,
    actor: &Actor,
    request: v1::CreateEnrollmentTokenRequest,
) -> Result<v1::CreateEnrollmentTokenResponse, Error> {
    let uses = match request.uses {
        0 => 1,
        uses => u32::try_from(uses).map_err(|_| Error::invalid("uses", "must be a positive number"))?,
    };
    let spec = EnrollTokenSpec {
        uses,
        ttl: ttl(request.ttl_s, TimeDelta::days(DEFAULT_ENROLL_TTL_DAYS))?,
        note: request.note,
        allow_known: request.allow_known,
    };
    let token = devices.create_enroll_token(actor, spec).await?;
    Ok(v1::CreateEnrollmentTokenResponse {
        enrollment_token: token.token.expose_secret().to_owned(),
        uses: token.uses.into(),
        expires_at: time(token.expires_at),
        token_id: token.id,
    })
}

pub(crate) async fn list_enrollment_tokens(
    devices: &Devices,
    actor: &Actor,
    mut request: v1::ListEnrollmentTokensRequest,
) -> Result<v1::ListEnrollmentTokensResponse, Error> {
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("enrollment_tokens", size, &token, &request)?;
    let ask = |page| devices.enroll_tokens(actor, page);
    let (items, next_page_token) = list.tell(ask, enrollment_token).await?;
    Ok(v1::ListEnrollmentTokensResponse {
        items,
        next_page_token,
    })
}

pub(crate) async fn revoke_enrollment_token(
    devices: &Devices,
    actor: &Actor,
    request: v1::RevokeEnrollmentTokenRequest,
) -> Result<v1::EnrollmentToken, Error> {
    let token = devices.revoke_enroll_token(actor, request.token_id).await?;
    Ok(enrollment_token(token))
}

fn enrollment_token(token: EnrollToken) -> v1::EnrollmentToken {
    v1::EnrollmentToken {
        token_id: token.id,
        uses: token.uses.into(),
        uses_left: token.uses.saturating_sub(token.used).into(),
        expires_at: time(token.expires_at),
        note: token.note,
        allow_known: token.allow_known,
        created_by: token.created_by,
        created_at: time(token.created_at),
        revoked_at: token.revoked_at.and_then(time),
    }
}
