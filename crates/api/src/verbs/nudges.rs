//! Nudges.

use std::mem::take;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use futures::stream::try_unfold;
use tidegate_domain::{
    ActionResult, CampaignId, DEFAULT_NUDGE_PRIORITY, DEFAULT_NUDGE_TTL, DeviceId, MAX_NAMED_DEVICES,
    NudgeAudience, NudgeOrder, Role,
};
use tidegate_proto::v1;
use tidegate_service::{Actor, Campaign, Error, Kind, Nudges, Page, Reports, SMALL_CAMPAIGN};

use super::list::List;
use super::{non_empty, optional_package};
use crate::credentials::Listener;
use crate::messages;

/// How many failed devices the answer to a nudge names.
const MAX_NAMED_FAILURES: u32 = 200;

pub(crate) async fn nudge(
    nudges: &Nudges,
    actor: &Actor,
    request: v1::NudgeUpdateRequest,
) -> Result<v1::NudgeUpdateResponse, Error> {
    let key = non_empty(request.idempotency_key.clone());
    let nudged = nudges.nudge(actor, order(request)?, key).await?;
    let mut campaign = nudged.campaign;
    // The campaign is written and will be sent. A caller who got an error now would order it twice.
    let unseen = |error: &Error| tracing::warn!(%error, "a new campaign could not be read again");
    if campaign.progress.total <= SMALL_CAMPAIGN {
        let settled = nudges.settled(campaign.id).await.inspect_err(unseen);
        campaign = settled.unwrap_or(campaign);
    }
    let page = Page::new(Some(MAX_NAMED_FAILURES), None)?;
    let failed = nudges.failures(campaign.id, page).await.inspect_err(unseen);
    let failed = failed.map(|page| page.items).unwrap_or_default();
    Ok(v1::NudgeUpdateResponse {
        success: true,
        total_devices: messages::count(campaign.progress.total),
        success_count: messages::count(campaign.progress.sent),
        failed_count: messages::count(campaign.progress.failed),
        failed_devices: failed.into_iter().map(messages::failed_device).collect(),
        campaign_id: campaign.id.0,
        state: campaign.state.to_string(),
    })
}

fn order(request: v1::NudgeUpdateRequest) -> Result<NudgeOrder, Error> {
    let word = |text: String, default: &str| if text.is_empty() { default.to_owned() } else { text };
    let ttl = match request.ttl_s {
        None => DEFAULT_NUDGE_TTL,
        Some(seconds) => {
            let seconds = u64::try_from(seconds);
            Duration::from_secs(seconds.map_err(|_| Error::invalid("ttl_s", "must not be negative"))?)
        }
    };
    Ok(NudgeOrder {
        devices: named(&request.device_ids)?,
        package: optional_package(&request.package_name)?,
        audience: word(request.audience, NudgeAudience::All.as_str()).parse()?,
        rollout: None,
        priority: word(request.priority, DEFAULT_NUDGE_PRIORITY.as_str()).parse()?,
        ttl,
    })
}

/// The list is measured before it is read, so that a long one costs nothing.
fn named(ids: &[String]) -> Result<Option<Vec<DeviceId>>, Error> {
    if ids.is_empty() {
        return Ok(None);
    }
    if ids.len() > MAX_NAMED_DEVICES {
        let fault =
            format!("may name at most {MAX_NAMED_DEVICES} devices; leave it out to address the fleet");
        return Err(Error::invalid("device_ids", fault));
    }
    let read = |(at, id): (usize, &String)| {
        DeviceId::parse(id).map_err(|fault| {
            let words = fault.to_string();
            let words = words.strip_prefix("device_id ").unwrap_or(&words);
            Error::invalid(format!("device_ids[{at}]"), words)
        })
    };
    ids.iter()
        .enumerate()
        .map(read)
        .collect::<Result<_, _>>()
        .map(Some)
}

pub(crate) async fn get(
    nudges: &Nudges,
    actor: &Actor,
    request: v1::GetCampaignRequest,
) -> Result<v1::Campaign, Error> {
    actor.require(Role::Viewer)?;
    let campaign = nudges.get(CampaignId(request.campaign_id)).await?;
    Ok(told(nudges, campaign))
}

pub(crate) async fn list(
    nudges: &Nudges,
    actor: &Actor,
    mut request: v1::ListCampaignsRequest,
) -> Result<v1::ListCampaignsResponse, Error> {
    actor.require(Role::Viewer)?;
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("campaigns", size, &token, &request)?;
    let told = |campaign| told(nudges, campaign);
    let (items, next_page_token) = list.tell(|page| nudges.list(page), told).await?;
    Ok(v1::ListCampaignsResponse {
        items,
        next_page_token,
    })
}

pub(crate) async fn failures(
    nudges: &Nudges,
    actor: &Actor,
    mut request: v1::ListCampaignFailuresRequest,
) -> Result<v1::ListCampaignFailuresResponse, Error> {
    actor.require(Role::Viewer)?;
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("failures", size, &token, &request)?;
    let campaign = CampaignId(request.campaign_id);
    let failures = |page| nudges.failures(campaign, page);
    let (items, next_page_token) = list.tell(failures, messages::failed_device).await?;
    Ok(v1::ListCampaignFailuresResponse {
        items,
        next_page_token,
    })
}

/// The first state is read before anything is answered, so that a campaign that does not exist is an error and not
/// an empty stream.
pub(crate) async fn watch(
    nudges: &Arc<Nudges>,
    actor: &Actor,
    listener: Listener,
    request: v1::WatchCampaignRequest,
) -> Result<impl Stream<Item = Result<v1::Campaign, Error>> + Send + 'static, Error> {
    actor.require(Role::Viewer)?;
    let mut watch = nudges.watch(CampaignId(request.campaign_id))?;
    let first = watch.next().await?;
    Ok(try_unfold(
        (watch, listener, first, Arc::clone(nudges)),
        async |(mut watch, mut listener, first, nudges)| {
            let next = match first {
                Some(first) => Some(first),
                None => tokio::select! {
                    next = watch.next() => next?,
                    error = listener.ended() => return Err(error),
                },
            };
            let Some(campaign) = next else {
                return Ok(None);
            };
            let no_answer = nudges.no_answer(&campaign);
            let told = messages::campaign(campaign, no_answer);
            Ok(Some((told, (watch, listener, None, nudges))))
        },
    ))
}

pub(crate) async fn cancel(
    nudges: &Nudges,
    actor: &Actor,
    request: v1::CancelCampaignRequest,
) -> Result<v1::Campaign, Error> {
    let campaign = nudges.cancel(actor, CampaignId(request.campaign_id)).await?;
    Ok(told(nudges, campaign))
}

pub(crate) async fn pause(
    nudges: &Nudges,
    actor: &Actor,
    request: v1::PauseCampaignRequest,
) -> Result<v1::Campaign, Error> {
    let campaign = nudges.pause(actor, CampaignId(request.campaign_id)).await?;
    Ok(told(nudges, campaign))
}

pub(crate) async fn resume(
    nudges: &Nudges,
    actor: &Actor,
    request: v1::ResumeCampaignRequest,
) -> Result<v1::Campaign, Error> {
    let campaign = nudges.resume(actor, CampaignId(request.campaign_id)).await?;
    Ok(told(nudges, campaign))
}

fn told(nudges: &Nudges, campaign: Campaign) -> v1::Campaign {
    let no_answer = nudges.no_answer(&campaign);
    messages::campaign(campaign, no_answer)
}

/// A device's answer to a command. A device may answer only for itself.
pub(crate) async fn answer(
    reports: &Reports,
    device: DeviceId,
    request: v1::ActionResultRequest,
) -> Result<v1::ActionResultResponse, Error> {
    if request
        .device_id
        .as_deref()
        .is_some_and(|id| id != device.as_str())
    {
        let message = "a device may only answer for itself: the token belongs to another device_id";
        return Err(Error::new(Kind::Forbidden, "foreign_device", message));
    }
    let finished_at = request
        .finished_at
        .and_then(tidegate_proto::Timestamp::to_utc)
        .ok_or_else(|| Error::invalid("finished_at", "is missing or out of range"))?;
    let result = ActionResult {
        request_id: request.request_id.clone(),
        action: request.action,
        outcome: request.outcome,
        message: request.message,
        finished_at,
    };
    reports.answer(device, result).await?;
    Ok(v1::ActionResultResponse {
        success: true,
        request_id: request.request_id,
    })
}
