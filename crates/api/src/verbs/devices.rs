//! Devices.

use std::mem::take;
use std::ops::RangeInclusive;

use chrono::{DateTime, TimeDelta, Utc};
use tidegate_domain::{BuildId, Device, DeviceId, PackageName, Role, RolloutId, SdkLevel, Tag, VersionCode};
use tidegate_proto::{Timestamp, v1};
use tidegate_service::{
    Actor, CountBound, DEFAULT_ALLOWANCE, DEFAULT_ENROLL_TTL_DAYS, DeviceFilter, DeviceQuery, Devices,
    EnrollToken, EnrollTokenSpec, Error, Paged,
};
use tidegate_signing::ExposeSecret;

use super::list::List;
use super::{moment, non_empty, optional_package};
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
    let query = query(devices, request)?;
    let Some(filter) = devices.resolve(query)? else {
        return Ok(v1::ListDevicesResponse {
            total_is_exact: true,
            ..v1::ListDevicesResponse::default()
        });
    };
    let total = devices.count(filter.clone()).await?;
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
        total: messages::count(total.devices),
        total_is_exact: total.bound == CountBound::Exact,
        total_is_scanned: total.bound == CountBound::Scanned,
    })
}

fn query(devices: &Devices, request: v1::ListDevicesRequest) -> Result<DeviceQuery, Error> {
    let filter = DeviceFilter {
        search: non_empty(request.search),
        package: optional_package(&request.package_name)?,
        versions: versions(request.min_version, request.max_version)?,
        told: non_empty(request.told).map(|word| word.parse()).transpose()?,
        condition: non_empty(request.condition)
            .map(|word| word.parse().map(|condition| devices.in_condition(condition)))
            .transpose()?,
        retired: request.retired,
        overdue: (request.overdue != 0).then(|| (RolloutId(request.overdue), devices.now())),
        model: non_empty(request.model),
        manufacturer: non_empty(request.manufacturer),
        region: non_empty(request.region),
        sdk: levels(request.min_sdk, request.max_sdk)?,
        tag: non_empty(request.tag).map(|tag| Tag::parse(&tag)).transpose()?,
        seen_since: optional_moment("seen_since", request.seen_since)?,
        silent_since: optional_moment("not_seen_since", request.not_seen_since)?,
        can_be_nudged: request.can_be_nudged,
        sort: non_empty(request.sort).map(|word| word.parse()).transpose()?,
        descending: request.descending,
        ..DeviceFilter::default()
    };
    Ok(DeviceQuery {
        filter,
        state: None,
        build: (request.build_id != 0).then_some(BuildId(request.build_id)),
        reason: non_empty(request.reason),
        fate: non_empty(request.fate).map(|word| word.parse()).transpose()?,
    })
}

fn optional_moment(field: &'static str, time: Option<Timestamp>) -> Result<Option<DateTime<Utc>>, Error> {
    time.map(|time| moment(field, time)).transpose()
}

/// Versions from one to another; the highest there is where no end is named.
fn versions(min: Option<i64>, max: Option<i64>) -> Result<Option<RangeInclusive<VersionCode>>, Error> {
    if min.is_none() && max.is_none() {
        return Ok(None);
    }
    let version =
        |field: &str, code| VersionCode::new(code).map_err(|_| Error::invalid(field, "must not be negative"));
    let (min, max) = (min.unwrap_or(1), max.unwrap_or(i64::MAX));
    Ok(Some(version("min_version", min)?..=version("max_version", max)?))
}

fn levels(min: Option<i64>, max: Option<i64>) -> Result<Option<RangeInclusive<SdkLevel>>, Error> {
    if min.is_none() && max.is_none() {
        return Ok(None);
    }
    let level = |field: &str, level: Option<i64>, usual| match level {
        None => Ok(usual),
        Some(level) => {
            SdkLevel::try_from(level).map_err(|_| Error::invalid(field, "must be an API level, such as 34"))
        }
    };
    Ok(Some(
        level("min_sdk", min, 0)?..=level("max_sdk", max, SdkLevel::MAX)?,
    ))
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
