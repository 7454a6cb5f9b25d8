//! Tags of devices.

use std::mem::take;

use tidegate_domain::{DeviceId, Role, Tag};
use tidegate_proto::v1;
use tidegate_service::{Actor, Error, TagChange, TagCount, Tags};

use super::list::List;
use crate::messages::count;

/// How many unknown devices are named.
const MAX_UNKNOWN_NAMED: usize = 20;

pub(crate) async fn list(
    tags: &Tags,
    actor: &Actor,
    mut request: v1::ListTagsRequest,
) -> Result<v1::ListTagsResponse, Error> {
    actor.require(Role::Viewer)?;
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("tags", size, &token, &request)?;
    let (items, next_page_token) = list.tell(|page| tags.list(page), |of| tag(&of)).await?;
    Ok(v1::ListTagsResponse {
        items,
        next_page_token,
    })
}

fn tag(of: &TagCount) -> v1::Tag {
    v1::Tag {
        tag: of.tag.to_string(),
        devices: count(of.devices),
    }
}

pub(crate) async fn change(
    tags: &Tags,
    actor: &Actor,
    request: v1::TagDevicesRequest,
) -> Result<v1::TagDevicesResponse, Error> {
    let tag = Tag::parse(&request.tag)?;
    let change = TagChange {
        add: devices("add", &request.add)?,
        remove: devices("remove", &request.remove)?,
    };
    let tagged = tags.change(actor, &tag, change).await?;
    let named = tagged.unknown.iter().take(MAX_UNKNOWN_NAMED);
    Ok(v1::TagDevicesResponse {
        tag: request.tag,
        added: count(tagged.added),
        removed: count(tagged.removed),
        unknown: count(tagged.unknown.len() as u64),
        unknown_device_ids: named.map(ToString::to_string).collect(),
    })
}

/// The ids of a list, with the place of the first that is none.
fn devices(field: &str, ids: &[String]) -> Result<Vec<DeviceId>, Error> {
    let parsed = ids.iter().enumerate().map(|(at, id)| {
        DeviceId::parse(id)
            .map_err(|fault| Error::invalid(format!("{field}[{at}]"), format!("is no device: {fault}")))
    });
    parsed.collect()
}

pub(crate) async fn devices_with(
    tags: &Tags,
    actor: &Actor,
    mut request: v1::ListTagDevicesRequest,
) -> Result<v1::ListTagDevicesResponse, Error> {
    actor.require(Role::Viewer)?;
    let (size, token) = (take(&mut request.page_size), take(&mut request.page_token));
    let list = List::of("tag_devices", size, &token, &request)?;
    let tag = Tag::parse(&request.tag)?;
    let told = |device: DeviceId| v1::TaggedDevice {
        device_id: device.to_string(),
    };
    let (items, next_page_token) = list.tell(|page| tags.devices(&tag, page), told).await?;
    Ok(v1::ListTagDevicesResponse {
        items,
        next_page_token,
    })
}

pub(crate) async fn rename(
    tags: &Tags,
    actor: &Actor,
    request: v1::RenameTagRequest,
) -> Result<v1::Tag, Error> {
    let from = Tag::parse(&request.tag)?;
    let to = Tag::parse(&request.to).map_err(|fault| Error::invalid("to", format!("is no tag: {fault}")))?;
    let devices = tags.rename(actor, &from, &to).await?;
    Ok(tag(&TagCount { tag: to, devices }))
}

pub(crate) async fn delete(
    tags: &Tags,
    actor: &Actor,
    request: v1::DeleteTagRequest,
) -> Result<v1::DeleteTagResponse, Error> {
    let devices = tags.delete(actor, &Tag::parse(&request.tag)?).await?;
    Ok(v1::DeleteTagResponse {
        tag: request.tag,
        devices: count(devices),
    })
}
